#include "replicator/apply/applier.h"

#include <utility>

#include "replicator/apply/log_pages.h"

namespace tanist {
namespace {

// One local commit's records, unless a single one is larger: what a processor cache holds, since
// each byte is read, hashed, summed and written.
constexpr size_t kMergedBytesMax = 1u << 20;
constexpr size_t kKeptIdleBytesMax = 128u << 10;
constexpr uint64_t kRecordsBehind = 16;
constexpr uint32_t kCheckpointFrames = 1000;
// While records wait, readers matter more than a short WAL.
constexpr uint32_t kCheckpointFramesBusy = 4000;
constexpr auto kSyncEvery = std::chrono::seconds(1);
constexpr auto kLockPatience = std::chrono::seconds(10);

// What one local commit will hold.
struct Batch {
    Batch(LogReader& log, MutableBytes kept) : pages(log, kept) {}
    LogPages pages;
    LogPoint end;
    std::string stopped;  // why the log does not lead on after `end`
};

}  // namespace

struct Applier::State {
    State(IntentFile& file, std::unique_ptr<SqliteHandle> slots, std::unique_ptr<SqliteHandle> sql)
        : intent(file),
          handle(std::move(slots)),
          checkpoints(std::move(sql)),
          writer(*handle, *checkpoints) {}

    void lend_memory(Lsn up_to);
    Status gather(LogReader& log, Lsn up_to, Batch& batch);
    std::string why_not_next(const RecordHeader& record, const LogPoint& after) const;
    Status commit(Batch& batch);
    Status take_install_back();
    Status make_durable();

