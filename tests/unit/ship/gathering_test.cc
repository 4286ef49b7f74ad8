#include "replicator/ship/gathering.h"

#include <doctest/doctest.h>

using namespace tanist;

TEST_CASE("gathering: while nothing is on its way, one commit is a batch") {
    Gathering gathering;
    CHECK(gathering.complete_at() == 1);
    gathering.shipped(1, Lsn(10));
    gathering.confirmed(Lsn(10));
    CHECK(gathering.complete_at() == 2);
}

TEST_CASE("gathering: a batch is as large as what is on its way") {
    Gathering gathering;
    gathering.shipped(1, Lsn(10));
    CHECK(gathering.complete_at() == 2);
    gathering.shipped(2, Lsn(11));
    CHECK(gathering.complete_at() == 4);
    gathering.shipped(4, Lsn(13));
    CHECK(gathering.complete_at() == 8);
}

TEST_CASE("gathering: what is confirmed is no longer on its way") {
    Gathering gathering;
    gathering.shipped(5, Lsn(10));
    gathering.shipped(8, Lsn(13));
    gathering.confirmed(Lsn(12));
    CHECK(gathering.complete_at() == 8 + 3);
    gathering.confirmed(Lsn(13));
    CHECK(gathering.complete_at() == 9);
}

TEST_CASE("gathering: what was confirmed before it was counted is not on its way") {
    Gathering gathering;
    gathering.confirmed(Lsn(20));
    gathering.shipped(5, Lsn(20));
    CHECK(gathering.complete_at() == 6);
}

TEST_CASE("gathering: without confirmations it remembers little, and all of it ends with one") {
    Gathering gathering;
    for (uint32_t i = 1; i <= 1000; ++i) gathering.shipped(i, Lsn(i));
    CHECK(gathering.complete_at() == 2000);
    gathering.confirmed(Lsn(1000));
    CHECK(gathering.complete_at() == 1001);
}

TEST_CASE("gathering: it begins with what was counted before, and counts go round") {
    Gathering gathering(UINT32_MAX);
    CHECK(gathering.complete_at() == 0);
    gathering.shipped(3, Lsn(10));
    CHECK(gathering.complete_at() == 3 + 4);
}
