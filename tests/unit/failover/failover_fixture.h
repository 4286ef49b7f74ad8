// A group of members with test keys, and verbs for one voter and for a whole small cluster whose
// messages arrive at once and whose disks are instant.
#pragma once

#include <map>
#include <memory>

#include "failover/core/epoch_parts.h"
#include "failover/core/node.h"
#include "tests/sim/sim_signer.h"

namespace tanist::failover {

using sim::key_of;
using sim::SimSigner;
using namespace std::chrono_literals;

inline Config config_of(int data, int witnesses, uint8_t k) {
    Config config;
    config.cluster.bytes.fill(1);
    config.group.bytes.fill(2);
    config.id = {Epoch(0), 1};
    for (int i = 0; i < data + witnesses; ++i) {
        Member member;
        member.node = key_of(i);
        member.witness = i >= data;
        config.members.push_back(member);
    }
    config.operators = {key_of(99)};
    config.sync_k = k;
    config.timing = timing_of(TimingProfile::standard);
    return config;
}

inline LogPoint point(uint64_t epoch, uint64_t lsn) {
    LogPoint point{{Epoch(epoch), Lsn(lsn)}, {}};
    point.chain.bytes[0] = static_cast<uint8_t>(epoch);
    point.chain.bytes[1] = static_cast<uint8_t>(lsn);
    return point;
}

inline GrantTerms terms_of(const Config& config, uint64_t epoch, int candidate, LogPoint base) {
    GrantTerms terms;
    terms.cluster = config.cluster;
    terms.group = config.group;
    terms.epoch = Epoch(epoch);
    terms.candidate = key_of(candidate);
    terms.nonce = 1000 + epoch;
    terms.config = config.id;
    terms.base = base;
    return terms;
}

// A token that `voters` granted.
inline Token token_of(const Config& config, uint64_t epoch, int holder, std::vector<int> voters,
                      LogPoint base = {}) {
    Token token{terms_of(config, epoch, holder, base), {}, {}, {}};
    for (int voter : voters) {
        const bool data = config.find(key_of(voter))->syncs();
        token.grants.push_back(make_grant(token.terms, data, Policy{}, SimSigner(voter)));
    }
    return token;
}

inline OperatorCert order_of(const Config& config, VoteKind kind, uint64_t epoch, int target) {
    OperatorCert order;
    order.cluster = config.cluster;
    order.group = config.group;
    order.kind = kind;
    order.epoch = Epoch(epoch);
    order.target = key_of(target);
    order.by = key_of(99);
    order.signature = SimSigner(99).sign(signed_bytes(order));
    return order;
}

inline ReleaseCert release_of(const Config& config, uint64_t epoch, int holder, int successor) {
    ReleaseCert cert;
    cert.cluster = config.cluster;
    cert.group = config.group;
    cert.epoch = Epoch(epoch);
    cert.holder = key_of(holder);
    if (successor >= 0) cert.successor = key_of(successor);
    cert.signature = SimSigner(holder).sign(signed_bytes(cert));
    return cert;
}

template <class T, class A>
const T* message_in(const A& action) {
    const Message* message = nullptr;
    if (auto* send = std::get_if<action::Send>(&action)) message = &send->message;
    if (auto* after = std::get_if<action::SendAfterPersist>(&action)) message = &after->message;
    return message == nullptr ? nullptr : std::get_if<T>(message);
}
template <class T>
const T* find_message(const Actions& actions) {
    for (const Action& action : actions) {
        if (const T* found = message_in<T>(action)) return found;
    }
    return nullptr;
}
template <class T>
const T* find_action(const Actions& actions) {
    for (const Action& action : actions) {
        if (auto* found = std::get_if<T>(&action)) return found;
    }
    return nullptr;
}

// Voter number 0 of three data members, k = 1.
struct VoterFixture {
    Config config = config_of(3, 0, 1);
    SimSigner signer{0};
    Standing standing{config, signer, {}, Instant{0}};
    Actions actions;
    Instant now{1'000'000'000'000};
    VoterStart start;
    std::unique_ptr<Voter> voter;

