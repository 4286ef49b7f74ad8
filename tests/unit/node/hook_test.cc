#include "replicator/node/hook.h"

#include <doctest/doctest.h>

#include <algorithm>

using namespace tanist;

TEST_CASE("hook: the environment has every fact") {
    const auto facts = environment_of({.event = HookEvent::promote,
                                       .database = "/srv/app.db",
                                       .epoch = Epoch(7),
                                       .position = {Epoch(7), Lsn(12)},
                                       .endpoint = "tcp://b:1",
                                       .primary = "tcp://b:1",
                                       .reason = "operator",
                                       .lost_commits = 2});
    for (const char* wanted :
         {"TANIST_EVENT=promote", "TANIST_DATABASE=/srv/app.db", "TANIST_ROLE=primary",
          "TANIST_EPOCH=7", "TANIST_POSITION=7:12", "TANIST_ENDPOINT=tcp://b:1",
          "TANIST_PRIMARY=tcp://b:1", "TANIST_REASON=operator", "TANIST_LOST_COMMITS=2"}) {
        CHECK_MESSAGE(std::find(facts.begin(), facts.end(), wanted) != facts.end(), wanted);
    }
}
