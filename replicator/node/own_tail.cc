#include "replicator/node/own_tail.h"

#include <optional>

#include "replicator/apply/log_pages.h"
#include "replicator/apply/wal_writer.h"
#include "replicator/base/notes.h"
#include "replicator/wal/sqlite_handle.h"

namespace tanist {
namespace {

constexpr int kWalsMax = 3;
constexpr auto kLockPatience = std::chrono::seconds(10);

bool same_wal(const RecordHeader& record, const WalEnd& wal) {
    return record.wal.salt1 == wal.salt1 && record.wal.salt2 == wal.salt2;
}

bool ends_at(const RecordHeader& record, const WalEnd& wal) {
    const bool summed = record.wal.checksum_a != 0 || record.wal.checksum_b != 0;
    return same_wal(record, wal) && record.wal.frame == wal.frame && summed &&
           record.wal.checksum_a == wal.checksum_a && record.wal.checksum_b == wal.checksum_b;
}

}  // namespace

// Walks back to the record at which the WAL ends, or, of an empty WAL, to the one before the first
// that it held. Page images are whole, so replaying what the database has already does no harm.
Result<std::optional<LogPoint>> find_own_tail(Log& log, const WalEnd& wal) {
    using Found = std::optional<LogPoint>;
    const LogStat stat = log.stat();
    const std::unique_ptr<LogReader> reader = log.reader();
    bool met = false;     // a record of this WAL, at or behind its present end
    int wals = 0;         // how many WALs the records walked over are of
    WalPoint last_wal{};  // a power cut loses one restart of the WAL at most: it syncs its header
    LogPoint end = stat.end;
    while (end.position.lsn > stat.base.position.lsn) {
        Result<RecordHeader> record = reader->header_of(end.position.lsn);
        if (!record) return std::move(record).error();
        if (record->kind == RecordKind::rebase) return Found{};
        const bool is_commit = record->kind == RecordKind::commit;
        const bool of_wal = is_commit && same_wal(*record, wal);
        if (is_commit && (wals == 0 || last_wal.salt1 != record->wal.salt1 ||
                          last_wal.salt2 != record->wal.salt2)) {
            last_wal = record->wal;
            wals += 1;
        }
        if (wals > kWalsMax) return Found{};
        // An empty WAL held nothing of the record before the first that it was to hold.
        if (wal.frame == 0 && met && is_commit && !of_wal) return Found{end};
        if (wal.frame != 0 && is_commit && ends_at(*record, wal)) {
            return end == stat.end ? Found{} : Found{end};
        }
        if (of_wal && record->wal.frame < wal.frame) return Found{};
        met = met || of_wal;
        Lsn before(end.position.lsn.value - 1);
        if (before == stat.base.position.lsn) {
            end = stat.base;
            break;
        }
        Result<RecordHeader> previous = reader->header_of(before);
        if (!previous) return std::move(previous).error();
        end = {previous->position(), previous->chain};
    }
    return Found{};
}

Result<uint64_t> replay_own_tail(const SqliteApi& api, const std::string& db_path, Log& log) {
    auto handle = SqliteHandle::open(api, db_path, {});
    if (!handle) return std::move(handle).error();
    auto checkpoints = SqliteHandle::open(api, db_path, {});
    if (!checkpoints) return std::move(checkpoints).error();
    auto header = (*handle)->header();
    if (!header) return std::move(header).error();
    if (!*header) return uint64_t{0};
    const WalIndexHeader& now = **header;
    auto from = find_own_tail(log, {now.salt.salt1, now.salt.salt2, now.max_frame,
                                    now.frame_checksum.a, now.frame_checksum.b});
    if (!from) return std::move(from).error();
    if (!*from) return uint64_t{0};
    const std::unique_ptr<LogReader> reader = log.reader();
    const Lsn end = log.end().position.lsn;
    LogPages pages(*reader, {});
    uint64_t commits = 0;
    for (Lsn lsn = (*from)->position.lsn.next(); lsn <= end; lsn = lsn.next()) {
        auto record = reader->header_of(lsn);
        if (!record) return std::move(record).error();
        if (record->kind != RecordKind::commit) continue;
        auto taken_back = reader->is_taken_back(*record);
        if (!taken_back) return std::move(taken_back).error();
        if (*taken_back) continue;
        TANIST_TRY(pages.add(*record));
        ++commits;
    }
    if (commits == 0) return commits;
    pages.finish();
    WalWriter writer(**handle, **checkpoints);
    writer.as_primary(now);
    TANIST_TRY(writer.commit(pages, true, kLockPatience));
    note(NoteLevel::warning, "the database lacked commits of its own log and has them again",
         {{"database", db_path},
          {"after", to_string((*from)->position)},
          {"commits", std::to_string(commits)}});
    return commits;
}

}  // namespace tanist
