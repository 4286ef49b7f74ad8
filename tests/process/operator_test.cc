// An operator's commands over the network: whose key may give them, and that one that comes twice,
// late, or from a key that was taken off, does nothing.
#include "replicator/control/operator_command.h"

#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <future>

#include "tests/support/keyed_cluster.h"

using namespace tanist;
using namespace tanist::testing;
using namespace std::chrono_literals;

namespace {

using Kind = OperatorCommand::Kind;

// A primary that others can reach, a replica that may lead, and anna's key, which both know.
struct Operated : KeyedCluster {
    KeyedNode replica{dir, "b.db", kAnyPort};
    std::string key;
    NodeAddress primary;

    Operated() {
        start_engine({"--listen", kAnyPort, "--curve", "true"});
        must_add(replica, " --name b --may-lead");
        key = Json::parse(tanist("keys make ops --json").text)["key"];
        must("members add app.db " + key + " --operator --name anna");
        primary = {identity_of(db).key(), engine.endpoint(), {}};
        insert(1);
        REQUIRE(equal_soon(replica.db));
        REQUIRE(eventually([&] { return list_of(replica.db) == list_of(db); }));
    }
    Outcome must(const std::string& arguments) const {
        Outcome done = tanist(arguments);
        REQUIRE_MESSAGE(done.code == 0, done.text);
        return done;
    }
    std::string at_primary() const { return to_string(primary); }
    std::string at_replica() const { return to_string(replica.without_invite()); }
    Identity anna() const { return std::move(Identity::load(dir.path("ops/identity"))).value(); }
    std::string role(const std::string& database) const {
        return Json::parse(tanist("status " + database + " --json").text).value("role", "");
    }
    // The audit log of a node has a line of this command by anna's key with this result.
    bool audited(const std::string& database, const std::string& what,
                 const std::string& result) const {
        std::istringstream lines(file_text(Layout(database).audit_log()));
        for (std::string line; std::getline(lines, line);) {
            const Json entry = Json::parse(line);
            if (entry["what"] == what && entry["who"] == "operator anna, key " + key &&
                entry["result"].get<std::string>().find(result) != std::string::npos) {
                return true;
            }
        }
        return false;
    }
};

struct AtDesk : Visitor {
    using Visitor::Visitor;
    Json answer() {
        auto body = hear();
        auto* result = body ? std::get_if<CommandResult>(&*body) : nullptr;
        return result == nullptr ? Json::object() : Json::parse(result->json);
    }
    std::string ticket() {
        say(Command{operator_command_json({})});
        return answer().value("ticket", "");
    }
    void command(Kind kind, const std::string& ticket) {
        say(Command{operator_command_json({.kind = kind, .ticket = ticket})});
    }
};

}  // namespace

TEST_CASE_FIXTURE(Operated, "operator: fences and unfences from elsewhere, and the log says who") {
    must("fence " + at_primary() + " --as ops");
    CHECK(role("app.db") == "fenced");
    must("unfence " + at_primary() + " --as ops");
    CHECK(role("app.db") == "primary");
    CHECK(audited(db, "fence", "done"));
    CHECK(audited(db, "unfence", "done"));
    // What is refused for a reason of the node's is in the log as well.
    CHECK(tanist("pause " + at_primary() + " --as ops").code == 3);
    CHECK(audited(db, "pause", "nobody votes"));
    CHECK(tanist("fence " + at_replica() + " --as ops").code == 3);
    CHECK(audited(replica.db, "fence", "is a replica"));
}

