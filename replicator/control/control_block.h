// The control block: what the VFS in the application's processes and the engine share about one
// database, in a small mmap'ed file (<db>-tanist/control). Reading it is the whole cost of the gate
// on the hot path. It is never the only copy of anything: whoever finds it missing, of another
// version or of another boot makes it anew.
//
// Every field is a lock-free atomic at a fixed offset; processes of different builds may share the
// file, so the layout is versioned and never reordered. Groups of fields that belong together are
// guarded by a sequence word: odd while the engine writes.
//
// Who writes what: the engine everything, except `bell`, `begun_…`, `local_sync_asked`,
// `ack_waiters`, `captured_waiters`, `held_up_commits`, `receipt_wanted_ns`,
// `applied_wanted_ns` and `turn`, which the VFS writes; `prepare`, `degraded` and `gather` are
// written by both, as said there.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "replicator/base/clock.h"
#include "replicator/base/file.h"
#include "replicator/base/ids.h"
#include "replicator/base/limits.h"
#include "replicator/base/peer_state.h"
#include "replicator/base/result.h"
#include "replicator/control/ack_rule.h"

namespace tanist {

constexpr uint32_t kControlMagic = 0x434E'5431;  // "1TNC"
constexpr uint32_t kControlVersion = 3;
constexpr size_t kControlBytes = 65536;
constexpr size_t kFailoverTextBytes = 12288;
constexpr size_t kArchiveTextBytes = 1024;

enum class Role : uint32_t { unknown = 0, primary = 1, replica = 2, fenced = 3, witness = 4 };
const char* to_string(Role role);

enum class EngineState : uint32_t { none = 0, starting = 1, running = 2, draining = 3 };

// What the bell means to a commit: nobody need be woken; the engine sleeps and wants every commit;
// the engine looks again by itself within a moment, wake it only for something urgent. A commit
// that waits for replicas does not ring it, but chimes (hears_chime, gather).
enum class BellMode : uint32_t { awake = 0, asleep = 1, napping = 2 };

struct ControlPeer {
    std::atomic<uint32_t> sequence;  // guards this entry
    std::atomic<uint32_t> state;     // PeerState
    std::atomic<uint64_t> received_lsn;
    std::atomic<uint64_t> durable_lsn;
    std::atomic<uint64_t> applied_lsn;
    std::atomic<uint64_t> lag_bytes;
    std::atomic<uint64_t> lag_ns;
    std::atomic<int64_t> heard_ns;  // boot clock; when it last answered
    std::atomic<uint64_t> sync_done_bytes;
    std::atomic<uint64_t> sync_total_bytes;
    std::atomic<uint8_t> endpoint[128];  // text, zero-terminated
    std::atomic<uint8_t> reason[160];    // why it is refused or syncing
};

// How far one replica is with the log, as far as its history is known to be ours. Only grows while
// the replica is the same one; zeros: not there.
struct ControlAck {
    std::atomic<uint64_t> received_lsn;
    std::atomic<uint64_t> durable_lsn;
    std::atomic<uint64_t> applied_lsn;
    std::atomic<uint64_t> reserved;
};

// Which LSN a commit became: the commit after which iChange was `change`.
struct ControlCommitLsn {
    std::atomic<uint32_t> sequence;  // guards this entry
    std::atomic<uint32_t> change;
    std::atomic<uint32_t> salt1;
    std::atomic<uint32_t> salt2;
    std::atomic<uint32_t> frame;
    std::atomic<uint32_t> reserved;
    std::atomic<uint64_t> lsn;
};
// More than commits become visible while one committer wakes; what is overwritten costs a longer
// wait and nothing else.
constexpr size_t kCommitLsns = 512;

// Where a commit is that its writer holds back. Only the holder of SQLite's WRITE lock posts one,
// and only over one that is settled. The word's low bits are the phase, the others the number of
// the attempt, so that a decision can only hit the attempt that it means. Exactly one
// compare-and-swap leads away from `posted`: whoever does it has decided.
//
//   settled --writer--> posted --writer--> granted --writer--> published
//                          \--writer, or whoever has WRITE and finds its holder gone,
//                             or the engine at a gap--> refused
//   granted --the same, when the commit did not become visible--> refused
//   granted, published, refused --engine, when the log says how it ended--> settled
enum class PreparePhase : uint32_t {
    settled = 0,
    posted = 1,
    granted = 2,    // confirmed: the writer makes it visible
    published = 3,  // visible, says its writer, still under WRITE
    refused = 4,    // will never be visible
};
constexpr uint32_t kPrepareAttempt = 8;  // one more attempt
constexpr PreparePhase phase_of(uint32_t word) {
    return static_cast<PreparePhase>(word & (kPrepareAttempt - 1));
}
constexpr uint32_t with_phase(uint32_t word, PreparePhase phase) {
    return (word & ~(kPrepareAttempt - 1)) | static_cast<uint32_t>(phase);
}

struct ControlPrepare {
    std::atomic<uint32_t> word;  // futex word; see PreparePhase
    // Engine: the word of the attempt that `lsn` is of.
    std::atomic<uint32_t> logged_word;
    std::atomic<uint64_t> lsn;
    // Written before `word` says posted, and not after: frames first_frame..last_frame of the WAL,
    // the last one without its header, which would be of page `pgno` and name `db_pages`.
    std::atomic<uint32_t> salt1;
    std::atomic<uint32_t> salt2;
    std::atomic<uint32_t> first_frame;
    std::atomic<uint32_t> last_frame;
    std::atomic<uint32_t> pgno;
    std::atomic<uint32_t> db_pages;
    std::atomic<uint32_t> page_bytes;
    std::atomic<uint32_t> change;      // iChange when it will be visible
    std::atomic<uint32_t> checksum_a;  // of the withheld header; zeros when SQLite sums up later
    std::atomic<uint32_t> checksum_b;
};

// See writer_turn.h. Written by the VFS.
struct ControlTurn {
    std::atomic<uint32_t> holder;   // futex word; 0: nobody
    std::atomic<uint32_t> waiters;  // too many when some were killed
    std::atomic<int64_t> since_ns;  // boot clock; when the holder came
};

// Commits that wait after they are visible, and when whoever ships them is told (ship/gathering.h).
struct ControlGather {
    std::atomic<uint32_t> commits;      // how many have ever waited; the VFS counts
    std::atomic<uint32_t> complete_at;  // engine: whoever brings them to this number rings
    std::atomic<int64_t> shipped_ns;    // engine, boot clock: when it last shipped some
};
// If that is longer ago, each rings. So nobody waits for the confirmations of a replica that is far
// away, or gone; and after so long there are batches anyway.
constexpr Nanos kGatherLongest = std::chrono::milliseconds(2);

struct ControlBlock {
    std::atomic<uint32_t> magic;
    std::atomic<uint32_t> version;
    std::atomic<uint8_t> boot[16];  // boot_id under which it was made
    std::atomic<uint32_t> role;     // Role
    // Where leases are on: 1 while writers are to wait for a moment (SQLITE_BUSY).
    std::atomic<uint32_t> writers_wait;
    std::atomic<uint64_t> epoch;
    // Boot clock: a primary takes writes before it and no later. 0: leases are off.
    std::atomic<int64_t> lease_deadline_ns;

