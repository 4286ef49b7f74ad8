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
    std::optional<StoredHead> cached;
    uint64_t cached_at = 0;
    RecordForm form;  // of the open segment
    Bytes sealed;     // what read_run() opens

    explicit State(const Log::State& l) : log(l) {}

    struct Place {
        Lsn first;
        Lsn last;  // published record of the segment
        uint64_t generation;
        RecordForm form;
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
        const LiveSegment& segment = *std::prev(after);
        return Place{segment.first(), last, log.generation, segment.form};
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
        form = place.form;
        index = {{first, kRecordsAt}};
        return ok_status();
    }

    Result<StoredHead> decode_at(uint64_t offset, Lsn lsn) {
        std::array<uint8_t, kSealedHeadBytes> bytes;
        const MutableBytes head = MutableBytes(bytes).first(form.head_bytes());
        TANIST_TRY(file.read_exactly_at(offset, head));
        return decode(head, offset, lsn);
    }

    Result<StoredHead> decode(ByteView bytes, uint64_t offset, Lsn lsn) const {
        Result<StoredHead> head = form.open_head(bytes);
        if (head.ok() && head->header.lsn == lsn) return head;
        const std::string where = file.path() + " at byte " + std::to_string(offset);
        if (!head.ok()) return Error(head.error()).in(where);
        return Error{Errc::corrupt, where + ": LSN " + std::to_string(head->header.lsn.value) +
                                        " stands where LSN " + std::to_string(lsn.value) +
                                        " belongs"};
    }

    uint64_t stored_bytes(const RecordHeader& header) const {
        return form.stored_bytes(header.payload_bytes);
    }
    uint64_t behind_cached() const { return cached_at + stored_bytes(cached->header); }

    // Bytes of the record in `cached` as on the wire, whatever its form here.
    Status read_wire(uint64_t offset, MutableBytes out) const {
        if (offset < kRecordHeaderBytes) {
            const size_t count = std::min<size_t>(out.size(), kRecordHeaderBytes - offset);
            std::copy_n(cached->bytes.begin() + static_cast<ptrdiff_t>(offset), count, out.begin());
            out = out.subspan(count);
            offset += count;
        }
        const uint64_t payload_end = kRecordHeaderBytes + cached->header.payload_bytes;
        if (offset < payload_end && !out.empty()) {
            const size_t count = std::min<uint64_t>(out.size(), payload_end - offset);
            const StoredRead from_file = [this](uint64_t at, MutableBytes bytes) {
                return file.read_at(at, bytes);
            };
            Status got = form.read_payload(from_file, cached_at, *cached,
                                           offset - kRecordHeaderBytes, out.first(count));
            if (!got.ok()) return Error(got.error()).in(file.path());
            out = out.subspan(count);
        }
        std::fill(out.begin(), out.end(), uint8_t{0});
        return ok_status();
    }

    // Walks from the nearest remembered record.
    Status seek(Lsn lsn) {
        uint64_t offset;
        Lsn at;
        const auto cached_within = [&](Lsn from) {
            return cached && cached->header.lsn < lsn && cached->header.lsn >= from;
        };
        if (cached_within(index.back().lsn)) {
            at = cached->header.lsn.next();
            offset = behind_cached();
        } else {
            auto after = std::upper_bound(index.begin(), index.end(), lsn,
                                          [](Lsn l, const Mark& mark) { return l < mark.lsn; });
            at = std::prev(after)->lsn;
            offset = std::prev(after)->offset;
            if (cached_within(at)) {
                at = cached->header.lsn.next();
                offset = behind_cached();
            }
        }
        for (;; at = at.next()) {
            Result<StoredHead> head = decode_at(offset, at);
            if (!head.ok()) {
                cached.reset();
                return std::move(head).error();
            }
            if (at.value >= index.back().lsn.value + kIndexEvery) index.push_back({at, offset});
            cached = *head;
            cached_at = offset;
            if (at == lsn) return ok_status();
            offset = behind_cached();
        }
    }

    Result<LogReader::Run> read_records(Lsn from, Lsn end, size_t bytes_max, Bytes& out);
    Status open_record(const StoredHead& head, ByteView stored, Bytes& out) const;

    // Makes `cached` the header of `lsn`.
    Status locate(Lsn lsn) {
        std::optional<Place> place = place_of(lsn);
        if (!place) return gone(lsn);
        Status opened = open_place(*place);
        if (opened.ok() && cached && cached->header.lsn == lsn) return ok_status();
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
    return state_->cached->header;
}

