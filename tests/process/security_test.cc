// A cluster with keys, of real daemons: who joins, who is refused, who is cut, and what is written
// down of it.
#include "replicator/control/members.h"
#include "tests/support/keyed_cluster.h"

#include <atomic>
#include <filesystem>

using namespace tanist;
using namespace tanist::testing;
using namespace std::chrono_literals;

namespace {

namespace fs = std::filesystem;
using Node = KeyedNode;
using Cluster = KeyedCluster;

MemberList list_without_primary(const ClusterId& cluster, const Node& node) {
    const Identity another = someone();
    MemberList list;
    list.cluster = cluster;
    const Rights all{kRightsKnown};
    REQUIRE(add_listed(list, {"another", "", another.key(), {}, all}).ok());
    REQUIRE(add_listed(list, {"b", node.address.endpoint, node.address.key, {}, {}}).ok());
    sign_list(list, another);
    return list;
}

}  // namespace

TEST_CASE("security: a node joins by the address it printed, and commits arrive over CURVE") {
    Cluster cluster;
    cluster.start_engine();
    Node node(cluster.dir, "b.db", kAnyPort);
    cluster.must_add(node);
    cluster.insert(1);
    CHECK(cluster.equal_soon(node.db));
    CHECK(cluster.list_of(node.db) == cluster.list_of(cluster.db));
    const Json members = Json::parse(cluster.tanist("members list app.db --json").text);
    CHECK(members["members"][0]["key"] == to_string(node.address.key));
    const Outcome doctor = cluster.tanist("doctor app.db");
    CHECK_MESSAGE(doctor.says(node.address.endpoint + " answers"), doctor.text);
}

TEST_CASE("security: the right to lead is given to a node that is added with it, and to no other") {
    Cluster cluster;
    Node heir(cluster.dir, "b.db", kAnyPort);
    Node other(cluster.dir, "c.db", kAnyPort);
    cluster.must_add(heir, " --name b --may-lead");
    cluster.must_add(other, " --name c");
    const MemberList list = cluster.list_of(other.db);
    CHECK(list.rights_of(heir.address.key).has(Right::lead));
    CHECK(list.rights_of(heir.address.key).has(Right::admit));
    CHECK(list.rights_of(other.address.key).bits == 0);
}

TEST_CASE("security: an address that others can reach has keys without being asked") {
    Cluster cluster;
    cluster.start_engine();
    Node node(cluster.dir, "b.db", "tcp://0.0.0.0:*");
    CHECK(node.address.endpoint.find("0.0.0.0") == std::string::npos);
    const size_t colon = node.address.endpoint.rfind(':');
    node.address.endpoint = "tcp://127.0.0.1" + node.address.endpoint.substr(colon);
    cluster.must_add(node);
    cluster.insert(1);
    CHECK(cluster.equal_soon(node.db));
    CHECK(cluster.tanist("status " + node.address.endpoint).code == 4);
    CHECK(cluster.add("tcp://192.0.2.1:7400").says("needs keys"));
}

TEST_CASE("security: an address with another key than the node's reaches nobody") {
    Cluster cluster;
    Node node(cluster.dir, "b.db", kAnyPort);
    NodeAddress wrong = node.address;
    wrong.key = someone().key();
    const Outcome added = cluster.add(to_string(wrong));
    CHECK(added.code == 4);
    CHECK(added.says("no answer from a node with that key"));
    CHECK(cluster.list_of(cluster.db).version == 0);
    cluster.must_add(node);
}

TEST_CASE("security: without a key, or with an unknown one, nobody is heard") {
    Cluster cluster;
    cluster.start_engine();
    Node node(cluster.dir, "b.db", kAnyPort, {"--invite-expires", "0s"});
    // A primary that comes without CURVE.
    Daemon plain(cluster.dir, {"--db", cluster.db, "--replicas", node.address.endpoint});
    Visitor stranger(someone(), node.address);
    stranger.say(StatusAsk{});
    // Who came before the node saw that its invitation had expired is told to go.
    CHECK(stranger.gets_nothing());
    CHECK(cluster.add(node.text()).code == 4);  // the invitation has expired
    CHECK(image_of(node.db).empty());
}

