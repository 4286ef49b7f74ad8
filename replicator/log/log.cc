#include "replicator/log/log.h"

#include <algorithm>
#include <array>

#include "replicator/base/random.h"
#include "replicator/log/log_state.h"

namespace tanist {
namespace {

// Pieces of a payload that goes through are collected to writes of this size.
constexpr size_t kThroughBytes = 256u << 10;

}  // namespace

Log::Log(std::unique_ptr<State> state) : state_(std::move(state)) {}
Log::~Log() = default;

namespace {

// Whoever reads this cannot go on without deciding what the log's directory shall be.
Error with_remedy(Error error, const std::string& directory) {
    if (error.code == Errc::corrupt || error.code == Errc::invalid) {
        error.message += "; nothing was changed. `tanist log verify " + directory +
                         "` describes it; move that directory away to begin a new log, which "
                         "synchronises the replica anew";
    } else if (error.code == Errc::version) {
        error.message += "; start the newer Tanist that wrote " + directory;
    }
    return error;
}

}  // namespace

Result<std::unique_ptr<Log>> Log::open(const std::string& directory, GroupId group,
                                       const LogOptions& options) {
    Result<FoundLog> found = find_log(directory, options.cipher, group, false, {});
    if (!found.ok() && found.error().code == Errc::not_found && !group.is_zero()) {
        return create(directory, group, {}, options);
    }
    if (!found.ok()) return with_remedy(std::move(found).error(), directory);
    auto state = std::make_unique<State>(directory, group, options);
    TANIST_TRY(state->adopt(*std::move(found)));
    return std::unique_ptr<Log>(new Log(std::move(state)));
}

Result<std::unique_ptr<Log>> Log::create(const std::string& directory, GroupId group,
                                         const LogPoint& base, const LogOptions& options) {
    auto state = std::make_unique<State>(directory, group, options);
    TANIST_TRY(make_directory(directory));
    TANIST_TRY(state->create_first(base));
    state->recovery.created = true;
    return std::unique_ptr<Log>(new Log(std::move(state)));
}

void Log::moved_to(const std::string& directory) { state_->directory = directory; }

GroupId Log::group() const { return state_->group; }
const LogRecovery& Log::recovery() const { return state_->recovery; }
std::optional<RecordHeader> Log::last() const { return state_->last; }

LogPoint Log::end() const {
    std::lock_guard lock(state_->mutex);
    return state_->published;
}

LogPoint Log::base() const {
    std::lock_guard lock(state_->mutex);
    return state_->segments.front().previous;
}

LogStat Log::stat() const {
    std::lock_guard lock(state_->mutex);
    LogStat stat;
    stat.segments = state_->segments.size();
    for (const LiveSegment& s : state_->segments) stat.bytes += s.end_offset - kRecordsAt;
    stat.base = state_->segments.front().previous;
    stat.end = state_->published;
    if (stat.end.position.lsn > stat.base.position.lsn) stat.first = stat.base.position.lsn.next();
    return stat;
}

// -- appending

Status Log::begin(uint64_t payload_bytes) {
    State& s = *state_;
    if (s.appending) return Error{Errc::invalid, "a record is being appended already"};
    if (s.sync_lost) return *s.sync_lost;
    const uint64_t bytes_max =
        raw_payload_bytes(static_cast<uint32_t>(limits::kRecordPagesMax), limits::kPageBytesMax);
    if (payload_bytes > bytes_max) {
        return Error{Errc::invalid, "a record of " + std::to_string(payload_bytes) +
                                        " bytes is larger than any commit"};
    }
    TANIST_TRY(s.begin_form());
    TANIST_TRY(s.make_room(payload_bytes));
    const uint64_t record_bytes = s.form().stored_bytes(payload_bytes);
    s.through = record_bytes > limits::kWriteBufferBytes;
    if (s.through || s.buffer.size() + record_bytes > limits::kWriteBufferBytes) {
        TANIST_TRY(s.flush_buffer());
    }
    s.appending = true;
    s.record_at = s.buffer_at + s.buffer.size();
    s.payload_bytes = payload_bytes;
    s.payload_done = 0;
    s.hasher.reset();
    if (s.form().sealed()) {
        random_bytes(s.nonce.bytes.data(), s.nonce.bytes.size());
        s.unsealed.clear();
        s.chunks_done = 0;
    }
    if (s.through) {
        s.buffer_at = s.record_at + s.form().head_bytes();
    } else {
        s.buffer.resize(s.buffer.size() + s.form().head_bytes());
    }
    return ok_status();
}

Status Log::write(ByteView part) {
    State& s = *state_;
    if (!s.appending) return Error{Errc::invalid, "no record is being appended"};
    if (part.size() > s.payload_bytes - s.payload_done) {
        s.drop_append();
        return Error{Errc::invalid, "more payload than begin() was told"};
    }
    s.payload_done += part.size();
    if (s.through || s.form().sealed()) s.hasher.update(part);
    if (s.form().sealed()) {
        s.unsealed.insert(s.unsealed.end(), part.begin(), part.end());
        s.seal_chunks(false);
    } else {
        s.buffer.insert(s.buffer.end(), part.begin(), part.end());
    }
    if (!s.through || s.buffer.size() < kThroughBytes) return ok_status();
    Status flushed = s.flush_buffer();
    if (!flushed.ok()) s.drop_append();
    return flushed;
}

void Log::abandon() {
    if (state_->appending) state_->drop_append();
}

Result<RecordHeader> Log::finish(RecordHeader header) {
    State& s = *state_;
    if (!s.appending) return Error{Errc::invalid, "no record is being appended"};
    header.group = s.group;
    header.lsn = s.finished.position.lsn.next();
    header.previous = s.finished.chain;
    header.payload_bytes = s.payload_bytes;
    header.raw_bytes = s.payload_bytes;
    std::string why = why_invalid(header);
    if (why.empty()) why = why_not_next(header, s.group, s.finished);
    if (why.empty() && s.payload_done != s.payload_bytes) why = "the payload is not complete";
    if (!why.empty()) {
        s.drop_append();
        return Error{Errc::invalid, why};
    }
    header.payload_hash = s.payload_hash();
    std::array<uint8_t, kRecordHeaderBytes> sealed;
    seal_record(header, sealed);
    TANIST_TRY(s.complete(header, sealed));
    return header;
}

Status Log::finish_received(const RecordHeader& received) {
    State& s = *state_;
    if (!s.appending) return Error{Errc::invalid, "no record is being appended"};
    auto refuse = [&](Errc code, const std::string& why) {
        s.drop_append();
        return Error{code, "LSN " + std::to_string(received.lsn.value) + ": " + why};
    };
    if (std::string why = why_invalid(received); !why.empty()) return refuse(Errc::invalid, why);
    std::string why = why_not_next(received, s.group, s.finished);
    if (!why.empty()) {
        // The next LSN over another chain is a history that parted from ours.
        const bool parted = received.group == s.group && received.previous != s.finished.chain &&
                            received.lsn == s.finished.position.lsn.next();
        return refuse(parted ? Errc::corrupt : Errc::invalid, why);
    }
    if (received.payload_bytes != s.payload_bytes || s.payload_done != s.payload_bytes ||
        received.payload_hash != s.payload_hash()) {
        return refuse(Errc::corrupt, "the payload does not fit its hash");
    }
    RecordHeader header = received;
    std::array<uint8_t, kRecordHeaderBytes> sealed;
    seal_record(header, sealed);
    if (header.chain != received.chain)
        return refuse(Errc::corrupt, "the header does not fit its chain");
    return s.complete(header, sealed);
}

Hash128 Log::State::payload_hash() {
    if (through || form().sealed()) return hasher.digest();
    const size_t from = static_cast<size_t>(record_at - buffer_at) + kRecordHeaderBytes;
    return hash128(ByteView(buffer).subspan(from));
}

void Log::State::seal_chunks(bool rest_too) {
    size_t done = 0;
    while (unsealed.size() - done >= kSealChunkBytes || (rest_too && done < unsealed.size())) {
        const size_t bytes = std::min<size_t>(kSealChunkBytes, unsealed.size() - done);
        form().seal_chunk(nonce, chunks_done, ByteView(unsealed).subspan(done, bytes), buffer);
        chunks_done += 1;
        done += bytes;
    }
    unsealed.erase(unsealed.begin(), unsealed.begin() + static_cast<ptrdiff_t>(done));
}

Status Log::State::complete(RecordHeader& header,
                            std::span<const uint8_t, kRecordHeaderBytes> bytes) {
    std::array<uint8_t, kSealedHeadBytes> sealed;
    ByteView head = bytes;
    if (form().sealed()) {
        seal_chunks(true);
        form().seal_head(nonce, header.lsn, bytes, sealed);
        head = sealed;
    }
    const uint64_t end = record_at + form().stored_bytes(payload_bytes);
    buffer.resize(static_cast<size_t>(end - buffer_at));
    if (through) {
        // The head goes last: until it is there, nothing is.
        Status written = flush_buffer();
        if (written.ok()) {
            dirty = true;
            written = tail.write_at(record_at, head);
        }
        if (!written.ok()) {
            drop_append();
            return written;
        }
    } else {
        std::copy(head.begin(), head.end(),
                  buffer.begin() + static_cast<ptrdiff_t>(record_at - buffer_at));
    }
    appending = false;
    last = header;
    finished = {header.position(), header.chain};
    std::lock_guard lock(mutex);
    segments.back().end_offset = end;
    return ok_status();
}

void Log::State::drop_append() {
    appending = false;
    if (through) {
        buffer.clear();
        buffer_at = record_at;
    } else {
        buffer.resize(static_cast<size_t>(record_at - buffer_at));
    }
}

Status Log::State::flush_buffer() {
    if (buffer.empty()) return ok_status();
    dirty = true;
    // After an error the same bytes are written to the same place again: nothing is lost.
    TANIST_TRY(tail.write_at(buffer_at, buffer));
    buffer_at += buffer.size();
    buffer.clear();
    return ok_status();
}

Status Log::State::make_room(uint64_t payload) {
    // Only the owner changes segments, so it reads them without the lock.
    const LiveSegment& end = segments.back();
    if (end.end_offset + form().stored_bytes(payload) <= end.file_bytes) return ok_status();
    // Whatever form the next segment has: a sealed record is the longer one.
    const uint64_t record_bytes =
        std::max(form().stored_bytes(payload), new_form().stored_bytes(payload));
    const uint64_t needed = (kRecordsAt + record_bytes + 4095) & ~uint64_t{4095};
    if (end.end_offset > kRecordsAt) return roll(std::max(needed, options.segment_bytes));
    // An empty segment grows: a second one could not have another name.
    TANIST_TRY(tail.allocate(needed));
    std::lock_guard lock(mutex);
    segments.back().file_bytes = needed;
    return ok_status();
}

// The old segment is on the disk before the new one has a name, or it is remembered to be synced.
Status Log::State::roll(uint64_t bytes) {
    TANIST_TRY(flush_buffer());
    if (!options.sync_later) {
        TANIST_TRY(sync_tail());
        durable = finished.position.lsn;
    }
    Result<File> made = make_segment(segment_name(finished.position.lsn.next()), finished, bytes);
    if (!made.ok()) return std::move(made).error();
    if (dirty || sync_begun) unsynced.push_back({segments.back().first(), std::move(tail)});
    dirty = false;
    tail = *std::move(made);
    buffer_at = kRecordsAt;
    std::lock_guard lock(mutex);
    segments.push_back({finished, bytes, kRecordsAt, new_form()});
    return ok_status();
}

Status Log::publish() {
    State& s = *state_;
    if (s.appending) return Error{Errc::invalid, "a record is being appended"};
    TANIST_TRY(s.flush_buffer());
    std::lock_guard lock(s.mutex);
    s.published = s.finished;
    return ok_status();
}

// -- durability and retention

void Log::State::lose_sync(const Error& error) {
    sync_lost = Error(error).in("what the log had written may be lost; open it again");
}

Status Log::State::sync_tail() {
    if (sync_lost) return *sync_lost;
    Status synced = ok_status();
    for (Unsynced& older : unsynced)
        if (synced.ok()) synced = older.file.sync_data();
    if (synced.ok() && dirty) synced = tail.sync_data();
    if (!synced.ok()) {
        lose_sync(synced.error());
        return synced;
    }
    unsynced.clear();
    dirty = false;
    return ok_status();
}

Result<LogPoint> Log::State::synced_through(const LogPoint& point) {
    durable = std::max(durable, point.position.lsn);
    TANIST_TRY(write_mark(durable));
    return point;
}

Result<LogPoint> Log::sync() {
    State& s = *state_;
    if (s.sync_lost) return *s.sync_lost;
    if (!s.dirty && s.unsynced.empty() && s.durable >= s.published.position.lsn) {
        return s.published;
    }
    // Finished records that the buffer wrote out early are synced with the others, but the mark
    // speaks only of what was written whole. What is being synced elsewhere is not yet done.
    const bool head = s.head_durable < s.segments.back().first();
    if (s.sync_begun || head) s.dirty = true;
    if (!s.appending) s.write_blocks_ahead();
    TANIST_TRY(s.sync_tail());
    if (head) {
        TANIST_TRY(sync_directory(s.directory));
        s.head_durable = s.segments.back().first();
    }
    return s.synced_through(s.published);
}

Status LogSync::run() {
    if (head_.is_open()) {
        TANIST_TRY(head_.write_at_durably(0, head_bytes_));
        TANIST_TRY(sync_directory(directory_));
    }
    for (File& file : files_) TANIST_TRY(file.sync_data());
    return ok_status();
}

Result<std::optional<LogSync>> Log::begin_sync(bool records) {
    State& s = *state_;
    if (s.sync_lost) return *s.sync_lost;
    std::optional<LogSync> task;
    const bool head = s.head_durable < s.segments.back().first();
    records = records && (s.dirty || !s.unsynced.empty());
    if (s.sync_begun || (!head && !records)) return task;
    task.emplace();
    if (head) {
        Result<File> tail = s.tail.duplicate();
        if (!tail.ok()) return std::move(tail).error();
        task->head_ = *std::move(tail);
        task->head_first_ = s.segments.back().first();
        // Without the mark, which is written at another time.
        task->head_bytes_.resize(kSegmentHeaderBytes);
        seal_segment({s.group, s.segments.back().previous, s.form().key_id()},
                     std::span(task->head_bytes_).first<kSegmentHeaderBytes>());
        task->directory_ = s.directory;
    }
    task->generation_ = s.generation;
    s.sync_begun = !records;
    if (!records) return task;
    const auto take = [&](const File& file) -> Status {
        Result<File> copy = file.duplicate();
        if (!copy.ok()) return std::move(copy).error();
        task->files_.push_back(*std::move(copy));
        return ok_status();
    };
    for (const State::Unsynced& older : s.unsynced) {
        TANIST_TRY(take(older.file));
        task->whole_.push_back(older.first);
    }
    if (!s.appending) s.write_blocks_ahead();
    TANIST_TRY(take(s.tail));
    task->through_ = s.published;
    s.dirty = false;
    s.sync_begun = true;
    return task;
}

Result<Lsn> Log::end_sync(const LogSync& task, const Status& outcome) {
    State& s = *state_;
    s.sync_begun = false;
    if (!outcome.ok()) {
        s.lose_sync(outcome.error());
        return outcome.error();
    }
    if (task.generation_ != s.generation) return s.durable;  // of a history before a reset
    s.head_durable = std::max(s.head_durable, task.head_first_);
    if (task.files_.empty()) return s.durable;
    std::erase_if(s.unsynced, [&](const State::Unsynced& older) {
        return std::find(task.whole_.begin(), task.whole_.end(), older.first) != task.whole_.end();
    });
    TANIST_TRY(s.synced_through(task.through_));
    return s.durable;
}

Status Log::reset(const LogPoint& base) {
    State& s = *state_;
    if (s.appending) s.drop_append();
    Result<File> made = s.make_segment(kResetName, base, s.options.segment_bytes);
    if (!made.ok()) return std::move(made).error();
    {
        // Readers let go before the first old file does.
        std::lock_guard lock(s.mutex);
        s.segments = {{base, s.options.segment_bytes, kRecordsAt, s.new_form()}};
        s.published = base;
        s.generation += 1;
    }
    s.tail = *std::move(made);
    s.unsynced.clear();
    s.durable = base.position.lsn;
    s.head_durable = s.segments.back().first();
    s.finished = base;
    s.last.reset();
    s.buffer.clear();
    s.buffer_at = kRecordsAt;
    s.dirty = false;
    s.sync_lost.reset();
    Status finished = s.finish_reset();
    // The next open completes it; until then the files are not where this object takes them to be.
    if (!finished.ok()) s.sync_lost = finished.error();
    return finished;
}

Result<Lsn> Log::retain(Lsn needed, uint64_t keep_bytes) {
    State& s = *state_;
    uint64_t held = stat().bytes;
    while (s.segments.size() > 1) {
        const LiveSegment oldest = s.segments.front();
        const Lsn next_first = s.segments[1].first();
        if (next_first > s.published.position.lsn.next()) break;
        if (next_first > s.head_durable) break;
        const uint64_t bytes = oldest.end_offset - kRecordsAt;
        const bool over = held > s.options.bytes_max;
        const bool unneeded =
            needed.value != 0 && next_first <= needed && held - bytes >= keep_bytes;
        if (!over && !unneeded) break;
        bool is_lent = false;
        {
            std::lock_guard lock(s.mutex);
            is_lent = s.lent == oldest.first();
            s.segments.erase(s.segments.begin());
        }
        std::erase_if(s.unsynced,
                      [&](const State::Unsynced& older) { return older.first == oldest.first(); });
        held -= bytes;
        TANIST_TRY(s.retire(oldest, is_lent));
    }
    return stat().first;
}

std::optional<ClosedSegment> Log::lend(Lsn after, Lsn durable) {
    State& s = *state_;
    std::lock_guard lock(s.mutex);
    s.lent = Lsn(0);
    for (size_t i = 0; i + 1 < s.segments.size(); ++i) {
        const LogPoint& last = s.segments[i + 1].previous;
        if (last.position.lsn <= after) continue;
        if (s.segments[i + 1].first() > durable) break;
        s.lent = s.segments[i].first();
        return ClosedSegment{segment_name(s.lent), s.segments[i].previous, last};
    }
    return std::nullopt;
}

void Log::give_back() {
    std::lock_guard lock(state_->mutex);
    state_->lent = Lsn(0);
}

}  // namespace tanist
