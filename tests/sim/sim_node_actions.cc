// What the simulated node does when the protocol core wants something done.
#include <algorithm>
#include <functional>

#include "tests/sim/sim_node.h"
#include "tests/sim/world.h"

namespace tanist::sim {

using namespace failover;

namespace {

int number_of(const NodeKey& key) { return key.bytes[0] - 1; }

}  // namespace

void SimNode::perform(Actions&& actions) {
    const uint64_t incarnation = incarnation_;
    for (const Action& action : actions) {
        if (!up() || incarnation != incarnation_) return;
        std::visit([&](const auto& a) { perform(a); }, action);
    }
}

// ---- the ballot: one write at a time, the newest of those that wait goes next

void SimNode::perform(const action::Persist& a) {
    if (writing_) {
        std::optional<Token> token = a.token;
        if (!token && waiting_ && waiting_->token) token = waiting_->token;
        waiting_ = action::Persist{a.ballot, token};
        return;
    }
    writing_ = a;
    begin_ballot_write();
}

void SimNode::begin_ballot_write() {
    const uint64_t incarnation = incarnation_;
    world_.at(world_.now() + world_.sync_time(*this),
              [this, incarnation] { ballot_synced(incarnation); });
}

void SimNode::ballot_synced(uint64_t incarnation) {
    if (!up() || incarnation != incarnation_) return;
    if (paused_) {
        held_work_.push_back([this, incarnation] { ballot_synced(incarnation); });
        return;
    }
    disk_.ballot.resize(kBallotFileBytes, 0);
    const Bytes slot = encode_slot(writing_->ballot);
    std::copy(slot.begin(), slot.end(),
              disk_.ballot.begin() + next_slot_ * static_cast<long>(kBallotSlotBytes));
    next_slot_ = 1 - next_slot_;
    if (writing_->token) disk_.token = writing_->token;
    disk_.member_before = true;
    const Ballot durable = writing_->ballot;
    writing_.reset();
    if (waiting_) {
        writing_ = std::exchange(waiting_, std::nullopt);
        begin_ballot_write();
    }
    world_.oracle().on_ballot_durable(number_, durable);
    world_.note(number_, "ballot", durable.serial, durable.promised.value);
    ballot_durable_ = durable.serial;
    auto after = std::exchange(after_persist_, {});
    for (action::SendAfterPersist& send : after) {
        if (send.serial <= ballot_durable_) {
            perform(action::Send{send.to, std::move(send.message)});
        } else {
            after_persist_.push_back(std::move(send));
        }
    }
    step(event::Persisted{durable.serial});
    if (usable() && holding_ == Epoch(0)) ack();
}

void SimNode::perform(const action::SendAfterPersist& a) {
    if (a.serial <= ballot_durable_) return perform(action::Send{a.to, a.message});
    after_persist_.push_back(a);
}

void SimNode::perform(const action::Send& a) {
    watch(a.message);
    world_.send(number_, number_of(a.to), a.message);
}

// What the checkers want to know about a message that leaves.
void SimNode::watch(const Message& message) {
    Oracle& oracle = world_.oracle();
    if (const auto* grant = std::get_if<VoteGrant>(&message)) {
        oracle.on_grant(number_, *grant, disk_.lacks);
    } else if (const auto* release = std::get_if<Release>(&message)) {
        if (release->cert.holder == signer_.self()) {
            oracle.on_release_sent(number_, release->cert.epoch);
        }
    } else if (std::holds_alternative<Renew>(message)) {
        const Renew& renew = std::get<Renew>(message);
        oracle.on_holder_act(number_, renew.epoch, "renews");
        oracle.on_renewal(number_, clock_.at(world_.now()) - progress_);
    } else if (const auto* store = std::get_if<PolicyStore>(&message)) {
        const Policy& policy = store->policy;
        const bool received = policy.level == AckLevel::received;
        if (policy.k > policy_sent_k_ && !received) {
            oracle.on_stronger_policy_sent(number_, policy, committed_.lsn, world_.facts());
        }
        policy_sent_k_ = policy.k;
    }
}

void SimNode::perform(const action::NotePromise& a) {
    disk_.promise = Promise{a.holder, a.epoch, a.until};
}

void SimNode::perform(const action::SetGate& a) { gate_ = a.gate; }

void SimNode::perform(const action::Report& a) {
    world_.note(number_, a.what.c_str(), 0, 0);
    if (a.what.rfind("ALARM", 0) == 0) world_.oracle().fail("T2 alarm", a.what);
}

// ---- roles

void SimNode::perform(const action::BeginEpoch& a) {
    world_.oracle().on_token(a.token, disk_.log, signer_);
    if (disk_.log.end() != a.token.terms.base) {
        world_.oracle().fail("base", describe() + ": its log is not what its token says");
    }
    holding_ = a.token.epoch();
    policy_sent_k_ = newest_policy(a.token, world_.swarm().config).k;
    draining_ = false;
    leader_ = -1;
    matched_ = Lsn(0);
    committed_ = {};
    waiting_clients_.clear();
    ships_.clear();
    for (int peer = 0; peer < world_.count(); ++peer) {
        ships_[peer].next = disk_.log.end().position.lsn.next();
        if (world_.swarm().config.members[static_cast<size_t>(peer)].witness || peer == number_) {
            ships_.erase(peer);
        }
    }
    world_.note(number_, "begin", holding_.value, disk_.log.end().position.lsn.value);
    append_barrier();
}

void SimNode::perform(const action::AppendBarrier&) {
    if (holding_ != Epoch(0)) append_barrier();
}

void SimNode::perform(const action::Committed& a) {
    if (holding_ == Epoch(0) || a.watermark.epoch != holding_) return;
    Oracle& oracle = world_.oracle();
    oracle.on_holder_act(number_, holding_, "commits");
    oracle.on_commit(number_, holding_, disk_.log, committed_.lsn.next(), a.watermark.lsn);
    const Policy& policy = node_->holder().policy();
    if (policy.k < world_.swarm().config.sync_k) {
        oracle.on_weak_policy_used(number_, holding_, policy);
    }
    committed_ = a.watermark;
    disk_.watermark = committed_;
    apply();
    while (!waiting_clients_.empty() &&
           waiting_clients_.front().point.position.lsn <= committed_.lsn) {
        // An asynchronous commit needs the gate once more; a synchronous one has its acks.
        const bool sync = policy.k > 0;
        if (sync || passes_gate()) oracle.on_client_ack(number_, waiting_clients_.front());
        waiting_clients_.pop_front();
    }
    log_moved();
}

void SimNode::perform(const action::StepDown& a) {
    world_.note(number_, "step_down", a.epoch.value, 0);
    holding_ = Epoch(0);
    draining_ = false;
    committed_ = {};
    // Whoever still waits is told that the outcome is unknown.
    waiting_clients_.clear();
    ships_.clear();
}

void SimNode::perform(const action::Follow& a) {
    world_.note(number_, "follow", a.token.epoch().value, 0);
    following_ = a.token.epoch();
    leader_ = number_of(a.token.holder());
    matched_ = Lsn(0);
    committed_ = {};
}

void SimNode::perform(const action::Drain&) {
    draining_ = true;
    const uint64_t incarnation = incarnation_;
    world_.at(world_.now() + world_.chance().between(0, 20'000'000),
              [this, incarnation] { drained(incarnation); });
}

void SimNode::drained(uint64_t incarnation) {
    if (!usable() || incarnation != incarnation_ || !draining_) return;
    step(event::Drained{});
}

void SimNode::perform(const action::Resume&) { draining_ = false; }

}  // namespace tanist::sim
