#include "replicator/node/failover_host.h"

#include "replicator/base/notes.h"
#include "replicator/base/random.h"
#include "replicator/control/alarm.h"
#include "replicator/control/node_file.h"
#include "replicator/node/failover_status.h"

namespace tanist {
namespace {

using namespace std::chrono_literals;

constexpr Nanos kWaitLongest = 250ms;
constexpr Nanos kLookAtRole = 2ms;  // while one changes and something waits for that
constexpr Nanos kPublishEvery = 200ms;
constexpr int64_t kLongAgo = 1;  // a deadline that has passed

failover::NodeStart node_start(const FailoverStart& start, const failover::StoredState& found,
                               const NodeKey& self, const PromiseFile& promise) {
    failover::NodeStart node;
    node.config = start.list.config;
    node.voter.condition = found.ballot.condition;
    if (found.ballot.ballot) node.voter.ballot = *found.ballot.ballot;
    node.voter.ballot.node = self;
    node.voter.boot = boot_id();
    if (!found.ballot.ballot) {
        node.voter.ballot.config = start.list.config;
        node.voter.ballot.boot = node.voter.boot;
    }
    node.voter.token = found.token;
    node.voter.promise = promise.read();
    node.seed = random_u64();
    return node;
}

}  // namespace

failover::Signature FailoverHost::IdentitySigner::sign(ByteView message) const {
    failover::Signature signature;
    signature.bytes = identity_.sign(message).bytes;
    return signature;
}

bool FailoverHost::IdentitySigner::verify(const NodeKey& by, ByteView message,
                                          const failover::Signature& is) const {
    Signature signature;
    signature.bytes = is.bytes;
    return tanist::verify(by, message, signature);
}

Result<std::unique_ptr<FailoverHost>> FailoverHost::start(FailoverStart start, FailoverOwner& owner,
                                                          Suffrage& suffrage) {
    std::unique_ptr<FailoverHost> host(new FailoverHost(std::move(start), owner, suffrage));
    TANIST_TRY(host->open());
    host->thread_ = std::thread([raw = host.get()] { raw->run(); });
    return host;
}

Status FailoverHost::open() {
    auto identity = Identity::load(start_.layout.identity());
    if (!identity) return std::move(identity).error();
    identity_ = std::move(identity).value();
    signer_ = std::make_unique<IdentitySigner>(*identity_);
    TANIST_TRY(link_.open(start_.list));
    auto block = Control::open(start_.layout.control(), true, false);
    if (!block) return std::move(block).error();
    control_ = std::move(block).value();
    auto promise = PromiseFile::open(start_.layout.promise());
    if (!promise) return std::move(promise).error();
    promise_ = std::move(promise).value();
    const auto log = owner_.log_state();
    if (!log) return Error{Errc::busy, "the log is not open"};
    auto store =
        failover::BallotStore::open(start_.layout.directory, self(), true, log->end.position.epoch);
    if (!store) return std::move(store).error();
    if (store->found().ballot.condition == failover::BallotCondition::lost) {
        note(NoteLevel::error, "this node does not know what it promised in elections",
             {{"reason", store->found().ballot.reason}});
    }
    failover::NodeStart start = node_start(start_, store->found(), self(), promise_);
    start.log = *log;
    const failover::Timing& timing = start_.list.config.timing;
    const Instant now = boot_now();
    if (start_.was_primary) hopeful_until_ = now + timing.promise + timing.lease;
    node_ = std::make_unique<failover::Node>(start, *signer_, now, first_);
    keeper_ = std::make_unique<BallotKeeper>(
        std::move(store).value(), start_.layout.canary(), timing.lease / 3,
        BallotKeeper::Tell{
            [this](uint64_t serial) { tell(failover::event::Persisted{serial}); },
            [this](const std::string& why) { tell(failover::event::PersistFailed{why}); },
            [this] { tell(failover::event::Progress{}); },
            [this](bool fails) {
                disk_fails_.store(fails);
                tell(failover::event::Tick{});
            }});
    return ok_status();
}

void FailoverHost::stop(bool for_good) {
    if (std::exchange(stopped_, true)) return;
    for_good_.store(for_good);
    stopping_.store(true);
    inbox_.put({NodeKey{}, failover::event::Tick{}});
    if (thread_.joinable()) thread_.join();
    if (keeper_) keeper_->stop();
    std::lock_guard lock(suffrage_.mutex_);
    suffrage_.node_ = nullptr;
    suffrage_.wake_ = nullptr;
}

void FailoverHost::deliver(const NodeKey& from, failover::Message message) {
    inbox_.put({from, failover::event::Received{from, std::move(message)}});
}

failover::NodeView FailoverHost::view() const {
    std::lock_guard lock(suffrage_.mutex_);
    return node_->view();
}

failover::OperatorCert FailoverHost::sign(failover::OperatorCert order) const {
    order.by = self();
    order.signature = signer_->sign(failover::signed_bytes(order));
    return order;
}

void FailoverHost::run() {
    {
        std::lock_guard lock(suffrage_.mutex_);
        suffrage_.node_ = node_.get();
        suffrage_.acked_.clear();
        suffrage_.wake_ = [this] { tell(failover::event::Tick{}); };
        for (const failover::Action& action : first_) {
            if (const auto* gate = std::get_if<failover::action::SetGate>(&action)) {
                set_gate(gate->gate);
            }
        }
    }
    perform(first_);
    while (!stopping_.load()) {
        link_.wait({inbox_.fd()}, until_deadline(boot_now()));
        link_.tend(boot_now());
        take_inbox();
        publish(boot_now());
    }
    if (for_good_.load()) step(failover::event::CleanStop{});
    control_.set_failover("");
}

Nanos FailoverHost::until_deadline(Instant now) const {
    if (!deferred_.empty()) return kLookAtRole;
    return std::clamp(node_->deadline() - now, Nanos(0), kWaitLongest);
}

// What came while a role changes waits until it has: only a log that is known can be judged by.
void FailoverHost::take_inbox() {
    for (Input& input : inbox_.take()) deferred_.push_back(std::move(input));
    for (Input& input : std::exchange(deferred_, {})) {
        if (!input.from.is_zero()) link_.heard(input.from, boot_now());
        if (!step(input.event)) deferred_.push_back(std::move(input));
    }
    step(failover::event::Tick{});
}

bool FailoverHost::step(const failover::Event& event) {
    const bool needs_log = std::holds_alternative<failover::event::Received>(event) ||
                           std::holds_alternative<failover::event::Tick>(event);
    failover::Actions actions;
    {
        std::lock_guard lock(suffrage_.mutex_);
        const Instant now = boot_now();
        std::optional<failover::LogState> log = owner_.log_state();
        if (!log && needs_log) return false;
        if (log && disk_fails_.load()) log->writable = false;
        if (log && log != log_) {
            log_ = log;
            actions = node_->step(failover::event::LogMoved{*log}, now);
        }
        take_acks(now, actions);
        failover::Actions more = node_->step(event, now);
        std::move(more.begin(), more.end(), std::back_inserter(actions));
        for (const failover::Action& action : actions) {
            if (const auto* gate = std::get_if<failover::action::SetGate>(&action)) {
                set_gate(gate->gate);
            }
        }
        using failover::HolderPhase;
        const HolderPhase phase = node_->holder().phase();
        suffrage_.eager_ = phase == HolderPhase::starting || phase == HolderPhase::draining;
    }
    perform(actions);
    if (!waiting_.empty()) send_persisted();
    return true;
}

// Requires: the suffrage's mutex.
void FailoverHost::take_acks(Instant now, failover::Actions& actions) {
    for (const auto& [endpoint, acked] : std::exchange(suffrage_.acked_, {})) {
        const VoterAddress* address = start_.list.at(endpoint);
        if (address == nullptr) continue;
        const failover::event::Acknowledged event{address->node, acked.epoch, acked.point.received,
                                                  acked.point.durable, acked.point.applied};
        failover::Actions more = node_->step(event, now);
        std::move(more.begin(), more.end(), std::back_inserter(actions));
    }
}

void FailoverHost::perform(failover::Actions& actions) {
    for (failover::Action& action : std::exchange(actions, {})) {
        std::visit([this](auto& a) { act(a); }, action);
    }
}

void FailoverHost::act(failover::action::Persist& action) {
    keeper_->put(std::move(action.ballot), std::move(action.token));
}

void FailoverHost::act(failover::action::Send& action) {
    link_.send(action.to, action.message, boot_now());
}

void FailoverHost::act(failover::action::SendAfterPersist& action) {
    waiting_.push_back(std::move(action));
}

void FailoverHost::send_persisted() {
    std::deque<failover::action::SendAfterPersist> still;
    for (auto& message : std::exchange(waiting_, {})) {
        if (!node_->voter().durable(message.serial)) {
            still.push_back(std::move(message));
            continue;
        }
        link_.send(message.to, message.message, boot_now());
    }
    waiting_ = std::move(still);
}

void FailoverHost::act(failover::action::NotePromise& action) {
    if (auto kept = promise_.write({action.holder, action.epoch, action.until}); !kept) {
        note(NoteLevel::warning, "a promise is not noted", {{"reason", kept.error().message}});
    }
}

// The holder's promise to itself, so that its voter need not wait when it was restarted.
void FailoverHost::act(failover::action::SetGate& action) {
    if (action.gate.state != failover::GateState::open) return;
    failover::action::NotePromise own{self(), action.gate.epoch, action.gate.until};
    act(own);
}

void FailoverHost::act(failover::action::BeginEpoch& action) {
    owner_.ordered(election::Begin{std::move(action.token)});
}

void FailoverHost::act(failover::action::AppendBarrier&) {
    owner_.ordered(election::AppendBarrier{});
}

void FailoverHost::act(failover::action::StepDown& action) {
    note(NoteLevel::warning, "this node gives its primacy up", {{"reason", action.reason}});
    owner_.ordered(election::StepDown{action.epoch, std::move(action.reason)});
}

void FailoverHost::act(failover::action::Follow& action) {
    hopeful_until_ = Instant{0};
    owner_.ordered(election::Follow{std::move(action.token)});
}

void FailoverHost::act(failover::action::Report& action) {
    const bool alarm = action.what.starts_with("ALARM");
    note(alarm ? NoteLevel::error : NoteLevel::info, "election", {{"event", action.what}});
    if (alarm) raise_alarm(start_.layout, "tanistd", action.what);
    owner_.ordered(election::Told{std::move(action.what)});
}

// Requires: the suffrage's mutex.
void FailoverHost::set_gate(const failover::Gate& gate) {
    const bool opens = gate.state == failover::GateState::open && gate_.state != gate.state;
    gate_ = gate;
    show_gate(boot_now());
    if (opens) owner_.ordered(election::Opened{});
}

void FailoverHost::show_gate(Instant now) {
    ControlBlock& block = *control_;
    using failover::GateState;
    if (gate_.state == GateState::open) {
        hopeful_until_ = Instant{0};
        block.lease_deadline_ns.store(gate_.until.ns, std::memory_order_release);
        block.writers_wait.store(0, std::memory_order_release);
        return;
    }
    const bool wait = gate_.state == GateState::waiting || now < hopeful_until_;
    block.writers_wait.store(wait ? 1 : 0, std::memory_order_release);
    // While it drains, who has begun to write may end, as long as the lease lasts.
    const failover::Holder& holder = node_->holder();
    const bool drains = holder.phase() == failover::HolderPhase::draining;
    const int64_t until_ns = holder.lease_until().ns - start_.list.config.timing.guard.count();
    block.lease_deadline_ns.store(drains ? std::max(until_ns, kLongAgo) : kLongAgo,
                                  std::memory_order_release);
}

// How many confirmations a commit needs here is the policy's to say, where it waits for any.
void FailoverHost::publish_policy(const failover::NodeView& view) {
    const bool decides = view.role == failover::NodeRole::primary && start_.list.config.sync_k > 0;
    control_->confirmations.store(decides ? view.policy.k + 1u : 0u, std::memory_order_release);
}

void FailoverHost::publish(Instant now) {
    const failover::NodeView seen = node_->view();
    publish_policy(seen);
    const bool promises = seen.promise_until > now;
    const auto shape = std::make_tuple(seen.role, seen.promised, seen.gate.state, seen.holder,
                                       seen.candidate, seen.policy, promises);
    if (shape == shape_ && now - published_ < kPublishEvery) return;
    shape_ = shape;
    published_ = now;
    if (gate_.state != failover::GateState::open) show_gate(now);
    control_.set_failover(failover_status(
        {start_.list, seen, self(), gate_, log_.value_or(failover::LogState{}), now},
        [this](const NodeKey& voter) { return link_.heard_at(voter); }));
}

}  // namespace tanist
