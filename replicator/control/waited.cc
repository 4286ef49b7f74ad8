#include "replicator/control/waited.h"

#include "replicator/base/hash.h"

namespace tanist {
namespace {

constexpr uint32_t kMagic = 0x4257'4E54;  // "TNWB"
constexpr uint32_t kVersion = 1;
constexpr uint64_t kBytesMax = 512;

Status write(const Layout& layout, File::Mode mode, const WalBegun& begun) {
    Result<File> file = File::open(layout.waited(), mode);
    if (!file.ok()) return std::move(file).error();
    return file->write_at_durably(0, encode_wal_begun(begun));
}

}  // namespace

Bytes encode_wal_begun(const WalBegun& begun) {
    Bytes bytes;
    ByteWriter out(bytes);
    out.u32(kMagic);
    out.u32(kVersion);
    out.u32(begun.salt1);
    out.u32(begun.salt2);
    out.u32(begun.after.change);
    out.u32(begun.after.salt1);
    out.u32(begun.after.salt2);
    out.u32(begun.after.frame);
    out.u64(hash64(bytes));
    return bytes;
}

std::optional<WalBegun> decode_wal_begun(ByteView bytes) {
    ByteReader in(bytes);
    if (in.u32() != kMagic || in.u32() != kVersion) return std::nullopt;
    WalBegun begun;
    begun.salt1 = in.u32();
    begun.salt2 = in.u32();
    begun.after.change = in.u32();
    begun.after.salt1 = in.u32();
    begun.after.salt2 = in.u32();
    begun.after.frame = in.u32();
    const size_t hashed = in.at();
    const uint64_t hash = in.u64();
    if (!in.ok() || in.left() != 0 || hash != hash64(bytes.first(hashed))) return std::nullopt;
    return begun;
}

// Whoever begins a WAL meanwhile tells the control block first and then looks for the file: it
// writes there itself, or this sees that the control block says something newer.
Status make_waited(const Layout& layout, const Control& control) {
    for (WalBegun begun = control.begun();;) {
        TANIST_TRY(write(layout, File::Mode::create, begun));
        const WalBegun now = control.begun();
        if (now == begun) return sync_directory(layout.directory);
        begun = now;
    }
}

Status note_wal_begun(const Layout& layout, const WalBegun& begun) {
    if (!path_exists(layout.waited())) return ok_status();
    return write(layout, File::Mode::write, begun);
}

std::optional<WalBegun> read_wal_begun(const Layout& layout) {
    Result<Bytes> bytes = read_file(layout.waited(), kBytesMax);
    if (!bytes.ok()) return std::nullopt;
    return decode_wal_begun(*bytes);
}

}  // namespace tanist
