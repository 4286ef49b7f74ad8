#include "replicator/log/recovery.h"

#include <algorithm>

#include "replicator/base/hash.h"

namespace tanist {
namespace {

constexpr size_t kWindowBytes = 256u << 10;

// Reads a source in large pieces; a view lives until the next call.
class Window {
  public:
    explicit Window(const SegmentSource& source) : source_(source) {}

    // At most `count` bytes; fewer at the end. Requires: count <= kWindowBytes.
    Result<ByteView> at(uint64_t offset, size_t count, size_t ahead) {
        if (offset < start_ || offset + count > start_ + bytes_.size()) {
            bytes_.resize(std::max(count, ahead));
            Result<size_t> got = source_.read_at(offset, bytes_);
            if (!got.ok()) return std::move(got).error();
            bytes_.resize(*got);
            start_ = offset;
        }
        const size_t from = static_cast<size_t>(offset - start_);
        return ByteView(bytes_).subspan(from, std::min(count, bytes_.size() - from));
    }

  private:
    const SegmentSource& source_;
    Bytes bytes_;
    uint64_t start_ = 0;
};

// What stands at one offset.
struct Spot {
    enum class Kind { good, empty, broken_header, broken_payload };
    Kind kind = Kind::empty;
    RecordHeader header;  // good and broken_payload
    std::string why;
};

class Scanner {
  public:
    Scanner(const SegmentSource& source, const ScanAsk& ask)
        : ask_(ask), source_(source), window_(source) {
        scan_.end = ask.header.previous;
    }

    Result<SegmentScan> run() {
        if (source_.bytes() < kRecordsAt) {
            return Error{Errc::corrupt, "the segment is shorter than its head"};
        }
        for (;;) {
            if (ask_.until && scan_.end.position.lsn.next() == *ask_.until) break;
            Result<Spot> spot = look();
            if (!spot.ok()) return std::move(spot).error();
            if (spot->kind != Spot::Kind::good) {
                if (Status ended = judge_end(*spot); !ended.ok()) return std::move(ended).error();
                break;
            }
            const uint64_t offset = scan_.end_offset;
            scan_.end_offset += stored_bytes(spot->header);
            scan_.end = {spot->header.position(), spot->header.chain};
            scan_.records += 1;
            scan_.last = spot->header;
            if (ask_.visit && !ask_.visit(offset, spot->header)) {
                scan_.stopped = true;
                break;
            }
        }
        return std::move(scan_);
    }

  private:
    uint64_t stored_bytes(const RecordHeader& header) const {
        return ask_.form.stored_bytes(header.payload_bytes);
    }
    bool is_last_segment() const { return !ask_.until.has_value(); }
    bool may_be_missing(Lsn lsn) const { return ask_.power_lost && lsn > ask_.durable; }
    Lsn expected() const { return scan_.end.position.lsn.next(); }

    // Without payloads to check, headers are far apart: read ahead only little.
    size_t ahead() const { return wants_payload(expected()) ? kWindowBytes : 4096; }

    bool wants_payload(Lsn lsn) const {
        return ask_.check_payloads || is_last_segment() || lsn.next() == *ask_.until ||
               may_be_missing(lsn);
    }

    Result<Spot> look() {
        const uint64_t at = scan_.end_offset;
        Result<ByteView> bytes = window_.at(at, ask_.form.head_bytes(), ahead());
        if (!bytes.ok()) return std::move(bytes).error();
        Spot spot;
        Result<StoredHead> head = ask_.form.open_head(*bytes);
        if (!head.ok()) {
            if (head.error().code == Errc::version) {
                return Error(head.error()).in("at byte " + std::to_string(at));
            }
            ByteReader in(*bytes);
            const bool begun = in.u32() == ask_.form.magic();
            spot.kind = begun ? Spot::Kind::broken_header : Spot::Kind::empty;
            spot.why = head.error().message;
            return spot;
        }
        const RecordHeader* header = &head->header;
        spot.header = *header;
        // Behind the tail of a recycled segment stand old records: whole, but not the next ones.
        spot.why = why_not_next(*header, ask_.header.group, scan_.end);
        if (!spot.why.empty()) {
            const bool stale = header->lsn <= scan_.end.position.lsn;
            if (!stale) spot.kind = Spot::Kind::broken_header;
            return spot;
        }
        if (at + stored_bytes(*header) > source_.bytes()) {
            spot.kind = Spot::Kind::broken_payload;
            spot.why = "the file ends within the record";
            return spot;
        }
        spot.kind = Spot::Kind::good;
        if (wants_payload(header->lsn)) {
            Result<bool> fits = payload_fits(at, *head);
            if (!fits.ok()) return std::move(fits).error();
            if (!*fits) {
                spot.kind = Spot::Kind::broken_payload;
                spot.why = "the payload does not fit its hash";
            }
        }
        return spot;
    }