    // Engine.
    alignas(64) std::atomic<uint32_t> engine_state;  // EngineState
    std::atomic<uint32_t> engine_pid;
    std::atomic<int64_t> engine_beat_ns;  // boot clock, at least once a second while it lives

    // The bell. A commit that finds bell_mode asleep sets it to awake, adds 1 to bell and wakes.
    alignas(64) std::atomic<uint32_t> bell_mode;  // BellMode
    alignas(64) std::atomic<uint32_t> bell;       // futex word

    // Capture's progress: everything up to this point of the WAL is in the log (guarded by
    // captured_sequence; captured_tick is a futex word bumped after each change).
    alignas(64) std::atomic<uint32_t> captured_sequence;
    std::atomic<uint32_t> captured_salt1;
    std::atomic<uint32_t> captured_salt2;
    std::atomic<uint32_t> captured_frame;
    std::atomic<uint32_t> captured_change;
    std::atomic<uint32_t> reserved1;
    std::atomic<uint64_t> captured_epoch;
    std::atomic<uint64_t> captured_lsn;
    std::atomic<uint32_t> captured_tick;
    std::atomic<uint32_t> captured_waiters;

    // How many commits through the extension waited because the WAL was beyond its bound.
    alignas(64) std::atomic<uint32_t> held_up_commits;
    std::atomic<uint32_t> reserved3;
    // 1 while the engine holds, or is about to take, SQLite's WRITE lock for a moment (to restart
    // the WAL, to mark iChange). A lone application that meets it waits a little instead of being
    // told SQLITE_BUSY, which it would never see without us. Futex word.
    std::atomic<uint32_t> engine_writes;
    // The last WAL that was begun by the engine or a transaction through the extension, and where
    // the one before it ended (guarded by begun_sequence). Written by whoever holds SQLite's WRITE
    // lock, before a frame of the new WAL is.
    std::atomic<uint32_t> begun_sequence;
    std::atomic<uint32_t> begun_salt1;
    std::atomic<uint32_t> begun_salt2;
    std::atomic<uint32_t> begun_after_salt1;
    std::atomic<uint32_t> begun_after_salt2;
    std::atomic<uint32_t> begun_after_frame;
    std::atomic<uint32_t> begun_after_change;

