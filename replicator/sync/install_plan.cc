#include "replicator/sync/install_plan.h"

#include "replicator/base/file.h"
#include "replicator/base/hash.h"
#include "replicator/base/log_point.h"

namespace tanist {
namespace {

constexpr uint32_t kPlanMagic = 0x5049'4E54;  // "TNIP"
constexpr uint32_t kPlanVersion = 1;
constexpr uint32_t kPlanReplaces = 1;
constexpr size_t kPlanBytes = 96;

std::string path_in(const std::string& directory) { return directory + "/install"; }

Bytes encode(const InstallPlan& plan) {
    Bytes bytes;
    ByteWriter out(bytes);
    out.u32(kPlanMagic);
    out.u32(kPlanVersion);
    out.u32(plan.replaces ? kPlanReplaces : 0);
    out.u32(plan.page_bytes);
    out.u32(plan.db_pages);
    out.u32(0);
    encode(plan.base, out);
    encode(plan.end, out);
    out.u64(hash64(bytes));
    return bytes;
}

}  // namespace

bool has_install_plan(const std::string& directory) { return path_exists(path_in(directory)); }

Result<InstallPlan> read_install_plan(const std::string& directory) {
    Result<Bytes> bytes = read_file(path_in(directory), kPlanBytes);
    if (!bytes) return std::move(bytes).error();
    ByteReader in(*bytes);
    InstallPlan plan;
    in.u32();
    in.u32();
    plan.replaces = in.u32() == kPlanReplaces;
    plan.page_bytes = in.u32();
    plan.db_pages = in.u32();
    in.u32();
    plan.base = decode_log_point(in);
    plan.end = decode_log_point(in);
    if (in.ok() && *bytes == encode(plan)) return plan;
    return Error{Errc::corrupt, path_in(directory) + " is damaged, or of another version"};
}

Status write_install_plan(const std::string& directory, const InstallPlan& plan) {
    return replace_file(path_in(directory), encode(plan));
}

Status remove_install_plan(const std::string& directory) {
    TANIST_TRY(remove_path(path_in(directory)));
    return sync_directory(directory);
}

}  // namespace tanist
