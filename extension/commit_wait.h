// A synchronous commit, from the application's side: hold it back or let it be seen, wait until its
// rule is met, and end it in one of three ways that are never confused: confirmed, rolled back
// here, committed here and not confirmed. One per connection's open main database.
//
// before_visible. SQLite completes a transaction with two writes: the header of its last frame,
// 24 bytes that name the new size of the database, and that frame's page. The page is written; for
// the header zeros are written, so that no recovery can find a commit there. Then the place of the
// frames is posted in the control block, where the engine takes them into its log as a prepared
// record and ships it; when enough replicas have acknowledged it, the header is written and SQLite
// goes on. Otherwise the write fails, and SQLite rolls back. SQLite holds WRITE meanwhile: readers
// and passive checkpoints go on, other writers wait.
//
// pipelined. The wait is in COMMIT_PHASETWO, after WRITE was given back. So is the sync of the WAL,
// in NORMAL as in FULL, where the rule asks for something durable: many commits share one. Until it
// is done the WAL is what it is in NORMAL at any time, and nobody was told that the commit
// happened.
//
// What is held back is never the only thing that keeps others from going on: whoever gets WRITE
// finds an abandoned commit in the control block and settles it (ControlPrepare).
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "replicator/base/clock.h"
#include "replicator/base/group_sync.h"
#include "replicator/base/ids.h"
#include "replicator/control/ack_rule.h"
#include "replicator/control/control_block.h"

struct sqlite3_file;

namespace tanist {

struct DatabaseFile;

class CommitWait {
  public:
    // -- from the gate; SQLite holds a READ slot.
    // Before a writer takes WRITE. SQLITE_OK, or why it may not: kRuleImpossible; SQLITE_BUSY while
    // the engine has not yet compared the database with its log in this boot.
    int may_begin(DatabaseFile& file);
    // WRITE is held.
    void began(DatabaseFile& file);
    // WRITE is still held. `committed`: the wal-index shows the transaction.
    void ending(DatabaseFile& file, bool committed);
    // The bell must be rung for this commit at once: somebody waits.
    bool urgent() const { return urgent_; }
    // The engine is to say at once that this commit is settled: the next one waits for that.
    bool was_held_back() const { return urgent_ && policy_.mode == CommitMode::before_visible; }

    // -- from the -wal file; a writer holds WRITE, or a checkpointer syncs.
    int write(DatabaseFile& file, sqlite3_file* real, const void* data, int count, int64_t offset);
    int sync(sqlite3_file* real, int flags);

    // -- from COMMIT_PHASETWO; WRITE is free again. SQLITE_OK or kCommittedUnconfirmed.
    int confirm(DatabaseFile& file);

    // By a connection that had none.
    void wal_opened() { wal_name_synced_ = false; }

    // PRAGMA synchronous is about to change what is known about it.
    void forget_synchronous() { synchronous_full_ = false; }

  private:
    enum class End { confirmed, refused, unconfirmed };
    struct Unconfirmed {  // visible, and its rule not known to be met
        WalMoment moment;
        Lsn lsn;  // when it is known
    };

    int may_wait(DatabaseFile& file);
    bool may_sync_later() const;
    int withhold(sqlite3_file* real, const void* data, int64_t offset);
    int decide(DatabaseFile& file, sqlite3_file* real, uint32_t page_bytes);
    bool post(DatabaseFile& file, uint32_t page_bytes, Instant deadline);
    static uint64_t held_frames(const DatabaseFile& file);  // of the posted attempt
    bool settle_slot(DatabaseFile& file, Instant deadline);
    End await_grant(DatabaseFile& file, Instant deadline);
    bool await_abort(DatabaseFile& file);
    bool decide_slot(Control& control, PreparePhase phase);
    void withdraw(DatabaseFile& file);
    void resolve_leftover(DatabaseFile& file);
    std::optional<Lsn> lsn_of(const Control& control, const Unconfirmed& commit) const;
    bool met(const Control& control, AckRule rule, Lsn lsn) const;
    bool await_rule(DatabaseFile& file);
    int sync_wal(DatabaseFile& file);
    Instant deadline_from(Instant now, const Control& control) const;
    void degrade(DatabaseFile& file);

    bool marked_ = false;     // Layout::waited() is there
    bool writing_ = false;    // between began() and ending()
    CommitPolicy policy_;     // of this transaction
    bool withholds_ = false;  // this transaction's commit will be held back
    bool degraded_ = false;   // nobody waits for this transaction, by policy
    bool urgent_ = false;     //
    bool synced_ = false;     // the last thing that SQLite did to the WAL was a sync
    bool ended_ = false;      // this transaction's last frame is written
    int sync_later_ = 0;      // flags of a sync that this transaction asked for and did not get yet
    GroupSync::Ticket sync_owed_ = 0;  // for it, once the transaction is committed; 0: none
    bool wal_name_synced_ = false;     // since the WAL was opened
    uint64_t generation_ = 0;          // salts of the WAL, as last seen
    std::shared_ptr<GroupSync> wal_syncs_;
    // The last commit of this connection was followed by a sync: synchronous is FULL or EXTRA.
    // False is always safe: a commit that is held back has this node's log synced then.
    bool synchronous_full_ = false;
    bool header_held_ = false;  // the zeros are written, the page is not
    std::array<uint8_t, 24> header_{};
    int64_t header_at_ = 0;
    std::optional<WalMoment> new_wal_;  // salts of a WAL that this transaction began
    uint32_t word_ = 0;                 // of the posted attempt; 0 none
    Lsn lsn_;                           // of the granted commit
    std::optional<Unconfirmed> unconfirmed_;
};

}  // namespace tanist