    // Totals for status.
    alignas(64) std::atomic<uint64_t> commits_captured;
    std::atomic<uint64_t> bytes_captured;
    std::atomic<uint64_t> rebases;  // gaps found and repaired by delta sync
    std::atomic<uint64_t> log_bytes;
    std::atomic<uint64_t> log_first_lsn;
    std::atomic<uint64_t> durable_lsn;      // of this node's own log
    std::atomic<uint64_t> applied_lsn;      // replica: readable here
    std::atomic<uint64_t> primary_lsn;      // replica: the primary's end, as last heard
    std::atomic<int64_t> primary_heard_ns;  // replica: boot clock
    std::atomic<uint64_t> lag_ns;           // replica
    std::atomic<uint64_t> lag_bytes;        // replica
    std::atomic<uint64_t> sync_done_bytes;  // replica: delta sync under way; total 0: none
    std::atomic<uint64_t> sync_total_bytes;
    std::atomic<uint8_t> replica_state[96];  // replica: one phrase
    std::atomic<uint32_t> peers;             // entries of peer[] in use
    std::atomic<uint32_t> problem_sequence;
    std::atomic<uint8_t> problem[256];  // the engine's present trouble, one sentence; "" none

    // Synchronous commits. ack_tick is a futex word, bumped by the engine after each change of
    // `ack`, of durable_lsn, of commit_lsn and of prepare.lsn while anybody waits.
    alignas(64) std::atomic<uint32_t> ack_tick;
    std::atomic<uint32_t> ack_waiters;
    // A committer adds 1 after its commit can be captured and before it rings: it is to be synced
    // in this node's own log, because nothing else here will have it after a power cut.
    std::atomic<uint32_t> local_sync_asked;
    std::atomic<uint32_t> acks;  // entries of ack[] in use
    // Every record up to here is visible on the primary, or taken back by an ABORT up to here.
    std::atomic<uint64_t> committed_lsn;
    // Not zero: the AckRule (packed) for which nobody waits any more. A committer sets it when its
    // rule is not met and its policy is to degrade; the engine clears it when enough replicas have
    // caught up.
    std::atomic<uint32_t> degraded;
    std::atomic<uint32_t> degradations;      // how often that happened
    std::atomic<uint64_t> degraded_commits;  // returned to their callers unconfirmed, in all
    std::atomic<uint64_t> unsafe_bytes;      // records that no replica has durably
    std::atomic<int64_t> unsafe_since_ns;    // boot clock, of the oldest of them; 0 none
    alignas(64) ControlPrepare prepare;
    alignas(64) ControlAck ack[limits::kMembersMax];
    alignas(64) ControlCommitLsn commit_lsn[kCommitLsns];

