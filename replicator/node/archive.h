// The archive: each closed segment of a primary's log is handed to a command of the operator, once
// and in order, retried until it takes it. Which one next, when again, what is forgotten and what
// is said. Pure; archive_loop.h runs the command and keeps the position.
//
// A segment counts as archived when the command ended with 0 and the position behind it is on the
// disk. So after a crash the last one may be handed over again, with the same bytes; none is left
// out but those that the log's hard bound dropped first, and that is said.
#pragma once

#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "replicator/base/bytes.h"
#include "replicator/base/clock.h"
#include "replicator/base/notes.h"
#include "replicator/base/result.h"
#include "replicator/log/log.h"

namespace tanist {

namespace archive_event {
// The log's oldest closed segment behind kept(), which is lent to us until Ended; nothing: none.
struct Looked {
    std::optional<ClosedSegment> next;
};
struct Ended {
    std::string failure;  // of the command, in words; "" it took the segment
};
struct Kept {  // the position, as ArchiveAction::Keep asked
    std::string failure;
};
struct Tick {};
}  // namespace archive_event
using ArchiveEvent = std::variant<archive_event::Looked, archive_event::Ended, archive_event::Kept,
                                  archive_event::Tick>;

namespace archive_action {
struct Look {  // for a segment behind `after`
    Lsn after;
};
struct Run {  // the command, with this segment
    ClosedSegment segment;
};
struct Keep {  // this position, durably
    LogPoint position;
};
struct Say {
    NoteLevel level = NoteLevel::info;
    std::string event;
    std::string reason;
};
}  // namespace archive_action
using ArchiveAction = std::variant<archive_action::Look, archive_action::Run, archive_action::Keep,
                                   archive_action::Say>;

struct ArchiveView {
    uint64_t segments = 0;  // archived since the engine started
    uint64_t failures = 0;  // of the command, since then
    uint64_t lost = 0;      // records that left the log unarchived, as far as noticed since then
    std::string failing;    // why, since the last success; "" it does not fail
};

constexpr Nanos kArchiveRetryFirst = std::chrono::seconds(1);
constexpr Nanos kArchiveRetryLast = std::chrono::seconds(60);

//   idle    --Tick: Look--> looking --nothing--> idle
//   looking --Looked: Run--> running --Ended: Keep--> keeping --Kept: Look--> looking
//   looking, where nothing is kept yet --Looked: Keep the place where it begins--> keeping
//   running --failed--> resting --Tick, its time: Look--> looking
//   keeping --failed--> resting --Tick, its time: Keep--> keeping
class Archive {
  public:
    // `kept`: what is archived of this very history, if anything.
    explicit Archive(std::optional<LogPoint> kept) : kept_(kept) {}
    // Tick when deadline() has passed, or when there may be another closed segment.
    std::vector<ArchiveAction> step(const ArchiveEvent& event, Instant now);
    Instant deadline() const;
    const ArchiveView& view() const { return view_; }
    const std::optional<LogPoint>& kept() const { return kept_; }
    // The log's oldest record that is not archived: retention keeps it.
    Lsn needs() const;
    // Nothing is under way, or it fails: whoever waits for it to be done need not wait longer.
    bool at_rest() const { return phase_ == Phase::idle || phase_ == Phase::resting; }

  private:
    enum class Phase { idle, looking, running, keeping, resting };
    using Actions = std::vector<ArchiveAction>;
    void on(const archive_event::Looked& event, Instant now, Actions& out);
    void on(const archive_event::Ended& event, Instant now, Actions& out);
    void on(const archive_event::Kept& event, Instant now, Actions& out);
    void on(const archive_event::Tick& event, Instant now, Actions& out);
    void look(Actions& out);
    void keep(const LogPoint& position, Actions& out);
    void fail(const std::string& why, Instant now, Actions& out);

    Phase phase_ = Phase::idle;
    std::optional<LogPoint> kept_;
    std::optional<LogPoint> taken_;  // what is to be kept now
    LogPoint handed_;                // the end of what it has now
    ArchiveView view_;
    Nanos rest_ = kArchiveRetryFirst;
    Instant wake_{0};  // resting
};

// What the log says about a position that was kept: whether it is of this history.
struct ArchivePlace {
    LogPoint base;                     // of the log
    LogPoint end;                      // of the log
    std::optional<LogPoint> same_lsn;  // the log's own record there, or its base
};
// Nothing: it is of another history (this node was rewound, its log begun anew), so that all that
// the log has is archived. A position before the log's first record is believed.
std::optional<LogPoint> begin_archive_at(const std::optional<LogPoint>& kept,
                                         const ArchivePlace& place);

// The position's file: magic, version, epoch, LSN, chain, hash64 over all of it; little-endian.
Bytes encode_archived(const LogPoint& position);
std::optional<LogPoint> decode_archived(ByteView bytes);

struct ArchiveFacts {
    std::string database;
    std::string path;  // of the segment
    std::string name;  // of its file
    Epoch epoch;       // of the primacy
    Lsn first;         // its records
    Lsn last;
};
// %p is the path, %n the name, %e the epoch, %% a percent sign. refused: the path has characters
// that a shell takes for its own; the message says what to write instead of %p.
Result<std::string> archive_command_text(const std::string& command, const ArchiveFacts& facts);
std::vector<std::string> environment_of(const ArchiveFacts& facts);

}  // namespace tanist
