#include <algorithm>
#include <array>

#include "replicator/log/log_state.h"

namespace tanist {
namespace {

constexpr uint64_t kIndexEvery = 64;  // one remembered offset per so many records

Error gone(Lsn lsn) {
    return {Errc::not_found, "LSN " + std::to_string(lsn.value) + " is not in the log"};
}

}  // namespace

// One segment is open at a time. The file under the handle may be retired and written anew at any
// moment; so whatever was read counts only after present() said again that the LSN is here.
struct LogReader::State {
    const Log::State& log;
    File file;
    Lsn first;                // of the open segment
    uint64_t generation = 0;  // of the log when it was opened
    struct Mark {
        Lsn lsn;
        uint64_t offset;
    };
    std::vector<Mark> index;  // of the open segment, ascending; never empty while file is open
    std::optional<RecordHeader> cached;
    uint64_t cached_at = 0;

    explicit State(const Log::State& l) : log(l) {}

    struct Place {
        Lsn first;
        Lsn last;  // published record of the segment
        uint64_t generation;
    };
    std::optional<Place> place_of(Lsn lsn) const {
        std::lock_guard lock(log.mutex);
        if (lsn > log.published.position.lsn || lsn < log.segments.front().first()) {
            return std::nullopt;
        }
        auto after =
            std::upper_bound(log.segments.begin(), log.segments.end(), lsn,
                             [](Lsn l, const LiveSegment& segment) { return l < segment.first(); });
        const Lsn last =
            after == log.segments.end() ? log.published.position.lsn : after->previous.position.lsn;
        return Place{std::prev(after)->first(), last, log.generation};
    }

    bool present(Lsn lsn) const {
        std::optional<Place> place = place_of(lsn);
        return place && place->first == first && place->generation == generation;
    }

    void forget() {
        file.close();
        index.clear();
        cached.reset();
    }

    Status open_place(const Place& place) {
        if (file.is_open() && place.first == first && place.generation == generation) {
            return ok_status();
        }
        forget();
        const std::string name = log.directory + "/" + segment_name(place.first);
        Result<File> opened = File::open(name, File::Mode::read);
        if (!opened.ok()) return std::move(opened).error();
        file = *std::move(opened);
        first = place.first;
        generation = place.generation;
        index = {{first, kRecordsAt}};
        return ok_status();
    }

    Result<RecordHeader> decode_at(uint64_t offset, Lsn lsn) {
        std::array<uint8_t, kRecordHeaderBytes> bytes;
        TANIST_TRY(file.read_exactly_at(offset, bytes));
        return decode(bytes, offset, lsn);
    }

    Result<RecordHeader> decode(ByteView bytes, uint64_t offset, Lsn lsn) const {
        Result<RecordHeader> header = decode_record_header(bytes);
        if (header.ok() && header->lsn == lsn) return header;
        const std::string where = file.path() + " at byte " + std::to_string(offset);
        if (!header.ok()) return Error(header.error()).in(where);
        return Error{Errc::corrupt, where + ": LSN " + std::to_string(header->lsn.value) +
                                        " stands where LSN " + std::to_string(lsn.value) +
                                        " belongs"};
    }

    // Walks from the nearest remembered record.
    Status seek(Lsn lsn) {
        uint64_t offset;
        Lsn at;
        if (cached && cached->lsn < lsn && cached->lsn >= index.back().lsn) {
            at = cached->lsn.next();
            offset = cached_at + cached->record_bytes();
        } else {
            auto after = std::upper_bound(index.begin(), index.end(), lsn,
                                          [](Lsn l, const Mark& mark) { return l < mark.lsn; });
            at = std::prev(after)->lsn;
            offset = std::prev(after)->offset;
            if (cached && cached->lsn < lsn && cached->lsn >= at) {
                at = cached->lsn.next();
                offset = cached_at + cached->record_bytes();
            }
        }
        for (;; at = at.next()) {
            Result<RecordHeader> header = decode_at(offset, at);
            if (!header.ok()) {
                cached.reset();
                return std::move(header).error();
            }
            if (at.value >= index.back().lsn.value + kIndexEvery) index.push_back({at, offset});
            cached = *header;
            cached_at = offset;
            if (at == lsn) return ok_status();
            offset += header->record_bytes();
        }
    }

