// What a Log and its readers share. Only log*.cc include this.
#pragma once

#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "replicator/base/file.h"
#include "replicator/base/hash.h"
#include "replicator/log/directory.h"
#include "replicator/log/log.h"
#include "replicator/log/record_form.h"

namespace tanist {

// A segment in use.
struct LiveSegment {
    LogPoint previous;
    uint64_t file_bytes = 0;
    uint64_t end_offset = kRecordsAt;  // behind the last record written or waiting in the buffer
    RecordForm form;
    Lsn first() const { return previous.position.lsn.next(); }
};

struct Log::State {
    State(std::string where, GroupId of, const LogOptions& how)
        : directory(std::move(where)), options(how), group(of), boot(boot_id()) {}

    std::string directory;
    LogOptions options;
    GroupId group;
    BootId boot;
    LogRecovery recovery;

    // Shared with readers. Held for a few loads and stores, never over a system call.
    mutable std::mutex mutex;
    std::vector<LiveSegment> segments;  // never empty; guarded by mutex
    LogPoint published;                 // guarded by mutex
    uint64_t generation = 0;            // counts reset(); guarded by mutex
    Lsn lent;                           // first LSN of the segment; guarded by mutex

    // -- owner thread only, from here on.
    File tail;  // the last segment
    // Earlier segments that are not yet synced (LogOptions::sync_later), oldest first.
    struct Unsynced {
        Lsn first;
        File file;
    };
    std::vector<Unsynced> unsynced;
    Lsn durable;              // what the next mark says: records up to here are on the disk
    Lsn head_durable;         // the last segment with head and name on the disk: its first LSN
    bool sync_begun = false;  // a LogSync is under way
    std::optional<RecordHeader> last;
    LogPoint finished;  // the position of `last`, or base

    // Bytes of the tail segment that are not yet written, and where they belong. Holds finished
    // records, or a part of the one being appended.
    Bytes buffer;
    uint64_t buffer_at = kRecordsAt;
    uint64_t synced_at = kRecordsAt;  // how far the tail was written at the last sync
    uint64_t blocks_to = kRecordsAt;  // up to here its blocks were written once

    // The record between begin and finish.
    bool appending = false;
    bool through = false;  // its payload goes to the file as it comes
    uint64_t record_at = 0;
    uint64_t payload_bytes = 0;
    uint64_t payload_done = 0;
    Hasher128 hasher;  // of a payload that goes through or is sealed
    // Sealed: what identifies this writing, and the payload that makes no whole chunk yet.
    SealNonce nonce;
    Bytes unsealed;
    uint64_t chunks_done = 0;

    size_t mark_place = 0;           // where the next mark goes; the other one is the newest
    bool dirty = false;              // the tail was written since the last fdatasync
    std::optional<Error> sync_lost;  // after a failed fdatasync the kernel forgets what it lost
    std::vector<std::string> spares;

    std::string path(const std::string& name) const { return directory + "/" + name; }
    std::string segment_path(Lsn first) const { return path(segment_name(first)); }

    Status create_first(const LogPoint& base);
    Status adopt(FoundLog&& found);
    Status cut_tail(const FoundLog& found);
    Status drop_spares();
    Status drop_torn(const FoundLog& found);
    Status sync_older(const FoundLog& found);
    Status finish_reset();
    Result<File> make_segment(const std::string& name, const LogPoint& previous, uint64_t bytes);
    Status write_mark(Lsn synced);
    void write_blocks_ahead();
    RecordForm new_form() const;
    Status begin_form();
    const RecordForm& form() const { return segments.back().form; }
    Status make_room(uint64_t payload_bytes);
    Status roll(uint64_t bytes);
    Status flush_buffer();
    Status sync_tail();
    Result<LogPoint> synced_through(const LogPoint& point);
    void lose_sync(const Error& error);
    void drop_append();
    void seal_chunks(bool rest_too);
    Status complete(RecordHeader& header, std::span<const uint8_t, kRecordHeaderBytes> bytes);
    Hash128 payload_hash();
    Status retire(const LiveSegment& segment, bool is_lent);
};

}  // namespace tanist
