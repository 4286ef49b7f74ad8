#include <doctest/doctest.h>
#include <poll.h>

#include "replicator/base/event.h"
#include "replicator/base/file.h"
#include "tests/support/temp_dir.h"

namespace tanist {
namespace {

struct ChimeFixture {
    TempDir dir;
    std::string model = dir.path("model");
    std::string path = dir.path("chime");
    Chime listener;

    ChimeFixture() {
        REQUIRE(File::open(model, File::Mode::create).ok());
        auto made = Chime::make(path, model);
        REQUIRE(made.ok());
        listener = *std::move(made);
    }
    bool readable() const {
        pollfd item{listener.fd(), POLLIN, 0};
        return ::poll(&item, 1, 0) == 1;
    }
};

}  // namespace

TEST_CASE_FIXTURE(ChimeFixture, "chime: who polls is woken, once for many rings") {
    auto ringer = Chime::find(path);
    REQUIRE(ringer.ok());
    CHECK_FALSE(readable());
    for (int i = 0; i < 1000; ++i) ringer->ring();
    CHECK(readable());
    CHECK(listener.drain());
    CHECK_FALSE(readable());
    CHECK_FALSE(listener.drain());
}

TEST_CASE_FIXTURE(ChimeFixture,
                  "chime: a ring that nobody hears harms nobody, and is heard later") {
    auto ringer = Chime::find(path);
    REQUIRE(ringer.ok());
    listener = {};
    for (int i = 0; i < 100'000; ++i) ringer->ring();  // more than a pipe holds
    listener = *Chime::make(path, model);
    CHECK(readable());
    CHECK(listener.drain());
    CHECK_FALSE(readable());
}

TEST_CASE_FIXTURE(ChimeFixture, "chime: a file in its place is no chime") {
    CHECK(Chime::find(model).error().code == Errc::invalid);
    CHECK(Chime::find(dir.path("none")).error().code == Errc::not_found);
}

}  // namespace tanist
