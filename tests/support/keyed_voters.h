// A cluster with keys whose nodes vote: a, b and c hold data and may lead, w is a witness; a founds
// the voters.
#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include "tests/support/application.h"
#include "tests/support/keyed_cluster.h"
#include "tests/support/keyed_nodes.h"

namespace tanist::testing {

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
    // Returns what it was before.
    Identity rotate_and_kill(const std::string& name) {
        const Identity before = identity_of(name);
        must("keys rotate " + name + ".db");
        REQUIRE(eventually([&] { return rotated(name, before.key()); }));
        daemons[name].kill();
        return before;
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

}  // namespace tanist::testing
