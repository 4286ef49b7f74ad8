#include "replicator/node/replica.h"

#include <algorithm>

#include "replicator/base/notes.h"
#include "replicator/base/priority.h"
#include "replicator/control/identity.h"
#include "replicator/control/setup.h"
#include "replicator/node/apply_loop.h"
#include "replicator/node/daemonize.h"
#include "replicator/node/net_loop.h"
#include "replicator/node/store_loop.h"
#include "replicator/node/unfinished_sync.h"

namespace tanist {

bool stays_on_this_machine(const std::vector<std::string>& endpoints) {
    return std::all_of(endpoints.begin(), endpoints.end(), [](const std::string& endpoint) {
        return endpoint.starts_with("ipc://") || endpoint.starts_with("tcp://127.") ||
               endpoint.starts_with("tcp://localhost:") || endpoint.starts_with("tcp://[::1]:");
    });
}

struct Replica::State {
    State(const SqliteApi& api, ReplicaOptions options)
        : shared(api, Layout(options.db_path), std::move(options.settings)),
          store(shared),
          net(shared, store),
          apply(shared) {
        shared.host = options.host;
    }

    ReplicaShared shared;
    StoreLoop store;
    NetLoop net;
    ApplyLoop apply;
    bool stopped = false;

    Status open(bool replace);
    Status run();
    Lsn settled_in_log(Lsn end) const;
};

Status Replica::State::open(bool replace) {
    auto made = set_up_replica(shared.layout, replace);
    if (!made) return std::move(made).error();
    shared.node = std::move(made).value();
    auto key = load_or_create_identity(shared.layout.identity());
    if (!key) return std::move(key).error();
    shared.identity = *key;
    auto block = Control::open(shared.layout.control(), true, false);
    if (!block) return std::move(block).error();
    shared.control = std::move(block).value();
    shared.control->engine_state.store(static_cast<uint32_t>(EngineState::starting));
    shared.control->engine_pid.store(static_cast<uint32_t>(process_id()));
    shared.control->engine_beat_ns.store(boot_now().ns);
    shared.control->epoch.store(shared.node.epoch.value);
    shared.control->role.store(static_cast<uint32_t>(Role::replica));
    shared.control.set_problem("");
    shared.control.set_notice("");
    // The next primacy of this node archives all that its log has then.
    TANIST_TRY(remove_path(shared.layout.archived()));
    if (shared.node.group.is_zero()) return ok_status();
    auto settled =
        settle_unfinished_sync(shared.api, shared.layout, shared.settings, shared.node.group);
    if (!settled) return std::move(settled).error();
    // What was synced of the log before says nothing of this one.
    if (*settled) shared.control->durable_lsn.store(0);
    return shared.open_log(shared.node.group);
}

Status Replica::State::run() {
    if (stays_on_this_machine(shared.settings.listen)) shared.gives_way = kReplicaGivesWay;
    std::string sync_reason;
    TANIST_TRY(apply.open(&sync_reason));
    TANIST_TRY(net.invite());
    LogPoint end = shared.log ? shared.log->end() : LogPoint{};
    ReceiverStart start{.cluster = shared.node.cluster,
                        .group = shared.node.group,
                        .node = shared.identity,
                        .name = shared.layout.db,
                        .epoch = shared.node.epoch,
                        .state = ReplicaState::following,
                        .sync_reason = sync_reason,
                        .log_end = end,
                        .durable = end.position.lsn,
                        .applied = apply.applied().position.lsn};
    if (!sync_reason.empty()) start.state = ReplicaState::needs_sync;
    if (!apply.has_database()) start.state = ReplicaState::empty;
    shared.committed_lsn.store(settled_in_log(end.position.lsn).value);
    shared.whole.store(start.state == ReplicaState::following);
    store.start();
    apply.start();
    net.start(std::move(start));
    shared.to_apply.put(apply_command::Apply{});
    shared.control->engine_state.store(static_cast<uint32_t>(EngineState::running));
    return ok_status();
}

// Without the primary: the log's last record may be a commit that the primary still holds back, or
// has taken back since. Every other one is settled, or the log would not go on behind it.
Lsn Replica::State::settled_in_log(Lsn end) const {
    if (end.value == 0) return end;
    const std::optional<RecordHeader> last = shared.log->last();
    if (!last || last->kind != RecordKind::commit) return end;
    return std::max(Lsn(end.value - 1), apply.applied().position.lsn);
}

Result<std::unique_ptr<Replica>> Replica::start(const SqliteApi& api, ReplicaOptions options) {
    const bool replace = options.replace;
    auto state = std::make_unique<State>(api, std::move(options));
    TANIST_TRY(state->open(replace));
    TANIST_TRY(state->run());
    return std::unique_ptr<Replica>(new Replica(std::move(state)));
}

Replica::Replica(std::unique_ptr<State> state) : state_(std::move(state)) {}

Replica::~Replica() { stop(Nanos(0)); }

Status Replica::finish(const std::optional<LogPoint>& wanted) {
    ReplicaShared& shared = state_->shared;
    if (!shared.log_is_open.load() || !state_->apply.has_database()) {
        return Error{Errc::refused, shared.layout.db + " is empty: there is nothing to promote"};
    }
    state_->store.stop();
    shared.promoted.store(true);
    state_->apply.stop();
    // A sync that is not installed is over: from here on the log before goes on.
    if (shared.sync_log && !shared.installing.load()) TANIST_TRY(shared.drop_sync_log());
    const LogPoint end = shared.log->end();
    const LogPoint at = state_->apply.applied();
    stop(Nanos(0));
    if (wanted && *wanted != end) {
        return Error{Errc::refused, shared.layout.db + " ends at " + to_string(end.position) +
                                        ", not at " + to_string(wanted->position)};
    }
    if (at == end) return ok_status();
    return Error{Errc::refused, shared.layout.db + " is at " + to_string(at.position) +
                                    " and its log at " + to_string(end.position) +
                                    ": it needs a sync from a primary and cannot become one"};
}

void Replica::stop(Nanos) {
    if (state_->stopped) return;
    state_->stopped = true;
    state_->shared.control->engine_state.store(static_cast<uint32_t>(EngineState::draining));
    state_->store.stop();
    state_->apply.stop();
    state_->net.stop();
    state_->shared.control->engine_state.store(static_cast<uint32_t>(EngineState::none));
}

failover::LogState Replica::log_state() const {
    const ReplicaShared& shared = state_->shared;
    failover::LogState log;
    log.whole = shared.whole.load() && !shared.installing.load();
    if (!shared.log_is_open.load(std::memory_order_acquire)) return log;
    const Lsn durable{shared.durable_lsn.load()};
    log.applied = Lsn(shared.control->applied_lsn.load());
    log.end = shared.log_end();
    log.durable = std::min(durable, log.end.position.lsn);
    return log;
}

bool Replica::log_was_short() const { return state_->apply.log_was_short(); }

std::vector<std::string> Replica::invitations() const { return state_->net.invitations(); }

}  // namespace tanist