    IntentFile& intent;
    std::unique_ptr<SqliteHandle> handle;
    std::unique_ptr<SqliteHandle> checkpoints;
    WalWriter writer;
    Bytes kept;  // payloads of the batch
    uint32_t page_bytes = 0;
    LogPoint applied;
    LogPoint durable;
    bool syncing = false;  // only a sync leads on
    Lsn cover;             // the next commit must reach at least this record
    std::optional<RecordHeader> waits_for;
    Instant synced_at;
};

Applier::Applier(std::unique_ptr<State> state) : state_(std::move(state)) {}
Applier::~Applier() = default;
LogPoint Applier::applied() const { return state_->applied; }
LogPoint Applier::durable() const { return state_->durable; }
std::optional<RecordHeader> Applier::waits_for() const { return state_->waits_for; }
SqliteHandle& Applier::handle() { return *state_->handle; }
SqliteHandle& Applier::checkpoints() { return *state_->checkpoints; }

namespace {

// The last record up to which the database may have been taken since `from`: the log's end, or the
// record before a REBASE, past which only a sync leads.
Lsn last_appliable(LogReader& log, Lsn from) {
    Lsn last = from;
    for (;;) {
        Result<RecordHeader> record = log.header_of(last.next());
        if (!record.ok() || record->kind == RecordKind::rebase) return last;
        last = last.next();
    }
}

// The log's record `last`, unless it is known without the primary how it ended: only a commit is
// held back, and what was ever the target of a local commit was settled.
std::optional<RecordHeader> unsettled(LogReader& log, Lsn last, const LogPoint& target) {
    Result<RecordHeader> record = log.header_of(last);
    if (!record.ok() || record->kind != RecordKind::commit) return std::nullopt;
    if (log.header_of(last.next()).ok()) return std::nullopt;
    if (target == LogPoint{record->position(), record->chain}) return std::nullopt;
    return *record;
}

}  // namespace

Result<std::unique_ptr<Applier>> Applier::open(const SqliteApi& api, const std::string& db_path,
                                               IntentFile& intent, LogReader& log) {
    const std::optional<Intent> last = intent.read();
    if (!last) return Error{Errc::not_found, db_path + " was never synced by this node"};
    Result<std::unique_ptr<SqliteHandle>> handle = SqliteHandle::open(api, db_path, {});
    if (!handle) return std::move(handle).error();
    Result<std::unique_ptr<SqliteHandle>> checkpoints = SqliteHandle::open(api, db_path, {});
    if (!checkpoints) return std::move(checkpoints).error();
    std::unique_ptr<Applier> applier(new Applier(std::make_unique<State>(
        intent, std::move(handle).value(), std::move(checkpoints).value())));

    State& state = *applier->state_;
    Result<uint32_t> page_bytes = state.writer.page_bytes();
    if (!page_bytes) return std::move(page_bytes).error();
    state.page_bytes = *page_bytes;
    state.syncing = last->syncing;
    state.durable = last->durable;
    state.synced_at = boot_now();
    if (last->boot == boot_id()) {
        state.applied = last->done;
        state.cover = last->target.position.lsn;
    } else {
        state.applied = last->durable;
        state.cover = last_appliable(log, last->durable.position.lsn);
        if (!state.syncing && state.applied.position.lsn < state.cover) {
            state.waits_for = unsettled(log, state.cover, last->target);
        }
    }
    if (!state.syncing && !state.waits_for && state.applied.position.lsn < state.cover) {
        Result<ApplyOutcome> replayed = applier->apply(log, state.cover);
        if (!replayed) return std::move(replayed).error().in("replay after a crash");
    }
    return applier;
}

// Local commits are whole, so what is not at the last record is at one before it.
Status Applier::replay_without_last(LogReader& log) {
    State& state = *state_;
    if (!state.waits_for) return Error{Errc::invalid, "no record is waited for"};
    state.cover = Lsn(state.waits_for->lsn.value - 1);
    state.waits_for.reset();
    Result<ApplyOutcome> replayed = apply(log, state.cover);
    if (!replayed) return std::move(replayed).error().in("replay after a crash");
    return ok_status();
}

// Why a record cannot be applied after the point `after`; "" when it can.
std::string Applier::State::why_not_next(const RecordHeader& record, const LogPoint& after) const {
    const std::string name = "record " + to_string(record.position());
    if (record.kind == RecordKind::rebase) {
        return name + ": the primary's database changed in a way that its log did not see";
    }
    if (record.previous != after.chain) {
        return name + " does not continue the history of this database";
    }
    if (record.kind == RecordKind::commit && record.page_bytes != page_bytes) {
        return name + " has pages of " + std::to_string(record.page_bytes) +
               " bytes, the database of " + std::to_string(page_bytes);
    }
    return "";
}

// A replica that keeps up applies a few small records at a time, and an idle one should be small.
void Applier::State::lend_memory(Lsn up_to) {
    const bool behind = up_to.value - applied.position.lsn.value > kRecordsBehind;
    const size_t bytes = behind ? kMergedBytesMax : kKeptIdleBytesMax;
    if (kept.size() < bytes) kept.resize(bytes);
}

// Takes records after `applied` until up_to, the batch is full, or the log does not lead on.
Status Applier::State::gather(LogReader& log, Lsn up_to, Batch& batch) {
    batch.end = applied;
    while (batch.end.position.lsn < up_to) {
        const Lsn lsn = batch.end.position.lsn.next();
        Result<RecordHeader> record = log.header_of(lsn);
        if (!record) {
            if (record.error().code != Errc::not_found) return std::move(record).error();
            batch.stopped = "record " + std::to_string(lsn.value) + " is no longer in the log";
            break;
        }
        batch.stopped = why_not_next(*record, batch.end);
        if (!batch.stopped.empty()) break;
        Result<bool> taken_back = false;
        if (record->kind == RecordKind::commit) {
            taken_back = log.is_taken_back(*record);
            if (!taken_back) return std::move(taken_back).error();
        }
        if (record->kind == RecordKind::commit && !*taken_back) {
            const bool fits = record->payload_bytes <= batch.pages.room();
            if (batch.pages.pages_added() > 0 && lsn > cover && !fits) break;
            TANIST_TRY(batch.pages.add(*record));
        }
        batch.end = {record->position(), record->chain};
    }
    batch.pages.finish();
    return ok_status();
}

Status Applier::State::commit(Batch& batch) {
    if (batch.pages.page_count() > 0) {
        TANIST_TRY(intent.write({.done = applied, .target = batch.end, .durable = durable}, false));
        cover = batch.end.position.lsn;
        TANIST_TRY(writer.commit(batch.pages, false, kLockPatience));
    }
    TANIST_TRY(intent.write({.done = batch.end, .target = batch.end, .durable = durable}, false));
    applied = batch.end;
    waits_for.reset();
    return ok_status();
}

Result<ApplyOutcome> Applier::apply(LogReader& log, Lsn up_to) {
    State& state = *state_;
    ApplyOutcome outcome;
    if (state.syncing) {
        outcome.needs_sync = true;
        outcome.sync_reason = "an earlier sync was interrupted";
    }
    // Until what an interrupted commit began is covered, nothing less may become visible.
    const bool enough = up_to >= state.cover;
    while (enough && !outcome.needs_sync && state.applied.position.lsn < up_to) {
        state.lend_memory(up_to);
        Batch batch(log, state.kept);
        TANIST_TRY(state.gather(log, up_to, batch));
        outcome.needs_sync = !batch.stopped.empty();
        outcome.sync_reason = batch.stopped;
        if (batch.end == state.applied || batch.end.position.lsn < state.cover) break;
        TANIST_TRY(state.commit(batch));
        // tend() tries again and says why it cannot.
        if (!state.writer.checkpoint_if_longer_than(kCheckpointFramesBusy).ok()) break;
    }
    outcome.applied = state.applied;
    return outcome;
}

Status Applier::install(PageSource& pages, const LogPoint& point) {
    State& state = *state_;
    const bool was_syncing = std::exchange(state.syncing, true);
    TANIST_TRY(state.intent.write({.target = point, .syncing = true}, true));
    if (Status written = state.writer.commit(pages, true, kLockPatience); !written.ok()) {
        const bool nothing_written = written.error().code == Errc::busy;
        if (nothing_written && !was_syncing) TANIST_TRY(state.take_install_back());
        return written;
    }
    // Pages that the sync found in place may have come there without a sync: see make_durable().
    TANIST_TRY(state.handle->sync_db());
    TANIST_TRY(state.intent.write({.done = point, .target = point, .durable = point}, true));
    state.syncing = false;
    state.applied = point;
    state.durable = point;
    state.cover = point.position.lsn;
    return ok_status();
}

// The lock was not to be had, so the database is what it was. But where an interrupted commit is
// still to be covered, only the sync leads on.
Status Applier::State::take_install_back() {
    if (cover > applied.position.lsn) return ok_status();
    TANIST_TRY(intent.write({.done = applied, .target = applied, .durable = durable}, true));
    syncing = false;
    return ok_status();
}

Status Applier::State::make_durable() {
    synced_at = boot_now();
    if (syncing || durable == applied) return ok_status();
    TANIST_TRY(handle->sync_wal());
    // Pages that left the WAL are in the file; a checkpointer with synchronous=OFF did not sync it.
    TANIST_TRY(handle->sync_db());
    TANIST_TRY(intent.write({.done = applied, .target = applied, .durable = applied}, true));
    durable = applied;
    return ok_status();
}

Status Applier::tend() {
    State& state = *state_;
    if (boot_now() - state.synced_at >= kSyncEvery) {
        if (state.kept.size() > kKeptIdleBytesMax) Bytes().swap(state.kept);
        TANIST_TRY(state.make_durable());
    }
    return state.writer.checkpoint_if_longer_than(kCheckpointFrames);
}

Status Applier::settle() {
    TANIST_TRY(state_->make_durable());
    return state_->writer.checkpoint_if_longer_than(kCheckpointFrames);
}

}  // namespace tanist
