// How a page stands in `base/pages`: as it is, or sealed by the log's cipher. A sealed page is its
// nonce (16 bytes), the image, and a tag (16 bytes); its number and size are bound by the seal. Why
// so: docs/decisions/0008. Pure but for the nonce it is given.
//
// A form is a value that is copied freely; its cipher is shared and does not change.
#pragma once

#include <memory>

#include "replicator/base/log_cipher.h"

namespace tanist {

class StagedForm {
  public:
    StagedForm() = default;  // as it is
    // Null: as it is.
    explicit StagedForm(std::shared_ptr<const LogCipher> cipher) : cipher_(std::move(cipher)) {}

    bool sealed() const { return cipher_ != nullptr; }
    uint64_t key_id() const { return sealed() ? cipher_->id() : 0; }
    size_t slot_bytes(size_t page_bytes) const {
        return sealed() ? sizeof(SealNonce::bytes) + page_bytes + kSealTagBytes : page_bytes;
    }

    // -- Requires: sealed(), slot.size() == slot_bytes(image.size()).
    void seal(const SealNonce& nonce, Pgno pgno, ByteView image, MutableBytes slot) const;
    // False: not what was sealed as this page under this key.
    bool open(Pgno pgno, ByteView slot, MutableBytes image) const;

  private:
    std::shared_ptr<const LogCipher> cipher_;
};

}  // namespace tanist
