// Any bytes as a ballot file, the checksums of both slots made right: never out of bounds, and a
// slot that is accepted is written the same again.
#include <algorithm>
#include <cstdlib>

#include "failover/core/ballot.h"
#include "replicator/base/hash.h"

using namespace tanist;
using namespace tanist::failover;

namespace {

constexpr size_t kPrefix = 16;

void make_checksum_right(MutableBytes slot) {
    const size_t body = slot[8] | size_t{slot[9]} << 8 | size_t{slot[10]} << 16;
    if (kPrefix + body + 8 > slot.size()) return;
    const uint64_t sum = hash64(slot.first(kPrefix + body));
    for (size_t i = 0; i < 8; ++i) slot[kPrefix + body + i] = static_cast<uint8_t>(sum >> (8 * i));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    Bytes file(data, data + size);
    file.resize(std::min(size, kBallotFileBytes));
    static_cast<void>(judge_ballot_file(file, NodeKey{}, {}));
    file.resize(kBallotFileBytes, 0);
    for (size_t at : {size_t{0}, kBallotSlotBytes}) {
        const MutableBytes slot = MutableBytes(file).subspan(at, kBallotSlotBytes);
        make_checksum_right(slot);
        const auto ballot = decode_slot(slot);
        if (!ballot.ok()) continue;
        if (!std::ranges::equal(encode_slot(*ballot), slot)) std::abort();
    }
    static_cast<void>(judge_ballot_file(file, NodeKey{}, {}));
    return 0;
}
