// How a staged page is sealed, and what does not open it.
#include "replicator/sync/staged_form.h"

#include <doctest/doctest.h>

using namespace tanist;

namespace {

StagedForm form_of(uint8_t key_byte) {
    LogKey key;
    key.bytes.fill(key_byte);
    return StagedForm(std::make_shared<const LogCipher>(key));
}

// Page 7, sealed under key 1.
struct SealedPage {
    StagedForm form = form_of(1);
    Bytes image = Bytes(512, 'x');
    Bytes slot = Bytes(form.slot_bytes(512));

    SealedPage() { form.seal(SealNonce{{9}}, Pgno(7), image, slot); }
    bool opens(const StagedForm& with, uint32_t pgno) const {
        Bytes found(512);
        return with.open(Pgno(pgno), slot, found) && found == image;
    }
};

}  // namespace

TEST_CASE_FIXTURE(SealedPage, "staged_form: a page opens as itself, and not as another one") {
    CHECK(opens(form, 7));
    CHECK_FALSE(opens(form, 8));
}

TEST_CASE_FIXTURE(SealedPage, "staged_form: another key opens nothing") {
    CHECK_FALSE(opens(form_of(2), 7));
    CHECK(form.key_id() != form_of(2).key_id());
}

TEST_CASE_FIXTURE(SealedPage, "staged_form: every flipped byte is found") {
    for (uint8_t& byte : slot) {
        byte ^= 1;
        CHECK_FALSE(opens(form, 7));
        byte ^= 1;
    }
    CHECK(opens(form, 7));
}

// The log's key is used for both.
TEST_CASE_FIXTURE(SealedPage, "staged_form: a part of a record does not pass for a page") {
    LogKey key;
    key.bytes.fill(1);
    const SealNonce nonce{{9}};
    LogCipher(key).seal(nonce, 7, {}, image, MutableBytes(slot).subspan(sizeof nonce.bytes));
    CHECK_FALSE(opens(form, 7));
}

TEST_CASE("staged_form: without a cipher a page stands as it is") {
    const StagedForm plain;
    CHECK_FALSE(plain.sealed());
    CHECK(plain.slot_bytes(4096) == 4096);
    CHECK(plain.key_id() == 0);
}
