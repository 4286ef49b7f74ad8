#include "replicator/control/primary_endpoint.h"

#include "replicator/base/bytes.h"
#include "replicator/base/file.h"
#include "replicator/base/notes.h"

namespace tanist {
namespace {

constexpr uint64_t kBytesMax = 512;

}  // namespace

std::string read_primary_endpoint(const Layout& layout) {
    const Result<Bytes> bytes = read_file(layout.primary(), kBytesMax);
    if (!bytes) return "";
    const std::string text(bytes->begin(), bytes->end());
    return text.substr(0, text.find('\n'));
}

void keep_primary_endpoint(const Layout& layout, const std::string& endpoint) {
    if (path_exists(layout.primary()) && read_primary_endpoint(layout) == endpoint) return;
    const std::string line = endpoint + "\n";
    if (Status kept = replace_file(layout.primary(), view_of(line)); !kept) {
        note(NoteLevel::warning, "not noted where the primary is",
             {{"reason", kept.error().message}});
    }
}

}  // namespace tanist
