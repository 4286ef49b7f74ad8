#include <doctest/doctest.h>

#include "replicator/base/bytes.h"
#include "replicator/base/hash.h"
#include "replicator/base/result.h"

namespace tanist {

TEST_CASE("bytes: what was written is read back, little-endian") {
    Bytes bytes;
    ByteWriter w(bytes);
    w.u8(1);
    w.u16(0x0203);
    w.u32(0x04050607);
    w.u64(0x08090a0b0c0d0e0f);
    w.i64(-2);
    w.text("name");
    CHECK(bytes[1] == 3);
    ByteReader r(bytes);
    CHECK(r.u8() == 1);
    CHECK(r.u16() == 0x0203);
    CHECK(r.u32() == 0x04050607);
    CHECK(r.u64() == 0x08090a0b0c0d0e0f);
    CHECK(r.i64() == -2);
    CHECK(r.text(4) == "name");
    CHECK(r.ok());
    CHECK(r.left() == 0);
}

TEST_CASE("bytes: a reader that ran over its end stays failed and yields zeros") {
    const Bytes bytes = {1, 2, 3};
    ByteReader r(bytes);
    CHECK(r.u32() == 0);
    CHECK(!r.ok());
    CHECK(r.u8() == 0);
}

TEST_CASE("bytes: a text longer than allowed is refused") {
    Bytes bytes;
    ByteWriter(bytes).text("abc");
    ByteReader r(bytes);
    CHECK(r.text(2).empty());
    CHECK(!r.ok());
}

TEST_CASE("ids: positions are compared epoch first and written as epoch:lsn") {
    const Position a{Epoch(1), Lsn(900)};
    const Position b{Epoch(2), Lsn(3)};
    CHECK(a < b);
    CHECK(to_string(b) == "2:3");
    CHECK(parse_position("1:900") == a);
    for (const char* bad : {"", ":", "1", "1:", ":1", "1:2x", "-1:2", "1:99999999999999999999"}) {
        CHECK_MESSAGE(!parse_position(bad), bad);
    }
}

TEST_CASE("ids: hex is read in both cases and only whole") {
    uint8_t out[2];
    CHECK(parse_hex("aBf0", out, 2));
    CHECK(hex(out, 2) == "abf0");
    CHECK(!parse_hex("abf", out, 2));
    CHECK(!parse_hex("abfg", out, 2));
}

TEST_CASE("hash: pieces hash like the whole") {
    const Bytes bytes(1000, 5);
    Hasher128 hasher;
    hasher.update(ByteView(bytes).first(333));
    hasher.update(ByteView(bytes).subspan(333));
    CHECK(hasher.digest() == hash128(bytes));
    hasher.reset();
    CHECK(hasher.digest() == hash128({}));
}

TEST_CASE("result: context goes in front of the message") {
    Status status = Error{Errc::io, "no"}.in("file");
    CHECK(status.error().message == "file: no");
}

}  // namespace tanist
