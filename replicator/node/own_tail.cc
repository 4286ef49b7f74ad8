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
// that it held. A few WALs at most: a power cut loses one restart of it, because SQLite syncs the
// header of the new one.
Result<OwnPlace> find_own_place(Log& log, const WalEnd& wal) {
    using Kind = OwnPlace::Kind;
    const LogStat stat = log.stat();
    const std::unique_ptr<LogReader> reader = log.reader();
    bool met = false;  // a record of this WAL, behind its present end
    std::optional<RecordHeader> newest;
    uint32_t salt = 0;
    int wals = 0;
    for (Lsn lsn = stat.end.position.lsn; lsn > stat.base.position.lsn; lsn = Lsn(lsn.value - 1)) {
        Result<RecordHeader> record = reader->header_of(lsn);
        if (!record) return std::move(record).error();
        const bool is_rebase = record->kind == RecordKind::rebase;
        if (record->kind != RecordKind::commit && !is_rebase) continue;
        const LogPoint here{record->position(), record->chain};
        if (!newest) {
            newest = *record;
            // A restart follows only when everything before it is in the database.
            if (wal.salt1 == record->wal.salt1 + 1) return OwnPlace{};
        }
        if (wals == 0 || salt != record->wal.salt2) wals += 1;
        salt = record->wal.salt2;
        if (wals > kWalsMax) break;
        if (wal.frame != 0 && ends_at(*record, wal)) {
            return here == stat.end ? OwnPlace{} : OwnPlace{Kind::behind, here};
        }
        const bool of_wal = same_wal(*record, wal);
        if (of_wal && record->wal.frame < wal.frame) {
            return OwnPlace{met ? Kind::unknown : Kind::covered, {}};
        }
        if (wal.frame == 0 && met && !of_wal) return OwnPlace{Kind::behind, here};
        met = met || of_wal;
        if (is_rebase) break;
    }
    return OwnPlace{newest ? Kind::unknown : Kind::covered, {}};
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
    auto place = find_own_place(log, {now.salt.salt1, now.salt.salt2, now.max_frame,
                                      now.frame_checksum.a, now.frame_checksum.b});
    if (!place) return std::move(place).error();
    if (place->kind == OwnPlace::Kind::covered) return uint64_t{0};
    if (place->kind == OwnPlace::Kind::unknown) {
        return Error{Errc::corrupt,
                     db_path + " cannot be found in its own log, which ends at " +
                         to_string(log.end().position) +
                         ": its WAL was written back or removed before an engine ran"};
    }
    const std::unique_ptr<LogReader> reader = log.reader();
    const Lsn end = log.end().position.lsn;
    LogPages pages(*reader, {});
    uint64_t commits = 0;
    for (Lsn lsn = place->from.position.lsn.next(); lsn <= end; lsn = lsn.next()) {
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
          {"after", to_string(place->from.position)},
          {"commits", std::to_string(commits)}});
    return commits;
}

}  // namespace tanist