    alignas(64) ControlPeer peer[limits::kMembersMax];

    // What the engine did or refused and the operator may not expect, one sentence; "" none. Unlike
    // a problem it holds nothing up.
    alignas(64) std::atomic<uint32_t> notice_sequence;
    std::atomic<uint8_t> notice[256];

    // 1 while the engine hears the chime (Layout::chime): who waits for a commit rings that.
    std::atomic<uint32_t> hears_chime;
    // Of ack_waiters, those for whom more counts than what is durable.
    std::atomic<uint32_t> eager_waiters;
    // Where voters decide how many confirmations a commit needs (node/failover_host.h): one more
    // than the number in force. 0: nobody decides that here.
    std::atomic<uint32_t> confirmations;
    // How the elections stand, for status; JSON, "" where nobody votes.
    std::atomic<uint32_t> failover_sequence;
    std::atomic<uint8_t> failover[kFailoverTextBytes];

    // The engine's notice of its death (base/death_notice.h).
    std::atomic<uint32_t> engine_life;

    // How the archive of the log stands, for status; JSON, "" where nothing is archived.
    std::atomic<uint32_t> archive_sequence;
    std::atomic<uint8_t> archive[kArchiveTextBytes];

    // Boot clock: when a committer last began to wait for what replicas have only received. Set
    // before it rings, so that whoever ships its commit can ask them to say so at once.
    std::atomic<int64_t> receipt_wanted_ns;
    // The same, for what replicas show.
    std::atomic<int64_t> applied_wanted_ns;
    ControlTurn turn;
    ControlGather gather;
};
static_assert(sizeof(ControlBlock) <= kControlBytes);
static_assert(std::atomic<uint64_t>::is_always_lock_free);

// A consistent copy of the capture group.
struct CapturedPoint {
    uint32_t salt1 = 0;
    uint32_t salt2 = 0;
    uint32_t frame = 0;
    uint32_t change = 0;
    Position position;
};

// A place in the WAL's history, as a committer knows its own commit.
struct WalMoment {
    uint32_t change = 0;
    uint32_t salt1 = 0;
    uint32_t salt2 = 0;
    uint32_t frame = 0;
    bool operator==(const WalMoment&) const = default;
};

// A WAL with these salts began when everything up to `after` was committed.
struct WalBegun {
    uint32_t salt1 = 0;
    uint32_t salt2 = 0;
    WalMoment after;
    bool operator==(const WalBegun&) const = default;
};

// The acknowledgements by value.
struct AckPoints {
    std::array<AckPoint, limits::kMembersMax> point;
    uint32_t count = 0;
    std::span<const AckPoint> all() const { return {point.data(), count}; }
};

// One peer's entry by value.
struct PeerReport {
    PeerState state = PeerState::none;
    Lsn received;
    Lsn durable;
    Lsn applied;
    uint64_t lag_bytes = 0;
    uint64_t lag_ns = 0;
    int64_t heard_ns = 0;
    uint64_t sync_done_bytes = 0;
    uint64_t sync_total_bytes = 0;
    std::string endpoint;
    std::string reason;
};

// The mapping. One per connection or engine; nothing is shared through globals, so a fork or a
// crash leaves nothing locked. The file descriptor stays open and carries the client's presence
// (a shared flock), by which the engine knows that somebody still uses the database.
class Control {
  public:
    // `make`: create or remake it when it is absent or not of this boot and version (0600, or as
    // the database's mode allows its group). `presence`: hold the shared flock.
    static Result<Control> open(const std::string& path, bool make, bool presence);
    Control() = default;
    Control(Control&& other) noexcept;
    Control& operator=(Control&& other) noexcept;
    ~Control();

