#include "replicator/apply/intent.h"

#include <algorithm>

#include "replicator/base/hash.h"
#include "replicator/base/log_point.h"

namespace tanist {
namespace {

constexpr uint32_t kIntentMagic = 0x4E49'4E54;  // "TNIN"
constexpr uint16_t kIntentVersion = 1;
constexpr uint16_t kIntentSyncing = 1;
constexpr size_t kSlotBytes = 144;
constexpr uint64_t kSlotStride = 4096;  // slots share neither a sector nor a page
constexpr int kSlots = 4;               // 0 and 1: without fsync; 2 and 3: with

struct Slot {
    uint64_t generation = 0;
    Intent intent;
};

Bytes encode_slot(const Slot& slot) {
    Bytes bytes;
    ByteWriter out(bytes);
    out.u32(kIntentMagic);
    out.u16(kIntentVersion);
    out.u16(slot.intent.syncing ? kIntentSyncing : uint16_t{0});
    out.u64(slot.generation);
    encode(slot.intent.done, out);
    encode(slot.intent.target, out);
    encode(slot.intent.durable, out);
    out.from(slot.intent.boot.bytes);
    out.u64(0);
    out.u64(hash64(bytes));
    return bytes;
}

std::optional<Slot> decode_slot(ByteView bytes) {
    ByteReader in(bytes);
    Slot slot;
    const uint32_t magic = in.u32();
    const uint16_t version = in.u16();
    const uint16_t flags = in.u16();
    slot.generation = in.u64();
    slot.intent.syncing = (flags & kIntentSyncing) != 0;
    slot.intent.done = decode_log_point(in);
    slot.intent.target = decode_log_point(in);
    slot.intent.durable = decode_log_point(in);
    in.into(slot.intent.boot.bytes);
    const uint64_t reserved = in.u64();
    const size_t hashed = in.at();
    const uint64_t hash = in.u64();
    if (!in.ok() || magic != kIntentMagic || version != kIntentVersion) return std::nullopt;
    if ((flags & ~kIntentSyncing) != 0 || reserved != 0) return std::nullopt;
    if (hash != hash64(bytes.first(hashed))) return std::nullopt;
    return slot;
}

// The newest valid slot of [first, first + count), and which one it is.
std::optional<Slot> newest_slot(const File& file, int first, int count, int* where) {
    std::optional<Slot> newest;
    for (int index = first; index < first + count; ++index) {
        Bytes bytes(kSlotBytes);
        Result<size_t> found = file.read_at(uint64_t(index) * kSlotStride, bytes);
        if (!found || *found != kSlotBytes) continue;
        std::optional<Slot> slot = decode_slot(bytes);
        if (!slot || (newest && newest->generation >= slot->generation)) continue;
        newest = slot;
        *where = index;
    }
    return newest;
}

}  // namespace

Result<IntentFile> IntentFile::open(const std::string& path) {
    Result<File> file = File::open(path, File::Mode::create);
    if (!file) return std::move(file).error();
    TANIST_TRY(sync_what_was_left(path));
    IntentFile intent(std::move(file).value());
    intent.boot_ = boot_id();
    for (int kind = 0; kind < 2; ++kind) {
        int where = 0;
        std::optional<Slot> newest = newest_slot(intent.file_, 2 * kind, 2, &where);
        if (!newest) continue;
        intent.generation_ = std::max(intent.generation_, newest->generation);
        // A torn write must not take the newest slot of its pair.
        intent.writes_[kind] = uint64_t(where % 2) + 1;
    }
    return intent;
}

std::optional<Intent> IntentFile::read() const {
    int where = 0;
    std::optional<Slot> newest = newest_slot(file_, 0, kSlots, &where);
    if (!newest) return std::nullopt;
    return newest->intent;
}

Status IntentFile::write(const Intent& intent, bool durable) {
    Slot slot{generation_ + 1, intent};
    slot.intent.boot = boot_;
    const int kind = durable ? 1 : 0;
    const uint64_t index = 2 * uint64_t(kind) + writes_[kind] % 2;
    TANIST_TRY(file_.write_at(index * kSlotStride, encode_slot(slot)));
    if (durable) TANIST_TRY(file_.sync_data());
    generation_ += 1;
    writes_[kind] += 1;
    return ok_status();
}

}  // namespace tanist
