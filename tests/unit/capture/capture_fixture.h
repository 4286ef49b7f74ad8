// A primary in a temporary directory: a database, stock writers, a log, and a Capturer that can be
// dropped as a crash would. Everything reaches the database through one SQLite, because a raw
// descriptor on it would cost the process its locks.
#pragma once

#include <doctest/doctest.h>
#include <sqlite3.h>

#include "replicator/base/notes.h"
#include "replicator/capture/capturer.h"
#include "replicator/control/control_block.h"
#include "replicator/log/log.h"
#include "replicator/wal/sqlite_handle.h"
#include "tests/support/temp_dir.h"

namespace tanist {

class Stock {  // an application's connection
  public:
    explicit Stock(const std::string& path) {
        REQUIRE(sqlite3_open(path.c_str(), &db_) == SQLITE_OK);
        sqlite3_busy_timeout(db_, 100);
        sqlite3_exec(db_, "PRAGMA synchronous=OFF", nullptr, nullptr, nullptr);
    }
    ~Stock() { sqlite3_close(db_); }
    Stock(const Stock&) = delete;
    Stock& operator=(const Stock&) = delete;
    int try_run(const std::string& sql) {
        return sqlite3_exec(db_, sql.c_str(), nullptr, nullptr, nullptr);
    }
    void run(const std::string& sql) {
        const int rc = try_run(sql);
        INFO(sql << ": " << sqlite3_errmsg(db_));
        REQUIRE(rc == SQLITE_OK);
    }
    int64_t number(const std::string& sql) {
        sqlite3_stmt* statement = nullptr;
        REQUIRE(sqlite3_prepare_v2(db_, sql.c_str(), -1, &statement, nullptr) == SQLITE_OK);
        const int rc = sqlite3_step(statement);
        const int64_t value = rc == SQLITE_ROW ? sqlite3_column_int64(statement, 0) : -1;
        sqlite3_finalize(statement);
        return value;
    }
    sqlite3* db() { return db_; }

  private:
    sqlite3* db_ = nullptr;
};

// The database that records produce, page by page.
class Replay {
  public:
    Bytes image;
    void apply(const RecordHeader& record, ByteView payload) {
        if (record.kind != RecordKind::commit) return;
        const size_t page_bytes = record.page_bytes;
        image.resize(record.db_pages * page_bytes);
        Result<std::vector<Pgno>> pages = decode_page_list(record, payload);
        REQUIRE(pages.ok());
        for (uint32_t i = 0; i < record.page_count; ++i) {
            const uint64_t at = page_image_offset(record.page_count, record.page_bytes, i);
            const ByteView page = payload.subspan(at, page_bytes);
            std::copy(
                page.begin(), page.end(),
                image.begin() + static_cast<std::ptrdiff_t>(((*pages)[i].value - 1) * page_bytes));
        }
    }
    // Answers `sql` from the image.
    int64_t number(const std::string& sql) const {
        Stock memory(":memory:");
        const auto size = static_cast<sqlite3_int64>(image.size());
        auto* copy = static_cast<unsigned char*>(sqlite3_malloc64(image.size()));
        std::copy(image.begin(), image.end(), copy);
        copy[18] = copy[19] = 1;  // a database in memory has no WAL
        REQUIRE(sqlite3_deserialize(memory.db(), "main", copy, size, size,
                                    SQLITE_DESERIALIZE_FREEONCLOSE) == SQLITE_OK);
        return memory.number(sql);
    }
};

class Primary {
  public:
    explicit Primary(uint32_t page_bytes = 4096) : path(dir.path("app.db")) {
        set_note_sink([](NoteLevel, const std::string&) {});
        {
            Stock first(path);
            first.run("PRAGMA page_size=" + std::to_string(page_bytes));
            first.run("PRAGMA journal_mode=WAL");
            first.run("CREATE TABLE t(k INTEGER PRIMARY KEY, v)");
        }
        group.bytes[0] = 1;
        options.epoch = Epoch(1);
        options.clean_stop_path = dir.path("clean-stop");
        Result<Control> made = Control::open(dir.path("control"), true, false);
        REQUIRE(made.ok());
        control = std::move(*made);
    }