    ControlBlock* operator->() const { return block_; }
    ControlBlock& operator*() const { return *block_; }
    explicit operator bool() const { return block_ != nullptr; }

    // Zeros when an engine died in the middle of writing it and none has come since.
    CapturedPoint captured() const;
    void set_captured(const CapturedPoint& point);  // engine
    // Requires: SQLite's WRITE lock.
    void set_begun(const WalBegun& begun) const;
    // Zeros when there is none, or its writer died in the middle.
    WalBegun begun() const;
    // Waits until captured().position may have changed, or the timeout.
    void wait_captured(uint32_t seen_tick, Nanos timeout) const;
    // Rings if `urgent`, or if the engine sleeps. False: it was rung and nobody woke, so the engine
    // is at work just now, or dead.
    bool ring(bool urgent) const;
    // Counts a commit that waits and is visible. True: the engine is to be called for it. False:
    // somebody calls it for this one too, or it comes by itself.
    bool count_waiting() const;
    // Engine. Any commit that is counted rings at `complete_at`, or was counted before this.
    void set_gather(uint32_t complete_at) const;
    // As many commits have waited as make a batch.
    bool batch_is_complete() const;
    void set_problem(const std::string& sentence);  // engine
    std::string problem() const;
    // Engine. Tells whoever waits for a confirmation that something is durable, or that something
    // else has changed.
    void bump_acks(bool durable) const;
    // Waits until something that confirms a commit may have changed, or the timeout.
    void wait_acks(uint32_t seen_tick, Nanos timeout, bool for_durable) const;
    // Requires: index < limits::kMembersMax. Does not bump.
    void set_ack(size_t index, const AckPoint& point);  // engine
    AckPoints acks() const;
    void set_commit_lsn(const WalMoment& moment, Lsn lsn);  // engine
    // Nothing: it is not captured yet, or the entry was overwritten.
    std::optional<Lsn> find_commit_lsn(const WalMoment& moment) const;
    void set_notice(const std::string& sentence);  // engine
    std::string notice() const;
    void set_failover(const std::string& json);  // the failover host
    std::string failover() const;
    void set_archive(const std::string& json);  // the archive's thread
    std::string archive() const;
    // Requires: index < limits::kMembersMax. The engine sets block.peers itself.
    void set_peer(size_t index, const PeerReport& report);  // engine
    PeerReport peer(size_t index) const;
    // Text fields are zero-terminated and cut to fit.
    static void set_text(std::atomic<uint8_t>* field, size_t bytes, const std::string& text);
    static std::string text(const std::atomic<uint8_t>* field, size_t bytes);
    // Engine: true when no client holds its presence flock.
    bool nobody_present();

  private:
    void unmap();
    ControlBlock* block_ = nullptr;
    File file_;
};

// What a lease lets writers of a primary do.
enum class LeaseGate { open, wait, closed };
// Without a lease for so long, writers are told SQLITE_READONLY instead of SQLITE_BUSY.
constexpr Nanos kWithoutLeaseBusy = std::chrono::seconds(1);
LeaseGate lease_gate(const ControlBlock& block, Instant now);

// Whether commits can rely on the engine, by what the control block says. A commit that became
// visible before it asked and hears `at_work` is captured, if nobody is killed or stopped from then
// on. `unknown`: an engine of a version that posts no notice, or on a kernel that knows none.
enum class EngineSign { at_work, gone, unknown };
EngineSign engine_sign(const ControlBlock& block);

// True while some process holds the flock of ship.lock. Opens and closes its own descriptor. It
// asks by taking a shared flock for an instant, so whoever wants the exclusive one must try again
// for a moment before believing that another engine has it.
bool engine_lives(const std::string& ship_lock_path);
// True while a process is in line for it (PlaceInLine, node/ship_lock.h).
bool engine_is_in_line(const std::string& ship_lock_path);

}  // namespace tanist
