#include "replicator/control/setup.h"

#include <doctest/doctest.h>

#include <filesystem>
#include <thread>
#include <vector>

#include "replicator/base/bytes.h"
#include "replicator/base/file.h"
#include "tests/support/temp_dir.h"

using namespace tanist;

TEST_CASE("setup: a primary gets its directory, and a second time changes nothing") {
    TempDir dir;
    Layout layout(dir.path("app.db"));
    Result<NodeFile> node = set_up_primary(layout);
    REQUIRE(node.ok());
    CHECK(node->role == Role::primary);
    CHECK(node->epoch == Epoch(1));
    CHECK_FALSE(node->group.is_zero());
    CHECK(path_exists(layout.identity()));
    CHECK(path_exists(layout.settings()));
    CHECK((stat_path(layout.directory).value().mode & 0777) == 0700);
    CHECK(set_up_primary(layout).value() == *node);
}

// Otherwise two processes that open a database for the first time would write two logs.
TEST_CASE("setup: first uses at once agree on one group") {
    TempDir dir;
    Layout layout(dir.path("app.db"));
    std::vector<GroupId> groups(4);
    std::vector<std::thread> threads;
    for (GroupId& group : groups) {
        threads.emplace_back([&] { group = set_up_primary(layout).value().group; });
    }
    for (std::thread& thread : threads) thread.join();
    for (const GroupId& group : groups) CHECK(group == groups[0]);
}

TEST_CASE("setup: a replica starts without cluster and group") {
    TempDir dir;
    Layout layout(dir.path("replica.db"));
    Result<NodeFile> node = set_up_replica(layout);
    REQUIRE(node.ok());
    CHECK(node->role == Role::replica);
    CHECK(node->cluster.is_zero());
    CHECK(set_up_replica(layout).value() == *node);
}

TEST_CASE("setup: a replica never becomes a primary by itself, nor the other way round") {
    TempDir dir;
    Layout replica(dir.path("replica.db"));
    REQUIRE(set_up_replica(replica).ok());
    CHECK(set_up_primary(replica).error().code == Errc::refused);
    Layout primary(dir.path("app.db"));
    REQUIRE(set_up_primary(primary).ok());
    CHECK(set_up_replica(primary).error().code == Errc::refused);
    CHECK(set_up_replica(primary, true).error().code == Errc::refused);
}

TEST_CASE("setup: a database that is no replica is not taken without --replace") {
    TempDir dir;
    Layout layout(dir.path("other.db"));
    REQUIRE(replace_file(layout.db, view_of("somebody's data")).ok());
    Result<NodeFile> node = set_up_replica(layout);
    REQUIRE_FALSE(node.ok());
    CHECK(node.error().code == Errc::refused);
    CHECK(node.error().message.find("--replace") != std::string::npos);
    CHECK_FALSE(path_exists(layout.directory));
    CHECK(set_up_replica(layout, true).ok());
}

TEST_CASE("setup: a set-up that was cut short is begun again") {
    TempDir dir;
    Layout layout(dir.path("app.db"));
    REQUIRE(make_directory(layout.directory).ok());
    CHECK(set_up_primary(layout).ok());
}

TEST_CASE("setup: this machine's temporary directory is a safe place, a missing one is not") {
    TempDir dir;
    CHECK(why_file_system_is_unsafe(dir.path("app.db")).empty());
    CHECK_FALSE(why_file_system_is_unsafe(dir.path("no/such/app.db")).empty());
}

// The magic numbers of statfs(2); none of these can be mounted in a test.
TEST_CASE("setup: file systems without reliable locks and shared memory are refused by name") {
    const std::pair<uint32_t, const char*> unsafe[] = {
        {0x6969, "NFS"},      {0x517B, "SMB"},      {0xFF534D42, "CIFS"},
        {0xFE534D42, "SMB2"}, {0x01021997, "9p"},   {0x65735546, "FUSE"},
        {0x5346414F, "AFS"},  {0x00C36400, "Ceph"}, {0x0BD00BD0, "Lustre"},
    };
    for (const auto& [magic, name] : unsafe) CHECK(unsafe_file_system(magic) == name);
    const std::pair<uint32_t, const char*> safe[] = {
        {0xEF53, "ext4"},      {0x58465342, "xfs"},     {0x9123683E, "btrfs"},
        {0x01021994, "tmpfs"}, {0x794C7630, "overlay"}, {0x2FC12FC1, "zfs"},
    };
    for (const auto& [magic, name] : safe) CHECK_MESSAGE(unsafe_file_system(magic).empty(), name);
}
