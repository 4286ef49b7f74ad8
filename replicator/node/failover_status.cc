#include "replicator/node/failover_status.h"

#include <nlohmann/json.hpp>

namespace tanist {
namespace {

using Json = nlohmann::ordered_json;

const char* to_string(failover::GateState state) {
    switch (state) {
        case failover::GateState::closed:
            return "closed";
        case failover::GateState::waiting:
            return "waiting";
        case failover::GateState::open:
            return "open";
    }
    return "?";
}

const char* to_string(failover::AckLevel level) {
    switch (level) {
        case failover::AckLevel::received:
            return "received";
        case failover::AckLevel::durable:
            return "durable";
        case failover::AckLevel::applied:
            return "applied";
    }
    return "?";
}

// One sentence, or "": it may be elected as soon as there is a reason.
std::string why_not_eligible(const FailoverFacts& facts) {
    const failover::Member* me = facts.list.config.find(facts.self);
    if (me == nullptr) return "it is no voter";
    if (me->witness) return "a witness holds no data";
    if (me->nofailover) return "nofailover is set, or its key may not lead";
    if (facts.view.lost_ballot) return "its ballot is lost; it asks the other voters";
    if (facts.view.suspect) return "its log may lack what it had acknowledged";
    if (!facts.log.whole) return "its database is being brought up to date by a sync";
    if (facts.view.policy.paused) return "failover is paused; `tanist resume` ends that";
    return "";
}

// What elections cannot do here, whatever happens.
std::string note_on(const failover::Config& config) {
    size_t data = 0;
    for (const failover::Member& member : config.members) data += member.witness ? 0 : 1;
    if (config.members.size() < 3) {
        return "manual promotion only: two voters have no majority when one is gone; add a witness";
    }
    if (config.sync_k == 0 && config.lag_max_on_failover == 0) {
        return "commits are asynchronous and max_lag_on_failover is off: an election needs all " +
               std::to_string(data) + " data members, or an operator";
    }
    return "";
}

Json voters_json(const FailoverFacts& facts,
                 const std::function<Instant(const NodeKey&)>& heard_at) {
    Json voters = Json::array();
    for (const failover::Member& member : facts.list.config.members) {
        const VoterAddress* address = facts.list.find(member.node);
        const Instant heard = heard_at(member.node);
        voters.push_back({{"name", address->name},
                          {"endpoint", address->endpoint},
                          {"key", to_string(member.node)},
                          {"self", member.node == facts.self},
                          {"witness", member.witness},
                          {"priority", member.priority},
                          {"nofailover", member.nofailover},
                          {"heard_ns", heard.ns}});
    }
    return voters;
}

Json holder_json(const FailoverFacts& facts) {
    if (!facts.view.token) return Json();
    const NodeKey holder = facts.view.token->holder();
    const VoterAddress* address = facts.list.find(holder);
    return {{"name", address != nullptr ? address->name : ""},
            {"endpoint", address != nullptr ? address->endpoint : ""},
            {"key", to_string(holder)},
            {"self", holder == facts.self}};
}

}  // namespace

std::string failover_status(const FailoverFacts& facts,
                            const std::function<Instant(const NodeKey&)>& heard_at) {
    const failover::NodeView& view = facts.view;
    const failover::Config& config = facts.list.config;
    const std::string why_not = why_not_eligible(facts);
    std::string note = note_on(config);
    const bool possible = note.empty();
    if (view.holder == failover::HolderPhase::starting) {
        note = "elected, and opens when " + std::to_string(view.policy.k) +
               " replicas have confirmed its first record";
    }
    Json refusals = Json::array();
    for (const auto& [node, reason] : view.refusals) {
        const VoterAddress* address = facts.list.find(node);
        refusals.push_back({{"name", address != nullptr ? address->name : to_string(node)},
                            {"reason", failover::to_string(reason)}});
    }
    Json json{
        {"mode", "automatic"},
        {"role", failover::to_string(view.role)},
        {"promised", view.promised.value},
        {"epoch", view.token ? view.token->epoch().value : 0},
        {"holder", holder_json(facts)},
        {"gate", to_string(facts.gate.state)},
        {"phase", failover::to_string(view.holder)},
        {"candidate", failover::to_string(view.candidate)},
        {"lease_until_ns", view.lease_until.ns},
        {"promise_until_ns", view.promise_until.ns},
        {"withholds_until_ns", view.withholds_until.ns},
        {"policy",
         {{"k", view.policy.k},
          {"level", to_string(view.policy.level)},
          {"paused", view.policy.paused}}},
        {"suspect", view.suspect},
        {"lost_ballot", view.lost_ballot},
        {"eligible", why_not.empty()},
        {"why_not", why_not},
        {"automatic_possible", possible},
        {"note", note},
        {"config", std::to_string(config.id.epoch.value) + "." + std::to_string(config.id.version)},
        {"voters", voters_json(facts, heard_at)},
        {"refusals", refusals}};
    return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace tanist
