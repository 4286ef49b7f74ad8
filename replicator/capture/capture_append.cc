#include <algorithm>

#include "replicator/base/hash.h"
#include "replicator/base/notes.h"
#include "replicator/capture/capture_state.h"

namespace tanist {

Result<CaptureDecision> Capturer::State::decide(const WalIndexHeader& now) {
    CaptureDecision decision = decide_capture(known, now, std::nullopt);
    if (decision.action == CaptureDecision::Action::gap) {
        // A writer died in the first commit of a new WAL, so that SQLite recovered it.
        const auto begun = begun_point(known, read_begun(), now);
        if (begun) known = *begun;
        if (begun) decision = decide_capture(known, now, std::nullopt);
    }
    if (decision.action != CaptureDecision::Action::need_checksum) return decision;
    Result<WalFrameHeader> frame = frames.read_header(known.wal.frame, now.page_bytes);
    if (!frame) return std::move(frame).error();
    if (unsummed) TANIST_TRY(sum_up_known(now, frame->checksum));
    return decide_capture(known, now, frame->checksum);
}

Result<bool> Capturer::State::capture_up_to(const WalIndexHeader& now) {
    Result<CaptureDecision> decision = decide(now);
    if (!decision) {
        if (decision.error().code == Errc::busy) return false;
        return std::move(decision).error();
    }
    if (decision->action == CaptureDecision::Action::gap) {
        TANIST_TRY(append_rebase(now, decision->reason));
        return true;
    }
    // Beside the pin only the extension restarts the WAL (extension/wal_gate.h).
    if (decision->restarted && pin.held() && known.wal.frame > 0) {
        shim_restarted_at = boot_now();
        others_write_back = true;
    }
    if (decision->first_frame <= now.max_frame) return take_range(now, *decision);
    const std::string wrong = why_count_is_wrong(known, now, *decision, 0);
    if (!wrong.empty()) {
        TANIST_TRY(append_rebase(now, wrong));
        return true;
    }
    if (decision->restarted) known.wal = WalPoint{};
    known.wal.salt1 = now.salt.salt1;
    known.wal.salt2 = now.salt.salt2;
    known.wal.change = now.change;
    known.live = true;
    return true;
}

// The frames up to now.max_frame cannot change while the pin is held. Without it, or if somebody
// breaks SQLite's rules, the header tells.
Result<bool> Capturer::State::still_there(const WalIndexHeader& taken) {
    handle.barrier();
    const std::optional<WalIndexHeader> now = read_wal_index_header(index);
    // A writer is at work on the header: it appends, and appending harms nothing.
    if (!now) return pin.held();
    return now->salt == taken.salt && now->max_frame >= taken.max_frame;
}

Result<bool> Capturer::State::take_range(const WalIndexHeader& now,
                                         const CaptureDecision& decision) {
    Status scanned = scan(decision.first_frame, now);
    if (!scanned && scanned.error().code == Errc::busy) return false;
    TANIST_TRY(std::move(scanned));
    Result<bool> there = still_there(now);
    if (!there || !*there) return there;
    if (commits.empty() || commits.back().last_frame != now.max_frame) {
        TANIST_TRY(append_rebase(now, "the last frame of the WAL ends no transaction"));
        return true;
    }
    std::string wrong = why_count_is_wrong(known, now, decision, commits.size());
    if (!wrong.empty()) {
        TANIST_TRY(merge_padding(now.page_bytes));
        wrong = why_count_is_wrong(known, now, decision, commits.size());
    }
    if (!wrong.empty()) {
        TANIST_TRY(append_rebase(now, wrong));
        return true;
    }
    uint32_t first = decision.first_frame;
    uint32_t change = now.change - static_cast<uint32_t>(commits.size());
    for (const CommitMark& mark : commits) {
        ++change;
        if (prepared) {
            Result<bool> adopted = adopt_prepared(first, mark, change, now);
            if (!adopted && adopted.error().code == Errc::busy) return false;
            if (!adopted) return adopted;
            if (*adopted) {
                first = mark.last_frame + 1;
                continue;
            }
        }
        Result<bool> appended = append_commit(first, mark, change, now);
        if (!appended || !*appended) return appended;
        first = mark.last_frame + 1;
    }
    return true;
}

// Reads the headers of frames first..now.max_frame. A range that fits into one load stays loaded.
Status Capturer::State::scan(uint32_t first, const WalIndexHeader& now) {
    scan_first = first;
    pgnos.clear();
    commits.clear();
    const uint32_t step = frames.frames_max(now.page_bytes);
    for (uint32_t at = first; at <= now.max_frame;) {
        const uint32_t count = std::min(step, now.max_frame - at + 1);
        TANIST_TRY(frames.load(at, count, now.page_bytes));
        for (uint32_t frame = at; frame < at + count; ++frame) {
            const WalFrameHeader header = frames.header(frame);
            pgnos.push_back(header.pgno.value);
            if (header.db_pages != 0) commits.push_back({frame, header.db_pages, header.checksum});
        }
        at += count;
    }
    return ok_status();
}

// A VFS without powersafe overwrite makes SQLite repeat the commit frame up to the sector's end
// (sqlite-facts 1.1). Such copies are one commit.
Status Capturer::State::merge_padding(uint32_t page_bytes) {
    std::vector<CommitMark> merged;
    uint64_t previous_hash = 0;
    for (const CommitMark& mark : commits) {
        TANIST_TRY(frames.load(mark.last_frame, 1, page_bytes));
        const uint64_t hash = hash64(frames.image(mark.last_frame));
        const auto page_of = [&](const CommitMark& m) { return pgnos[m.last_frame - scan_first]; };
        const bool copy = !merged.empty() && merged.back().last_frame + 1 == mark.last_frame &&
                          merged.back().db_pages == mark.db_pages &&
                          page_of(merged.back()) == page_of(mark) && previous_hash == hash;
        if (copy) {
            merged.back() = mark;
        } else {
            merged.push_back(mark);
        }
        previous_hash = hash;
    }
    commits = std::move(merged);
    return ok_status();
}

RecordHeader Capturer::State::blank_record(RecordKind kind) const {
    RecordHeader record;
    record.kind = kind;
    record.group = log.group();
    record.epoch = options.epoch;
    record.commit_time_ns = unix_now_ns();
    return record;
}

Result<bool> Capturer::State::append_commit(uint32_t first, const CommitMark& mark, uint32_t change,
                                            const WalIndexHeader& now) {
    select_pages(first, pgnos.data() + (first - scan_first), mark.last_frame - first + 1,
                 mark.db_pages, pages);
    RecordHeader record = blank_record(RecordKind::commit);
    record.page_bytes = now.page_bytes;
    record.db_pages = mark.db_pages;
    record.page_count = static_cast<uint32_t>(pages.size());
    record.wal = {now.salt.salt1, now.salt.salt2,  mark.last_frame,
                  change,         mark.checksum.a, mark.checksum.b};
    const bool in_memory = frames.has(first) && frames.has(mark.last_frame);
    if (!in_memory) {
        Status ahead = load_ahead(first, mark.last_frame, now.page_bytes);
        if (!ahead && ahead.error().code == Errc::busy) return false;
        TANIST_TRY(std::move(ahead));
    }
    Result<bool> appended = append_pages(record, [&]() -> Result<bool> {
        if (in_memory) return true;
        return still_there(now);
    });
    if (!appended || !*appended) return appended;
    captured_commit(record.wal, log.last()->lsn);
    return true;
}

Result<bool> Capturer::State::append_pages(RecordHeader record,
                                           const std::function<Result<bool>()>& still_valid) {
    TANIST_TRY(log.begin(raw_payload_bytes(record.page_count, record.page_bytes)));
    Status written = write_pages(record.page_bytes, [&](ByteView part) { return log.write(part); });
    if (!written) {
        log.abandon();
        if (written.error().code == Errc::busy) return false;
        return std::move(written).error();
    }
    Result<bool> valid = still_valid();
    if (!valid || !*valid) {
        log.abandon();
        return valid;
    }
    Result<RecordHeader> sealed = log.finish(record);
    if (!sealed) return std::move(sealed).error();
    unpublished = true;
    untold.bytes += sealed->record_bytes();
    control->bytes_captured.fetch_add(sealed->record_bytes(), std::memory_order_relaxed);
    return true;
}

// Behind by more than one load, the commits are read again: as many as one load holds, not each by
// itself. One that is larger finds its own way in write_pages().
Status Capturer::State::load_ahead(uint32_t first, uint32_t last, uint32_t page_bytes) {
    const uint32_t window = frames.frames_max(page_bytes);
    if (last - first >= window) return ok_status();
    const auto scanned = static_cast<uint32_t>(pgnos.size());
    return frames.load(first, std::min(window, scan_first + scanned - first), page_bytes);
}

// A commit that is visible, and record `lsn` of the log holds it.
void Capturer::State::captured_commit(const WalPoint& wal, Lsn lsn) {
    known = {wal, log.last()->page_bytes, true};
    untold.commits += 1;
    control->commits_captured.fetch_add(1, std::memory_order_relaxed);
    control.set_commit_lsn({wal.change, wal.salt1, wal.salt2, wal.frame}, lsn);
}

// Page numbers, then images. Images that lie near each other in the WAL are fetched together.
Status Capturer::State::write_pages(uint32_t page_bytes,
                                    const std::function<Status(ByteView)>& sink) {
    numbers.clear();
    ByteWriter out(numbers);
    for (const FrameOfPage& page : pages) out.u32(page.pgno);
    numbers.resize(page_image_offset(static_cast<uint32_t>(pages.size()), page_bytes, 0));
    TANIST_TRY(sink(numbers));
    const uint32_t window = frames.frames_max(page_bytes);
    for (size_t i = 0; i < pages.size(); ++i) {
        const uint32_t frame = pages[i].frame;
        if (!frames.has(frame)) {
            uint32_t last = frame;
            for (size_t next = i + 1; next < pages.size(); ++next) {
                const uint32_t ahead = pages[next].frame;
                // A hole wider than a few frames costs more to read than another call.
                if (ahead <= last || ahead - last > 4 || ahead - frame >= window) break;
                last = ahead;
            }
            TANIST_TRY(frames.load(frame, last - frame + 1, page_bytes));
        }
        TANIST_TRY(sink(frames.image(frame)));
    }
    return ok_status();
}

// Page size, size and place in the WAL of the database as `now` shows it.
Result<RecordHeader> Capturer::State::describe_database(const WalIndexHeader& now) {
    RecordHeader record = blank_record(RecordKind::rebase);
    record.wal = {now.salt.salt1, now.salt.salt2, now.max_frame, now.change, 0, 0};
    if (now.max_frame > 0) {
        record.page_bytes = now.page_bytes;
        record.db_pages = now.db_pages;
        Result<WalFrameHeader> frame = frames.read_header(now.max_frame, now.page_bytes);
        if (!frame) return std::move(frame).error();
        record.wal.checksum_a = frame->checksum.a;
        record.wal.checksum_b = frame->checksum.b;
        return record;
    }
    // An empty WAL: its header may be as empty. The file format has the page size at offset 16.
    std::array<uint8_t, 18> start{};
    Result<size_t> found = handle.read_db(0, start);
    if (!found) return std::move(found).error();
    const uint16_t size = load_be16(start.data() + 16);
    record.page_bytes = size == 1 ? limits::kPageBytesMax : size;
    if (record.page_bytes < limits::kPageBytesMin) {
        return Error{Errc::invalid, handle.path() + " has no page size in its header"};
    }
    Result<uint64_t> bytes = handle.db_bytes();
    if (!bytes) return std::move(bytes).error();
    record.db_pages = static_cast<uint32_t>(*bytes / record.page_bytes);
    return record;
}

Status Capturer::State::append_rebase(const WalIndexHeader& now, const std::string& reason) {
    rebase_due = reason;
    // The replicas will compare everything, and what is visible is in it; but one of whose end its
    // writer has spoken must not be taken back.
    Result<bool> ended = end_prepared();
    if (!ended || !*ended) return ended ? ok_status() : std::move(ended).error();
    const std::string places = describe_places(now);
    // From here on the WAL must not lose what the record says it follows.
    if (!pin.held()) {
        Status taken = pin.take();
        if (!taken && taken.error().code != Errc::busy) return taken;
        wal_is_let_go = false;
    }
    Result<RecordHeader> record = describe_database(now);
    if (!record) return std::move(record).error();
    TANIST_TRY(log.begin(0));
    Result<RecordHeader> sealed = log.finish(*record);
    if (!sealed) return std::move(sealed).error();
    known = {record->wal, record->page_bytes, true};
    unpublished = true;
    rebase_due.clear();
    untold.rebased = true;
    untold.reason = reason;
    untold.bytes += sealed->record_bytes();
    control->rebases.fetch_add(1, std::memory_order_relaxed);
    note(NoteLevel::warning, "replicas must compare the database anew",
         {{"database", handle.path()},
          {"reason", reason},
          {"position", to_string(sealed->position())},
          {"places", places}});
    return ok_status();
}

// What continuity was judged by, salts/frame/iChange each: where the log stands, where the WAL is,
// what was announced last, and which WAL the extension began last, after what.
std::string Capturer::State::describe_places(const WalIndexHeader& now) const {
    const auto place = [](uint32_t salt1, uint32_t salt2, uint32_t frame, uint32_t change) {
        return std::to_string(salt1) + ":" + std::to_string(salt2) + "/" + std::to_string(frame) +
               "/" + std::to_string(change);
    };
    const CapturedPoint said = control.captured();
    const WalBegun begun = control.begun();
    const WalMoment& after = begun.after;
    return "log " + place(known.wal.salt1, known.wal.salt2, known.wal.frame, known.wal.change) +
           ", WAL " + place(now.salt.salt1, now.salt.salt2, now.max_frame, now.change) +
           ", announced " + place(said.salt1, said.salt2, said.frame, said.change) + ", begun " +
           place(begun.salt1, begun.salt2, 0, 0) + " after " +
           place(after.salt1, after.salt2, after.frame, after.change);
}

void Capturer::State::forget_clean_stop() {
    if (!clean_stop_exists) return;
    // The note names the end of the log it belongs to, so one that cannot be removed is void too.
    if (remove_path(options.clean_stop_path).ok()) clean_stop_exists = false;
}

}  // namespace tanist
