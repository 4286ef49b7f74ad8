// The segment files of a log directory: what is there, in order, and whether it fits together.
// Reads only; Log::open() acts on what is found and walk_log() reports it.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "replicator/base/file.h"
#include "replicator/log/log.h"
#include "replicator/log/recovery.h"

namespace tanist {

// A log being reset: made whole under this name first. While it exists it is the whole log.
constexpr const char* kResetName = "reset.log";
constexpr const char* kSparePrefix = "spare-";   // a retired segment, to be used again
constexpr const char* kFreshName = "fresh.tmp";  // a segment in the making

struct FoundSegment {
    std::string name;
    SegmentHeader header;
    RecordForm form;
    uint64_t file_bytes = 0;
    uint64_t end_offset = kRecordsAt;  // behind its last record
};

struct FoundLog {
    std::vector<FoundSegment> segments;
    std::vector<std::string> spares;
    std::string unfinished;  // name of a last segment whose header never was written
    // After a power cut the log ended in the last of `segments`; these had followed it.
    std::vector<std::string> dropped;
    bool power_lost = false;  // the machine was started again since the newest mark
    Lsn durable;              // the highest LSN that a mark speaks of
    bool resetting = false;   // segments holds only kResetName
    uint64_t records = 0;
    LogPoint end;
    std::optional<RecordHeader> last;
    std::optional<FoundMark> mark;  // of the last segment
    uint64_t torn_bytes = 0;
    std::string torn_reason;
    bool stopped = false;
};

using RecordVisit =
    std::function<bool(const std::string& segment, uint64_t offset, const RecordHeader&)>;

// not_found: no directory or no segment. Otherwise as Log::open(). A zero group accepts any.
Result<FoundLog> find_log(const std::string& directory,
                          const std::shared_ptr<const LogCipher>& cipher, GroupId group,
                          bool check_payloads, const RecordVisit& visit);

}  // namespace tanist