    void start() {
        handle = open_handle();
        checkpoints = open_handle();
        open_log();
        if (base.empty()) base = file_content();
        start_capture();
    }
    void start_capture() {
        Result<std::unique_ptr<Capturer>> started =
            Capturer::start(*handle, *checkpoints, *log, control, options);
        INFO((started.ok() ? "" : started.error().message));
        REQUIRE(started.ok());
        capturer = std::move(*started);
    }
    // Everything the engine had in memory is gone; what it published stays.
    void crash() {
        capturer.reset();
        log.reset();
        checkpoints.reset();
        handle.reset();
    }
    void stop_cleanly() {
        Status closed = capturer->close_cleanly();
        INFO((closed.ok() ? "" : closed.error().message));
        REQUIRE(closed.ok());
        crash();
    }
    // As a writer leaves it that dies between the two header copies: SQLite must recover the WAL.
    void break_header() {
        auto owner = handle ? nullptr : open_handle();
        auto& any = handle ? *handle : *owner;
        auto* copy0 = static_cast<volatile uint8_t*>(*any.region(0, false));
        copy0[8] = static_cast<uint8_t>(copy0[8] ^ 0x55);
    }
    CaptureProgress poll() {
        Result<CaptureProgress> progress = capturer->poll();
        INFO((progress.ok() ? "" : progress.error().message));
        REQUIRE(progress.ok());
        return *progress;
    }
    void tend() {
        Status tended = capturer->tend_wal();
        INFO((tended.ok() ? "" : tended.error().message));
        REQUIRE(tended.ok());
    }

    std::vector<RecordHeader> records() {
        std::vector<RecordHeader> all;
        const std::unique_ptr<LogReader> reader = log->reader();
        for (Lsn lsn(1); lsn <= log->end().position.lsn; lsn = lsn.next()) {
            Result<RecordHeader> header = reader->header_of(lsn);
            REQUIRE(header.ok());
            all.push_back(*header);
        }
        return all;
    }
    size_t count(RecordKind kind) {
        size_t found = 0;
        for (const RecordHeader& record : records()) found += record.kind == kind ? 1 : 0;
        return found;
    }
    // The database as the log has it after `last`.
    Replay replay(Lsn last = Lsn(~uint64_t{0})) {
        Replay replay;
        replay.image = base;
        const std::unique_ptr<LogReader> reader = log->reader();
        for (const RecordHeader& record : records()) {
            if (record.lsn > last) break;
            Result<Bytes> payload = reader->payload(record);
            REQUIRE(payload.ok());
            replay.apply(record, *payload);
        }
        return replay;
    }
    // The database file with everything written back.
    Bytes file_content() {
        Result<SqliteHandle::Checkpointed> done = checkpoints->checkpoint_passive();
        REQUIRE(done.ok());
        REQUIRE(done->wal_frames == done->backfilled);
        Bytes content(handle->db_bytes().value());
        REQUIRE(handle->read_db(0, content).ok());
        return content;
    }
    bool log_equals_database() { return replay().image == file_content(); }
    WalIndexHeader header() {
        Result<std::optional<WalIndexHeader>> now = handle->header();
        REQUIRE(now.ok());
        REQUIRE(now->has_value());
        return **now;
    }

    std::unique_ptr<SqliteHandle> open_handle() {
        Result<std::unique_ptr<SqliteHandle>> opened =
            SqliteHandle::open(linked_sqlite(), path, {.create = false});
        INFO((opened.ok() ? "" : opened.error().message));
        REQUIRE(opened.ok());
        return std::move(*opened);
    }
    void open_log() {
        Result<std::unique_ptr<Log>> opened =
            Log::open(dir.path("log"), group, {.segment_bytes = 1u << 20});
        INFO((opened.ok() ? "" : opened.error().message));
        REQUIRE(opened.ok());
        log = std::move(*opened);
    }

    TempDir dir;
    std::string path;
    GroupId group;
    CaptureOptions options;
    Control control;
    Bytes base;  // the file when the log began
    std::unique_ptr<SqliteHandle> handle;
    std::unique_ptr<SqliteHandle> checkpoints;
    std::unique_ptr<Log> log;
    std::unique_ptr<Capturer> capturer;
};

}  // namespace tanist