TEST_CASE_FIXTURE(Operated,
                  "operator: hands the primacy over, and forces it back, from elsewhere") {
    // A busy machine may be late to say that it follows, and then nothing is changed.
    const std::string order = "switchover " + at_primary() + " --to b --as ops";
    REQUIRE(eventually([&] { return tanist(order + " --dry-run").code == 0; }));
    CHECK_FALSE(audited(db, "switchover", ""));
    REQUIRE(eventually([&] { return tanist(order).code == 0; }));
    CHECK(audited(db, "switchover", "done"));
    CHECK(eventually([&] { return role("b.db") == "primary" && role("app.db") == "replica"; }));
    replica.daemon.kill();
    must("promote " + at_primary() + " --as ops --yes --force --accept-loss --assert-fenced b");
    CHECK(role("app.db") == "primary");
    CHECK(audited(db, "promote", "asserted dead: b"));
    CHECK(audited(db, "promote", "done"));
}

TEST_CASE_FIXTURE(Operated,
                  "operator: changes the members from elsewhere, secrets are not logged") {
    KeyedNode fresh(dir, "c.db", kAnyPort);
    must("members add " + at_primary() + " '" + fresh.text() + "' --name c --as ops");
    insert(2);
    CHECK(equal_soon(fresh.db));
    CHECK(must("members list " + at_primary() + " --as ops").says("c "));
    must("members allow-lead " + at_primary() + " c --as ops");
    CHECK(list_of(db).rights_of(fresh.address.key).has(Right::lead));
    must("members remove " + at_primary() + " c --as ops");
    CHECK_FALSE(must("members list app.db").says(fresh.address.endpoint));
    for (const char* what : {"members add", "members allow-lead", "members remove"}) {
        CHECK(audited(db, what, "done"));
    }
    CHECK(file_text(Layout(db).audit_log()).find("invite") == std::string::npos);
}

// The list without c cuts every connection to the primary, that of the operator, too.
TEST_CASE_FIXTURE(Operated, "operator: hears that a member is removed, however long that takes") {
    KeyedNode fresh(dir, "c.db", kAnyPort);
    must("members add " + at_primary() + " '" + fresh.text() + "' --name c --as ops");
    REQUIRE(eventually([&] { return status_says("app.db", fresh.address.endpoint); }));
    // Whoever writes a line into the audit log waits here until somebody reads it.
    const std::string log = Layout(db).audit_log();
    std::filesystem::remove(log);
    REQUIRE(::mkfifo(log.c_str(), 0600) == 0);
    auto removed = std::async(std::launch::async, [&] {
        return tanist("members remove " + at_primary() + " c --as ops");
    });
    // The thread of the connections looks at the members now; it looks at the list as often.
    REQUIRE(eventually([&] { return !status_says("app.db", fresh.address.endpoint); }));
    CHECK(std::ifstream(log).get() == '{');
    const Outcome outcome = removed.get();
    CHECK_MESSAGE(outcome.code == 0, outcome.text);
}

// The primary's own key may lead and admit; that makes it no operator.
TEST_CASE_FIXTURE(Operated, "operator: a node's key commands nobody, and trying is an alarm") {
    for (const char* as : {"b.db", "app.db"}) {
        const Outcome refused = tanist("fence " + at_primary() + " --as " + as);
        CHECK(refused.code == 3);
        CHECK_MESSAGE(refused.says("only an operator's key"), refused.text);
    }
    CHECK(role("app.db") == "primary");
    CHECK(status_says("app.db", "refused command of key " + to_string(replica.address.key)));
    // Nobody's key does not get so far.
    must("keys make nobody");
    CHECK(tanist("fence " + at_primary() + " --as nobody").code == 4);
}

TEST_CASE_FIXTURE(Operated, "operator: an endpoint without keys takes no command") {
    REQUIRE(engine.stop() == 0);
    start_engine({"--listen", kAnyPort});
    auto link = std::move(Link::create()).value();
    auto to = link->connect(engine.endpoint());
    REQUIRE(to.ok());
    Message message;
    message.envelope.session = 7;
    message.body = Command{operator_command_json({.kind = Kind::fence})};
    Bytes envelope, body;
    encode(message, envelope, body);
    link->send(*to, envelope, std::move(body));
    std::optional<Incoming> incoming;
    REQUIRE(eventually([&] {
        link->wait({}, 50ms);
        return (incoming = link->receive()).has_value();
    }));
    auto header = decode_envelope(incoming->envelope);
    REQUIRE(header.ok());
    CHECK(header->type == MessageType::refuse);
    CHECK(role("app.db") == "primary");
    CHECK(tanist("fence " + engine.endpoint()).code == 3);
}

