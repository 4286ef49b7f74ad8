// The control block: what the VFS in the application's processes and the engine share about one
// database, in a small mmap'ed file (<db>-tanist/control). Reading it is the whole cost of the gate
// on the hot path. It is never the only copy of anything: whoever finds it missing, of another
// version or of another boot makes it anew.
//
// Every field is a lock-free atomic at a fixed offset; processes of different builds may share the
// file, so the layout is versioned and never reordered. Groups of fields that belong together are
// guarded by a sequence word: odd while the engine writes.
//
// Who writes what: the engine everything, except `bell`, `restart_request`, `clients_started`,
// which the VFS writes.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <string>

#include "replicator/base/clock.h"
#include "replicator/base/file.h"
#include "replicator/base/ids.h"
#include "replicator/base/limits.h"
#include "replicator/base/peer_state.h"
#include "replicator/base/result.h"

namespace tanist {

constexpr uint32_t kControlMagic = 0x434E'5431;  // "1TNC"
constexpr uint32_t kControlVersion = 1;
constexpr size_t kControlBytes = 65536;

enum class Role : uint32_t { unknown = 0, primary = 1, replica = 2, fenced = 3 };
const char* to_string(Role role);

enum class EngineState : uint32_t { none = 0, starting = 1, running = 2, draining = 3 };

// What the bell means to a commit: nobody need be woken; the engine sleeps and wants every commit;
// the engine looks again by itself within a moment, wake it only for something urgent.
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

struct ControlBlock {
    std::atomic<uint32_t> magic;
    std::atomic<uint32_t> version;
    std::atomic<uint8_t> boot[16];  // boot_id under which it was made
    std::atomic<uint32_t> role;     // Role
    std::atomic<uint32_t> reserved0;
    std::atomic<uint64_t> epoch;
    std::atomic<int64_t> lease_deadline_ns;  // boot clock; 0: leases are off (issue D)

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

    // Restart hold-back: a process that holds the WRITE lock and wants the WAL restarted adds 1 to
    // restart_request and rings; the engine captures the rest, lets its pin go and stores that
    // number in restart_grant (futex word). It takes the pin again when it sees the new WAL, or
    // after a moment.
    alignas(64) std::atomic<uint32_t> restart_request;
    std::atomic<uint32_t> restart_grant;
    // 1 while the engine holds, or is about to take, SQLite's WRITE lock for a moment (to restart
    // the WAL, to mark iChange). A lone application that meets it waits a little instead of being
    // told SQLITE_BUSY, which it would never see without us. Futex word.
    std::atomic<uint32_t> engine_writes;

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

    alignas(64) ControlPeer peer[limits::kMembersMax];

    // What the engine did or refused and the operator may not expect, one sentence; "" none. Unlike
    // a problem it holds nothing up.
    alignas(64) std::atomic<uint32_t> notice_sequence;
    std::atomic<uint8_t> notice[256];
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
    // Waits until captured().position may have changed, or the timeout.
    void wait_captured(uint32_t seen_tick, Nanos timeout) const;
    // Rings if `urgent`, or if the engine sleeps. False: it was rung and nobody woke, so the engine
    // is at work just now, or dead.
    bool ring(bool urgent) const;
    void set_problem(const std::string& sentence);  // engine
    std::string problem() const;
    void set_notice(const std::string& sentence);  // engine
    std::string notice() const;
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

// True while some process holds the flock of ship.lock. Opens and closes its own descriptor. It
// asks by taking a shared flock for an instant, so whoever wants the exclusive one must try again
// for a moment before believing that another engine has it.
bool engine_lives(const std::string& ship_lock_path);

}  // namespace tanist
