#include "tests/sim/sim_node.h"

#include <cassert>
#include <functional>

#include "failover/core/mutation.h"
#include "tests/sim/world.h"

namespace tanist::sim {

using namespace failover;

namespace {

int number_of(const NodeKey& key) { return key.bytes[0] - 1; }

}  // namespace

SimNode::SimNode(World& world, int number) : world_(world), number_(number), signer_(number) {
    disk_.boot.bytes[0] = static_cast<uint8_t>(number + 1);
}

bool SimNode::is_witness() const {
    return world_.swarm().config.members[static_cast<size_t>(number_)].witness;
}

bool SimNode::passes_gate() const {
    return usable() && gate_.state == GateState::open && clock_.at(world_.now()) < gate_.until;
}

LogState SimNode::log_state() const {
    if (is_witness()) return {};
    return {disk_.log.end(), disk_.log.durable(), disk_.applied, committed_};
}

// ---- life

void SimNode::start() {
    ++incarnation_;
    NodeStart start;
    start.config = world_.swarm().config;
    const PastEvidence past{disk_.member_before, disk_.log.end().position.epoch,
                            disk_.token ? disk_.token->epoch() : Epoch(0)};
    const Result<LoadedBallot> loaded = judge_ballot_file(disk_.ballot, signer_.self(), past);
    assert(loaded.ok());
    start.voter.condition = loaded->condition;
    if (loaded->ballot) start.voter.ballot = *loaded->ballot;
    next_slot_ = loaded->next_slot;
    if (loaded->condition == BallotCondition::lost) {
        start.voter.ballot.promised = std::max(past.log_epoch, past.token_epoch);
    }
    start.voter.boot = disk_.boot;
    start.voter.token = disk_.token;
    start.voter.promise = disk_.promise;
    committed_ = {};
    start.log = log_state();
    start.seed = world_.chance().raw();
    const Instant local = clock_.at(world_.now());
    progress_ = local;
    Actions actions;
    node_ = std::make_unique<Node>(start, signer_, local, actions);
    world_.oracle().on_start(number_, node_->voter().ballot(),
                             loaded->condition == BallotCondition::lost);
    world_.note(number_, "start", incarnation_, node_->voter().promised().value);
    perform(std::move(actions));
    if (!is_witness()) begin_log_sync();
    schedule_tick();
}

void SimNode::crash(bool reboot) {
    if (!up()) return;
    Chance& chance = world_.chance();
    world_.note(number_, reboot ? "reboot" : "kill", incarnation_, 0);
    if (writing_) {
        // The slot on its way: all of it, nothing, or its beginning.
        const Bytes slot = encode_slot(writing_->ballot);
        disk_.ballot.resize(kBallotFileBytes, 0);
        const bool whole = chance.permille(500);
        const size_t bytes = whole ? slot.size() : static_cast<size_t>(chance.below(slot.size()));
        std::copy_n(slot.begin(), bytes,
                    disk_.ballot.begin() + next_slot_ * static_cast<long>(kBallotSlotBytes));
        if (whole && writing_->token && chance.permille(500)) disk_.token = writing_->token;
        disk_.member_before = true;
    }
    if (reboot) {
        const uint64_t durable = disk_.log.durable().value;
        const uint64_t unsynced = disk_.log.end().position.lsn.value - durable;
        disk_.log.keep(Lsn(durable + chance.below(unsynced + 1)));
        if (disk_.log.end().position.lsn < disk_.acked_end) disk_.lacks = true;
        disk_.applied = std::min(disk_.applied, disk_.log.end().position.lsn);
        disk_.promise.reset();
        ++disk_.boots;
        std::memcpy(disk_.boot.bytes.data() + 8, &disk_.boots, sizeof disk_.boots);
    }
    node_.reset();
    paused_ = false;
    if (vm_paused_) clock_.thaw(world_.now());
    vm_paused_ = false;
    held_.clear();
    held_work_.clear();
    gate_ = {};
    writing_.reset();
    waiting_.reset();
    after_persist_.clear();
    ballot_durable_ = 0;
    log_syncing_ = false;
    holding_ = Epoch(0);
    draining_ = false;
    ships_.clear();
    following_ = Epoch(0);
    leader_ = -1;
    matched_ = Lsn(0);
    waiting_clients_.clear();
    tick_at_ = INT64_MAX;
}

void SimNode::lose_ballot() {
    if (world_.chance().permille(500)) {
        disk_.ballot.clear();
    } else {
        for (uint8_t& byte : disk_.ballot) byte ^= 0x5a;
    }
}

void SimNode::pause(bool virtual_machine) {
    if (!usable()) return;
    paused_ = true;
    vm_paused_ = virtual_machine;
    if (vm_paused_) clock_.freeze(world_.now());
}

void SimNode::resume() {
    if (!paused_) return;
    paused_ = false;
    if (vm_paused_) clock_.thaw(world_.now());
    vm_paused_ = false;
    auto work = std::exchange(held_work_, {});
    auto messages = std::exchange(held_, {});
    for (auto& item : work) item();
    for (auto& [from, message] : messages) deliver(from, *message);
    tick();
}

// ---- time

void SimNode::schedule_tick() {
    if (!up()) return;
    const int64_t when = clock_.when(node_->deadline(), world_.now());
    if (when >= tick_at_) return;
    tick_at_ = when;
    world_.tick_at(when, number_);
}

void SimNode::tick() {
    tick_at_ = INT64_MAX;
    if (!usable()) return;
    if (holding_ > Epoch(0)) ship_again();
    step(event::Tick{});
}

void SimNode::step(const Event& event) {
    if (!usable()) return;
    perform(node_->step(event, clock_.at(world_.now())));
    if (!up()) return;
    const bool suspect = node_->voter().ballot().suspect;
    if (was_suspect_ && !suspect) disk_.lacks = false;  // it has learned better
    was_suspect_ = suspect;
    schedule_tick();
}

// ---- messages

void SimNode::deliver(int from, const SimMessage& message) {
    if (!up()) return;
    if (const auto* m = std::get_if<Message>(&message)) {
        world_.note(number_, name_of(*m), static_cast<uint64_t>(from), 0);
        step(event::Received{key_of(from), *m});
    } else if (const auto* append = std::get_if<Append>(&message)) {
        on_append(from, *append);
    } else if (const auto* ack = std::get_if<AppendAck>(&message)) {
        on_append_ack(from, *ack);
    } else {
        on_append_nack(from, std::get<AppendNack>(message));
    }
}

// ---- the replica's side

void SimNode::on_append(int from, const Append& append) {
    world_.note(number_, "append", append.epoch.value, append.previous.position.lsn.value);
    const NodeKey key = key_of(from);
    const Voter::Admission admission = node_->admit(append.epoch, key);
    if (admission == Voter::Admission::not_yet) return;
    if (admission != Voter::Admission::take) {
        // A1: the sender learns of the higher epoch, or sends its token.
        Refuse refuse;
        refuse.epoch = append.epoch;
        refuse.reason =
            admission == Voter::Admission::stale ? RefuseReason::stale : RefuseReason::need_token;
        refuse.promised = node_->voter().promised();
        const auto& token = node_->voter().token();
        if (token && token->epoch() > append.epoch) refuse.token = token;
        world_.send(number_, from, Message{refuse});
        return;
    }
    std::vector<LogPoint> points;
    for (const Entry& entry : append.entries) points.push_back(entry.point);
    const FollowDecision decision = follow(append.previous, points, disk_.log,
                                           binding(disk_.watermark, node_->voter().loss_epoch()));
    switch (decision.kind) {
        case FollowDecision::Kind::take:
            return take(from, append, decision);
        case FollowDecision::Kind::unsafe:
            world_.oracle().fail("S8 CommittedForever", describe() +
                                                            " is asked to cut what it "
                                                            "knows to be committed");
            return;
        case FollowDecision::Kind::gap:
        case FollowDecision::Kind::conflict:
            world_.send(number_, from, AppendNack{append.epoch, decision.ask_after});
            return;
    }
}

void SimNode::take(int from, const Append& append, const FollowDecision& decision) {
    bool moved = false;
    if (decision.keep) {
        world_.oracle().on_cut(number_, disk_.log, *decision.keep);
        disk_.log.keep(*decision.keep);
        disk_.applied = std::min(disk_.applied, *decision.keep);
        disk_.acked_end = std::min(disk_.acked_end, *decision.keep);
        moved = true;
    }
    for (size_t i = decision.skip; i < append.entries.size(); ++i) {
        this->append(append.entries[i]);
        moved = true;
    }
    leader_ = from;
    matched_ = std::max(matched_, decision.matched);
    const Lsn watermark = std::min(append.committed, matched_);
    if (watermark > committed_.lsn) {
        committed_ = {append.epoch, watermark};
        disk_.watermark = committed_;
        moved = true;
    }
    apply();
    if (moved) log_moved();
    if (!usable()) return;
    begin_log_sync();
    ack();
}

// A3 and A4: what is said is true of this epoch's history, and said only while its promise stands.
void SimNode::ack() {
    if (leader_ < 0 || is_witness() || !node_->may_ack(following_)) return;
    AppendAck ack{following_, std::min(matched_, disk_.log.end().position.lsn),
                  std::min(matched_, disk_.log.durable()), disk_.applied};
    if (!node_->may_ack_unsynced()) ack.received = ack.durable;
    world_.oracle().on_ack(number_, following_, node_->voter().promised());
    disk_.acked_end = std::max(disk_.acked_end, ack.received);
    if (disk_.lacks && ack.durable >= disk_.acked_end) disk_.lacks = false;
    world_.send(number_, leader_, ack);
}

void SimNode::apply() {
    const Lsn to = std::min(committed_.lsn, disk_.log.durable());
    if (to <= disk_.applied) return;
    world_.oracle().on_apply(number_, disk_.log, disk_.applied.next(), to);
    disk_.applied = to;
}

// ---- the log

void SimNode::append(const Entry& entry) {
    world_.oracle().on_append(number_, entry);
    disk_.log.append(entry);
}

void SimNode::log_moved() { step(event::LogMoved{log_state()}); }

void SimNode::begin_log_sync() {
    if (log_syncing_ || disk_.log.durable() >= disk_.log.end().position.lsn) return;
    log_syncing_ = true;
    const Lsn through = disk_.log.end().position.lsn;
    const uint64_t incarnation = incarnation_;
    world_.at(world_.now() + world_.sync_time(*this),
              [this, incarnation, through] { log_synced(incarnation, through); });
}

void SimNode::log_synced(uint64_t incarnation, Lsn through) {
    if (!up() || incarnation != incarnation_) return;
    if (paused_) {
        held_work_.push_back([this, incarnation, through] { log_synced(incarnation, through); });
        return;
    }
    log_syncing_ = false;
    progress_ = clock_.at(world_.now());
    disk_.log.synced(through);
    world_.note(number_, "synced", through.value, 0);
    apply();
    log_moved();
    if (!usable()) return;
    if (holding_ == Epoch(0)) ack();
    begin_log_sync();
}

// ---- the primary's side

void SimNode::client_write(uint64_t value) {
    if (!passes_gate() || draining_ || holding_ == Epoch(0)) return;
    if (mutant(Mutation::reuse_lsn) && !waiting_clients_.empty() && world_.chance().permille(100)) {
        // A shipped record is taken back, and its LSN used for another content.
        const Lsn last = disk_.log.end().position.lsn;
        if (waiting_clients_.back().point.position.lsn == last && last > committed_.lsn) {
            disk_.log.keep(Lsn(last.value - 1));
            waiting_clients_.pop_back();
        }
    }
    const Entry entry = disk_.log.make(holding_, value);
    append(entry);
    waiting_clients_.push_back(entry);
    world_.note(number_, "write", entry.point.position.lsn.value, holding_.value);
    log_moved();
    begin_log_sync();
    ship_all();
}

void SimNode::append_barrier() {
    const Entry entry = disk_.log.make(holding_, 0);
    append(entry);
    log_moved();
    step(event::BarrierAppended{entry.point});
    begin_log_sync();
    ship_all();
}

void SimNode::ship(int peer) {
    if (holding_ == Epoch(0)) return;
    world_.oracle().on_holder_act(number_, holding_, "ships");
    PeerShip& ship = ships_[peer];
    const uint64_t end = disk_.log.end().position.lsn.value;
    Append append;
    append.epoch = holding_;
    const std::optional<LogPoint> previous = disk_.log.at(Lsn(ship.next.value - 1));
    if (!previous) return;
    append.previous = *previous;
    for (uint64_t i = ship.next.value; i <= end && append.entries.size() < 64; ++i) {
        append.entries.push_back(disk_.log.entry(Lsn(i)));
    }
    append.committed = committed_.lsn;
    ship.told_committed = committed_.lsn;
    ship.next = Lsn(ship.next.value + append.entries.size());
    ship.sent_at = world_.now();
    world_.send(number_, peer, std::move(append));
}

void SimNode::ship_all() {
    if (holding_ == Epoch(0) || !usable()) return;
    for (int peer = 0; peer < world_.count(); ++peer) {
        if (peer != number_ && !world_.swarm().config.members[static_cast<size_t>(peer)].witness) {
            ship(peer);
        }
    }
}

// What was not acknowledged for a heartbeat is sent again; the watermark travels with it.
void SimNode::ship_again() {
    const int64_t every = world_.swarm().config.timing.heartbeat.count() / 2;
    for (auto& [peer, ship] : ships_) {
        const bool behind =
            ship.acked < disk_.log.end().position.lsn || ship.told_committed < committed_.lsn;
        if (!behind || world_.now() < ship.sent_at + every) continue;
        ship.next = std::min(ship.next, ship.acked.next());
        this->ship(peer);
    }
}

void SimNode::on_append_ack(int from, const AppendAck& ack) {
    if (ack.epoch != holding_ || holding_ == Epoch(0)) return;
    world_.note(number_, "ack", ack.durable.value, static_cast<uint64_t>(from));
    PeerShip& ship = ships_[from];
    ship.acked = std::max(ship.acked, ack.durable);
    step(event::Acknowledged{key_of(from), ack.epoch, ack.received, ack.durable, ack.applied});
    if (holding_ != Epoch(0) && ship.next <= disk_.log.end().position.lsn) this->ship(from);
}

void SimNode::on_append_nack(int from, const AppendNack& nack) {
    if (nack.epoch != holding_ || holding_ == Epoch(0)) return;
    PeerShip& ship = ships_[from];
    ship.next = nack.ask_after.next();
    this->ship(from);
}

std::string SimNode::describe() const {
    std::string text = "n" + std::to_string(number_);
    if (!up()) return text + " down";
    const NodeView view = node_->view();
    text += std::string(" ") + to_string(view.role);
    text += " promised " + std::to_string(view.promised.value);
    text += " end " + to_string(disk_.log.end().position);
    text += " durable " + std::to_string(disk_.log.durable().value);
    text += std::string(" candidate ") + to_string(view.candidate);
    text += std::string(" holder ") + to_string(view.holder);
    text += " k " + std::to_string(view.policy.k);
    if (view.policy.paused) text += " paused";
    if (view.suspect) text += " suspect";
    if (view.lost_ballot) text += " lost_ballot";
    for (const auto& [voter, reason] : view.refusals) {
        text += " [n" + std::to_string(number_of(voter)) + ": " + to_string(reason) + "]";
    }
    return text;
}

}  // namespace tanist::sim
