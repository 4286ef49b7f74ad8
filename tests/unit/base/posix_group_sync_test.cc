#include "replicator/base/group_sync.h"

#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace tanist;

namespace {

struct GroupFixture {
    GroupSync group;
    int syncs = 0;
    int code = 0;
    GroupSync::Sync sync = [this] {
        ++syncs;
        return code;
    };
};

}  // namespace

TEST_CASE_FIXTURE(GroupFixture, "group_sync: one sync settles all who asked before it") {
    const auto first = group.ask(1);
    const auto second = group.ask(1);
    CHECK(group.await(second, sync) == 0);
    CHECK(group.await(first, sync) == 0);
    CHECK(syncs == 1);
}

TEST_CASE_FIXTURE(GroupFixture, "group_sync: who asks after a sync began needs another") {
    GroupSync::Ticket late = 0;
    const GroupSync::Sync asks_meanwhile = [&] {
        late = group.ask(1);
        return sync();
    };
    CHECK(group.await(group.ask(1), asks_meanwhile) == 0);
    CHECK(syncs == 1);
    CHECK(group.await(late, sync) == 0);
    CHECK(syncs == 2);
}

TEST_CASE_FIXTURE(GroupFixture, "group_sync: who helps while somebody syncs does not wait") {
    const GroupSync::Sync helps_meanwhile = [&] {
        group.help(group.ask(1), sync);
        return 0;
    };
    CHECK(group.await(group.ask(1), helps_meanwhile) == 0);
    CHECK(syncs == 0);
}

TEST_CASE_FIXTURE(GroupFixture, "group_sync: a failure is for all whom it covered and who follow") {
    const auto before = group.ask(1);
    CHECK(group.await(before, sync) == 0);
    const auto first = group.ask(1);
    const auto second = group.ask(1);
    code = 7;
    CHECK(group.await(second, sync) == 7);
    code = 0;
    CHECK(group.await(first, sync) == 7);
    CHECK(group.await(group.ask(1), sync) == 7);
    CHECK(group.await(before, sync) == 0);
}

TEST_CASE_FIXTURE(GroupFixture,
                  "group_sync: a new generation begins without the old one's failure") {
    code = 7;
    const auto old = group.ask(1);
    CHECK(group.await(old, sync) == 7);
    code = 0;
    CHECK(group.await(group.ask(2), sync) == 0);
    CHECK(group.await(old, sync) == 7);
}

TEST_CASE("group_sync: a file has one, and a child of fork() another") {
    const auto group = GroupSync::of("/a");
    CHECK(GroupSync::of("/a") == group);
    CHECK(GroupSync::of("/b") != group);
    const pid_t child = ::fork();
    if (child == 0) ::_exit(GroupSync::of("/a") == group ? 1 : 0);
    int status = 0;
    ::waitpid(child, &status, 0);
    CHECK(status == 0);
}
