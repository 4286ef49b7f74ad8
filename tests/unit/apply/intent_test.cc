#include "replicator/apply/intent.h"

#include <doctest/doctest.h>

#include "tests/support/temp_dir.h"

using namespace tanist;

namespace {

LogPoint point(uint64_t lsn) {
    LogPoint made;
    made.position = {Epoch(3), Lsn(lsn)};
    made.chain.bytes[5] = static_cast<uint8_t>(lsn);
    return made;
}

struct Fixture {
    TempDir dir;
    std::string path = dir.path("intent");
    IntentFile file = IntentFile::open(path).value();
    void write(uint64_t lsn, bool durable) {
        Intent intent;
        intent.done = intent.target = intent.durable = point(lsn);
        REQUIRE(file.write(intent, durable).ok());
    }
    uint64_t read() { return IntentFile::open(path)->read()->done.position.lsn.value; }
    void damage(uint64_t offset) {
        File raw = File::open(path, File::Mode::write).value();
        REQUIRE(raw.write_at(offset, Bytes(8, 0xee)).ok());
    }
};

}  // namespace

TEST_CASE("intent: a file never written says nothing") {
    Fixture fixture;
    CHECK_FALSE(fixture.file.read().has_value());
}

TEST_CASE("intent: what was written last is read, with the boot it was written in") {
    Fixture fixture;
    Intent intent;
    intent.done = point(4);
    intent.target = point(9);
    intent.durable = point(2);
    REQUIRE(fixture.file.write(intent, false).ok());
    intent.boot = boot_id();
    CHECK(fixture.file.read() == intent);
    CHECK(IntentFile::open(fixture.path)->read() == intent);
}

TEST_CASE("intent: the newest slot wins across reopening") {
    Fixture fixture;
    for (uint64_t lsn = 1; lsn < 9; ++lsn) {
        fixture.write(lsn, lsn % 3 == 0);
        fixture.file = IntentFile::open(fixture.path).value();
        CHECK(fixture.read() == lsn);
    }
}

TEST_CASE("intent: a torn write leaves the slot before it") {
    Fixture fixture;
    fixture.write(1, false);
    fixture.write(2, false);
    fixture.damage(4096 + 40);
    CHECK(fixture.read() == 1);
}

// A power cut may take every slot that was written without fsync.
TEST_CASE("intent: slots without fsync never cost the last durable one") {
    Fixture fixture;
    fixture.write(1, true);
    fixture.write(2, true);
    for (uint64_t lsn = 3; lsn < 8; ++lsn) fixture.write(lsn, false);
    fixture.damage(0);
    fixture.damage(4096);
    CHECK(fixture.read() == 2);
}
