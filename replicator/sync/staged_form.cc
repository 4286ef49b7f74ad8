#include "replicator/sync/staged_form.h"

#include <algorithm>
#include <cassert>

namespace tanist {
namespace {

constexpr uint32_t kPageMagic = 0x5053'4E54;  // "TNSP"
constexpr uint32_t kPageVersion = 1;
constexpr size_t kNonceBytes = sizeof(SealNonce::bytes);

// The key is the log's. No record is sealed with this text, so none passes for a page, nor the
// other way round.
Bytes bound_to(size_t page_bytes) {
    Bytes bound;
    ByteWriter out(bound);
    out.u32(kPageMagic);
    out.u32(kPageVersion);
    out.u64(page_bytes);
    return bound;
}

}  // namespace

void StagedForm::seal(const SealNonce& nonce, Pgno pgno, ByteView image, MutableBytes slot) const {
    assert(sealed() && slot.size() == slot_bytes(image.size()));
    std::copy(nonce.bytes.begin(), nonce.bytes.end(), slot.begin());
    cipher_->seal(nonce, pgno.value, bound_to(image.size()), image, slot.subspan(kNonceBytes));
}

bool StagedForm::open(Pgno pgno, ByteView slot, MutableBytes image) const {
    assert(sealed() && slot.size() == slot_bytes(image.size()));
    SealNonce nonce;
    std::copy_n(slot.begin(), kNonceBytes, nonce.bytes.begin());
    return cipher_->open(nonce, pgno.value, bound_to(image.size()), slot.subspan(kNonceBytes),
                         image);
}

}  // namespace tanist
