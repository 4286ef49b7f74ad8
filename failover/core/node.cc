#include "failover/core/node.h"

#include <cassert>

namespace tanist::failover {

const char* to_string(NodeRole role) {
    switch (role) {
        case NodeRole::replica:
            return "replica";
        case NodeRole::candidate:
            return "candidate";
        case NodeRole::primary:
            return "primary";
        case NodeRole::witness:
            return "witness";
        case NodeRole::stopped:
            return "stopped";
    }
    return "?";
}

namespace {

Standing standing_of(const NodeStart& start, const Signer& signer, Instant now) {
    const Config& stored = start.voter.ballot.config;
    const bool newer =
        start.voter.condition == BallotCondition::good && stored.id > start.config.id;
    return Standing{newer ? stored : start.config, signer, start.log, now};
}

}  // namespace

Node::Node(const NodeStart& start, const Signer& signer, Instant now, Actions& out)
    : standing_(standing_of(start, signer, now)),
      voter_(standing_, start.voter, now, start.seed, out_),
      candidate_(standing_, voter_, start.seed + 1),
      holder_(standing_, voter_, start.seed + 2),
      now_(now) {
    // A restart never restores the primary's role: that comes from a new grant only.
    out_.push_back(action::SetGate{Gate{GateState::closed, voter_.promised(), Instant{0}}});
    settle();
    out = std::exchange(out_, {});
}

Actions Node::step(const Event& event, Instant now) {
    assert(now >= now_);
    now_ = now;
    if (stopped_) return {};
    std::visit([&](const auto& e) { on(e); }, event);
    if (!stopped_) {
        tend();
        settle();
        check_invariants();
    }
    return std::exchange(out_, {});
}

void Node::tend() {
    voter_.on_tick(now_, out_);
    holder_.on_tick(now_, out_);
    if (holder_.active() || won_) {
        candidate_.stop();
    } else {
        candidate_.on_tick(now_, out_);
    }
}

// What one organ did may end another's role, and what a node says to itself is heard at once.
void Node::settle() {
    do {
        if (holder_.active() && voter_.promised() > holder_.epoch()) {
            holder_.step_down("epoch " + std::to_string(voter_.promised().value) + " was promised",
                              out_);
        }
        if (std::optional<Token> token = candidate_.take_token()) {
            if (voter_.adopt(*token, out_).ok()) {
                won_ = std::move(token);
                token_serial_ = voter_.ballot().serial;
            }
        }
        if (won_ && voter_.promised() > won_->epoch()) won_.reset();
        // The token is durable before it is used.
        if (won_ && voter_.durable(token_serial_)) {
            const Token token = *std::exchange(won_, std::nullopt);
            holder_.begin(token, now_, out_);
        }
        const auto& token = voter_.token();
        if (token && token->epoch() > followed_) {
            followed_ = token->epoch();
            if (token->holder() != standing_.self()) {
                candidate_.stop();
                voter_.expect_holder(token->holder(), now_);
                out_.push_back(action::Follow{*token});
            }
        }
    } while (deliver_to_self());
}

// Takes the messages to this node itself out of the actions, and hears those that may be heard.
bool Node::deliver_to_self() {
    const NodeKey self = standing_.self();
    Actions others;
    for (Action& action : out_) {
        auto* send = std::get_if<action::Send>(&action);
        auto* after = std::get_if<action::SendAfterPersist>(&action);
        if (send != nullptr && send->to == self) {
            own_.push_back({0, self, std::move(send->message)});
        } else if (after != nullptr && after->to == self) {
            own_.push_back(std::move(*after));
        } else {
            others.push_back(std::move(action));
        }
    }
    out_ = std::move(others);
    bool heard = false;
    for (size_t i = 0; i < own_.size();) {
        if (!voter_.durable(own_[i].serial)) {
            ++i;
            continue;
        }
        const Message message = std::move(own_[i].message);
        own_.erase(own_.begin() + static_cast<std::ptrdiff_t>(i));
        receive(self, message);
        heard = true;
    }
    return heard;
}

// ---- events

void Node::on(const event::Tick&) {}

void Node::on(const event::Received& event) {
    if (event.from == standing_.self() || !standing_.config.votes(event.from)) return;
    receive(event.from, event.message);
}

void Node::on(const event::Persisted& event) {
    voter_.on_persisted(event.serial);
    holder_.on_persisted();
}

void Node::on(const event::PersistFailed& event) {
    holder_.step_down("the ballot cannot be written: " + event.reason, out_);
    out_.push_back(action::Report{"ALARM: stopped, the ballot cannot be written"});
    out_.push_back(action::SetGate{Gate{GateState::closed, voter_.promised(), Instant{0}}});
    stopped_ = true;
}

void Node::on(const event::LogMoved& event) {
    if (event.log.durable > standing_.log.durable) standing_.progress = now_;
    standing_.log = event.log;
    holder_.on_log_moved(now_, out_);
}

void Node::on(const event::Progress&) { standing_.progress = now_; }

void Node::on(const event::Acknowledged& event) {
    LogState log;
    log.end.position.lsn = event.received;
    log.durable = event.durable;
    log.applied = event.applied;
    holder_.on_acknowledged(event.from, event.epoch, log, now_, out_);
}

void Node::on(const event::BarrierAppended& event) {
    if (holder_.active() && event.at.position.epoch == holder_.epoch()) {
        voter_.on_own_barrier(event.at.position, out_);
    }
    holder_.on_barrier_appended(event.at, now_, out_);
}

void Node::on(const event::Drained&) { holder_.on_drained(now_, out_); }
void Node::on(const event::AppGone&) { holder_.on_app_gone(out_); }

void Node::on(const event::CleanStop&) {
    holder_.step_down("it is being stopped", out_);
    voter_.on_clean_stop(out_);
}

void Node::on(const event::SwitchOver& event) {
    report(holder_.switch_over_to(event.to, now_, out_), "switchover");
}

void Node::on(const event::Promote& event) {
    const OperatorCert& order = event.order;
    Status status = verify(order, standing_.config, standing_.signer);
    if (status.ok() && order.target != standing_.self()) {
        status = Error{Errc::invalid, "the order names another node"};
    }
    if (status.ok() && holder_.active()) status = Error{Errc::refused, "it is the primary"};
    report(status, "promotion");
    if (status.ok()) candidate_.campaign_with(order, now_, out_);
}

void Node::on(const event::Pause& event) {
    report(holder_.set_paused(event.paused, now_, out_), "pause");
}

void Node::on(const event::Recover& event) {
    Status taken = holder_.active() ? Error{Errc::refused, "it is the primary"}
                                    : voter_.take_word(event.word, now_, out_);
    report(taken, "recovery");
}

void Node::report(const Status& status, const char* what) {
    if (status.ok()) return;
    out_.push_back(action::Report{std::string(what) + " refused: " + status.error().message});
}

// ---- messages

void Node::receive(const NodeKey& from, const Message& message) {
    std::visit([&](const auto& m) { take(from, m); }, message);
}

void Node::take(const NodeKey& from, const Renew& m) {
    candidate_.on_end_seen(from, m.end, now_);
    voter_.on_renew(from, m, now_, out_);
}

void Node::take(const NodeKey& from, const RenewAck& m) {
    holder_.on_renew_ack(from, m, now_, out_);
}

void Node::take(const NodeKey& from, const VoteAsk& m) {
    candidate_.on_end_seen(from, m.terms.base.position, now_);
    voter_.on_vote_ask(from, m, now_, out_);
}

void Node::take(const NodeKey& from, const PreGrant& m) {
    voter_.saw(m.promised);
    candidate_.on_pre_grant(from, m, now_, out_);
}

void Node::take(const NodeKey& from, const VoteGrant& m) {
    candidate_.on_grant(from, m, now_, out_);
}

void Node::take(const NodeKey& from, const Refuse& m) {
    candidate_.on_end_seen(from, m.end, now_);
    if (m.token) static_cast<void>(voter_.adopt(*m.token, out_));
    if (m.reason == RefuseReason::need_token) return holder_.on_need_token(from, out_);
    voter_.saw(m.promised);
    if (holder_.active() && m.promised > holder_.epoch()) {
        holder_.step_down("epoch " + std::to_string(m.promised.value) + " was promised", out_);
    }
    candidate_.on_refuse(from, m, now_);
}

void Node::take(const NodeKey& from, const Announce& m) {
    const Status adopted = voter_.adopt(m.token, out_);
    const auto& newest = voter_.token();
    if (!adopted.ok() && newest && newest->epoch() > m.token.epoch()) {
        out_.push_back(action::Send{from, Announce{*newest}});
    }
}

void Node::take(const NodeKey& from, const PolicyStore& m) {
    voter_.on_policy_store(from, m, out_);
}

void Node::take(const NodeKey& from, const PolicyStored& m) {
    holder_.on_policy_stored(from, m, now_, out_);
}

void Node::take(const NodeKey&, const Release& m) {
    voter_.on_release(m.cert, now_);
    const auto& known = voter_.release();
    const bool mine = known && known->epoch == m.cert.epoch &&
                      known->successor == standing_.self() && known->epoch == voter_.promised();
    if (mine && !won_ && !holder_.active()) candidate_.campaign_with(*known, now_, out_);
}

void Node::take(const NodeKey& from, const PromiseAsk& m) { voter_.on_promise_ask(from, m, out_); }

void Node::take(const NodeKey& from, const PromiseTold& m) {
    voter_.on_promise_told(from, m, now_, out_);
}

void Node::take(const NodeKey& from, const EndAsk& m) {
    if (!holder_.active() || m.epoch != holder_.epoch()) return;
    const Lsn end = standing_.log.end.position.lsn;
    out_.push_back(action::Send{from, EndTold{m.epoch, m.nonce, end}});
}

void Node::take(const NodeKey& from, const EndTold& m) { voter_.on_end_told(from, m, out_); }

// ---- questions

Instant Node::deadline() const {
    if (stopped_) return Instant{INT64_MAX};
    Instant due = std::min(voter_.deadline(), holder_.deadline(now_));
    if (!holder_.active() && !won_) due = std::min(due, candidate_.deadline(now_));
    return due;
}

NodeView Node::view() const {
    NodeView view;
    view.role = stopped_                                     ? NodeRole::stopped
                : holder_.active()                           ? NodeRole::primary
                : standing_.is_witness()                     ? NodeRole::witness
                : candidate_.phase() != CandidatePhase::idle ? NodeRole::candidate
                                                             : NodeRole::replica;
    view.promised = voter_.promised();
    view.token = voter_.token();
    if (holder_.active()) view.gate = holder_.gate();
    view.holder = holder_.phase();
    view.candidate = candidate_.phase();
    view.policy = holder_.active() ? holder_.policy() : voter_.ballot().policy;
    view.committed = holder_.active() ? holder_.committed() : standing_.log.committed;
    view.lease_until = holder_.lease_until();
    view.promise_until = voter_.promise_until();
    view.withholds_until = voter_.withholds_until();
    view.suspect = voter_.ballot().suspect;
    view.lost_ballot = voter_.ballot().lost;
    view.refusals = candidate_.refusals();
    return view;
}

void Node::check_invariants() const {
    voter_.check_invariants();
    holder_.check_invariants();
    assert(own_.empty() || !voter_.durable(own_.front().serial) || own_.front().serial == 0);
}

}  // namespace tanist::failover
