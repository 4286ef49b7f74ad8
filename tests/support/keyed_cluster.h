// A cluster with keys, of real daemons, and visitors with keys of their own. The links are CURVE on
// loopback (`--curve true`).
#pragma once

#include <doctest/doctest.h>

#include <nlohmann/json.hpp>
#include <regex>

#include "replicator/base/file.h"
#include "replicator/base/random.h"
#include "replicator/control/identity.h"
#include "replicator/control/member_list.h"
#include "replicator/control/node_address.h"
#include "replicator/wire/link.h"
#include "replicator/wire/message.h"
#include "tests/support/daemons.h"

namespace tanist::testing {

using namespace std::chrono_literals;

using Json = nlohmann::json;

// A replica with keys and the address that it printed.
struct KeyedNode {
    std::string db;
    Daemon daemon;
    NodeAddress address;

    KeyedNode(const TempDir& dir, const std::string& name, const std::string& listen,
              std::vector<std::string> more = {})
        : db(dir.path(name)) {
        start(dir, listen, std::move(more));
        while (std::optional<std::string> line = daemon.read_line()) {
            std::smatch found;
            if (!std::regex_search(*line, found, std::regex("tanist://[^']*"))) continue;
            auto parsed = parse_node_address(found[0]);
            REQUIRE(parsed.ok());
            address = *parsed;
            return;
        }
        FAIL("no address was printed: " << daemon.said());
    }
    void start(const TempDir& dir, const std::string& listen, std::vector<std::string> more = {}) {
        std::vector<std::string> arguments = {"--db", db, "--listen", listen};
        // Other addresses have keys without being asked.
        if (listen.starts_with("tcp://127."))
            arguments.insert(arguments.end(), {"--curve", "true"});
        arguments.insert(arguments.end(), more.begin(), more.end());
        daemon = Daemon(dir, arguments);
        REQUIRE_MESSAGE(daemon.ready(), daemon.said());
    }
    std::string text() const { return to_string(address); }
    NodeAddress without_invite() const { return {address.key, address.endpoint, {}}; }
    std::string status() const { return status_text(db); }
    static std::string status_text(const std::string& db) { return file_text(Layout(db).alarm()); }
};

inline const std::string kAnyPort = "tcp://127.0.0.1:*";

// A primary with its engine, and a directory for everything.
struct KeyedCluster {
    TempDir dir;
    std::string db = dir.path("app.db");
    Daemon engine;

    KeyedCluster() {
        StockSqlite(db).must("PRAGMA journal_mode=WAL; CREATE TABLE t(x)");
        REQUIRE(tanist("init app.db").code == 0);
    }
    void start_engine(const std::vector<std::string>& more = {}) {
        std::vector<std::string> arguments = {"--db", db};
        arguments.insert(arguments.end(), more.begin(), more.end());
        engine = Daemon(dir, arguments);
        REQUIRE_MESSAGE(engine.ready(), engine.said());
    }
    Outcome tanist(const std::string& arguments) const {
        return shell(dir, kTanist + " " + arguments);
    }
    Outcome add(const std::string& address, const std::string& more = "") const {
        return tanist("members add app.db '" + address + "'" + more);
    }
    void must_add(const KeyedNode& node, const std::string& more = "") const {
        const Outcome added = add(node.text(), more);
        REQUIRE_MESSAGE(added.code == 0, added.text);
    }
    void insert(int value) const {
        StockSqlite(db).must("INSERT INTO t VALUES(" + std::to_string(value) + ")");
    }
    bool equal_soon(const std::string& replica) const {
        const std::string wanted = image_of(db);
        return eventually([&] { return image_of(replica) == wanted; });
    }
    Identity identity_of(const std::string& database) const {
        return std::move(Identity::load(Layout(database).identity())).value();
    }
    MemberList list_of(const std::string& database) const {
        return std::move(read_member_list(Layout(database).member_list())).value();
    }
    bool status_says(const std::string& database, const std::string& part) const {
        return tanist("status " + database).says(part);
    }
};

// What somebody with these keys hears when he says something to a node.
struct Visitor {
    std::unique_ptr<Link> link = std::move(Link::create()).value();
    LinkId to = 0;

    Visitor(const Identity& self, const NodeAddress& node) {
        REQUIRE(link->secure(self.curve(), {}).ok());
        auto opened = link->connect_secured(node.endpoint, *curve_key_of(node.key));
        REQUIRE(opened.ok());
        to = *opened;
    }
    void say(Body body, Epoch epoch = Epoch(1)) {
        Message message;
        message.envelope.session = 7;
        message.envelope.epoch = epoch;
        message.body = std::move(body);
        Bytes envelope, frame;
        encode(message, envelope, frame);
        link->send(to, envelope, std::move(frame));
    }
    std::optional<Body> hear(int rounds = 100) {
        for (int round = 0; round < rounds; ++round) {
            link->wait({}, 50ms);
            auto incoming = link->receive();
            if (!incoming) continue;
            auto envelope = decode_envelope(incoming->envelope);
            REQUIRE(envelope.ok());
            auto body = decode_body(*envelope, incoming->body);
            REQUIRE(body.ok());
            return *body;
        }
        return std::nullopt;
    }
    std::string refusal() {
        auto body = hear();
        auto* refused = body ? std::get_if<Refuse>(&*body) : nullptr;
        return refused == nullptr ? "" : refused->text;
    }
    bool is_silent() { return !hear(10); }
    // Not let in, or let in as a stranger, while there is an invitation, and told to go.
    bool gets_nothing() {
        auto body = hear(10);
        return !body || std::holds_alternative<Refuse>(*body);
    }
};

inline Identity someone() { return std::move(Identity::create()).value(); }

inline Join join_of(const Identity& self, const NodeAddress& node, const InviteSecret& secret) {
    MemberList list;
    list.cluster = random_id<ClusterId>();
    ListedNode me{"thief", "", self.key(), {}, Rights{kRightsKnown}};
    ListedNode other{"node", node.endpoint, node.key, {}, {}};
    REQUIRE(add_listed(list, me).ok());
    REQUIRE(add_listed(list, other).ok());
    sign_list(list, self);
    return {secret, self.key(), encode_member_list(list)};
}

}  // namespace tanist::testing
