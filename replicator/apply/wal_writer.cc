#include "replicator/apply/wal_writer.h"

#include <algorithm>
#include <atomic>
#include <bit>
#include <string_view>

#include "replicator/base/event.h"
#include "replicator/base/limits.h"
#include "replicator/base/random.h"

namespace tanist {
namespace {

constexpr std::string_view kPlainDatabase{"SQLite format 3\0", 16};
constexpr size_t kWriteVersionAt = 18;
constexpr uint8_t kWriteVersionWal = 2;
constexpr uint8_t kWriteVersionReplica = 3;  // unknown to SQLite: it opens the file read-only
constexpr size_t kWriteBytes = 126'976;      // the most that SQLite's unix VFS writes in one piece
constexpr auto kLockRetryEvery = std::chrono::milliseconds(1);
constexpr int kRecoveriesMax = 10;

bool is_plain_page_1(ByteView page) {
    return page.size() > kWriteVersionAt &&
           std::memcmp(page.data(), kPlainDatabase.data(), kPlainDatabase.size()) == 0;
}

void pause_for(Nanos time) {
    const std::atomic<uint32_t> nobody_wakes{0};
    futex_wait(&nobody_wakes, 0, time);
}

// Lets go of the slots it was given, in every way out.
class Held {
  public:
    Held(SqliteHandle& handle, int first, int count)
        : handle_(handle), first_(first), count_(count) {}
    ~Held() { handle_.unlock(first_, count_, true); }
    Held(const Held&) = delete;
    Held& operator=(const Held&) = delete;