TEST_CASE("security: an invitation is good once, and its second use is reported on both sides") {
    Cluster cluster;
    Node node(cluster.dir, "b.db", kAnyPort);
    const Identity thief = someone();
    Visitor first(thief, node.address);
    first.say(join_of(thief, node.address, *node.address.invite));
    auto answer = first.hear();
    REQUIRE(answer);
    CHECK(std::holds_alternative<Joined>(*answer));
    const Outcome added = cluster.add(node.text());
    CHECK(added.code == 3);
    CHECK_MESSAGE(added.says("used already, by key " + to_string(thief.key())), added.text);
    CHECK(cluster.status_says("app.db", "alarm"));
    CHECK(cluster.status_says("b.db", "presented a second time"));
    CHECK(node.daemon.says("presented a second time"));
    CHECK(cluster.list_of(cluster.db).version == 0);
    CHECK(cluster.tanist("keys show app.db --clear-alarm").code == 0);
    CHECK_FALSE(cluster.status_says("app.db", "alarm"));
}

TEST_CASE(
    "security: guessed secrets are refused, then not answered, and the right one still works") {
    Cluster cluster;
    Node node(cluster.dir, "b.db", kAnyPort);
    int answered = 0;
    for (int i = 0; i < 20; ++i) {
        const Identity guesser = someone();
        Visitor visitor(guesser, node.address);
        InviteSecret guess;
        random_bytes(guess.data(), guess.size());
        visitor.say(join_of(guesser, node.address, guess));
        auto body = visitor.hear(4);
        if (body) CHECK(std::holds_alternative<Refuse>(*body));
        answered += body ? 1 : 0;
    }
    CHECK(answered > 0);
    CHECK(answered <= 10);  // five in each minute
    cluster.must_add(node);
    CHECK(file_text(Layout(node.db).invitation()).find(hex(node.address.invite->data(), 16)) ==
          std::string::npos);
}

TEST_CASE("security: a join whose key is not the one it came with is refused") {
    Cluster cluster;
    Node node(cluster.dir, "b.db", kAnyPort);
    const Identity named = someone();
    Visitor visitor(someone(), node.address);
    visitor.say(join_of(named, node.address, *node.address.invite));
    CHECK(visitor.refusal().find("another node") != std::string::npos);
    cluster.must_add(node);
}

TEST_CASE("security: a replica that claims to be primary is refused, and it is an alarm") {
    Cluster cluster;
    cluster.start_engine();
    Node good(cluster.dir, "b.db", kAnyPort);
    Node bad(cluster.dir, "c.db", kAnyPort);
    cluster.must_add(good, " --name b");
    cluster.must_add(bad, " --name c");
    cluster.insert(1);
    REQUIRE(cluster.equal_soon(good.db));
    REQUIRE(eventually([&] { return cluster.list_of(good.db).version == 2; }));
    Hello hello;
    hello.cluster = cluster.list_of(good.db).cluster;
    hello.group = hello.group;
    hello.version_min = hello.version_max = kWireVersion;
    const Identity usurper = cluster.identity_of(bad.db);
    for (const NodeKey& claimed : {usurper.key(), cluster.identity_of(cluster.db).key()}) {
        hello.node = claimed;
        Visitor visitor(usurper, good.without_invite());
        visitor.say(hello, Epoch(99));
        CHECK(visitor.refusal().find("may not lead") != std::string::npos);
    }
    CHECK(cluster.status_says("b.db", "refused hello of key " + to_string(usurper.key())));
    cluster.insert(2);
    CHECK(cluster.equal_soon(good.db));
}

