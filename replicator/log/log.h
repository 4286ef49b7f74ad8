// The durable sequence of records of one group: segments in <db>-tanist/log/.
// Format, torn-tail rule, recycling: docs/log-format.md.
//
// A Log has one owner thread that appends; LogReaders (one per thread) read beside it through their
// own file handles and see a record only after publish(). Appending is in two steps so that a
// record of any size is written with bounded memory: begin, write..., finish. The header is written
// last, so a torn append is a torn tail and never a record.
//
// The log of a replica does not start at LSN 1: base() is where its history starts (everything up
// to it is in the database file). reset() moves it.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "replicator/base/file.h"
#include "replicator/base/limits.h"
#include "replicator/base/log_cipher.h"
#include "replicator/log/record.h"

namespace tanist {

struct LogOptions {
    uint64_t segment_bytes = limits::kSegmentBytes;
    uint64_t bytes_max = limits::kLogBytesMax;  // hard bound of retention
    // A full segment is not synced when the next one begins, nor the next one's head, but with the
    // next sync: for a log whose appending must not wait for the disk. After a power cut it ends
    // somewhere behind the last sync, in whichever segment that is. retain() keeps at least one
    // segment whose head is on the disk.
    bool sync_later = false;
    // Opens sealed records. With `seal`, new segments are sealed, and what is appended begins one.
    std::shared_ptr<const LogCipher> cipher = nullptr;
    bool seal = false;
};

// A sync that another thread waits for: Log::begin_sync(), run(), Log::end_sync().
class LogSync {
  public:
    Status run();  // any thread
    // What is durable when run() has succeeded.
    Lsn through() const { return through_.position.lsn; }

  private:
    friend class Log;
    File head_;  // a segment whose head and name are not yet on the disk
    Bytes head_bytes_;
    Lsn head_first_;
    std::string directory_;
    std::vector<File> files_;
    std::vector<Lsn> whole_;  // first LSNs of the full segments among them
    LogPoint through_;
    uint64_t generation_ = 0;
};

struct LogStat {
    uint64_t segments = 0;
    uint64_t bytes = 0;  // of records
    Lsn first;           // oldest record still here; zero when none
    LogPoint base;       // what precedes `first`
    LogPoint end;
};

// A segment that takes no more records.
struct ClosedSegment {
    std::string name;   // of its file in the log's directory
    LogPoint previous;  // what precedes its first record
    LogPoint last;      // its last record
    bool operator==(const ClosedSegment&) const = default;
};

struct LogRecovery {  // what open() found
    bool created = false;
    uint64_t torn_bytes = 0;  // cut from the tail
    std::string torn_reason;  // why the tail ended there; empty when clean
};

// How far the log may be applied, when it is here up to `have` and the primary says that everything
// up to `committed` is settled. An ABORT stands directly behind the commit it takes back, so the
// last record here is not known to be visible while the primary has settled more than is here. Of
// the others is_taken_back() knows.
inline Lsn appliable(Lsn have, Lsn committed) {
    if (committed <= have) return committed;
    return Lsn(have.value == 0 ? 0 : have.value - 1);
}

class LogReader;

class Log {
  public:
    // Opens or creates. corrupt: damage before the end (position and bytes in the message; nothing
    // is changed). version: a segment of a later version. invalid: a log of another group. refused:
    // a sealed segment, and options.cipher has not its key.
    // A zero `group` accepts the group found, and creates nothing.
    static Result<std::unique_ptr<Log>> open(const std::string& directory, GroupId group,
                                             const LogOptions& options);
    // Creates one whose history continues after `base`, in a directory that holds no log.
    static Result<std::unique_ptr<Log>> create(const std::string& directory, GroupId group,
                                               const LogPoint& base, const LogOptions& options);
    ~Log();
    // Its directory was renamed. Requires: no reader, no sync under way.
    void moved_to(const std::string& directory);

    GroupId group() const;
    const LogRecovery& recovery() const;
    LogStat stat() const;   // any thread
    LogPoint end() const;   // last published record, or base(); any thread
    LogPoint base() const;  // any thread
    // Header of the last record, published or not.
    std::optional<RecordHeader> last() const;