  private:
    SqliteHandle& handle_;
    int first_;
    int count_;
};

}  // namespace

void set_replica_page_1(MutableBytes page) {
    if (is_plain_page_1(page)) page[kWriteVersionAt] = kWriteVersionReplica;
}

void set_primary_page_1(MutableBytes page) {
    if (is_plain_page_1(page)) page[kWriteVersionAt] = kWriteVersionWal;
}

bool is_replica_page_1(ByteView page) {
    return is_plain_page_1(page) && page[kWriteVersionAt] == kWriteVersionReplica;
}

WalWriter::WalWriter(SqliteHandle& handle, SqliteHandle& checkpoints)
    : handle_(handle), checkpoints_(checkpoints) {}

Result<uint32_t> WalWriter::page_bytes() {
    Result<std::optional<WalIndexHeader>> header = handle_.header();
    if (!header) return std::move(header).error();
    if (*header && (*header)->max_frame != 0) return (*header)->page_bytes;
    uint8_t start[18];
    Result<size_t> found = handle_.read_db(0, start);
    if (!found) return std::move(found).error();
    const uint32_t stored = load_be16(start + 16);
    return stored == 1 ? limits::kPageBytesMax : stored;
}

// The header under the WRITE lock. A header that does not agree with itself is then what a killed
// writer left, and SQLite itself recovers it, which takes the lock: so we let go and read once.
Result<WalIndexHeader> WalWriter::lock_for_write(Instant deadline) {
    for (int recoveries = 0; recoveries < kRecoveriesMax;) {
        Status locked = handle_.lock(kLockWrite, 1, true);
        if (!locked.ok()) {
            if (locked.error().code != Errc::busy || boot_now() >= deadline) {
                return std::move(locked).error();
            }
            pause_for(kLockRetryEvery);
            continue;
        }
        Result<std::optional<WalIndexHeader>> header = handle_.header();
        if (header.ok() && header->has_value()) return **header;
        handle_.unlock(kLockWrite, 1, true);
        if (!header.ok()) return std::move(header).error();
        recoveries += 1;
        TANIST_TRY(handle_.touch());
    }
    return Error{Errc::busy, handle_.path() + ": the wal-index does not recover"};
}

Status WalWriter::commit(PageSource& pages, bool sync, Nanos patience) {
    if (pages.page_count() == 0) return ok_status();
    Result<uint32_t> bytes = page_bytes();
    if (!bytes) return std::move(bytes).error();
    if (*bytes != pages.page_bytes()) {
        return Error{Errc::invalid, handle_.path() + " has pages of " + std::to_string(*bytes) +
                                        " bytes, the commit of " +
                                        std::to_string(pages.page_bytes())};
    }
    Result<WalIndexHeader> header = lock_for_write(boot_now() + patience);
    if (!header) return std::move(header).error();
    const Held write(handle_, kLockWrite, 1);
    if (primary_at_ && *header != *primary_at_) {
        return Error{Errc::busy, handle_.path() + ": somebody else has written meanwhile"};
    }
    return commit_locked(pages, *header, sync);
}

Status WalWriter::commit_under_lock(PageSource& pages, bool sync) {
    Result<std::optional<WalIndexHeader>> header = handle_.header();
    if (!header) return std::move(header).error();
    if (!*header) return Error{Errc::busy, handle_.path() + ": the wal-index does not settle"};
    return commit_locked(pages, **header, sync);
}

Status WalWriter::commit_locked(PageSource& pages, WalIndexHeader header, bool sync) {
    Result<WalIndexHeader> restarted = restart_if_written_back(header);
    if (!restarted) return std::move(restarted).error();
    header = *restarted;
    header.page_bytes = pages.page_bytes();
    if (header.max_frame == 0) TANIST_TRY(start_wal(header));

    const uint32_t first = header.max_frame + 1;
    TANIST_TRY(write_frames(pages, header));
    if (sync) TANIST_TRY(handle_.sync_wal());
    TANIST_TRY(enter_frames(first, written_));
    Result<volatile void*> region = handle_.region(0, true);
    if (!region) return std::move(region).error();
    header.version = kWalIndexVersion;
    header.db_pages = pages.db_pages();
    header.change += 1;
    write_wal_index_header(*region, header);
    refresh_read_mark(header.max_frame);
    return ok_status();
}

// A WAL that has been written back completely starts again from its beginning, unless a reader
// still looks at it. CHECKPOINT is held too: a checkpointer that works from the old header would
// otherwise store a backfill count that belongs to the old WAL (SQLite's WAL-reset bug).
Result<WalIndexHeader> WalWriter::restart_if_written_back(const WalIndexHeader& header) {
    Result<volatile void*> region = handle_.region(0, true);
    if (!region) return std::move(region).error();
    if (header.max_frame == 0 || read_checkpoint_info(*region).backfilled != header.max_frame) {
        return header;
    }
    Status checkpoint = handle_.lock(kLockCheckpoint, 1, true);
    if (!checkpoint.ok()) {
        if (checkpoint.error().code == Errc::busy) return header;
        return std::move(checkpoint).error();
    }
    const Held held_checkpoint(handle_, kLockCheckpoint, 1);
    if (read_checkpoint_info(*region).backfilled != header.max_frame) return header;
    Status readers = handle_.lock(lock_read(1), kReadMarks - 1, true);
    if (!readers.ok()) {
        if (readers.error().code == Errc::busy) return header;
        return std::move(readers).error();
    }
    const Held held_readers(handle_, lock_read(1), kReadMarks - 1);
    return restart_wal_index(*region, header, static_cast<uint32_t>(random_u64()));
}

// The WAL's own header, for the salts of the wal-index; fresh ones when it never had any.
Status WalWriter::start_wal(WalIndexHeader& header) {
    WalHeader wal;
    wal.big_endian_checksums = std::endian::native == std::endian::big;
    wal.page_bytes = header.page_bytes;
    if (header.salt == WalSalt{}) {
        const uint64_t fresh = random_u64();
        header.salt = {static_cast<uint32_t>(fresh >> 32), static_cast<uint32_t>(fresh)};
    }
    wal.salt = header.salt;
    uint8_t bytes[kWalHeaderBytes];
    Result<size_t> found = handle_.read_wal(0, bytes);
    if (!found) return std::move(found).error();
    if (*found == sizeof bytes) {
        Result<WalHeader> before = decode_wal_header(bytes);
        if (before.ok()) wal.checkpoint_sequence = before->checkpoint_sequence + 1;
    }
    header.big_endian_checksums = wal.big_endian_checksums;
    header.frame_checksum = encode_wal_header(wal, bytes);
    return handle_.write_wal(0, bytes);
}

// Appends the frames and moves max_frame and frame_checksum of `header`, which nobody sees yet.
Status WalWriter::write_frames(PageSource& pages, WalIndexHeader& header) {
    const uint32_t count = pages.page_count();
    const size_t frame_bytes = kWalFrameHeaderBytes + header.page_bytes;
    const uint32_t per_write =
        static_cast<uint32_t>(std::clamp<size_t>(kWriteBytes / frame_bytes, 1, count));
    if (count > kReadMarkNotUsed - header.max_frame - 1) {
        return Error{Errc::no_space, handle_.path() + ": the WAL cannot hold that many frames"};
    }
    chunk_.resize(per_write * frame_bytes);
    written_.clear();
    written_.reserve(count);
    for (uint32_t done = 0; done < count;) {
        const uint32_t part = std::min(per_write, count - done);
        for (uint32_t i = 0; i < part; ++i) {
            MutableBytes frame = MutableBytes(chunk_).subspan(i * frame_bytes, frame_bytes);
            MutableBytes image = frame.subspan(kWalFrameHeaderBytes);
            Result<Pgno> pgno = pages.page(done + i, image);
            if (!pgno) return std::move(pgno).error();
            const bool replica = !primary_at_ && !pages.keeps_write_version();
            if (pgno->value == 1 && replica) set_replica_page_1(image);
            const bool last = done + i + 1 == count;
            encode_wal_frame_header(*pgno, last ? pages.db_pages() : 0, header.salt,
                                    header.big_endian_checksums, image, header.frame_checksum,
                                    frame.first(kWalFrameHeaderBytes));
            written_.push_back(*pgno);
        }
        TANIST_TRY(handle_.write_wal(wal_frame_offset(header.max_frame + 1, header.page_bytes),
                                     ByteView(chunk_).first(part * frame_bytes)));
        header.max_frame += part;
        done += part;
    }
    return ok_status();
}

Status WalWriter::enter_frames(uint32_t first, const std::vector<Pgno>& entered) {
    volatile void* memory = nullptr;
    uint32_t mapped = 0;
    for (uint32_t i = 0; i < entered.size(); ++i) {
        const uint32_t frame = first + i;
        if (memory == nullptr || region_of_frame(frame) != mapped) {
            mapped = region_of_frame(frame);
            Result<volatile void*> region = handle_.region(mapped, true);
            if (!region) return std::move(region).error();
            memory = *region;
        }
        if (!append_frame_page(memory, frame, entered[i])) {
            return Error{Errc::corrupt, handle_.path() + "-shm: the hash table is damaged"};
        }
    }
    return ok_status();
}

// Readers without write permission cannot set a mark, so one is always at the newest frame.
void WalWriter::refresh_read_mark(uint32_t frame) {
    if (!handle_.lock(lock_read(1), 1, true).ok()) return;  // a reader uses it, and so can others
    const Held mark(handle_, lock_read(1), 1);
    Result<volatile void*> region = handle_.region(0, false);
    if (region.ok() && *region != nullptr) store_read_mark(*region, 1, frame);
}

Status WalWriter::checkpoint_if_longer_than(uint32_t frames) {
    Result<std::optional<WalIndexHeader>> header = handle_.header();
    if (!header) return std::move(header).error();
    Result<WalCheckpointInfo> info = handle_.checkpoint_info();
    if (!info) return std::move(info).error();
    if (!header->has_value() || (*header)->max_frame < info->backfilled + uint64_t{frames}) {
        return ok_status();
    }
    Result<SqliteHandle::Checkpointed> done = checkpoints_.checkpoint_passive();
    if (!done && done.error().code != Errc::busy) return std::move(done).error();
    return ok_status();
}

}  // namespace tanist