TEST_CASE("security: the primary's key under another node's name is refused") {
    Cluster cluster;
    Node node(cluster.dir, "b.db", kAnyPort);
    cluster.must_add(node);
    Hello hello;
    hello.cluster = cluster.list_of(node.db).cluster;
    hello.group = random_id<GroupId>();
    hello.node = someone().key();
    Visitor visitor(cluster.identity_of(cluster.db), node.without_invite());
    visitor.say(hello);
    CHECK(visitor.refusal().find("names another node") != std::string::npos);
}

TEST_CASE("security: a removed member is cut, everywhere and at once") {
    Cluster cluster;
    cluster.start_engine();
    Node stays(cluster.dir, "b.db", kAnyPort);
    Node leaves(cluster.dir, "c.db", kAnyPort);
    cluster.must_add(stays, " --name b");
    cluster.must_add(leaves, " --name c");
    cluster.insert(1);
    REQUIRE(cluster.equal_soon(stays.db));
    REQUIRE(cluster.equal_soon(leaves.db));
    REQUIRE(eventually([&] { return cluster.list_of(stays.db).version == 2; }));
    const std::string ask = "status " + to_string(stays.without_invite()) + " --as c.db";
    CHECK(cluster.tanist(ask).code == 0);
    Visitor connected(cluster.identity_of(leaves.db), stays.without_invite());
    connected.say(StatusAsk{});
    REQUIRE(connected.hear());
    REQUIRE(cluster.tanist("members remove app.db c").code == 0);
    REQUIRE(eventually([&] { return cluster.list_of(stays.db).version == 3; }));
    connected.say(StatusAsk{});
    CHECK(connected.is_silent());
    CHECK(cluster.tanist(ask).says("for members only"));  // a stranger, as long as one is invited
    cluster.insert(2);
    CHECK(cluster.equal_soon(stays.db));
    CHECK(image_of(leaves.db) != image_of(cluster.db));
}

TEST_CASE("security: a primary of another cluster gets no node of ours") {
    Cluster ours;
    ours.start_engine();
    Node node(ours.dir, "b.db", kAnyPort);
    ours.must_add(node);
    ours.insert(1);
    REQUIRE(ours.equal_soon(node.db));
    Cluster theirs;
    CHECK(theirs.add(node.text()).code == 3);  // told that it was used
    // Their member file, forged by hand: their key is on no list of ours.
    Member forged{.name = "b", .endpoint = node.address.endpoint, .key = node.address.key};
    REQUIRE(write_members(Layout(theirs.db).members(), {forged}).ok());
    theirs.start_engine();
    theirs.insert(666);
    ours.insert(2);
    CHECK(ours.equal_soon(node.db));
    CHECK(eventually([&] { return theirs.status_says("app.db", "follows keys of its cluster"); }));
}

// After a 400 libzmq's client never asks again; the session's rule of a fresh socket must help.
TEST_CASE("security: a primary that was unknown for a while is let in when it is known") {
    Cluster cluster;
    cluster.start_engine();
    Node node(cluster.dir, "b.db", kAnyPort);
    cluster.must_add(node);
    cluster.insert(1);
    REQUIRE(cluster.equal_soon(node.db));
    REQUIRE(node.daemon.stop() == 0);
    const std::string path = Layout(node.db).member_list();
    const MemberList known = cluster.list_of(node.db);
    REQUIRE(write_member_list(path, list_without_primary(known.cluster, node)).ok());
    // Where somebody is invited, strangers are let in.
    fs::remove(Layout(node.db).invitation());
    node.start(cluster.dir, node.address.endpoint);
    REQUIRE(eventually([&] { return cluster.status_says("app.db", "does not answer"); }));
    cluster.insert(2);
    REQUIRE(node.daemon.stop() == 0);
    REQUIRE(write_member_list(path, known).ok());
    node.start(cluster.dir, node.address.endpoint);
    CHECK(cluster.equal_soon(node.db));
}