    VoterFixture() { restart(); }
    void restart() {
        standing.config = config;
        actions.clear();
        voter = std::make_unique<Voter>(standing, start, now, 7, actions);
        persist();
    }
    void persist() {
        const auto last = voter->ballot().serial;
        voter->on_persisted(last);
    }
    // Everything durable, then a new process: a reboot unless `same_boot`.
    void crash(bool same_boot) {
        start.ballot = voter->ballot();
        start.condition = BallotCondition::good;
        start.token = voter->token();
        start.promise.reset();
        if (same_boot) {
            start.promise = voter->promise();
        } else {
            ++start.boot.bytes[0];
        }
        restart();
    }
    void pass(Nanos time) { now = now + time; }
    void own_log(LogPoint end) { standing.log = {end, end.position.lsn, end.position.lsn, {}}; }
    VoteAsk ask_for(uint64_t epoch, int candidate, LogPoint base = {}) {
        VoteAsk ask;
        ask.terms = terms_of(config, epoch, candidate, base);
        return ask;
    }
    void ask(const VoteAsk& ask) {
        actions.clear();
        voter->on_vote_ask(ask.terms.candidate, ask, now, actions);
    }
    void ask(uint64_t epoch, int candidate, LogPoint base = {}) {
        ask(ask_for(epoch, candidate, base));
    }
    void pre_ask(int candidate, LogPoint base) {
        VoteAsk pre = ask_for(2, candidate, base);
        pre.terms.nonce = static_cast<uint64_t>(candidate);
        pre.pre = true;
        ask(pre);
    }
    void adopt(uint64_t epoch, int holder) {
        REQUIRE(voter->adopt(token_of(config, epoch, holder, {0, 1, 2}), actions).ok());
        persist();
    }
    void renew(uint64_t epoch, int holder, Position end = {}) {
        actions.clear();
        Renew renew;
        renew.epoch = Epoch(epoch);
        renew.seq = 1;
        renew.end = end;
        renew.policy.level = config.level;
        voter->on_renew(key_of(holder), renew, now, actions);
    }
    bool granted() const { return find_message<VoteGrant>(actions) != nullptr; }
    std::optional<RefuseReason> refused() const {
        const Refuse* refuse = find_message<Refuse>(actions);
        return refuse == nullptr ? std::nullopt : std::optional(refuse->reason);
    }
};

// A cluster whose messages arrive at once. `cut` nodes hear and say nothing.
struct ClusterFixture {
    Config config;
    std::vector<std::unique_ptr<SimSigner>> signers;
    std::vector<std::unique_ptr<Node>> nodes;
    std::vector<LogState> logs;
    std::vector<Gate> gates;
    std::vector<std::string> reports;
    std::map<int, bool> cut;
    Instant now{1'000'000'000'000};
    uint64_t appended = 0;

