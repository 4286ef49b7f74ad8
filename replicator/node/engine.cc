#include "replicator/node/engine.h"

#include <algorithm>
#include <atomic>

#include "replicator/base/death_notice.h"
#include "replicator/base/event.h"
#include "replicator/base/notes.h"
#include "replicator/capture/clean_stop.h"
#include "replicator/control/identity.h"
#include "replicator/control/setup.h"
#include "replicator/control/status.h"
#include "replicator/control/waited.h"
#include "replicator/node/archive_loop.h"
#include "replicator/node/capture_loop.h"
#include "replicator/node/daemonize.h"
#include "replicator/node/epoch_ask.h"
#include "replicator/node/log_options.h"
#include "replicator/node/own_tail.h"
#include "replicator/node/ship_lock.h"
#include "replicator/node/ship_loop.h"

namespace tanist {
namespace {

using namespace std::chrono_literals;

constexpr Nanos kSyncPatience = 5s;
constexpr Nanos kSyncLook = 200us;

// A new boot of the machine starts a new epoch: the log's unsynced tail may be gone, and its LSNs
// must not come to mean something else.
Result<NodeFile> enter_epoch(const Layout& layout, NodeFile node, bool elected) {
    std::string boot = to_string(boot_id());
    // A token begins one, and nothing else; what is captured until then extends the last one.
    if (elected && node.epoch.value != 0) return node;
    if (node.epoch.value == 0 || node.boot != boot) {
        bool first_start = node.epoch.value != 0 && node.boot.empty();
        if (!first_start) node.epoch = node.epoch.next();
        node.boot = boot;
        TANIST_TRY(write_node_file(layout.node(), node));
    }
    return node;
}

}  // namespace

struct Engine::State {
    explicit State(EngineOptions o) : options(std::move(o)), layout(options.db_path) {}

    EngineOptions options;
    Layout layout;
    ShipLock ship_lock;
    NodeFile node;
    NodeKey identity;
    Control control;
    DeathNotice life;
    std::unique_ptr<Log> log;
    std::unique_ptr<ArchiveLoop> archive;  // null: nothing is archived
    std::unique_ptr<CaptureLoop> capture;
    std::unique_ptr<ShipLoop> ship;
    bool stopped = false;
    std::atomic<bool> superseded{false};
    bool log_was_cut = false;  // it ends before what was synced once
    Instant idle_since{0};

