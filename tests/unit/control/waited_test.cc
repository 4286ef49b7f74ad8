#include "replicator/control/waited.h"

#include <doctest/doctest.h>

#include "tests/support/temp_dir.h"

using namespace tanist;

namespace {

const WalBegun kFirst{1, 2, {3, 4, 5, 6}};
const WalBegun kSecond{7, 8, {9, 1, 2, 10}};

struct Primary {
    TempDir dir;
    Layout layout{dir.path("app.db")};
    Control control;
    Primary() {
        REQUIRE(make_directory(layout.directory).ok());
        control = Control::open(layout.control(), true, false).value();
        control.set_begun(kFirst);
    }
};

}  // namespace

TEST_CASE("waited: it says of its first moment which WAL was begun") {
    Primary primary;
    CHECK_FALSE(read_wal_begun(primary.layout));
    REQUIRE(make_waited(primary.layout, primary.control).ok());
    CHECK(read_wal_begun(primary.layout) == kFirst);
}

TEST_CASE("waited: a WAL is noted only where a commit has waited") {
    Primary primary;
    REQUIRE(note_wal_begun(primary.layout, kSecond).ok());
    CHECK_FALSE(path_exists(primary.layout.waited()));
    REQUIRE(make_waited(primary.layout, primary.control).ok());
    REQUIRE(note_wal_begun(primary.layout, kSecond).ok());
    CHECK(read_wal_begun(primary.layout) == kSecond);
}

TEST_CASE("waited: a note that is damaged, cut or of a former version says nothing") {
    const Bytes whole = encode_wal_begun(kFirst);
    CHECK(decode_wal_begun(whole) == kFirst);
    for (size_t i = 0; i < whole.size(); ++i) {
        Bytes bad = whole;
        bad[i] ^= 1;
        CHECK_FALSE(decode_wal_begun(bad));
        CHECK_FALSE(decode_wal_begun(ByteView(whole).first(i)));
    }
    CHECK_FALSE(decode_wal_begun({}));
}