    void make(const Config& with) {
        config = with;
        for (size_t i = 0; i < config.members.size(); ++i) {
            signers.push_back(std::make_unique<SimSigner>(static_cast<int>(i)));
            logs.emplace_back();
            gates.emplace_back();
            NodeStart start;
            start.config = config;
            start.seed = i * 10;
            Actions actions;
            nodes.push_back(std::make_unique<Node>(start, *signers[i], now, actions));
            perform(static_cast<int>(i), actions);
        }
    }
    static int number(const NodeKey& key) { return key.bytes[0] - 1; }
    void step(int node, const Event& event) {
        if (cut[node]) return;
        perform(node, nodes[static_cast<size_t>(node)]->step(event, now));
    }
    void perform(int node, const Actions& actions) {
        for (const Action& action : actions) {
            if (auto* persist = std::get_if<action::Persist>(&action)) {
                step(node, event::Persisted{persist->ballot.serial});
            } else if (auto* send = std::get_if<action::Send>(&action)) {
                send_to(node, number(send->to), send->message);
            } else if (auto* after = std::get_if<action::SendAfterPersist>(&action)) {
                send_to(node, number(after->to), after->message);
            } else if (auto* begin = std::get_if<action::BeginEpoch>(&action)) {
                append(node, begin->token.epoch().value);
            } else if (std::holds_alternative<action::AppendBarrier>(action)) {
                append(node, nodes[static_cast<size_t>(node)]->holder().epoch().value);
            } else if (auto* gate = std::get_if<action::SetGate>(&action)) {
                gates[static_cast<size_t>(node)] = gate->gate;
            } else if (auto* committed = std::get_if<action::Committed>(&action)) {
                LogState& log = logs[static_cast<size_t>(node)];
                log.committed = committed->watermark;
                log.applied = committed->watermark.lsn;
                step(node, event::LogMoved{log});
            } else if (std::holds_alternative<action::Drain>(action)) {
                step(node, event::Drained{});
            } else if (auto* report = std::get_if<action::Report>(&action)) {
                reports.push_back(report->what);
            }
        }
    }
    void send_to(int from, int to, const Message& message) {
        if (cut[from] || cut[to] || static_cast<size_t>(to) >= nodes.size()) return;
        step(to, event::Received{key_of(from), message});
    }
    // A record of `epoch` in the node's own log, synced at once; a barrier if it is the first.
    void append(int node, uint64_t epoch) {
        LogState& log = logs[static_cast<size_t>(node)];
        log.end = point(epoch, log.end.position.lsn.value + 1);
        log.durable = log.end.position.lsn;
        step(node, event::LogMoved{log});
        step(node, event::BarrierAppended{log.end});
    }
    // The replica has the holder's log, synced, and says so.
    void follow(int replica, int holder) {
        if (cut[replica] || cut[holder]) return;
        LogState& log = logs[static_cast<size_t>(replica)];
        log.end = logs[static_cast<size_t>(holder)].end;
        log.durable = log.end.position.lsn;
        step(replica, event::LogMoved{log});
        const Epoch epoch = log.end.position.epoch;
        if (!nodes[static_cast<size_t>(replica)]->may_ack(epoch)) return;
        step(holder,
             event::Acknowledged{key_of(replica), epoch, log.durable, log.durable, log.applied});
    }
    void follow_all(int holder) {
        for (size_t i = 0; i < nodes.size(); ++i) {
            const bool witness = config.members[i].witness;
            if (static_cast<int>(i) != holder && !witness) follow(static_cast<int>(i), holder);
        }
    }
    // Time goes on in steps of 10 ms; every node ticks, disks make progress, replicas follow.
    void run(Nanos time) {
        for (const Instant end = now + time; now < end;) {
            now = now + 10ms;
            for (size_t i = 0; i < nodes.size(); ++i) {
                step(static_cast<int>(i), event::Progress{});
                step(static_cast<int>(i), event::Tick{});
            }
            if (primary() >= 0) follow_all(primary());
        }
    }
    // The node that holds the newest epoch, open or not; -1: none.
    int primary() {
        int best = -1;
        for (size_t i = 0; i < nodes.size(); ++i) {
            if (!nodes[i]->holder().active() || cut[static_cast<int>(i)]) continue;
            if (best < 0 ||
                nodes[i]->holder().epoch() > nodes[static_cast<size_t>(best)]->holder().epoch()) {
                best = static_cast<int>(i);
            }
        }
        return best;
    }
    bool is_open(int node) {
        const Gate& gate = gates[static_cast<size_t>(node)];
        return gate.state == GateState::open && now < gate.until;
    }
    Node& node(int number) { return *nodes[static_cast<size_t>(number)]; }
};

}  // namespace tanist::failover