Status LogReader::read(Lsn lsn, uint64_t offset, MutableBytes out) {
    State& s = *state_;
    TANIST_TRY(s.locate(lsn));
    const uint64_t bytes = s.cached->header.record_bytes();
    if (offset > bytes || out.size() > bytes - offset) {
        return Error{Errc::invalid, "LSN " + std::to_string(lsn.value) + " has only " +
                                        std::to_string(bytes) + " bytes"};
    }
    Status got = s.read_wire(offset, out);
    if (s.present(lsn)) return got;
    s.forget();
    return gone(lsn);
}

Result<LogReader::Run> LogReader::read_run(Lsn from, Lsn last, size_t bytes_max, Bytes& out) {
    State& s = *state_;
    TANIST_TRY(s.locate(from));
    const std::optional<State::Place> place = s.place_of(from);
    if (!place) return gone(from);
    if (s.cached->header.record_bytes() > bytes_max) return Run{from, 0};
    const size_t before = out.size();
    Result<Run> run = s.read_records(from, std::min(last, place->last), bytes_max, out);
    if (run.ok()) out.resize(before + run->bytes);
    if (s.present(from)) return run;
    s.forget();
    return gone(from);
}

// Requires: `cached` is the header of `from`. What is behind the run in `out` is of no use. An
// error, too, counts only while the segment is the log's.
Result<LogReader::Run> LogReader::State::read_records(Lsn from, Lsn end, size_t bytes_max,
                                                      Bytes& out) {
    const uint64_t start = cached_at;
    const size_t before = out.size();
    // Behind the last record there may be anything, so a lone record is read alone. Plain ones are
    // read to where they stay.
    Bytes& stored = form.sealed() ? sealed : out;
    const size_t stored_from = form.sealed() ? 0 : before;
    stored.resize(stored_from + (from == end ? stored_bytes(cached->header) : bytes_max));
    Result<size_t> got = file.read_at(start, MutableBytes(stored).subspan(stored_from));
    if (!got.ok()) return std::move(got).error();
    const size_t stored_bytes_read = *got;
    Run run{from, 0};
    uint64_t at = 0;  // of the next record, in what was read
    for (Lsn lsn = from; lsn <= end; lsn = lsn.next()) {
        const ByteView left = ByteView(stored).subspan(stored_from, stored_bytes_read).subspan(at);
        if (left.size() < form.head_bytes()) break;
        Result<StoredHead> head = decode(left.first(form.head_bytes()), start + at, lsn);
        if (!head.ok()) {
            if (lsn == from || present(from)) return std::move(head).error();
            break;
        }
        const uint64_t whole = stored_bytes(head->header);
        if (whole > left.size() || run.bytes + head->header.record_bytes() > bytes_max) break;
        if (form.sealed()) TANIST_TRY(open_record(*head, left, out));
        cached = *head;
        cached_at = start + at;
        run = {lsn, run.bytes + head->header.record_bytes()};
        at += whole;
    }
    if (run.bytes == 0) return gone(from);
    return run;
}

// Appends the record that stands sealed at the beginning of `stored`.
Status LogReader::State::open_record(const StoredHead& head, ByteView stored, Bytes& out) const {
    const StoredRead from_memory = [stored](uint64_t at, MutableBytes bytes) -> Result<size_t> {
        const size_t count = std::min<size_t>(bytes.size(), stored.size() - at);
        std::copy_n(stored.begin() + static_cast<ptrdiff_t>(at), count, bytes.begin());
        return count;
    };
    const size_t at = out.size();
    out.resize(at + head.header.record_bytes());
    std::copy(head.bytes.begin(), head.bytes.end(), out.begin() + static_cast<ptrdiff_t>(at));
    const MutableBytes payload = MutableBytes(out).subspan(
        at + kRecordHeaderBytes, static_cast<size_t>(head.header.payload_bytes));
    Status opened = form.read_payload(from_memory, 0, head, 0, payload);
    return opened.ok() ? std::move(opened) : Status(Error(opened.error()).in(file.path()));
}

// The cursor stays at `record`, whose payload is read next.
Result<bool> LogReader::is_taken_back(const RecordHeader& record) {
    State& s = *state_;
    TANIST_TRY(s.locate(record.lsn));
    const Lsn next_lsn = record.lsn.next();
    Result<StoredHead> next = gone(next_lsn);
    if (s.present(next_lsn)) {
        next = s.decode_at(s.behind_cached(), next_lsn);
        if (!s.present(next_lsn)) return gone(next_lsn);
    } else {
        State other(s.log);
        Status located = other.locate(next_lsn);
        if (!located && located.error().code == Errc::not_found) return false;
        TANIST_TRY(std::move(located));
        next = *other.cached;
    }
    if (!next) return std::move(next).error();
    return next->header.kind == RecordKind::abort && next->header.subject == record.lsn;
}

Result<Bytes> LogReader::payload(const RecordHeader& header) {
    State& s = *state_;
    TANIST_TRY(s.locate(header.lsn));
    if (s.cached->header != header) return gone(header.lsn);
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
