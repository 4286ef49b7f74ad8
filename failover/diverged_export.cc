// A diverged tail as a SQLite database, for people with the sqlite3 shell.
#include <map>

#include "failover/diverged_read.h"
#include "failover/diverged_rows.h"
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
    "CREATE TABLE tanist_page(pgno INTEGER PRIMARY KEY, lsn INTEGER, in_rows INTEGER, here BLOB,"
    " now BLOB);"
    "CREATE TABLE tanist_row(tbl TEXT, key INTEGER, kind TEXT, col TEXT, here, now)";
constexpr size_t kReservedBytesAt = 20;  // of page 1
constexpr size_t kEncodingAt = 56;
constexpr uint32_t kUtf8 = 1;

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

using LastImages = std::map<uint32_t, LastImage>;

// Both histories, page by page.
class TwoHistories {
  public:
    TwoHistories(Log& tail, PageReader& present, const LastImages& last)
        : log_(tail.reader()), present_(present), last_(last) {}

    std::optional<Bytes> now(uint32_t pgno) const {
        if (pgno > present_.db_pages()) return std::nullopt;
        Bytes page(present_.page_bytes());
        if (!present_.read(pgno, page)) return std::nullopt;
        return page;
    }
    // Where the tail changed nothing, it is what is there now.
    std::optional<Bytes> here(uint32_t pgno) const {
        const auto found = last_.find(pgno);
        if (found == last_.end()) return now(pgno);
        const RecordHeader& record = found->second.record;
        Bytes page(record.page_bytes);
        const auto at = kRecordHeaderBytes + page_image_offset(record.page_count, record.page_bytes,
                                                               found->second.index);
        if (!log_->read(record.lsn, at, page)) return std::nullopt;
        return page;
    }

  private:
    std::unique_ptr<LogReader> log_;
    PageReader& present_;
    const LastImages& last_;
};

// A scratch database that has one of the schemas, to ask for the columns of its tables.
class Scratch {
  public:
    Scratch() { linked_sqlite().open_v2(":memory:", &db_, kFlags, nullptr); }
    ~Scratch() { linked_sqlite().close(db_); }
    Scratch(const Scratch&) = delete;
    Scratch& operator=(const Scratch&) = delete;

    // Nothing: it has no rowids, or this SQLite does not understand it.
    std::optional<TableShape> shape_of(const SchemaEntry& entry) {
        const SqliteApi& api = linked_sqlite();
        if (api.exec(db_, entry.sql.c_str(), nullptr, nullptr, nullptr) != SQLITE_OK) return {};
        TableShape shape;
        shape.name = entry.name;
        shape.root = entry.root;
        sqlite3_stmt* statement = nullptr;
        // Virtual generated columns (2) are not stored.
        const std::string sql =
            "SELECT name, upper(type) = 'INTEGER' AND pk = 1 AND "
            "(SELECT count(*) FROM pragma_table_xinfo(t.n) WHERE pk > 0) = 1 FROM "
            "(SELECT " +
            text_literal(entry.name) +
            " AS n) AS t, pragma_table_xinfo(t.n) "
            "WHERE hidden <> 2 AND NOT (SELECT wr FROM pragma_table_list WHERE name = t.n)";
        if (api.prepare_v2(db_, sql.c_str(), -1, &statement, nullptr) != SQLITE_OK) return {};
        while (api.step(statement) == SQLITE_ROW) {
            if (api.column_int64(statement, 1) != 0) {
                shape.rowid_column = static_cast<int>(shape.columns.size());
            }
            const unsigned char* name = api.column_text(statement, 0);
            shape.columns.emplace_back(reinterpret_cast<const char*>(name));
        }
        api.finalize(statement);
        if (shape.columns.empty()) return {};
        return shape;
    }

  private:
    static constexpr int kFlags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE;
    static std::string text_literal(const std::string& text) { return sql_literal(SqlText{text}); }
    sqlite3* db_ = nullptr;
};

RowSide side_of(PageSource pages, uint32_t usable_bytes) {
    RowSide side{std::move(pages), {}};
    Scratch scratch;
    for (const SchemaEntry& entry : tables_in_schema(side.pages, usable_bytes)) {
        if (auto shape = scratch.shape_of(entry)) side.tables.push_back(std::move(*shape));
    }
    return side;
}

// Rows as far as they can be told, in `understood` the pages that they came from.
Status write_rows(SqliteHandle& out, const TwoHistories& pages, const LastImages& last,
                  std::set<uint32_t>& understood) {
    const auto first = pages.here(1);
    if (!first || first->size() < 100) return ok_status();
    ByteReader encoding(ByteView(*first).subspan(kEncodingAt + 3, 1));
    if (encoding.u8() != kUtf8) return ok_status();  // pages only
    const auto usable = static_cast<uint32_t>(first->size()) - (*first)[kReservedBytesAt];
    std::set<uint32_t> changed;
    for (const auto& [pgno, image] : last) changed.insert(pgno);
    const RowSide here = side_of([&](uint32_t pgno) { return pages.here(pgno); }, usable);
    const RowSide now = side_of([&](uint32_t pgno) { return pages.now(pgno); }, usable);
    RowComparison compared = compare_rows(here, now, usable, changed);
    for (const RowDifference& one : compared.differences) {
        TANIST_TRY(out.run("INSERT INTO tanist_row VALUES(" + sql_literal(SqlText{one.table}) +
                           "," + std::to_string(one.rowid) + ",'" + one.kind + "'," +
                           sql_literal(SqlText{one.column}) + "," + sql_literal(one.here) + "," +
                           sql_literal(one.now) + ")"));
    }
    understood = std::move(compared.understood);
    return ok_status();
}

Status write_pages(SqliteHandle& out, const TwoHistories& pages, const LastImages& last,
                   const std::set<uint32_t>& understood) {
    for (const auto& [pgno, image] : last) {
        const auto here = pages.here(pgno);
        if (!here) {
            return Error{Errc::corrupt,
                         "page " + std::to_string(pgno) + " of the saved log is damaged"};
        }
        const auto now = pages.now(pgno);
        TANIST_TRY(out.run("INSERT INTO tanist_page VALUES(" + std::to_string(pgno) + "," +
                           std::to_string(image.record.lsn.value) + "," +
                           std::to_string(understood.count(pgno)) + "," + blob(*here) + "," +
                           (now ? blob(*now) : "NULL") + ")"));
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
    LastImages last;
    TANIST_TRY((*out)->run(kSchema));
    TANIST_TRY((*out)->run("BEGIN"));
    TANIST_TRY(write_commits(**out, **tail, last));
    const TwoHistories pages(**tail, *present, last);
    std::set<uint32_t> understood;
    TANIST_TRY(write_rows(**out, pages, last, understood));
    TANIST_TRY(write_pages(**out, pages, last, understood));
    TANIST_TRY((*out)->run("COMMIT"));
    // One file to hand on.
    return (*out)->run("PRAGMA journal_mode=DELETE");
}

}  // namespace tanist
