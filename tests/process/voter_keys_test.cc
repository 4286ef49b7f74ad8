// Keys of voters: they rotate under load, of every kind of node, and what was promised and
// acknowledged under the old ones holds under the new ones.
#include <atomic>
#include <filesystem>
#include <set>

#include "failover/adapters/ballot_store.h"
#include "tests/support/keyed_voters.h"

using namespace tanist;
using namespace tanist::testing;
using namespace std::chrono_literals;

namespace {

namespace fs = std::filesystem;

// Commits on the node that takes it, until it is stopped; knows which were acknowledged. On a
// loaded machine a rotation may take longer than the promise, and another node is elected.
class Writer {
  public:
    explicit Writer(const KeyedVoters& group)
        : thread_([this, &group] {
              const std::vector<std::string> nodes = {"a", "b", "c"};
              size_t at = 0;
              for (int value = 1; !stop_.load(); ++value) {
                  if (group.write(nodes[at], value).starts_with("error")) {
                      at = (at + 1) % nodes.size();
                      continue;
                  }
                  acknowledged_.insert(value);
                  ++count_;
              }
          }) {}
    ~Writer() { stop(); }
    const std::set<int>& stop() {
        stop_.store(true);
        if (thread_.joinable()) thread_.join();
        return acknowledged_;
    }
    bool goes_on() const {
        const int before = count_.load();
        return eventually([&] { return count_.load() > before + 3; });
    }

  private:
    std::atomic<bool> stop_{false};
    std::atomic<int> count_{0};
    std::set<int> acknowledged_;  // the thread's, until it has ended
    std::thread thread_;
};

void move_ballot_back(const std::string& directory, const NodeKey& from, const NodeKey& to) {
    auto store = failover::BallotStore::open(directory, from, true, Epoch(0));
    REQUIRE(store.ok());
    REQUIRE(store->found().ballot.condition == failover::BallotCondition::good);
    failover::Ballot ballot = *store->found().ballot.ballot;
    fs::remove(directory + "/ballot");
    auto again = failover::BallotStore::open(directory, to, true, Epoch(0));
    REQUIRE(again.ok());
    ballot.node = to;
    REQUIRE(again->write(ballot, std::nullopt).ok());
}

}  // namespace

TEST_CASE_FIXTURE(KeyedVoters,
                  "voter keys: each kind of voter rotates under load, nothing is lost") {
    Writer writer(*this);
    for (const char* name : {"c", "w", "a"}) {
        CAPTURE(name);
        const Identity before = identity_of(name);
        must("keys rotate " + std::string(name) + ".db");
        REQUIRE_MESSAGE(eventually([&] { return rotated(name, before.key()); }),
                        tanist("keys show a.db").text << everybody_said());
        CHECK_FALSE(fs::exists(Layout(db(name)).next_identity()));
        Visitor old(before, {identity_of(name).key(), endpoints[name], {}});
        old.say(StatusAsk{});
        CHECK(old.gets_nothing());
        REQUIRE_MESSAGE(writer.goes_on(), everybody_said());
    }
    const std::set<int> acknowledged = writer.stop();
    // The new keys elect, and the primary's successor has everything.
    std::vector<std::string> others = {"a", "b", "c"};
    const std::string last = primary_of(others);
    REQUIRE_FALSE(last.empty());
    daemons[last].kill();
    std::erase(others, last);
    const std::string heir = primary_of(others);
    REQUIRE_MESSAGE(!heir.empty(), everybody_said());
    StockSqlite copy(db(heir));
    for (const int value : acknowledged) {
        CHECK(copy.ask("SELECT count(*) FROM t WHERE x=" + std::to_string(value)) == "1");
    }
    start(last);
    CHECK(eventually([&] { return !write(heir, 1'000'000).starts_with("error"); }));
    CHECK(equal_soon(heir, {"a", "b", "c"}));
}

TEST_CASE_FIXTURE(KeyedVoters, "voter keys: a rotation waits for a voter that is away") {
    REQUIRE(daemons["w"].stop() == 0);
    const Identity before = identity_of("c");
    must("keys rotate c.db");
    REQUIRE(eventually([&] {
        const auto list = read_member_list(Layout(db("a")).member_list());
        const ListedNode* node = list ? list->node_of(before.key()) : nullptr;
        return node != nullptr && node->old_key == before.key();
    }));
    // Both ends are started anew in the middle of it.
    REQUIRE(daemons["c"].stop() == 0);
    start("c");
    REQUIRE(
        eventually([&] { return tanist("status a.db").says("c has a new key, and not every"); }));
    CHECK(identity_of("c").key() == before.key());
    CHECK(eventually([&] { return !write("a", 1).starts_with("error"); }));
    start("w");
    CHECK(eventually([&] { return rotated("c", before.key()); }));
}

// The list of voters is what counts: with it on the disk, the rest follows at the next start.
TEST_CASE_FIXTURE(KeyedVoters, "voter keys: a crash behind the list of voters is made good") {
    const Layout layout(db("c"));
    const Identity before = rotate_and_kill("c");
    const NodeKey now = identity_of("c").key();
    fs::rename(layout.identity(), layout.next_identity());
    REQUIRE(before.save(layout.identity()).ok());
    start("c");
    CHECK(identity_of("c").key() == now);
    CHECK_FALSE(fs::exists(layout.next_identity()));
    daemons["a"].kill();
    // Without its ballot c would grant nothing, and b needs it.
    CHECK_FALSE(primary_of({"b", "c"}).empty());
}

// Between the list of voters and the ballot: the node still has what it promised under its old key.
TEST_CASE_FIXTURE(KeyedVoters, "voter keys: a crash before the ballot moves is made good") {
    const Layout layout(db("c"));
    const Identity before = rotate_and_kill("c");
    const NodeKey now = identity_of("c").key();
    move_ballot_back(layout.directory, now, before.key());
    fs::rename(layout.identity(), layout.next_identity());
    REQUIRE(before.save(layout.identity()).ok());
    start("c");
    CHECK(identity_of("c").key() == now);
    CHECK_FALSE(fs::exists(layout.next_identity()));
    CHECK_FALSE(tanist("status c.db").says("ballot"));
    daemons["a"].kill();
    CHECK_FALSE(primary_of({"b", "c"}).empty());
}

TEST_CASE_FIXTURE(KeyedVoters, "voter keys: a vote in another's name is refused, and an alarm") {
    const NodeAddress a{identity_of("a").key(), endpoints["a"], {}};
    Visitor liar(identity_of("c"), a);
    liar.say(Vote{identity_of("b").key(), {1, 2, 3}});
    CHECK(liar.refusal().find("names another node") != std::string::npos);
    CHECK(tanist("status a.db").says("refused vote of key " + to_string(identity_of("c").key())));
    // A member may not lead by saying who votes, and a stranger may not speak at all.
    Visitor witness(identity_of("w"), a);
    witness.say(Voters{identity_of("w").key(), {1, 2, 3}});
    witness.say(StatusAsk{});
    const auto answer = witness.hear();
    REQUIRE(answer);
    CHECK(std::holds_alternative<StatusText>(*answer));
    Visitor stranger(someone(), a);
    stranger.say(Vote{identity_of("b").key(), {1, 2, 3}});
    CHECK(stranger.gets_nothing());
    CHECK(is_primary("a"));
}
