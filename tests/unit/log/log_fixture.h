// A log in a directory of its own, with verbs for what tests do to it.
#pragma once

#include <doctest/doctest.h>

#include <memory>
#include <string>
#include <vector>

#include "replicator/base/file.h"
#include "replicator/log/log.h"
#include "replicator/log/segment.h"
#include "tests/support/temp_dir.h"

namespace tanist {

inline GroupId group_of(uint8_t seed) {
    GroupId group;
    group.bytes.fill(seed);
    return group;
}

inline RecordHeader commit_header(uint32_t pages, uint32_t page_bytes = 512) {
    RecordHeader header;
    header.epoch = Epoch(1);
    header.page_bytes = page_bytes;
    header.page_count = pages;
    header.db_pages = pages + 10;
    header.commit_time_ns = 1'700'000'000'000'000'000;
    header.wal = {1, 2, 3, 4, 5, 6};
    return header;
}

inline Bytes commit_payload(uint32_t pages, uint32_t page_bytes, uint8_t fill) {
    Bytes payload;
    ByteWriter w(payload);
    for (uint32_t i = 1; i <= pages; ++i) w.u32(i);
    payload.resize(raw_payload_bytes(pages, page_bytes), fill);
    for (size_t i = pages * 4; i < page_image_offset(pages, page_bytes, 0); ++i) payload[i] = 0;
    return payload;
}

struct LogFixture {
    TempDir dir;
    LogOptions options{.segment_bytes = 64 << 10, .bytes_max = 1 << 30};
    std::unique_ptr<Log> log;
    std::string error;  // of the last reopen() that failed
    Errc code = Errc::io;

    LogFixture() { REQUIRE(reopen()); }
    std::string log_dir() const { return dir.path("log"); }
    bool reopen(uint8_t group = 7) {
        log.reset();
        Result<std::unique_ptr<Log>> opened = Log::open(log_dir(), group_of(group), options);
        if (!opened.ok()) {
            error = opened.error().message;
            code = opened.error().code;
            return false;
        }
        log = *std::move(opened);
        return true;
    }
    Result<RecordHeader> try_append(uint32_t pages, uint32_t page_bytes = 512) {
        const Bytes payload = commit_payload(pages, page_bytes, static_cast<uint8_t>(next_lsn()));
        TANIST_TRY(log->begin(payload.size()));
        TANIST_TRY(log->write(payload));
        return log->finish(commit_header(pages, page_bytes));
    }
    uint64_t next_lsn() const {
        return (log->last() ? log->last()->lsn : log->base().position.lsn).value + 1;
    }
    // Appends and publishes `count` records of one page.
    void append(int count, uint32_t pages = 1) {
        for (int i = 0; i < count; ++i) REQUIRE(try_append(pages).ok());
        REQUIRE(log->publish().ok());
    }
    uint64_t end_lsn() const { return log->end().position.lsn.value; }
    std::string segment_path(uint64_t first) const {
        return log_dir() + "/" + segment_name(Lsn(first));
    }
    void flip_byte(uint64_t first, uint64_t offset) {
        Result<File> file = File::open(segment_path(first), File::Mode::write);
        REQUIRE(file.ok());
        uint8_t byte = 0;
        REQUIRE(file->read_exactly_at(offset, {&byte, 1}).ok());
        byte ^= 0x40;
        REQUIRE(file->write_at(offset, {&byte, 1}).ok());
    }
    void cut_at(uint64_t first, uint64_t bytes) {
        Result<File> file = File::open(segment_path(first), File::Mode::write);
        REQUIRE(file.ok());
        REQUIRE(file->truncate(bytes).ok());
    }
    // Pretends that the machine was started again since the mark was written.
    void change_boot(uint64_t first, uint64_t durable) {
        Result<File> file = File::open(segment_path(first), File::Mode::write);
        REQUIRE(file.ok());
        std::array<uint8_t, kMarks * kMarkBytes> bytes{};
        BootId other;
        other.bytes.fill(0xee);
        seal_mark({other, Lsn(durable)}, std::span(bytes).first<kMarkBytes>());
        REQUIRE(file->write_at(kMarkAt, bytes).ok());
    }
    // Pretends that the power went while the newest mark was written.
    void cut_power_in_mark(uint64_t first) {
        Result<File> file = File::open(segment_path(first), File::Mode::write);
        REQUIRE(file.ok());
        Bytes head(kRecordsAt);
        REQUIRE(file->read_exactly_at(0, head).ok());
        const std::optional<FoundMark> newest = newest_mark(head, boot_id());
        REQUIRE(newest);
        head[kMarkAt + newest->place * kMarkBytes + 20] ^= 0x40;
        REQUIRE(file->write_at(0, head).ok());
        if (const std::optional<FoundMark> before = newest_mark(head, boot_id())) {
            change_boot(first, before->mark.durable.value);
        }
    }
    bool whole(uint64_t from, uint64_t to) {
        auto reader = log->reader();
        for (uint64_t lsn = from; lsn <= to; ++lsn) {
            Result<RecordHeader> header = reader->header_of(Lsn(lsn));
            if (!header.ok() || !reader->payload(*header).ok()) return false;
        }
        return true;
    }
};

// Of a record with one page of 512 bytes.
constexpr uint64_t kSmallRecordBytes = kRecordHeaderBytes + 8 + 512;

}  // namespace tanist