    // Makes `cached` the header of `lsn`.
    Status locate(Lsn lsn) {
        std::optional<Place> place = place_of(lsn);
        if (!place) return gone(lsn);
        Status opened = open_place(*place);
        if (opened.ok() && cached && cached->lsn == lsn) return ok_status();
        Status sought = opened.ok() ? seek(lsn) : std::move(opened);
        if (present(lsn)) return sought;
        forget();
        return gone(lsn);
    }
};

LogReader::LogReader(std::unique_ptr<State> state) : state_(std::move(state)) {}
LogReader::~LogReader() = default;

std::unique_ptr<LogReader> Log::reader() {
    return std::unique_ptr<LogReader>(new LogReader(std::make_unique<LogReader::State>(*state_)));
}

Result<RecordHeader> LogReader::header_of(Lsn lsn) {
    TANIST_TRY(state_->locate(lsn));
    return *state_->cached;
}

Status LogReader::read(Lsn lsn, uint64_t offset, MutableBytes out) {
    State& s = *state_;
    TANIST_TRY(s.locate(lsn));
    const uint64_t bytes = s.cached->record_bytes();
    if (offset > bytes || out.size() > bytes - offset) {
        return Error{Errc::invalid, "LSN " + std::to_string(lsn.value) + " has only " +
                                        std::to_string(bytes) + " bytes"};
    }
    Status got = s.file.read_exactly_at(s.cached_at + offset, out);
    if (s.present(lsn)) return got;
    s.forget();
    return gone(lsn);
}

Result<LogReader::Run> LogReader::read_run(Lsn from, Lsn last, size_t bytes_max, Bytes& out) {
    State& s = *state_;
    TANIST_TRY(s.locate(from));
    const std::optional<State::Place> place = s.place_of(from);
    if (!place) return gone(from);
    const uint64_t first_bytes = s.cached->record_bytes();
    if (first_bytes > bytes_max) return Run{from, 0};
    const Lsn end = std::min(last, place->last);
    const uint64_t start = s.cached_at;
    const size_t before = out.size();
    // Behind the last record there may be anything, so a lone record is read alone.
    out.resize(before + (from == end ? first_bytes : bytes_max));
    Result<size_t> got = s.file.read_at(start, MutableBytes(out).subspan(before));
    if (!got.ok()) return std::move(got).error();
    const ByteView bytes = ByteView(out).subspan(before, *got);
    Run run{from, first_bytes};
    if (bytes.size() < first_bytes) return gone(from);
    while (run.through < end && bytes.size() - run.bytes >= kRecordHeaderBytes) {
        const Lsn next = run.through.next();
        Result<RecordHeader> header =
            s.decode(bytes.subspan(run.bytes, kRecordHeaderBytes), start + run.bytes, next);
        if (!header.ok()) {
            if (s.present(from)) return std::move(header).error();
            break;
        }
        if (header->record_bytes() > bytes.size() - run.bytes) break;
        s.cached = *header;
        s.cached_at = start + run.bytes;
        run = {next, run.bytes + header->record_bytes()};
    }
    out.resize(before + run.bytes);
    if (s.present(from)) return run;
    s.forget();
    return gone(from);
}

// The cursor stays at `record`, whose payload is read next.
Result<bool> LogReader::is_taken_back(const RecordHeader& record) {
    State& s = *state_;
    TANIST_TRY(s.locate(record.lsn));
    const Lsn next_lsn = record.lsn.next();
    Result<RecordHeader> next = gone(next_lsn);
    if (s.present(next_lsn)) {
        next = s.decode_at(s.cached_at + s.cached->record_bytes(), next_lsn);
        if (!s.present(next_lsn)) return gone(next_lsn);
    } else {
        State other(s.log);
        Status located = other.locate(next_lsn);
        if (!located && located.error().code == Errc::not_found) return false;
        TANIST_TRY(std::move(located));
        next = *other.cached;
    }
    if (!next) return std::move(next).error();
    return next->kind == RecordKind::abort && next->subject == record.lsn;
}

Result<Bytes> LogReader::payload(const RecordHeader& header) {
    State& s = *state_;
    TANIST_TRY(s.locate(header.lsn));
    if (*s.cached != header) return gone(header.lsn);
    Bytes payload(static_cast<size_t>(header.payload_bytes));
    TANIST_TRY(read(header.lsn, kRecordHeaderBytes, payload));
    if (hash128(payload) != header.payload_hash) {
        return Error{Errc::corrupt, s.file.path() + ": the payload of LSN " +
                                        std::to_string(header.lsn.value) +
                                        " does not fit its hash"};
    }
    return payload;
}

}  // namespace tanist
