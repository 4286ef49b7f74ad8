// What a voter keeps beside its ballot and its log, each file lost, cut, garbled, or restored from
// a backup, on a replica and on the primary: it comes up and learns better by itself, or says what
// it lacks; it never acts as if it had not voted. (Ballots and logs: election_faults_test.cc.)
#include <doctest/doctest.h>

#include <filesystem>

#include "replicator/control/members.h"
#include "tests/support/electorate.h"

using namespace tanist;
using namespace tanist::testing;
namespace fs = std::filesystem;

namespace {

struct Damage {
    const char* name;
    void (*apply)(const std::string& path, const std::string& backup);
};
void lose(const std::string& path, const std::string&) { fs::remove(path); }
void cut(const std::string& path, const std::string&) {
    fs::resize_file(path, fs::file_size(path) / 2);
}
void garble(const std::string& path, const std::string&) {
    std::string bytes = file_text(path);
    for (size_t at = 9; at < bytes.size(); at += 16) bytes[at] = static_cast<char>(~bytes[at]);
    write_text(path, bytes);
}
void restore(const std::string& path, const std::string& backup) {
    fs::copy_file(backup, path, fs::copy_options::overwrite_existing);
}
constexpr Damage kDamages[] = {
    {"lost", lose}, {"cut", cut}, {"garbled", garble}, {"from a backup", restore}};

// A group that goes from one damage to the next; rows tell what was acknowledged.
struct Files : Electorate {
    int rows = 0;

    std::vector<Voter*> nodes() { return {&a, &b, &c}; }
    static std::string path_of(const Voter& node, const std::string& file) {
        return node.db + "-tanist/" + file;
    }
    Voter& primary() {
        const Voter* found = elected({&a, &b, &c});
        REQUIRE_MESSAGE(found != nullptr, story());
        return *const_cast<Voter*>(found);
    }
    std::vector<Voter*> others(const Voter& than) {
        std::vector<Voter*> all = nodes();
        std::erase(all, &than);
        return all;
    }
    void write(const Voter& node) {
        REQUIRE_MESSAGE(writes_soon(node, "row " + std::to_string(++rows)), story());
    }
    // Of what an earlier damage took, too: it is handed to the node again.
    bool has_soon(const Voter& node, const std::string& file) {
        return eventually([&] { return path_exists(path_of(node, file)); });
    }
    void back_up(const std::string& file) {
        for (Voter* node : nodes()) {
            REQUIRE(has_soon(*node, file));
            fs::copy_file(path_of(*node, file), dir.path(node->name + ".backup"));
        }
    }
    void damage(const Voter& node, const std::string& file, const Damage& damage) {
        damage.apply(path_of(node, file), dir.path(node.name + ".backup"));
    }
    // Everybody runs: one primary, everything acknowledged, no vote was ever given twice.
    void ends_well() {
        Voter& now = primary();
        write(now);
        const auto rest = others(now);
        CHECK_MESSAGE(equal_soon(now, {rest[0], rest[1]}), story());
        CHECK(now.ask("SELECT count(DISTINCT x) FROM t") == std::to_string(rows));
        for (Voter* node : nodes()) {
            CHECK_FALSE(node->daemon.says("ALARM"));
            CHECK(eventually([&] { return failover(*node)["suspect"] == false; }));
            CHECK(eventually([&] { return failover(*node)["voters"].size() == 3; }));
        }
    }
    // With the damaged replica and one other, and without the primary.
    void damage_a_replica(const std::string& file, const Damage& how) {
        Voter& old = primary();
        Voter& damaged = *others(old)[0];
        Voter& third = *others(old)[1];
        write(old);
        REQUIRE(equal_soon(old, {&damaged, &third}));
        REQUIRE_MESSAGE(has_soon(damaged, file), story());
        damaged.daemon.kill();
        write(old);  // what the damaged one lacks
        damage(damaged, file, how);
        old.daemon.kill();
        start(damaged);
        REQUIRE_MESSAGE(elected({&damaged, &third}) != nullptr, story());
        write(primary());
        start(old);
        ends_well();
    }
    // The others have gone on without it. It comes up alone, then they come.
    void damage_the_primary(const std::string& file, const Damage& how) {
        Voter& damaged = primary();
        Voter& one = *others(damaged)[0];
        Voter& two = *others(damaged)[1];
        write(damaged);
        REQUIRE(equal_soon(damaged, {&one, &two}));
        REQUIRE_MESSAGE(has_soon(damaged, file), story());
        damaged.daemon.kill();
        REQUIRE_MESSAGE(elected({&one, &two}) != nullptr, story());
        write(primary());
        one.daemon.kill();
        two.daemon.kill();
        damage(damaged, file, how);
        start(damaged);
        // Waiting for nobody, so that only the gate can refuse it.
        OpenOptions async;
        async.extension = kExtension;
        async.parameters = "vfs=tanist&ack=async";
        CHECK(Application(damaged.db, async)
                  .run("INSERT INTO t VALUES('by nobody')")
                  .starts_with("error"));
        CHECK_FALSE(is_primary(damaged));
        start(one);
        start(two);
        ends_well();
    }
};

void play(const std::string& file) {
    Files group;
    group.back_up(file);
    for (const Damage& how : kDamages) {
        const std::string what = file + " " + how.name;
        CAPTURE(what);
        group.damage_a_replica(file, how);
        group.damage_the_primary(file, how);
    }
}

const char* kWaits = "so this node decides nothing until another voter hands it the list";

}  // namespace

