// A primary for tests of apply and sync: a stock SQLite database, and a log whose commit records
// are made by comparing the database with what it was, independently of capture.
#pragma once

#include <memory>

#include "replicator/log/log.h"
#include "tests/support/stock_sqlite.h"
#include "tests/support/temp_dir.h"

namespace tanist {

class Primary {
  public:
    explicit Primary(const std::string& page_size = "4096", uint64_t segment_bytes = 16u << 20)
        : db(dir_.path("primary.db")) {
        group_.bytes[0] = 1;
        LogOptions options;
        options.segment_bytes = segment_bytes;
        make_directory(dir_.path("log")).ok();
        log = Log::open(dir_.path("log"), group_, options).value();
        db.must("PRAGMA page_size=" + page_size);
        db.must("PRAGMA journal_mode=WAL");
        db.must("CREATE TABLE t(id INTEGER PRIMARY KEY, x)");
        pages_ = image();
    }
    std::string path() const { return dir_.path("primary.db"); }
    uint32_t page_bytes() { return static_cast<uint32_t>(std::stoul(db.ask("PRAGMA page_size"))); }
    uint32_t db_pages() const { return static_cast<uint32_t>(pages_.size()); }
    LogPoint end() const { return log->end(); }
    // The database's committed content, page by page; checkpoints nothing.
    std::vector<Bytes> image() {
        sqlite3_int64 bytes = 0;
        unsigned char* content = sqlite3_serialize(db.connection(), "main", &bytes, 0);
        std::vector<Bytes> pages;
        const uint32_t size = page_bytes();
        for (sqlite3_int64 at = 0; at < bytes; at += size) {
            pages.emplace_back(content + at, content + at + size);
        }
        sqlite3_free(content);
        return pages;
    }
    // Runs the statement and appends what it changed as one record.
    LogPoint commit(const std::string& sql) {
        db.must(sql);
        std::vector<Bytes> now = image();
        std::vector<uint32_t> changed;
        for (uint32_t i = 0; i < now.size(); ++i) {
            if (i >= pages_.size() || now[i] != pages_[i]) changed.push_back(i);
        }
        Bytes payload;
        ByteWriter out(payload);
        for (uint32_t page : changed) out.u32(page + 1);
        while (payload.size() % 8 != 0) out.u8(0);
        for (uint32_t page : changed) out.raw(now[page]);
        RecordHeader header;
        header.page_bytes = page_bytes();
        header.page_count = static_cast<uint32_t>(changed.size());
        header.db_pages = static_cast<uint32_t>(now.size());
        pages_ = std::move(now);
        return append(header, payload);
    }
    LogPoint mark(RecordKind kind) {
        RecordHeader header;
        header.kind = kind;
        return append(header, {});
    }
    LogPoint take_back(Lsn lsn) {
        RecordHeader header;
        header.kind = RecordKind::abort;
        header.subject = lsn;
        return append(header, {});
    }
    LogPoint append(RecordHeader header, ByteView payload) {
        header.group = group_;
        header.epoch = Epoch(1);
        if (!log->begin(payload.size()).ok() || !log->write(payload).ok()) {
            throw std::runtime_error("log write");
        }
        Result<RecordHeader> sealed = log->finish(header);
        if (!sealed.ok()) throw std::runtime_error(sealed.error().message);
        if (!log->publish().ok()) throw std::runtime_error("log publish");
        return log->end();
    }

  private:
    TempDir dir_;
    GroupId group_;
    std::vector<Bytes> pages_;

  public:
    StockSqlite db;
    std::unique_ptr<Log> log;
};

}  // namespace tanist
