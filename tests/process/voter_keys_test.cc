// Keys of voters: they rotate under load, of every kind of node, and what was promised and
// acknowledged under the old ones holds under the new ones.
#include <atomic>
#include <filesystem>
#include <set>

#include "tests/support/application.h"
#include "tests/support/keyed_cluster.h"
#include "tests/support/keyed_nodes.h"

using namespace tanist;
using namespace tanist::testing;
using namespace std::chrono_literals;

namespace {

namespace fs = std::filesystem;

// a, b and c hold data and may lead, w is a witness; a founds the voters.
struct KeyedVoters : KeyedNodes {
    const std::vector<std::string> all = {"a", "b", "c", "w"};

    KeyedVoters() {
        daemon_options = {"--failover", "automatic"};
        witness_name = "w";
        write_text(db("a") + "-tanist/tanist.toml", "ack = \"durable:1\"\n");
        add("b", " --may-lead");
        add("c", " --may-lead");
        add("w", " --witness");
        start("a");
        REQUIRE_MESSAGE(eventually([&] { return is_primary("a") && every_vote_counts(); }),
                        tanist("status a.db").text << daemons["a"].said());
    }
    std::string everybody_said() const {
        std::string text;
        for (const auto& [name, daemon] : daemons) text += name + ":\n" + daemon.said();
        return text;
    }
    Json failover(const std::string& name) const {
        const Json json = Json::parse(tanist("status " + name + ".db --json").text, nullptr, false);
        return json.is_object() ? json.value("failover", Json::object()) : Json::object();
    }
    bool is_primary(const std::string& name) const {
        const Json view = failover(name);
        return view.is_object() && view.value("role", "") == "primary" &&
               view.value("gate", "") == "open";
    }
    bool every_vote_counts() const {
        return std::all_of(all.begin(), all.end(), [&](const std::string& name) {
            const Json view = failover(name);
            return view.is_object() && view.contains("holder") && view["holder"].is_object();
        });
    }
    std::string primary_of(const std::vector<std::string>& names) const {
        std::string found;
        eventually([&] {
            for (const std::string& name : names) {
                if (is_primary(name)) found = name;
            }
            return !found.empty();
        });
        return found;
    }
    Identity identity_of(const std::string& name) const {
        return std::move(Identity::load(Layout(db(name)).identity())).value();
    }
    // Every node knows this one by its new key, and by no other.
    bool rotated(const std::string& name, const NodeKey& before) const {
        const NodeKey now = identity_of(name).key();
        if (now == before) return false;
        return std::all_of(all.begin(), all.end(), [&](const std::string& other) {
            const Layout layout(db(other));
            const auto list = read_member_list(layout.member_list());
            const ListedNode* node = list ? list->node_of(now) : nullptr;
            const std::string voters = file_text(layout.voters());
            return node != nullptr && node->old_key.is_zero() && names(voters, now) &&
                   !names(voters, before);
        });
    }
    static bool names(const std::string& voters, const NodeKey& key) {
        return voters.find(std::string(reinterpret_cast<const char*>(key.bytes.data()), 32)) !=
               std::string::npos;
    }
    std::string write(const std::string& name, int value) const {
        try {
            OpenOptions options;
            options.extension = kExtension;
            options.parameters = "vfs=tanist&ack=durable:1";
            return Application(db(name), options)
                .run("INSERT INTO t VALUES(" + std::to_string(value) + ")");
        } catch (const std::runtime_error& error) {
            return std::string("error: ") + error.what();  // refused at its opening
        }
    }
    bool equal_soon(const std::string& primary, std::vector<std::string> others) const {
        const std::string wanted = image_of(db(primary));
        for (const std::string& other : others) {
            if (!eventually([&] { return image_of(db(other)) == wanted; })) return false;
        }
        return true;
    }
};

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
    const Identity before = identity_of("c");
    must("keys rotate c.db");
    REQUIRE(eventually([&] { return rotated("c", before.key()); }));
    const NodeKey now = identity_of("c").key();
    daemons["c"].kill();
    fs::rename(layout.identity(), layout.next_identity());
    REQUIRE(before.save(layout.identity()).ok());
    start("c");
    CHECK(identity_of("c").key() == now);
    CHECK_FALSE(fs::exists(layout.next_identity()));
    daemons["a"].kill();
    // Without its ballot c would grant nothing, and b needs it.
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