TEST_CASE_FIXTURE(Operated, "operator: a command that comes twice is carried out once") {
    AtDesk desk(anna(), primary);
    const std::string ticket = desk.ticket();
    REQUIRE_FALSE(ticket.empty());
    desk.command(Kind::fence, ticket);
    REQUIRE(desk.answer().value("done", false));
    must("unfence app.db");
    desk.command(Kind::fence, ticket);
    const Json again = desk.answer();
    CHECK(again.value("code", "") == "refused");
    CHECK(role("app.db") == "primary");
    CHECK(audited(db, "fence", "refused"));
    desk.command(Kind::fence, "");
    CHECK(desk.answer().value("code", "") == "refused");
    CHECK(role("app.db") == "primary");
}

TEST_CASE_FIXTURE(Operated, "operator: a ticket is good for the key that it was given to") {
    must("keys make ops2");
    const Identity bob = std::move(Identity::load(dir.path("ops2/identity"))).value();
    must("members add app.db " + to_string(bob.key()) + " --operator --name bob");
    AtDesk annas(anna(), primary);
    const std::string ticket = annas.ticket();
    REQUIRE_FALSE(ticket.empty());
    REQUIRE(eventually([&] { return !AtDesk(bob, primary).ticket().empty(); }));
    AtDesk bobs(bob, primary);
    bobs.command(Kind::fence, ticket);
    CHECK(bobs.answer().value("code", "") == "refused");
    CHECK(role("app.db") == "primary");
}

TEST_CASE_FIXTURE(Operated, "operator: a key that was taken off is cut at once, everywhere") {
    AtDesk here(anna(), primary);
    AtDesk there(anna(), replica.without_invite());
    const std::string ticket = here.ticket();
    REQUIRE_FALSE(ticket.empty());
    REQUIRE_FALSE(there.ticket().empty());
    must("members remove app.db anna");
    REQUIRE(eventually([&] { return list_of(replica.db) == list_of(db); }));
    // The primary has read its list before it was handed on.
    here.command(Kind::fence, ticket);
    CHECK(here.is_silent());
    there.say(StatusAsk{});
    CHECK(there.gets_nothing());
    CHECK(tanist("fence " + at_primary() + " --as ops").code == 4);
    CHECK(role("app.db") == "primary");
}

TEST_CASE_FIXTURE(Operated, "operator: asks for the status, and is no member beyond that") {
    must("status " + at_replica() + " --as ops");
    Hello hello;
    hello.cluster = list_of(db).cluster;
    hello.node = anna().key();
    Visitor visitor(anna(), replica.without_invite());
    visitor.say(hello, Epoch(99));
    CHECK(visitor.refusal().find("may not lead") != std::string::npos);
    visitor.say(join_of(anna(), replica.address, *replica.address.invite));
    CHECK(visitor.refusal().find("nobody is invited") != std::string::npos);
    insert(2);
    CHECK(equal_soon(replica.db));
}

TEST_CASE_FIXTURE(Operated, "operator: a directory that others can enter holds no key") {
    REQUIRE(shell(dir, "mkdir -m 0755 open").code == 0);
    CHECK(tanist("keys make open").code == 3);
    CHECK(tanist("keys make ops").code == 3);  // one is there
    CHECK((stat_path(dir.path("ops")).value().mode & 0777) == 0700);
    CHECK((stat_path(dir.path("ops/identity")).value().mode & 0777) == 0600);
    CHECK(tanist("fence " + at_primary()).says("--as"));
}
