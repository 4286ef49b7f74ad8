// Making, cutting and retiring the files of a log.
#include <algorithm>
#include <array>
#include <utility>

#include "replicator/log/log_state.h"

namespace tanist {
namespace {

constexpr size_t kSparesMax = 3;
constexpr uint64_t kZeroBytes = 1u << 20;
constexpr uint64_t kSmallSync = 64u << 10;
constexpr uint64_t kBlocksAhead = 256u << 10;

Status write_zeros(File& file, uint64_t from, uint64_t to) {
    const Bytes zeros(static_cast<size_t>(std::min(kZeroBytes, to - from)));
    while (from < to) {
        const size_t count = static_cast<size_t>(std::min<uint64_t>(zeros.size(), to - from));
        TANIST_TRY(file.write_at(from, ByteView(zeros).first(count)));
        from += count;
    }
    return ok_status();
}

}  // namespace

// The segment is whole, and on the disk unless that is done later, before it gets its name, so that
// no crash leaves a name without a header.
Result<File> Log::State::make_segment(const std::string& name, const LogPoint& previous,
                                      uint64_t bytes) {
    const std::string fresh = path(kFreshName);
    const bool recycle = !spares.empty() && bytes == options.segment_bytes && name != kResetName;
    if (recycle) {
        TANIST_TRY(rename_path(path(spares.back()), fresh));
        spares.pop_back();
    } else {
        TANIST_TRY(remove_path(fresh));
    }
    auto fill = [&]() -> Result<File> {
        Result<File> file = File::open(fresh, File::Mode::create);
        if (!file.ok()) return file;
        TANIST_TRY(file->allocate(bytes));
        std::array<uint8_t, kRecordsAt> head{};
        SegmentHeader header{group, previous, new_form().key_id()};
        seal_segment(header, std::span(head).first<kSegmentHeaderBytes>());
        const Lsn known = name == kResetName ? previous.position.lsn : durable;
        seal_mark({boot, known}, std::span(head).subspan<kMarkAt, kMarkBytes>());
        const bool later = options.sync_later && name != kResetName && !segments.empty();
        TANIST_TRY(later ? file->write_at(0, head) : file->write_at_durably(0, head));
        TANIST_TRY(rename_path(fresh, path(name)));
        if (later) return file;
        TANIST_TRY(sync_directory(directory));
        head_durable = previous.position.lsn.next();
        return file;
    };
    Result<File> file = fill();
    if (!file.ok()) static_cast<void>(remove_path(fresh).ok());
    mark_place = 1;
    synced_at = kRecordsAt;
    blocks_to = recycle ? bytes : kRecordsAt;
    return file;
}

Status Log::State::create_first(const LogPoint& base) {
    durable = base.position.lsn;
    Result<File> made =
        make_segment(segment_name(base.position.lsn.next()), base, options.segment_bytes);
    if (!made.ok()) return std::move(made).error();
    tail = *std::move(made);
    segments = {{base, options.segment_bytes, kRecordsAt, new_form()}};
    published = finished = base;
    last.reset();
    buffer.clear();
    buffer_at = kRecordsAt;
    return ok_status();
}

// Completes a reset that stands as kResetName: from the moment that name is durable, the old
// segments are no longer the log.
Status Log::State::finish_reset() {
    Result<std::vector<std::string>> names = list_directory(directory);
    if (!names.ok()) return std::move(names).error();
    for (const std::string& name : *names) {
        // Spares go too: with LSNs that begin lower again, what is in them could pass for a record
        // behind the tail.
        if (!parse_segment_name(name) && !name.starts_with(kSparePrefix)) continue;
        TANIST_TRY(remove_path(path(name)));
    }
    spares.clear();
    TANIST_TRY(sync_directory(directory));
    const std::string name = segment_name(finished.position.lsn.next());
    TANIST_TRY(rename_path(path(kResetName), path(name)));
    return sync_directory(directory);
}

Status Log::State::adopt(FoundLog&& found) {
    group = found.segments.front().header.group;
    spares = found.spares;
    last = found.last;
    published = finished = found.end;
    for (const FoundSegment& s : found.segments) {
        segments.push_back({s.header.previous, s.file_bytes, s.end_offset, s.form});
    }
    if (options.seal) TANIST_TRY(drop_spares());
    if (found.resetting) TANIST_TRY(finish_reset());
    if (!found.unfinished.empty()) {
        TANIST_TRY(remove_path(path(found.unfinished)));
        TANIST_TRY(sync_directory(directory));
        recovery.torn_reason = found.unfinished + ": its header was not written";
    }
    TANIST_TRY(drop_torn(found));
    LiveSegment& end = segments.back();
    Result<File> file = File::open(segment_path(end.first()), File::Mode::write);
    if (!file.ok()) return std::move(file).error();
    tail = *std::move(file);
    buffer_at = synced_at = blocks_to = end.end_offset;
    if (found.torn_bytes > 0) TANIST_TRY(cut_tail(found));
    if (end.file_bytes < options.segment_bytes) {
        // A full disk is no reason not to open: appending will say so.
        if (tail.allocate(options.segment_bytes).ok()) end.file_bytes = options.segment_bytes;
    }
    // What was found may be in memory only, left there by a killed process. Everything from now
    // on builds on it, so it is made durable, and then the mark speaks of this boot.
    if (found.mark) mark_place = (found.mark->place + 1) % kMarks;
    durable = published.position.lsn;
    head_durable = end.first();
    if (!found.mark || found.mark->mark.boot != boot || found.mark->mark.durable != durable) {
        TANIST_TRY(sync_older(found));
        TANIST_TRY(tail.sync_data());
        TANIST_TRY(sync_directory(directory));
        TANIST_TRY(write_mark(durable));
    }
    return ok_status();
}

RecordForm Log::State::new_form() const {
    return options.seal ? RecordForm(options.cipher, group) : RecordForm();
}

// The next record is appended in the form that is asked for.
Status Log::State::begin_form() {
    if (form().key_id() == new_form().key_id()) return ok_status();
    if (segments.back().end_offset > kRecordsAt) return roll(options.segment_bytes);
    // An empty one is made anew under its name.
    const LogPoint previous = segments.back().previous;
    Result<File> made =
        make_segment(segment_name(previous.position.lsn.next()), previous, options.segment_bytes);
    if (!made.ok()) return std::move(made).error();
    tail = *std::move(made);
    segments.back() = {previous, options.segment_bytes, kRecordsAt, new_form()};
    return ok_status();
}

// After a power cut the log ends in `segments.back()`; what had followed it goes, the last first,
// so that a crash meanwhile leaves the same to be judged again. Spares go too: a renaming that the
// disk did not keep may have left records in them that are not older than the log's end.
Status Log::State::drop_torn(const FoundLog& found) {
    if (found.dropped.empty() && (found.torn_bytes == 0 || !found.power_lost)) return ok_status();
    for (auto name = found.dropped.rbegin(); name != found.dropped.rend(); ++name) {
        TANIST_TRY(remove_path(path(*name)));
        TANIST_TRY(sync_directory(directory));
    }
    TANIST_TRY(drop_spares());
    return sync_directory(directory);
}

// What is in them may have been written before the log was sealed.
Status Log::State::drop_spares() {
    for (const std::string& spare : spares) TANIST_TRY(remove_path(path(spare)));
    spares.clear();
    return ok_status();
}

Status Log::State::sync_older(const FoundLog& found) {
    for (size_t i = 0; i + 1 < segments.size(); ++i) {
        if (segments[i + 1].previous.position.lsn <= found.durable) continue;
        Result<File> file = File::open(segment_path(segments[i].first()), File::Mode::write);
        if (!file.ok()) return std::move(file).error();
        TANIST_TRY(file->sync_data());
    }
    return ok_status();
}

// Zeros over the torn part, so that what is left of it never looks like a later record.
Status Log::State::cut_tail(const FoundLog& found) {
    recovery.torn_bytes = found.torn_bytes;
    recovery.torn_reason = found.torn_reason;
    const LiveSegment& end = segments.back();
    return write_zeros(tail, end.end_offset, end.file_bytes);
}

Status Log::State::write_mark(Lsn synced) {
    std::array<uint8_t, kMarkBytes> bytes{};
    seal_mark({boot, synced}, bytes);
    TANIST_TRY(tail.write_at(kMarkAt + mark_place * kMarkBytes, bytes));
    mark_place = (mark_place + 1) % kMarks;
    return ok_status();
}

// An fdatasync of blocks that were reserved and never written commits a change of metadata, too,
// and takes about twice as long. Small syncs, for which somebody may be waiting, therefore find
// zeros under them; a storm, whose syncs are few and large, writes its bytes once. Only speed is
// lost where this fails.
void Log::State::write_blocks_ahead() {
    const uint64_t begun = std::exchange(synced_at, buffer_at);
    if (buffer_at - begun > kSmallSync || buffer_at + kSmallSync <= blocks_to) return;
    const uint64_t from = std::max(buffer_at, blocks_to);
    const uint64_t to = std::min(buffer_at + kBlocksAhead, segments.back().file_bytes);
    if (from < to && write_zeros(tail, from, to).ok()) blocks_to = to;
}

// Requires: the segment is no longer in `segments`.
Status Log::State::retire(const LiveSegment& segment, bool is_lent) {
    const std::string from = segment_path(segment.first());
    const bool readable = options.seal && !segment.form.sealed();
    const bool reusable = !readable && !is_lent && segment.file_bytes == options.segment_bytes;
    if (reusable && spares.size() < kSparesMax) {
        const std::string spare = kSparePrefix + segment_name(segment.first());
        TANIST_TRY(rename_path(from, path(spare)));
        spares.push_back(spare);
    } else {
        TANIST_TRY(remove_path(from));
    }
    // One after the other, also on the disk: a gap between segments would be damage.
    return sync_directory(directory);
}

}  // namespace tanist