    Result<bool> payload_fits(uint64_t at, const StoredHead& head) {
        const StoredRead read = [this](uint64_t offset, MutableBytes out) -> Result<size_t> {
            Result<ByteView> part = window_.at(offset, out.size(), kWindowBytes);
            if (!part.ok()) return std::move(part).error();
            std::copy(part->begin(), part->end(), out.begin());
            return part->size();
        };
        hasher_.reset();
        for (uint64_t from = 0; from < head.header.payload_bytes;) {
            part_.resize(static_cast<size_t>(
                std::min<uint64_t>(head.header.payload_bytes - from, kSealChunkBytes)));
            Status got = ask_.form.read_payload(read, at, head, from, part_);
            if (!got.ok() && got.error().code == Errc::corrupt) return false;
            if (!got.ok()) return std::move(got).error();
            hasher_.update(part_);
            from += part_.size();
        }
        return hasher_.digest() == head.header.payload_hash;
    }

    // Decides between end and damage when no good record stands at end_offset.
    Status judge_end(const Spot& spot) {
        const uint64_t at = scan_.end_offset;
        const std::string where =
            "LSN " + std::to_string(expected().value) + " at byte " + std::to_string(at);
        if (!is_last_segment() && !may_be_missing(expected())) {
            return Error{Errc::corrupt, where + ": " + spot.why + "; the log goes on at LSN " +
                                            std::to_string(ask_.until->value) + ", " +
                                            std::to_string(source_.bytes() - at) +
                                            " bytes are in doubt"};
        }
        if (expected() <= ask_.durable) {
            return Error{Errc::corrupt,
                         where + ": " + spot.why + "; records up to LSN " +
                             std::to_string(ask_.durable.value) + " were on the disk, " +
                             std::to_string(source_.bytes() - at) + " bytes are in doubt"};
        }
        Result<std::optional<std::pair<uint64_t, Lsn>>> later = find_later(spot);
        if (!later.ok()) return std::move(later).error();
        if (later->has_value() && !ask_.power_lost) {
            return Error{Errc::corrupt,
                         where + ": " + spot.why + "; LSN " +
                             std::to_string((*later)->second.value) + " stands behind it at byte " +
                             std::to_string((*later)->first) + ", " +
                             std::to_string((*later)->first - at) + " bytes are damaged"};
        }
        if (spot.kind == Spot::Kind::empty && !later->has_value()) return ok_status();
        uint64_t bytes = ask_.form.head_bytes();
        if (spot.kind == Spot::Kind::broken_payload) bytes = stored_bytes(spot.header);
        if (later->has_value()) bytes = source_.bytes() - at;
        scan_.torn_bytes = std::min(bytes, source_.bytes() - at);
        scan_.torn_reason = where + ": " + spot.why;
        return ok_status();
    }

    // A whole record of a later LSN behind the bad spot. Stale records have lower LSNs: a segment
    // is recycled only after newer ones were written, and never by reset().
    Result<std::optional<std::pair<uint64_t, Lsn>>> find_later(const Spot& spot) {
        std::optional<std::pair<uint64_t, Lsn>> none;
        uint64_t offset = scan_.end_offset + 8;
        // A page image may hold the bytes of a record. When the bad record's length is known,
        // its payload is stepped over.
        if (spot.kind == Spot::Kind::broken_payload) {
            offset = scan_.end_offset + stored_bytes(spot.header);
        }
        const size_t head_bytes = ask_.form.head_bytes();
        while (offset + head_bytes <= source_.bytes()) {
            Result<ByteView> bytes = window_.at(offset, head_bytes, kWindowBytes);
            if (!bytes.ok()) return std::move(bytes).error();
            if (bytes->size() < head_bytes) break;
            ByteReader in(*bytes);
            if (in.u32() == ask_.form.magic()) {
                Result<StoredHead> head = ask_.form.open_head(*bytes);
                if (head.ok() && head->header.group == ask_.header.group &&
                    head->header.lsn > scan_.end.position.lsn &&
                    head->header.epoch >= scan_.end.position.epoch) {
                    return std::optional(std::pair(offset, head->header.lsn));
                }
            }
            offset += 8;
        }
        return none;
    }

    const ScanAsk& ask_;
    const SegmentSource& source_;
    Window window_;
    Hasher128 hasher_;
    Bytes part_;
    SegmentScan scan_;
};

}  // namespace

std::string why_not_next(const RecordHeader& header, GroupId group, const LogPoint& at) {
    if (header.group != group) {
        return "the record is of group " + to_string(header.group) + ", the log of group " +
               to_string(group);
    }
    if (header.lsn != at.position.lsn.next()) {
        return "LSN " + std::to_string(header.lsn.value) + " does not follow LSN " +
               std::to_string(at.position.lsn.value);
    }
    if (header.epoch < at.position.epoch) {
        return "epoch " + std::to_string(header.epoch.value) + " follows epoch " +
               std::to_string(at.position.epoch.value);
    }
    if (header.previous != at.chain) return "the record follows another history";
    return {};
}

Result<SegmentScan> scan_segment(const SegmentSource& source, const ScanAsk& ask) {
    return Scanner(source, ask).run();
}

}  // namespace tanist