TEST_CASE("voter files: a token lost, cut, garbled, or from a backup") { play("token"); }
TEST_CASE("voter files: a list of voters lost, cut, garbled, or from a backup") { play("voters"); }
TEST_CASE("voter files: a roster lost, cut, garbled, or from a backup") { play("members"); }

// Its gate would be open, and its data plane would obey whoever comes, if it believed that nobody
// votes.
TEST_CASE("voter files: who lost the list of voters says so, and refuses what voters decide") {
    Electorate group;
    REQUIRE(group.writes_soon(group.a, "kept"));
    REQUIRE(group.equal_soon(group.a, {&group.b, &group.c}));
    for (Voter* node : {&group.a, &group.b, &group.c}) node->daemon.kill();
    fs::remove(Files::path_of(group.a, "voters"));
    group.start(group.a);
    CHECK(group.a.daemon.says("voters is gone, "));
    CHECK(group.a.daemon.says(kWaits));
    CHECK(eventually([&] { return group.run("status a.db").says(kWaits); }));
    const Outcome refused = group.run("promote a.db --yes --force --accept-loss --assert-fenced b");
    CHECK(refused.code == 3);
    CHECK(refused.says(kWaits));
    // The way on that the sentence names.
    group.a.daemon.kill();
    fs::copy_file(Files::path_of(group.b, "voters"), Files::path_of(group.a, "voters"));
    group.start(group.a);
    group.start(group.b);
    REQUIRE_MESSAGE(group.elected({&group.a, &group.b}) != nullptr, group.story());
}

// By the old list, a majority is another one.
TEST_CASE("voter files: a list of voters that lacks a member is not voted by") {
    Electorate group;
    const std::string old = group.dir.path("old");
    fs::copy_file(Files::path_of(group.b, "voters"), old);
    Voter d{
        .name = "d", .db = group.dir.path("d.db"), .endpoint = "ipc://" + group.dir.path("d.sock")};
    group.start(d);
    group.must("members add a.db " + d.endpoint + " --name d");
    REQUIRE(eventually([&] { return group.failover(group.a)["voters"].size() == 4; }));
    REQUIRE(eventually([&] { return group.failover(group.b)["voters"].size() == 4; }));
    REQUIRE(eventually([&] { return group.is_primary(group.a) && group.votes(d); }));
    group.b.daemon.kill();
    fs::copy_file(old, Files::path_of(group.b, "voters"), fs::copy_options::overwrite_existing);
    group.start(group.b);
    CHECK(group.b.daemon.says("voters is older than the ballot, "));
    CHECK(eventually([&] { return group.failover(group.b)["voters"].size() == 4; }));
    CHECK(eventually([&] { return group.votes(group.b); }));
    CHECK(group.writes_soon(group.a, "with four"));
    CHECK(group.equal_soon(group.a, {&group.b, &group.c, &d}));
}

// Its members would be the only ones that it knows, and the others would lose their votes.
TEST_CASE("voter files: a primary that lost its roster finds the members among the voters") {
    Electorate group;
    REQUIRE(group.writes_soon(group.a, "kept"));
    group.a.daemon.kill();
    fs::remove(Files::path_of(group.a, "members"));
    group.start(group.a);
    const auto members = read_members(Files::path_of(group.a, "members"));
    REQUIRE(members.ok());
    const auto names = [&](const Voter& node) {
        return std::any_of(members->begin(), members->end(),
                           [&](const Member& m) { return m.endpoint == node.endpoint; });
    };
    CHECK(names(group.b));
    CHECK(names(group.c));
    const Voter* now = group.elected({&group.a, &group.b, &group.c});
    REQUIRE(now != nullptr);
    CHECK(group.writes_soon(*now, "after"));
    CHECK(group.failover(*now)["voters"].size() == 3);
}