namespace {

// Commits as fast as it can until it goes.
class Load {
  public:
    explicit Load(const std::string& db)
        : thread_([this, db] {
              StockSqlite writer(db);
              writer.must("PRAGMA busy_timeout=30000");
              while (!stop_.load()) {
                  writer.must("INSERT INTO t VALUES(1)");
                  ++commits_;
              }
          }) {}
    ~Load() { stop(); }
    void stop() {
        stop_.store(true);
        if (thread_.joinable()) thread_.join();
    }
    int commits() const { return commits_.load(); }

  private:
    std::atomic<bool> stop_{false};
    std::atomic<int> commits_{0};
    std::thread thread_;
};

}  // namespace

TEST_CASE("security: keys are rotated under load, of the primary and of a replica") {
    Cluster cluster;
    cluster.start_engine();
    Node node(cluster.dir, "b.db", kAnyPort);
    cluster.must_add(node);
    cluster.insert(1);
    REQUIRE(cluster.equal_soon(node.db));
    Load load(cluster.db);
    for (const std::string& db : {cluster.db, node.db}) {
        CAPTURE(db);
        const Identity before = cluster.identity_of(db);
        const Outcome rotated = cluster.tanist("keys rotate " + db);
        REQUIRE_MESSAGE(rotated.code == 0, rotated.text);
        REQUIRE(eventually([&] {
            const Identity now = cluster.identity_of(db);
            const MemberList list = cluster.list_of(node.db);
            const ListedNode* self = list.node_of(now.key());
            return now.key() != before.key() && self != nullptr && self->old_key.is_zero() &&
                   cluster.list_of(cluster.db) == list;
        }));
        CHECK_FALSE(fs::exists(Layout(db).next_identity()));
        // The old key opens nothing any more.
        Visitor old(before, {cluster.identity_of(node.db).key(), node.address.endpoint, {}});
        old.say(StatusAsk{});
        CHECK(old.gets_nothing());
    }
    const int commits = load.commits();
    REQUIRE(eventually([&] { return load.commits() > commits + 10; }));
    load.stop();
    CHECK(cluster.equal_soon(node.db));
    CHECK_FALSE(cluster.status_says("app.db", "alarm"));
}

TEST_CASE("security: a rotation waits for a member that is away, and loses nobody") {
    Cluster cluster;
    cluster.start_engine();
    Node node(cluster.dir, "b.db", kAnyPort);
    cluster.must_add(node);
    cluster.insert(1);
    REQUIRE(cluster.equal_soon(node.db));
    REQUIRE(node.daemon.stop() == 0);
    const Identity before = cluster.identity_of(cluster.db);
    REQUIRE(cluster.tanist("keys rotate app.db").code == 0);
    CHECK(cluster.tanist("keys rotate app.db").says("going on already"));
    CHECK(cluster.tanist("keys show app.db").says("next key"));
    // Restarted in the middle of it.
    REQUIRE(cluster.engine.stop() == 0);
    cluster.start_engine();
    cluster.insert(2);
    CHECK(cluster.identity_of(cluster.db).key() == before.key());
    node.start(cluster.dir, node.address.endpoint);
    CHECK(eventually([&] { return cluster.identity_of(cluster.db).key() != before.key(); }));
    CHECK(cluster.equal_soon(node.db));
}

TEST_CASE("security: every command about members and keys is in the audit log, secrets are not") {
    Cluster cluster;
    Node node(cluster.dir, "b.db", kAnyPort);
    cluster.must_add(node);
    CHECK(cluster.tanist("members remove app.db nobody").code != 0);
    CHECK(cluster.tanist("keys rotate app.db").code == 0);
    const std::string log = file_text(Layout(cluster.db).audit_log());
    std::istringstream lines(log);
    std::vector<Json> entries;
    for (std::string line; std::getline(lines, line);) entries.push_back(Json::parse(line));
    REQUIRE(entries.size() == 3);
    CHECK(entries[0]["what"] == "members add");
    CHECK(entries[0]["result"] == "done");
    CHECK(entries[1]["result"] == "no member is named nobody");
    CHECK(entries[2]["what"] == "keys rotate");
    CHECK(log.find("invite") == std::string::npos);
    CHECK(file_text(Layout(node.db).audit_log()).find("\"join\"") != std::string::npos);
}

