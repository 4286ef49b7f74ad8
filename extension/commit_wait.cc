#include "extension/commit_wait.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "extension/database_file.h"
#include "extension/host.h"
#include "replicator/base/bytes.h"
#include "replicator/base/event.h"
#include "replicator/base/file.h"
#include "replicator/control/prepare_slot.h"
#include "replicator/control/waited.h"
#include "replicator/wal/wal_index.h"

namespace tanist {
namespace {

using namespace std::chrono_literals;

// A waiter looks this often whether the engine still lives: nobody else would start another.
constexpr Nanos kLookAfterEngine = 100ms;
constexpr Nanos kAbortPatience = 2s;

constexpr Nanos kCompareWithin = 5s;
constexpr auto kDegradeTakes = 1s;

constexpr uint64_t kEarlySyncBytes = 256u << 10;

constexpr std::array<uint8_t, kWalFrameHeaderBytes> kNoHeader{};

int write_real(sqlite3_file* real, const void* data, size_t count, int64_t offset) {
    return real->pMethods->xWrite(real, data, static_cast<int>(count), offset);
}

// The header of the last frame of what the slot speaks of.
bool take_header_back(DatabaseFile& file, const ControlPrepare& slot) {
    if (file.wal == nullptr) return false;
    const uint32_t frame = slot.last_frame.load(std::memory_order_relaxed);
    const uint32_t page_bytes = slot.page_bytes.load(std::memory_order_relaxed);
    return write_real(file.wal, kNoHeader.data(), kNoHeader.size(),
                      static_cast<int64_t>(wal_frame_offset(frame, page_bytes))) == SQLITE_OK;
}

// After a power cut the database may lack commits that were confirmed; the first engine of a boot
// brings them back, and until then nobody may write over their place. Of databases whose commits
// never waited nobody need wait.
bool engine_has_compared(DatabaseFile& file) {
    // The first commit that waits must not leave the mark of one before the engine has looked.
    if (!file.policy.rule.waits() && !path_exists(file.layout.waited())) return true;
    const std::string before = std::exchange(file.last_error, "");
    const Instant deadline = boot_now() + kCompareWithin;
    while (file.control->role.load(std::memory_order_acquire) ==
           static_cast<uint32_t>(Role::unknown)) {
        const Nanos left = deadline - boot_now();
        if (left.count() <= 0) {
            file.last_error = "no engine has compared " + file.layout.db +
                              " with its log since the machine was started" +
                              (file.last_error.empty() ? "; see " + file.layout.engine_log()
                                                       : ": " + file.last_error);
            return false;
        }
        file.ensure_engine();
        const uint32_t tick = file.control->captured_tick.load(std::memory_order_seq_cst);
        file.control.wait_captured(tick, std::min(left, kLookAfterEngine));
    }
    file.last_error = before;
    return true;
}

// Whoever ships the commit asks for it.
void want_receipt(const Control& control) {
    control->receipt_wanted_ns.store(boot_now().ns, std::memory_order_relaxed);
}

// How many confirmations are enough is then no committer's to decide.
bool voters_decide(const Control& control) {
    return control->confirmations.load(std::memory_order_acquire) != 0;
}

std::string sentence(const CommitPolicy& policy, const std::string& how_it_ended) {
    return how_it_ended + ": " + to_string(policy.rule) + " was not met within " +
           duration_text(policy.timeout);
}

}  // namespace

// A degrade by the voters begins after the timeout, and takes them a moment.
Instant CommitWait::deadline_from(Instant now, const Control& control) const {
    if (policy_.on_timeout == OnTimeout::wait) return Instant{INT64_MAX};
    const bool by_vote = policy_.on_timeout == OnTimeout::degrade && voters_decide(control);
    return now + (by_vote ? 2 * policy_.timeout + kDegradeTakes : policy_.timeout);
}

// -- from the gate

int CommitWait::may_begin(DatabaseFile& file) {
    if (file.control && file.control->role.load(std::memory_order_acquire) ==
                            static_cast<uint32_t>(Role::unknown)) {
        if (!engine_has_compared(file)) return SQLITE_BUSY;
    }
    return file.policy.rule.waits() ? may_wait(file) : SQLITE_OK;
}

int CommitWait::may_wait(DatabaseFile& file) {
    Status possible = ok_status();
    if (file.policy.on_timeout == OnTimeout::fail) possible = file.check_rule(file.policy.rule);
    if (possible.ok() && !file.control) {
        possible = Error{Errc::invalid, "the control block of " + file.layout.db +
                                            " is not there, so no commit can wait"};
    }
    if (possible.ok() && file.policy.mode == CommitMode::before_visible && file.wal == nullptr) {
        possible = Error{Errc::invalid, "the WAL of " + file.layout.db +
                                            " was opened without the VFS tanist, so no commit can "
                                            "be held back"};
    }
    if (possible.ok() && !marked_ && !path_exists(file.layout.waited())) {
        possible = make_waited(file.layout, file.control);
    }
    if (!possible.ok()) {
        file.last_error = possible.error().message;
        log_line(file.last_error);
        return kRuleImpossible;
    }
    marked_ = true;
    if (wal_syncs_ == nullptr) wal_syncs_ = GroupSync::of(file.layout.db);
    return SQLITE_OK;
}

void CommitWait::began(DatabaseFile& file) {
    writing_ = true;
    unconfirmed_.reset();
    sync_later_ = 0;
    sync_owed_ = 0;
    ended_ = header_held_ = false;
    new_wal_.reset();
    word_ = 0;
    policy_ = file.policy;
    degraded_ = false;
    withholds_ = urgent_ = false;
    if (!file.control) return;
    if (phase_of(file.control->prepare.word.load(std::memory_order_acquire)) !=
        PreparePhase::settled) {
        resolve_leftover(file);
    }
    if (!policy_.rule.waits()) return;
    degraded_ = policy_.on_timeout == OnTimeout::degrade &&
                file.control->degraded.load(std::memory_order_acquire) != 0;
    urgent_ = !degraded_;
    withholds_ = urgent_ && policy_.mode == CommitMode::before_visible && file.wal != nullptr;
}

// WRITE is ours, so whoever posted a commit that is not settled is gone, or has been refused. What
// the wal-index does not show, nobody has seen; its header must not be found by a recovery either.
// Where commits came after it, the engine compares what they hold with what it has logged.
void CommitWait::resolve_leftover(DatabaseFile& file) {
    ControlPrepare& slot = file.control->prepare;
    const uint32_t word = slot.word.load(std::memory_order_acquire);
    // The writer has called the engine, or whoever commits next does.
    if (phase_of(word) == PreparePhase::published) return;
    std::optional<WalMoment> now;
    if (const auto header = read_wal_index_header(file.gate.region()); header) {
        now = {header->change, header->salt.salt1, header->salt.salt2, header->max_frame};
    }
    const Leftover leftover = leftover_of(slot, word, now);
    if (leftover == Leftover::refuse ||
        (leftover == Leftover::take_header_back_and_refuse && take_header_back(file, slot))) {
        refuse_leftover(slot, word);
    }
    file.control.ring(true);
}

void CommitWait::ending(DatabaseFile& file, bool committed) {
    withholds_ = false;
    if (!std::exchange(writing_, false)) return;
    if (word_ != 0 && committed) {
        publish_commit(file.control->prepare, word_);
        word_ = 0;
    } else if (word_ != 0) {
        withdraw(file);
    }
    if (!committed || !file.control || !policy_.rule.waits()) return;
    synchronous_full_ = synced_;
    const auto header = read_wal_index_header(file.gate.region());
    if (header) generation_ = uint64_t{header->salt.salt1} << 32 | header->salt.salt2;
    const bool pipelined = policy_.mode == CommitMode::pipelined;
    const bool durable = policy_.rule.level != AckLevel::received;
    if (pipelined && durable && !degraded_ && !synced_) sync_later_ = SQLITE_SYNC_NORMAL;
    if (sync_later_ != 0 && wal_syncs_ != nullptr) sync_owed_ = wal_syncs_->ask(generation_);
    if (degraded_) {
        file.control->degraded_commits.fetch_add(1, std::memory_order_relaxed);
        return;
    }
    if (!pipelined && policy_.rule.level != AckLevel::applied) return;
    if (policy_.rule.level == AckLevel::applied) {
        file.control->applied_wanted_ns.store(boot_now().ns, std::memory_order_relaxed);
    }
    if (!header) return;
    if (!durable) want_receipt(file.control);
    const WalMoment moment{header->change, header->salt.salt1, header->salt.salt2,
                           header->max_frame};
    unconfirmed_ = Unconfirmed{moment, pipelined ? Lsn(0) : lsn_};
}

// -- from the -wal file

int CommitWait::write(DatabaseFile& file, sqlite3_file* real, const void* data, int count,
                      int64_t offset) {
    synced_ = false;
    const auto* bytes = static_cast<const uint8_t*>(data);
    // Not zero: the database's size after the transaction which this frame ends.
    const bool ends = count == static_cast<int>(kWalFrameHeaderBytes) && load_be32(bytes + 4) != 0;
    ended_ = ended_ || ends;
    if (!withholds_) {
        // The lease may have run out since the transaction began.
        if (ends && writing_ && !file.may_commit()) {
            file.last_error = "rolled back: this node is not, or no longer, the primary";
            return kNotConfirmed;
        }
        return write_real(real, data, static_cast<size_t>(count), offset);
    }
    if (header_held_) {
        header_held_ = false;
        const int rc = write_real(real, data, static_cast<size_t>(count), offset);
        return rc == SQLITE_OK ? decide(file, real, static_cast<uint32_t>(count)) : rc;
    }
    if (count == static_cast<int>(kWalHeaderBytes) && offset == 0) {
        new_wal_ = WalMoment{.salt1 = load_be32(bytes + 16), .salt2 = load_be32(bytes + 20)};
    }
    if (ends) return withhold(real, data, offset);
    return write_real(real, data, static_cast<size_t>(count), offset);
}

int CommitWait::withhold(sqlite3_file* real, const void* data, int64_t offset) {
    std::memcpy(header_.data(), data, header_.size());
    header_at_ = offset;
    const int rc = write_real(real, kNoHeader.data(), kNoHeader.size(), offset);
    header_held_ = rc == SQLITE_OK;
    return rc;
}

// The sync of a new WAL's header comes before any frame, and a checkpointer's outside of
// `writing_`.
bool CommitWait::may_sync_later() const {
    return writing_ && ended_ && urgent_ && policy_.mode == CommitMode::pipelined &&
           wal_syncs_ != nullptr;
}

int CommitWait::sync(sqlite3_file* real, int flags) {
    if (may_sync_later()) {
        sync_later_ = flags;
        synced_ = true;
        return SQLITE_OK;
    }
    const int rc = real->pMethods->xSync(real, flags);
    synced_ = rc == SQLITE_OK;
    return rc;
}

// The transaction is in the WAL but for one header. SQLITE_OK: SQLite goes on to make it visible.
int CommitWait::decide(DatabaseFile& file, sqlite3_file* real, uint32_t page_bytes) {
    // Copies of this header, and checksums that are summed up later, are written as they come.
    withholds_ = false;
    const Instant deadline = deadline_from(boot_now(), file.control);
    End end = End::refused;
    int synced = SQLITE_OK;
    if (post(file, page_bytes, deadline)) {
        if (synchronous_full_ && held_frames(file) * page_bytes > kEarlySyncBytes) {
            // In parallel with the replicas; SQLite's own sync then has one header left to write.
            // A small transaction would only be in the way of theirs: its sync takes as long.
            synced = real->pMethods->xSync(real, SQLITE_SYNC_NORMAL);
        }
        // The system tells of a lost write once: SQLite's own sync would succeed afterwards.
        if (synced == SQLITE_OK) {
            end = await_grant(file, deadline);
        } else {
            decide_slot(file.control, PreparePhase::refused);
        }
    } else if (policy_.on_timeout == OnTimeout::degrade && !voters_decide(file.control)) {
        degrade(file);
        end = End::unconfirmed;
    }
    if (end == End::refused) {
        file.control.ring(true);
        const std::string fault = await_abort(file) ? "the loss of this node"
                                                    : "a power cut here, or the loss of this node,";
        file.last_error = sentence(policy_, "rolled back here; whether it survives " + fault +
                                                " before the replicas hear of that is not known");
        word_ = 0;
        return synced == SQLITE_OK ? kNotConfirmed : synced;
    }
    degraded_ = end == End::unconfirmed;
    // A failure makes SQLite roll back, and ending() withdraw.
    return write_real(real, header_.data(), header_.size(), header_at_);
}

uint64_t CommitWait::held_frames(const DatabaseFile& file) {
    const ControlPrepare& slot = file.control->prepare;
    return slot.last_frame.load(std::memory_order_relaxed) -
           slot.first_frame.load(std::memory_order_relaxed) + 1;
}

// False: the engine did not settle an earlier commit in time, or the wal-index cannot be read.
bool CommitWait::post(DatabaseFile& file, uint32_t page_bytes, Instant deadline) {
    if (!settle_slot(file, deadline)) return false;
    const auto header = read_wal_index_header(file.gate.region());
    if (!header) return false;
    HeldFrames frames;
    frames.salt1 = new_wal_ ? new_wal_->salt1 : header->salt.salt1;
    frames.salt2 = new_wal_ ? new_wal_->salt2 : header->salt.salt2;
    frames.first_frame = header->max_frame + 1;
    frames.last_frame =
        static_cast<uint32_t>((static_cast<uint64_t>(header_at_) - kWalHeaderBytes) /
                              (kWalFrameHeaderBytes + page_bytes)) +
        1;
    frames.pgno = load_be32(header_.data());
    frames.db_pages = load_be32(header_.data() + 4);
    frames.page_bytes = page_bytes;
    frames.change = header->change + 1;
    frames.checksum_a = load_be32(header_.data() + 16);
    frames.checksum_b = load_be32(header_.data() + 20);
    word_ = post_commit(file.control->prepare, frames);
    if (policy_.rule.level == AckLevel::received) {
        want_receipt(file.control);
    } else if (!synchronous_full_) {
        file.control->local_sync_asked.fetch_add(1, std::memory_order_seq_cst);
    }
    file.call_engine();
    return true;
}

bool CommitWait::settle_slot(DatabaseFile& file, Instant deadline) {
    ControlPrepare& slot = file.control->prepare;
    while (true) {
        const uint32_t word = slot.word.load(std::memory_order_seq_cst);
        if (phase_of(word) == PreparePhase::settled) return true;
        const Nanos left = deadline - boot_now();
        if (left.count() <= 0) return false;
        file.call_engine();
        futex_wait(&slot.word, word, std::min(left, kLookAfterEngine));
        file.engine_after_commit(true);
    }
}

// `applied` is decided by as many durable copies, and waited for afterwards: replicas apply only
// what is visible on the primary.
CommitWait::End CommitWait::await_grant(DatabaseFile& file, Instant deadline) {
    Control& control = file.control;
    AckRule rule = policy_.rule;
    if (rule.level == AckLevel::applied) rule.level = AckLevel::durable;
    const bool local = rule.level != AckLevel::received && !synchronous_full_;
    while (true) {
        const uint32_t tick = control->ack_tick.load(std::memory_order_seq_cst);
        const bool logged = control->prepare.logged_word.load(std::memory_order_acquire) == word_;
        lsn_ = Lsn(logged ? control->prepare.lsn.load(std::memory_order_relaxed) : 0);
        if (!file.may_commit()) {
            decide_slot(control, PreparePhase::refused);
            return End::refused;
        }
        if (logged &&
            (!local || control->durable_lsn.load(std::memory_order_acquire) >= lsn_.value) &&
            met(control, rule, lsn_)) {
            return decide_slot(control, PreparePhase::granted) ? End::confirmed : End::refused;
        }
        const Nanos left = deadline - boot_now();
        if (left.count() <= 0) {
            if (policy_.on_timeout != OnTimeout::degrade || voters_decide(control)) {
                decide_slot(control, PreparePhase::refused);
                return End::refused;
            }
            if (!decide_slot(control, PreparePhase::granted)) return End::refused;
            degrade(file);
            return End::unconfirmed;
        }
        control.wait_acks(tick, std::min(left, kLookAfterEngine), rule.level == AckLevel::durable);
        file.engine_after_commit(true);
    }
}

// What was refused may be durable in this node's log by now, and after a power cut the database is
// brought to that log's end (node/own_tail.h). So its ABORT is made durable before the application
// hears of the refusal. False: no engine did that in time.
bool CommitWait::await_abort(DatabaseFile& file) {
    if (word_ == 0) return true;  // never posted
    Control& control = file.control;
    const Instant deadline = boot_now() + kAbortPatience;
    if (!settle_slot(file, deadline)) return false;
    const uint64_t taken_back = control->committed_lsn.load(std::memory_order_acquire);
    control->local_sync_asked.fetch_add(1, std::memory_order_seq_cst);
    control.ring(true);
    while (true) {
        const uint32_t tick = control->ack_tick.load(std::memory_order_seq_cst);
        if (control->durable_lsn.load(std::memory_order_acquire) >= taken_back) return true;
        const Nanos left = deadline - boot_now();
        if (left.count() <= 0) return false;
        control.wait_acks(tick, std::min(left, kLookAfterEngine), true);
        file.engine_after_commit(true);
    }
}

// Only ours to decide while it is posted, and never twice.
bool CommitWait::decide_slot(Control& control, PreparePhase phase) {
    return decide_commit(control->prepare, word_, phase);
}

// Granted, but SQLite could not make it visible: a write or a sync failed. Its header may be in the
// WAL, where a recovery would find it.
void CommitWait::withdraw(DatabaseFile& file) {
    if (file.wal != nullptr) {
        write_real(file.wal, kNoHeader.data(), kNoHeader.size(), header_at_);
        file.wal->pMethods->xSync(file.wal, SQLITE_SYNC_NORMAL);
    }
    withdraw_commit(file.control->prepare, word_);
    file.control.ring(true);
    await_abort(file);  // or not: SQLite's own error is what the application hears
    word_ = 0;
}

// -- the wait after the commit

std::optional<Lsn> CommitWait::lsn_of(const Control& control, const Unconfirmed& commit) const {
    if (commit.lsn.value != 0) return commit.lsn;
    if (auto lsn = control.find_commit_lsn(commit.moment)) return lsn;
    // So many commits came after it that its entry is gone, or a REBASE covers it: what is
    // captured by now includes it.
    const CapturedPoint now = control.captured();
    const bool same_wal = now.salt1 == commit.moment.salt1 && now.salt2 == commit.moment.salt2;
    const bool later = static_cast<int32_t>(now.change - commit.moment.change) >= 0;
    if (!later || (same_wal && now.frame < commit.moment.frame)) return std::nullopt;
    // Between the two looks it may have been entered.
    if (auto lsn = control.find_commit_lsn(commit.moment)) return lsn;
    return now.position.lsn;
}

bool CommitWait::met(const Control& control, AckRule rule, Lsn lsn) const {
    const uint32_t replicas = control->peers.load(std::memory_order_acquire);
    // What a majority of the voters has stored is enough for who would degrade.
    if (policy_.on_timeout == OnTimeout::degrade && voters_decide(control)) {
        const uint32_t enough = control->confirmations.load(std::memory_order_acquire) - 1;
        if (enough == 0) return true;
        rule.replicas = static_cast<uint16_t>(std::min(enough, replicas_needed(rule, replicas)));
        rule.majority = false;
    }
    const AckPoints points = control.acks();
    return satisfied(rule, points.all(), replicas, lsn);
}

int CommitWait::confirm(DatabaseFile& file) {
    const GroupSync::Ticket ticket = std::exchange(sync_owed_, 0);
    const GroupSync::Sync sync = [this, &file] { return sync_wal(file); };
    if (ticket != 0) wal_syncs_->help(ticket, sync);  // beside the replicas
    const bool met = await_rule(file);
    if (ticket != 0 && wal_syncs_->await(ticket, sync) != 0) {
        file.last_error = "committed here, not confirmed: the WAL of " + file.layout.db +
                          " cannot be synced; look at its disk";
        return kCommittedUnconfirmed;
    }
    if (met) return SQLITE_OK;
    file.last_error = sentence(policy_, "committed here, not confirmed by the replicas");
    return kCommittedUnconfirmed;
}

// SQLite makes the name of a new WAL durable with the first sync by the connection that made it; in
// synchronous = OFF that never comes.
int CommitWait::sync_wal(DatabaseFile& file) {
    const int rc = file.wal->pMethods->xSync(file.wal, sync_later_);
    if (rc != SQLITE_OK || wal_name_synced_) return rc;
    wal_name_synced_ = sync_directory(directory_of(file.layout.db)).ok();
    return wal_name_synced_ ? SQLITE_OK : SQLITE_IOERR_DIR_FSYNC;
}

bool CommitWait::await_rule(DatabaseFile& file) {
    if (!unconfirmed_) return true;
    const Unconfirmed commit = *unconfirmed_;
    unconfirmed_.reset();
    Control& control = file.control;
    const Instant deadline = deadline_from(boot_now(), file.control);
    while (true) {
        const uint32_t tick = control->ack_tick.load(std::memory_order_seq_cst);
        const auto lsn = lsn_of(control, commit);
        if (lsn && met(control, policy_.rule, *lsn)) return true;
        const Nanos left = deadline - boot_now();
        if (left.count() <= 0) break;
        control.wait_acks(tick, std::min(left, kLookAfterEngine),
                          policy_.rule.level == AckLevel::durable);
        file.engine_after_commit(true);
    }
    if (policy_.on_timeout != OnTimeout::degrade || voters_decide(control)) return false;
    degrade(file);
    control->degraded_commits.fetch_add(1, std::memory_order_relaxed);
    return true;
}

// Said once for all who degrade until the engine has seen the replicas catch up.
void CommitWait::degrade(DatabaseFile& file) {
    uint32_t nobody = 0;
    if (!file.control->degraded.compare_exchange_strong(nobody, pack(policy_.rule))) return;
    file.control->degradations.fetch_add(1, std::memory_order_relaxed);
    log_line(file.layout.db + ": " + sentence(policy_, "degraded") +
             "; commits are no longer confirmed until enough replicas have caught up");
    file.control.ring(true);
}

}  // namespace tanist
