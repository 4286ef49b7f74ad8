#include "replicator/node/own_tail.h"

#include <optional>

#include "replicator/apply/log_pages.h"
#include "replicator/apply/wal_writer.h"
#include "replicator/base/notes.h"
#include "replicator/sync/page_reader.h"
#include "replicator/wal/sqlite_handle.h"
#include "replicator/wal/wal_format.h"

namespace tanist {
namespace {

constexpr int kWalsMax = 3;
// Of which the log had nothing durable. A WAL that was removed and made anew has a salt of chance.
constexpr uint32_t kRestartsMax = 4096;
constexpr auto kLockPatience = std::chrono::seconds(10);

bool same_wal(const RecordHeader& record, const WalEnd& wal) {
    return record.wal.salt1 == wal.salt1 && record.wal.salt2 == wal.salt2;
}

// A commit that was held back was logged before SQLite had summed its frames; its pages tell.
Result<bool> ends_at(const RecordHeader& record, const WalEnd& wal, const ShowsCommit& shows) {
    if (!same_wal(record, wal) || record.wal.frame != wal.frame) return false;
    if (wal.frame == 0) return record.kind != RecordKind::commit;
    const bool summed = record.wal.checksum_a != 0 || record.wal.checksum_b != 0;
    if (!summed && record.kind == RecordKind::commit) return shows(record);
    return summed && record.wal.checksum_a == wal.checksum_a &&
           record.wal.checksum_b == wal.checksum_b;
}

// SQLite reads the header of a WAL only when a frame follows it.
Result<WalEnd> read_wal_end(SqliteHandle& handle, const WalIndexHeader& now) {
    WalEnd end{now.salt.salt1, now.salt.salt2, now.max_frame, now.frame_checksum.a,
               now.frame_checksum.b};
    if (end.frame != 0) return end;
    uint8_t bytes[kWalHeaderBytes];
    Result<size_t> found = handle.read_wal(0, bytes);
    if (!found) return std::move(found).error();
    end.salt1 = end.salt2 = 0;
    if (*found < sizeof bytes) return end;
    const Result<WalHeader> header = decode_wal_header(bytes);
    end.header_is_torn = !header.ok();
    if (header.ok()) {
        end.salt1 = header->salt.salt1;
        end.salt2 = header->salt.salt2;
    }
    return end;
}

Result<WalEnd> end_of_wal(SqliteHandle& handle, const WalIndexHeader& now,
                          const std::optional<WalBegun>& begun) {
    Result<WalEnd> end = read_wal_end(handle, now);
    if (!end || !begun) return end;
    const bool noted = begun->salt1 == end->salt1 && begun->salt2 == end->salt2;
    if (noted || end->header_is_torn) end->after = begun->after;
    return end;
}

Result<bool> shows_commit(SqliteHandle& handle, LogReader& log, const RecordHeader& record) {
    LogPages pages(log, {});
    TANIST_TRY(pages.add(record));
    pages.finish();
    Result<PageReader> reader = PageReader::open(handle);
    if (!reader) return std::move(reader).error();
    if (reader->page_bytes() != record.page_bytes) return false;
    Bytes logged(record.page_bytes);
    Bytes shown(record.page_bytes);
    for (uint32_t i = 0; i < pages.page_count(); ++i) {
        Result<Pgno> pgno = pages.page(i, logged);
        if (!pgno) return std::move(pgno).error();
        TANIST_TRY(reader->read(pgno->value, shown));
        if (shown != logged) return false;
    }
    return true;
}

}  // namespace

// Walks back to the record at which the WAL ends, or, of an empty WAL, to the one before the first
// that it held. A few WALs at most: a power cut loses one restart of it, because SQLite syncs the
// header of the new one.
Result<OwnPlace> find_own_place(Log& log, const WalEnd& wal, const ShowsCommit& shows) {
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
        // An EPOCH after a replay says where in the WAL the replayed commits ended.
        const bool is_epoch = record->kind == RecordKind::epoch && record->page_bytes != 0;
        if (record->kind != RecordKind::commit && !is_rebase && !is_epoch) continue;
        const LogPoint here{record->position(), record->chain};
        if (!newest) {
            newest = *record;
            // The log's first record and its last: no commit was ever confirmed by it.
            if (is_rebase && lsn == Lsn(1)) return OwnPlace{};
            // The WAL was empty then, so the database file alone had everything.
            if (record->wal.frame == 0) return OwnPlace{};
            // So it has when the WAL was restarted since; each restart adds one to its salt.
            const uint32_t restarts = wal.salt1 - record->wal.salt1;
            if (restarts >= 1 && restarts <= kRestartsMax) return OwnPlace{};
            // Or it has a salt of chance, and that it follows was noted.
            if (wal.after && wal.after->salt1 == record->wal.salt1 &&
                wal.after->salt2 == record->wal.salt2) {
                return OwnPlace{};
            }
            // So it is when the next WAL has no header yet, and after a TRUNCATE.
            if (wal.salt1 == 0 && wal.salt2 == 0 && record->kind == RecordKind::commit) {
                Result<bool> has = shows(*record);
                if (!has) return std::move(has).error();
                if (*has) return OwnPlace{};
            }
        }
        if (wals == 0 || salt != record->wal.salt2) wals += 1;
        salt = record->wal.salt2;
        if (wals > kWalsMax) break;
        Result<bool> ends = ends_at(*record, wal, shows);
        if (!ends) return std::move(ends).error();
        if (*ends) {
            if (here == stat.end) return OwnPlace{};
            // No WAL is no place: whoever removed it may have written what the log does not know.
            const bool nowhere = wal.salt1 == 0 && wal.salt2 == 0;
            return OwnPlace{nowhere ? Kind::unknown : Kind::behind, here};
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

Result<uint64_t> replay_own_tail(const SqliteApi& api, const std::string& db_path, Log& log,
                                 const std::optional<WalBegun>& begun) {
    auto handle = SqliteHandle::open(api, db_path, {});
    if (!handle) return std::move(handle).error();
    auto checkpoints = SqliteHandle::open(api, db_path, {});
    if (!checkpoints) return std::move(checkpoints).error();
    auto header = (*handle)->header();
    if (!header) return std::move(header).error();
    if (!*header) return uint64_t{0};
    const WalIndexHeader& now = **header;
    auto wal_end = end_of_wal(**handle, now, begun);
    if (!wal_end) return std::move(wal_end).error();
    const std::unique_ptr<LogReader> reader = log.reader();
    auto place = find_own_place(log, *wal_end, [&](const RecordHeader& record) {
        return shows_commit(**handle, *reader, record);
    });
    if (!place) return std::move(place).error();
    if (place->kind == OwnPlace::Kind::covered) return uint64_t{0};
    if (place->kind == OwnPlace::Kind::unknown) {
        return Error{Errc::corrupt,
                     db_path + " cannot be found in its own log, which ends at " +
                         to_string(log.end().position) +
                         ": its WAL was written back or removed before an engine ran"};
    }
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
