#include "replicator/node/promise_file.h"

#include <array>

#include "replicator/base/hash.h"

namespace tanist {
namespace {

constexpr uint32_t kMagic = 0x5250'4E54;  // "TNPR"
constexpr uint16_t kVersion = 1;
constexpr size_t kFileBytes = 80;  // magic, version, zero, boot, holder, epoch, until, checksum

}  // namespace

Result<PromiseFile> PromiseFile::open(const std::string& path) {
    Result<File> file = File::open(path, File::Mode::create);
    if (!file) return std::move(file).error();
    PromiseFile promise;
    promise.file_ = std::move(file).value();
    return promise;
}

std::optional<failover::Promise> PromiseFile::read() const {
    std::array<uint8_t, kFileBytes> bytes{};
    Result<size_t> got = file_.read_at(0, bytes);
    if (!got || *got != kFileBytes) return std::nullopt;
    ByteReader in(bytes);
    if (in.u32() != kMagic || in.u16() != kVersion || in.u16() != 0) return std::nullopt;
    failover::BootId boot;
    in.into(boot.bytes);
    failover::Promise promise;
    in.into(promise.holder.bytes);
    promise.epoch = Epoch(in.u64());
    promise.until = Instant{in.i64()};
    const bool whole = in.u64() == hash64(ByteView(bytes).first(kFileBytes - 8));
    if (!whole || boot != boot_id()) return std::nullopt;
    return promise;
}

Status PromiseFile::write(const failover::Promise& promise) {
    Bytes bytes;
    ByteWriter out(bytes);
    out.u32(kMagic);
    out.u16(kVersion);
    out.u16(0);
    out.from(boot_id().bytes);
    out.from(promise.holder.bytes);
    out.u64(promise.epoch.value);
    out.i64(promise.until.ns);
    out.u64(hash64(bytes));
    return file_.write_at(0, bytes);
}

}  // namespace tanist
