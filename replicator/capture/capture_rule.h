// What a look at the wal-index means, given what the log holds: nothing new, frames to take, or a
// gap. Pure; sqlite-facts section 3 has the measurements behind it.
//
// Three things identify a place in the history of a database in WAL mode:
//  - the salts: drawn anew with every restart of the WAL, so under one pair of salts frames are
//    only appended, except by a recovery after a power cut, which may drop the last ones;
//  - the checksum of a frame, which covers all frames before it: the same checksum at the same
//    frame under the same salts proves the same prefix, whatever happened in between;
//  - iChange, one more per commit through restarts, but 0 after every recovery. A *marked* iChange
//    (wal_index.h, mark_change) cannot be reached by counting from a recovery, so two marked values
//    close to each other prove that none ran between them.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "replicator/log/record.h"
#include "replicator/wal/wal_index.h"

namespace tanist {

// The point up to which the log has everything.
struct CapturePoint {
    WalPoint wal;
    uint32_t page_bytes = 0;
    // This process has watched the WAL, with its frames in the kernel's memory, since `wal`: no
    // power cut lies between. False for a point read from the log of an earlier process.
    bool live = false;
};

struct CaptureDecision {
    enum class Action {
        take,           // frames first_frame..header.max_frame; none when that range is empty
        need_checksum,  // ask again with the checksum of frame known.wal.frame
        gap,            // continuity cannot be proved; `reason`
    };
    Action action = Action::take;
    uint32_t first_frame = 0;
    bool restarted = false;  // other salts than known
    bool proved = false;     // by checksum
    std::string reason;
};

// `at_known` is the checksum found now in the WAL at frame known.wal.frame; absent when not read.
CaptureDecision decide_capture(const CapturePoint& known, const WalIndexHeader& now,
                               std::optional<WalChecksum> at_known);

// What the control block says of the time after the log's last record; of this boot.
struct ControlNotes {
    // Where the engine announced last that the log has everything. It gets there without a record
    // by marking iChange, or by restarting a WAL that the log has whole.
    WalPoint captured;
    // The last WAL that the engine or a program with the extension began, from its first frame
    // on...
    WalSalt begun;
    WalPoint begun_after;  // ...and what was committed before it
};

// Where an engine goes on after another: at `logged`, the place of the log's last record, or at
// what the notes prove to be the same state of the database later on. A marked iChange that counts
// on from `captured` proves that no recovery ran since; after one, the salts of the present WAL
// prove where it began.
CapturePoint resume_point(const CapturePoint& logged, const ControlNotes& notes,
                          const WalIndexHeader& now);

// Where the present WAL begins, if the notes prove that it does so at `known`: though a recovery
// made iChange begin anew. Nothing: they do not.
std::optional<CapturePoint> begun_point(const CapturePoint& known, const ControlNotes& notes,
                                        const WalIndexHeader& now);

// The end of a transaction within a range of frames.
struct CommitMark {
    uint32_t last_frame = 0;
    uint32_t db_pages = 0;
    WalChecksum checksum;  // as it stands in the WAL, which may be zero (sqlite-facts 0.9b)
};

// Whether `commits` transactions found in the range fit the change counter: "" or the reason for
// which it is a gap after all.
std::string why_count_is_wrong(const CapturePoint& known, const WalIndexHeader& now,
                               const CaptureDecision& decision, size_t commits);

// The page images of one commit: of each page the last, none beyond the database's end, ascending.
struct FrameOfPage {
    uint32_t pgno = 0;
    uint32_t frame = 0;
};
// `pgnos` are the page numbers of frames first_frame, first_frame + 1, ...
void select_pages(uint32_t first_frame, const uint32_t* pgnos, size_t count, uint32_t db_pages,
                  std::vector<FrameOfPage>& out);

}  // namespace tanist
