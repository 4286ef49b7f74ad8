#include "replicator/sync/page_reader.h"

#include "replicator/apply/wal_writer.h"
#include "replicator/base/limits.h"

namespace tanist {
namespace {

constexpr int kHeaderTries = 1000;
constexpr int kReadTries = 100;

// The WAL has only grown between the two, so every frame of the earlier one is still in its place.
bool has_only_grown(const WalIndexHeader& earlier, const WalIndexHeader& later) {
    return later.salt == earlier.salt && later.max_frame >= earlier.max_frame &&
           later.change >= earlier.change;
}

}  // namespace

Result<PageReader> PageReader::open(SqliteHandle& handle) {
    PageReader reader(handle);
    TANIST_TRY(reader.refresh());
    return reader;
}

// A header between its two copies settles within the writer's next instructions, or, when that
// writer died, as soon as any connection reads.
Result<WalIndexHeader> PageReader::stable_header() {
    for (int tries = 0; tries < kHeaderTries; ++tries) {
        Result<std::optional<WalIndexHeader>> header = handle_->header();
        if (!header) return std::move(header).error();
        if (header->has_value()) return **header;
        TANIST_TRY(handle_->touch());
    }
    return Error{Errc::busy, handle_->path() + ": the wal-index does not settle"};
}

Status PageReader::refresh() {
    Result<WalIndexHeader> now = stable_header();
    if (!now) return std::move(now).error();
    if (page_bytes_ == 0 || !has_only_grown(seen_, *now)) {
        newest_frame_.clear();
        seen_ = {};
    }
    volatile void* memory = nullptr;
    uint32_t mapped = 0;
    for (uint32_t frame = seen_.max_frame + 1; frame <= now->max_frame; ++frame) {
        if (memory == nullptr || region_of_frame(frame) != mapped) {
            mapped = region_of_frame(frame);
            Result<volatile void*> region = handle_->region(mapped, false);
            if (!region) return std::move(region).error();
            if (*region == nullptr) return Error{Errc::busy, handle_->path() + ": no wal-index"};
            memory = *region;
        }
        newest_frame_[frame_page(memory, frame).value] = frame;
    }
    seen_ = *now;

    uint8_t start[32];
    if (seen_.max_frame != 0) {
        page_bytes_ = seen_.page_bytes;
        db_pages_ = seen_.db_pages;
        return ok_status();
    }
    Result<size_t> found = handle_->read_db(0, start);
    if (!found) return std::move(found).error();
    const uint32_t stored = load_be16(start + 16);
    page_bytes_ = stored == 1 ? limits::kPageBytesMax : stored;
    if (page_bytes_ < limits::kPageBytesMin) {
        return Error{Errc::invalid, handle_->path() + " has no readable header"};
    }
    Result<uint64_t> bytes = handle_->db_bytes();
    if (!bytes) return std::move(bytes).error();
    db_pages_ = static_cast<uint32_t>(*bytes / page_bytes_);
    return ok_status();
}

// Lays the newest frames over what the file has. False: the WAL changed below us.
Result<bool> PageReader::read_frames(uint32_t first, MutableBytes images) {
    bool any = false;
    for (uint32_t i = 0; i < images.size() / page_bytes_; ++i) {
        const auto found = newest_frame_.find(first + i);
        if (found == newest_frame_.end()) continue;
        any = true;
        const MutableBytes image = images.subspan(size_t{i} * page_bytes_, page_bytes_);
        const uint64_t at = wal_frame_offset(found->second, page_bytes_) + kWalFrameHeaderBytes;
        Result<size_t> bytes = handle_->read_wal(at, image);
        if (!bytes) return std::move(bytes).error();
        if (*bytes != page_bytes_) return false;
    }
    if (!any) return true;
    Result<WalIndexHeader> now = stable_header();
    if (!now) return std::move(now).error();
    return has_only_grown(seen_, *now);
}

Status PageReader::read(uint32_t first, MutableBytes images) {
    const uint32_t page_bytes = page_bytes_;
    for (int tries = 0; tries < kReadTries; ++tries) {
        TANIST_TRY(refresh());
        if (page_bytes_ != page_bytes) {
            return Error{Errc::refused, handle_->path() + ": the page size changed"};
        }
        Result<size_t> found = handle_->read_db(uint64_t{first - 1} * page_bytes, images);
        if (!found) return std::move(found).error();
        Result<bool> proven = read_frames(first, images);
        if (!proven) return std::move(proven).error();
        if (!*proven) continue;
        if (first == 1) set_primary_page_1(images.first(page_bytes));
        return ok_status();
    }
    return Error{Errc::busy, handle_->path() + ": the WAL restarts faster than it can be read"};
}

}  // namespace tanist