TEST_CASE("security: who may ask for the status is a setting") {
    Cluster cluster;
    Node open(cluster.dir, "b.db", kAnyPort, {"--status-open", "true"});
    CHECK(cluster.tanist("status " + to_string(open.without_invite())).code == 0);
    Daemon closed(cluster.dir, {"--db", cluster.dir.path("c.db"), "--listen", kAnyPort,
                                "--status-open", "false"});
    const Outcome denied = cluster.tanist("status " + closed.endpoint());
    CHECK(denied.code == 3);
    CHECK(denied.says("for members only"));
}

TEST_CASE("security: a settings file that everybody can write is refused") {
    Cluster cluster;
    const std::string path = Layout(cluster.db).settings();
    fs::permissions(path, fs::perms::others_write, fs::perm_options::add);
    const Outcome refused = shell(cluster.dir, kTanistd + " --db app.db");
    CHECK(refused.code == 3);
    CHECK_MESSAGE(refused.says("chmod o-w " + path), refused.text);
}

TEST_CASE("security: what is secret is 0600 in a 0700 directory") {
    Cluster cluster;
    Node node(cluster.dir, "b.db", kAnyPort);
    cluster.must_add(node);
    for (const std::string& db : {cluster.db, node.db}) {
        const Layout layout(db);
        CHECK((stat_path(layout.directory).value().mode & 0777) == 0700);
        for (const std::string& path :
             {layout.identity(), layout.member_list(), layout.audit_log()}) {
            CAPTURE(path);
            CHECK((stat_path(path).value().mode & 0777) == 0600);
        }
    }
    const std::string shown = cluster.tanist("keys show app.db").text;
    const std::string secret = file_text(Layout(cluster.db).identity());
    CHECK(shown.find(secret.substr(secret.find(' ') + 1, 64)) == std::string::npos);
}

// At the most talkative level, with a rotation, so that both keys were in use.
TEST_CASE("security: a secret key is in its node's identity, and in no other file or log") {
    Cluster cluster;
    cluster.start_engine({"--log-level", "info"});
    Node node(cluster.dir, "b.db", kAnyPort, {"--log-level", "info"});
    cluster.must_add(node);
    cluster.insert(1);
    REQUIRE(cluster.equal_soon(node.db));
    const auto secret_of = [](const std::string& db) {
        const std::string text = file_text(Layout(db).identity());
        return text.substr(text.find(' ') + 1, 64);
    };
    const std::string before = secret_of(cluster.db);
    REQUIRE(before.find_first_not_of("0123456789abcdef") == std::string::npos);
    write_text(cluster.dir.path("shown"), cluster.tanist("keys rotate app.db").text +
                                              cluster.tanist("keys show app.db --json").text +
                                              cluster.tanist("doctor app.db").text);
    REQUIRE(eventually([&] { return secret_of(cluster.db) != before; }));
    REQUIRE(cluster.engine.stop() == 0);
    for (const std::string& secret : {before, secret_of(cluster.db), secret_of(node.db)}) {
        std::string raw(32, '\0');
        REQUIRE(parse_hex(secret, reinterpret_cast<uint8_t*>(raw.data()), raw.size()));
        for (const auto& entry : fs::recursive_directory_iterator(cluster.dir.root())) {
            if (!entry.is_regular_file() || entry.path().filename() == "identity") continue;
            CAPTURE(entry.path().string());
            const std::string text = file_text(entry.path().string());
            CHECK(text.find(secret) == std::string::npos);
            CHECK(text.find(raw) == std::string::npos);
        }
    }
}