    // -- appending: owner thread only. no_space and io leave the log as it was before begin().
    Status begin(uint64_t payload_bytes);
    Status write(ByteView payload_part);  // in order; also used for a received record's payload
    // Primary: fills lsn, previous, payload sizes, payload_hash and chain of `header`; the caller
    // set kind, epoch, page fields, time, wal point. Returns the header as sealed.
    Result<RecordHeader> finish(RecordHeader header);
    // Replica: `header` came from the wire; corrupt when payload or chain do not fit. invalid when
    // it is not the successor of the last record.
    Status finish_received(const RecordHeader& header);
    void abandon();  // between begin and finish
    // Makes finished records visible to readers (one write for many small records). After an
    // error they wait, and the next publish() writes them again.
    Status publish();
    // fdatasync of everything published; returns the end that is durable. After an io error of
    // fdatasync nothing can be appended until the log is opened again: the kernel forgets what it
    // could not write.
    Result<LogPoint> sync();
    // The same in three steps, so that the second can be another thread's: the appending goes on
    // meanwhile. Nothing: all is durable, or one is under way. end_sync() returns the last LSN
    // that is durable. Without `records` only the last segment's head is synced, for retain().
    Result<std::optional<LogSync>> begin_sync(bool records);
    Result<Lsn> end_sync(const LogSync& task, const Status& outcome);
    // Forgets all records; the history continues after `base`. Durable when it returns.
    Status reset(const LogPoint& base);
    // Drops the oldest whole segments while more than bytes_max are held, or all below `needed`
    // when `needed` is set and `keep_bytes` are kept. Never the last segment, nor unpublished
    // records. Returns the new first, zero when the log holds no record.
    Result<Lsn> retain(Lsn needed, uint64_t keep_bytes);

    // -- archiving; any one thread.
    // The oldest closed segment that ends behind `after` and stays closed: a record of the one
    // behind it is among the `durable` ones, so that not even a power cut makes it the last again.
    // Until give_back() or the next lend(), what its name opens is that segment and does not
    // change. retain() may drop it all the same, and its file is then removed and not used again.
    std::optional<ClosedSegment> lend(Lsn after, Lsn durable);
    void give_back();

    std::unique_ptr<LogReader> reader();  // any thread; must not outlive the Log

  private:
    struct State;
    explicit Log(std::unique_ptr<State> state);
    std::unique_ptr<State> state_;
    friend class LogReader;
};

// A cursor. Follows the tail; survives recycling by saying not_found for what is gone.
class LogReader {
  public:
    ~LogReader();
    // The record with this LSN. not_found: not yet written, or already dropped (compare with
    // Log::stat().first). The header has been checked against its checksum.
    Result<RecordHeader> header_of(Lsn lsn);
    // Bytes [offset, offset + out.size()) of the record's stored bytes: header, payload, padding.
    Status read(Lsn lsn, uint64_t offset, MutableBytes out);
    // Stored bytes of the records `from`, from + 1, ... up to `last`, appended to `out`: as many
    // whole records as `bytes_max` takes and one segment has, in one read. Returns the last one
    // appended; not_found as above. Nothing is appended, and `bytes` is zero, when the first alone
    // is longer than bytes_max. Requires: from <= last, last published.
    struct Run {
        Lsn through;
        uint64_t bytes = 0;
    };
    Result<Run> read_run(Lsn from, Lsn last, size_t bytes_max, Bytes& out);
    // Whether the record behind `record` takes it back; false also when none is behind it here.
    Result<bool> is_taken_back(const RecordHeader& record);
    // Payload only, checked against payload_hash when read whole.
    Result<Bytes> payload(const RecordHeader& header);

  private:
    friend class Log;
    struct State;
    explicit LogReader(std::unique_ptr<State> state);
    std::unique_ptr<State> state_;
};

// For `tanist log dump|verify|stat` and tests: walks a directory without owning it and without
// changing anything. The visitor returns false to stop. The result says how the walk ended.
struct LogWalk {
    uint64_t records = 0;
    uint64_t segments = 0;
    LogPoint base;
    LogPoint end;
    GroupId group;
    std::string tail;  // "clean", or what ended the log and where
};
Result<LogWalk> walk_log(const std::string& directory,
                         const std::shared_ptr<const LogCipher>& cipher, bool check_payloads,
                         const std::function<bool(const std::string& segment, uint64_t offset,
                                                  const RecordHeader&)>& visit);

}  // namespace tanist
