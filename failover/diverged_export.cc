// A diverged tail as a SQLite database, for people with the sqlite3 shell.
#include <map>

#include "failover/diverged_read.h"
#include "failover/log_cipher_of.h"
#include "replicator/base/bytes.h"
#include "replicator/log/log.h"
#include "replicator/sync/page_reader.h"
#include "replicator/wal/sqlite_handle.h"

namespace tanist {
namespace {

constexpr const char* kSchema =
    "CREATE TABLE tanist_commit(epoch INTEGER, lsn INTEGER PRIMARY KEY, commit_time_ns INTEGER,"
    " pages INTEGER, db_pages INTEGER);"
    "CREATE TABLE tanist_page(pgno INTEGER PRIMARY KEY, lsn INTEGER, here BLOB, now BLOB)";

std::string blob(ByteView bytes) { return "x'" + hex(bytes.data(), bytes.size()) + "'"; }

// Where the last image of a page stands in the log of the tail.
struct LastImage {
    RecordHeader record;
    uint32_t index = 0;
};

Status note_pages(LogReader& log, const RecordHeader& record, std::map<uint32_t, LastImage>& last) {
    Bytes numbers(size_t{record.page_count} * 4);
    TANIST_TRY(log.read(record.lsn, kRecordHeaderBytes, numbers));
    Result<std::vector<Pgno>> pages = decode_page_list(record, numbers);
    if (!pages) return std::move(pages).error();
    for (uint32_t i = 0; i < pages->size(); ++i) last[(*pages)[i].value] = {record, i};
    return ok_status();
}

Status write_commits(SqliteHandle& out, Log& tail, std::map<uint32_t, LastImage>& last) {
    const std::unique_ptr<LogReader> log = tail.reader();
    for (Lsn lsn = tail.base().position.lsn.next(); lsn <= tail.end().position.lsn;
         lsn = lsn.next()) {
        Result<RecordHeader> record = log->header_of(lsn);
        if (!record) return std::move(record).error();
        if (record->kind != RecordKind::commit) continue;
        TANIST_TRY(out.run(
            "INSERT INTO tanist_commit VALUES(" + std::to_string(record->epoch.value) + "," +
            std::to_string(lsn.value) + "," + std::to_string(record->commit_time_ns) + "," +
            std::to_string(record->page_count) + "," + std::to_string(record->db_pages) + ")"));
        TANIST_TRY(note_pages(*log, *record, last));
    }
    return ok_status();
}

Status write_pages(SqliteHandle& out, Log& tail, PageReader* present,
                   const std::map<uint32_t, LastImage>& last) {
    const std::unique_ptr<LogReader> log = tail.reader();
    for (const auto& [pgno, image] : last) {
        const uint32_t page_bytes = image.record.page_bytes;
        Bytes here(page_bytes);
        TANIST_TRY(log->read(image.record.lsn,
                             kRecordHeaderBytes + page_image_offset(image.record.page_count,
                                                                    page_bytes, image.index),
                             here));
        std::string now = "NULL";
        if (present != nullptr && present->page_bytes() == page_bytes &&
            pgno <= present->db_pages()) {
            Bytes there(page_bytes);
            TANIST_TRY(present->read(pgno, there));
            now = blob(there);
        }
        TANIST_TRY(out.run("INSERT INTO tanist_page VALUES(" + std::to_string(pgno) + "," +
                           std::to_string(image.record.lsn.value) + "," + blob(here) + "," + now +
                           ")"));
    }
    return ok_status();
}

}  // namespace

Status export_diverged(const Layout& layout, const DivergedFacts& facts, const std::string& path) {
    const std::string directory = layout.diverged() + "/" + facts.name + "/log";
    auto cipher = log_cipher_of(directory);
    if (!cipher) return std::move(cipher).error();
    LogOptions log_options;
    log_options.cipher = *std::move(cipher);
    Result<std::unique_ptr<Log>> tail = Log::open(directory, GroupId{}, log_options);
    if (!tail) return std::move(tail).error();
    Result<std::unique_ptr<SqliteHandle>> database =
        SqliteHandle::open(linked_sqlite(), layout.db, {});
    if (!database) return std::move(database).error();
    Result<PageReader> present = PageReader::open(**database);
    if (!present) return std::move(present).error();
    Result<std::unique_ptr<SqliteHandle>> out = SqliteHandle::open(
        linked_sqlite(), path, {.create = true, .switch_to_wal = true, .busy_timeout_ms = 0});
    if (!out) return std::move(out).error();
    std::map<uint32_t, LastImage> last;
    TANIST_TRY((*out)->run(kSchema));
    TANIST_TRY((*out)->run("BEGIN"));
    TANIST_TRY(write_commits(**out, **tail, last));
    TANIST_TRY(write_pages(**out, **tail, &*present, last));
    TANIST_TRY((*out)->run("COMMIT"));
    // One file to hand on.
    return (*out)->run("PRAGMA journal_mode=DELETE");
}

}  // namespace tanist