    Status open();
    Status enter(NodeFile file);
    Status run(const SqliteApi& api);
    void begin_acks();
    void open_archive();
    bool stopped_cleanly() const;
    Result<bool> catch_up_with_own_log(const SqliteApi& api);
    bool idle_long_enough();
    void hear_of(const Superseded& news);
    void fence(const Superseded& news);
};

// Was it replaced while it was away? Asked before a new boot begins an epoch, whose number may be
// the new primary's, and before the application may write. Then it serves no longer than it takes
// to keep everybody here from writing, as when it hears of it later. A host has asked already.
Status Engine::State::enter(NodeFile file) {
    node = std::move(file);
    if (options.host == nullptr && !node.boot.empty()) {
        auto news = ask_for_higher_epoch(layout, options.settings, node);
        if (!news) return std::move(news).error();
        if (*news) {
            fence(**news);
            return ok_status();
        }
    }
    auto entered = enter_epoch(layout, std::move(node), options.elected);
    if (!entered) return std::move(entered).error();
    node = std::move(entered).value();
    return ok_status();
}

Status Engine::State::open() {
    auto made = set_up_primary(layout);
    if (!made) return std::move(made).error();
    if (options.host == nullptr && path_exists(layout.voters())) {
        return Error{Errc::refused, layout.db +
                                        " is a member of a group that elects its primary, "
                                        "which takes a tanistd: tanistd --db " +
                                        layout.db + " --listen ENDPOINT"};
    }
    if (options.host == nullptr && made->superseded_by.value != 0) {
        return Error{Errc::refused, layout.db + " was superseded by epoch " +
                                        std::to_string(made->superseded_by.value) +
                                        ", and becomes a replica when its tanistd is started: "
                                        "tanistd --db " +
                                        layout.db + " --listen ENDPOINT"};
    }
    if (options.host == nullptr) {
        auto lock = ShipLock::take(layout.ship_lock());
        if (!lock) return std::move(lock).error();
        ship_lock = std::move(lock).value();
    }
    auto key = load_or_create_identity(layout.identity());
    if (!key) return std::move(key).error();
    identity = *key;
    auto block = Control::open(layout.control(), true, false);
    if (!block) return std::move(block).error();
    control = std::move(block).value();
    TANIST_TRY(enter(std::move(made).value()));
    life.post(control->engine_life);
    control->engine_state.store(static_cast<uint32_t>(EngineState::starting));
    control->engine_pid.store(static_cast<uint32_t>(process_id()));
    control->engine_beat_ns.store(boot_now().ns);
    control->engine_writes.store(0);
    control->hears_chime.store(0);
    control->epoch.store(node.epoch.value);
    auto log_wanted = log_options(layout, options.settings);
    if (!log_wanted) return std::move(log_wanted).error();
    log_wanted->sync_later = true;
    auto opened = Log::open(layout.log(), node.group, *log_wanted);
    if (!opened) return std::move(opened).error();
    log = std::move(opened).value();
    if (log->recovery().torn_bytes > 0)
        note(NoteLevel::warning, "the log's tail was torn and has been cut",
             {{"bytes", std::to_string(log->recovery().torn_bytes)},
              {"reason", log->recovery().torn_reason}});
    log_was_cut = Lsn(control->durable_lsn.load()) > log->end().position.lsn;
    begin_acks();
    return ok_status();
}

// Once in each boot, before anybody may write: whose commits waited for replicas must find them
// here after a power cut. True: the database was behind and is at the log's end now.
Result<bool> Engine::State::catch_up_with_own_log(const SqliteApi& api) {
    // A fenced primary keeps its role in the control block, too.
    const auto role = static_cast<Role>(control->role.load());
    const bool ran_before = role == Role::primary || role == Role::fenced;
    if (ran_before || options.database_is_at_log_end || options.database_has_log || !log->last() ||
        !path_exists(layout.db) || stopped_cleanly())
        return false;
    auto replayed = replay_own_tail(api, layout.db, *log, read_wal_begun(layout));
    if (replayed) return *replayed > 0;
    if (path_exists(layout.waited())) {
        Error error = std::move(replayed).error();
        if (error.code == Errc::corrupt) {
            error.message +=
                "; commits that replicas confirmed may be missing in it. To go on with "
                "the database as it is, and make the replicas equal to it, remove " +
                layout.waited();
        }
        return error;
    }
    note(NoteLevel::warning, "the database was not compared with its log",
         {{"database", layout.db}, {"reason", replayed.error().message}});
    return false;
}

// Then the database was at the log's end; what others made of it since, capture finds out.
bool Engine::State::stopped_cleanly() const {
    auto bytes = read_file(layout.clean_stop(), 4096);
    if (!bytes) return false;
    const auto stop = decode_clean_stop(*bytes);
    return stop && stop->log_end == log->end();
}

// What a former engine knew of replicas must be heard again; opening the log made it durable. LSNs
// of a log that is gone mean nothing.
void Engine::State::begin_acks() {
    control->acks.store(0);
    for (size_t i = 0; i < limits::kMembersMax; ++i) control.set_ack(i, {});
    control->durable_lsn.store(log->end().position.lsn.value);
    control->committed_lsn.store(0);
    if (!log->recovery().created) return;
    for (ControlCommitLsn& entry : control->commit_lsn) entry.lsn.store(0);
}

// By a tanistd, and by whoever holds the epoch: in an application nothing may be spawned.
void Engine::State::open_archive() {
    control.set_archive("");
    const bool holds = !options.elected || options.holds_epoch;
    if (options.settings.archive.command.empty() || !holds) return;
    archive = std::make_unique<ArchiveLoop>(
        ArchiveLoopOptions{layout, options.settings.archive, node.epoch, options.host != nullptr},
        *log, control);
}

Status Engine::State::run(const SqliteApi& api) {
    auto caught_up = catch_up_with_own_log(api);
    if (!caught_up) return std::move(caught_up).error();
    if (!options.database_is_at_log_end) control->role.store(static_cast<uint32_t>(node.role));
    open_archive();
    capture = std::make_unique<CaptureLoop>(
        api,
        CaptureLoopOptions{layout, options.settings, node.epoch,
                           options.database_is_at_log_end || *caught_up,
                           options.elected && options.holds_epoch,
                           [this] {
                               if (options.host != nullptr) options.host->suffrage().stir();
                           },
                           archive.get()},
        *log, control, [this] {
            if (ship) ship->log_grew();
        });
    FollowerIdentity self{.cluster = node.cluster,
                          .group = node.group,
                          .node = identity,
                          .name = layout.db,
                          .epoch = node.epoch};
    ship = std::make_unique<ShipLoop>(
        api,
        ShipLoopOptions{layout, options.settings, self,
                        [this] { return tanist::status_json(layout); }, options.host,
                        options.holds_epoch, [this](const auto& news) { hear_of(news); }},
        *log, control, *capture);
    TANIST_TRY(capture->start());
    TANIST_TRY(ship->start());
    if (archive) archive->start();
    control->engine_state.store(static_cast<uint32_t>(EngineState::running));
    note(NoteLevel::info, "engine runs",
         {{"database", layout.db},
          {"position", to_string(log->end().position)},
          {"epoch", std::to_string(node.epoch.value)}});
    return ok_status();
}

bool Engine::State::idle_long_enough() {
    if (!options.leave_when_idle) return false;
    Instant now = boot_now();
    Nanos quiet = now - Instant{capture->view().last_commit_ns.load()};
    bool idle = quiet > options.settings.engine_idle_exit && ship->all_shipped() &&
                (!archive || archive->at_rest()) && control.nobody_present();
    if (!idle) idle_since = now;
    return now - idle_since >= options.settings.engine_idle_exit;
}

// On the ship thread.
void Engine::State::hear_of(const Superseded& news) {
    if (options.host != nullptr) return options.host->superseded(news);
    if (!superseded.load()) fence(news);
}

// The control block first, which the extension obeys at once; what outlives this boot after it. In
// a new boot the block allows nobody to write yet, and the database is compared with its log first.
void Engine::State::fence(const Superseded& news) {
    if (static_cast<Role>(control->role.load()) == Role::primary) {
        control->role.store(static_cast<uint32_t>(Role::fenced), std::memory_order_release);
    }
    node.role = Role::fenced;
    node.superseded_by = news.epoch;
    if (auto written = write_node_file(layout.node(), node); !written) {
        note(NoteLevel::error, "node file", {{"reason", written.error().message}});
    }
    note(NoteLevel::error,
         "superseded: writes are refused; start its tanistd, to make it a replica",
         {{"database", layout.db},
          {"epoch", std::to_string(node.epoch.value)},
          {"newer", std::to_string(news.epoch.value)},
          {"by", news.by}});
    superseded.store(true);
}

Result<std::unique_ptr<Engine>> Engine::start(const SqliteApi& api, EngineOptions options) {
    auto state = std::make_unique<State>(std::move(options));
    state->idle_since = boot_now();
    TANIST_TRY(state->open());
    std::unique_ptr<Engine> engine(new Engine(std::move(state)));
    TANIST_TRY(engine->state_->run(api));
    return engine;
}

Engine::Engine(std::unique_ptr<State> state) : state_(std::move(state)) {}

Engine::~Engine() { stop(Nanos(0)); }

void Engine::stop(Nanos patience) {
    if (state_->stopped) return;
    state_->stopped = true;
    if (state_->control)
        state_->control->engine_state.store(static_cast<uint32_t>(EngineState::draining));
    if (state_->archive) state_->archive->stop();
    if (state_->capture) state_->capture->stop();
    if (state_->ship) state_->ship->stop(patience);
    if (state_->log)
        if (auto synced = state_->log->sync(); !synced)
            note(NoteLevel::warning, "the log could not be synced at the stop",
                 {{"reason", synced.error().message}});
    if (state_->control)
        state_->control->engine_state.store(static_cast<uint32_t>(EngineState::none));
    state_->life.withdraw();
    state_->ship_lock.release();
}

bool Engine::finished(std::string* reason) const {
    if (state_->superseded.load()) {
        *reason = "superseded by a primary of a higher epoch";
        return true;
    }
    if (!state_->idle_long_enough()) return false;
    *reason = "idle: nobody uses the database and everything is shipped";
    return true;
}

void Engine::wait_finished(int wake_fd) {
    std::string reason;
    while (!finished(&reason))
        if (wait_readable(wake_fd, 500ms)) return;
}

bool Engine::superseded() const { return state_->superseded.load(); }

uint64_t Engine::members_kept() const { return state_->ship->members_kept(); }

LogPoint Engine::log_end() const { return state_->log->end(); }

failover::LogState Engine::log_state() const {
    const Lsn durable{state_->control->durable_lsn.load(std::memory_order_acquire)};
    failover::LogState log;
    log.end = state_->log->end();
    log.durable = std::min(durable, log.end.position.lsn);
    log.applied = log.end.position.lsn;
    log.writable = !state_->capture || !state_->capture->view().failing.load();
    return log;
}

bool Engine::log_was_short() const {
    return state_->options.elected && (state_->log->recovery().created || state_->log_was_cut);
}

// The capture thread syncs, which alone writes the log.
Status Engine::sync_log() {
    const uint64_t end = state_->log->end().position.lsn.value;
    const Instant give_up = boot_now() + kSyncPatience;
    state_->control->local_sync_asked.fetch_add(1, std::memory_order_seq_cst);
    while (state_->control->durable_lsn.load(std::memory_order_acquire) < end) {
        if (boot_now() >= give_up) return Error{Errc::busy, "the log's disk takes too long"};
        state_->control.ring(true);
        const std::atomic<uint32_t> nobody_wakes{0};
        futex_wait(&nobody_wakes, 0, kSyncLook);
    }
    return ok_status();
}

Status Engine::settle_under_write_lock() { return state_->capture->settle_under_write_lock(); }

void Engine::append_barrier() { state_->capture->request_epoch_record(); }

void Engine::tell(const std::string& endpoint, Bytes vote) {
    if (state_->ship) state_->ship->tell(endpoint, std::move(vote));
}

std::string Engine::status_json() const { return tanist::status_json(state_->layout); }

std::vector<std::string> Engine::endpoints() const {
    return state_->ship ? state_->ship->endpoints() : std::vector<std::string>{};
}

}  // namespace tanist
