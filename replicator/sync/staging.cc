#include "replicator/sync/staging.h"

#include <bit>
#include <filesystem>
#include <fstream>

#include "replicator/base/hash.h"

namespace tanist {
namespace {

constexpr uint32_t kMetaMagic = 0x4253'4E54;  // "TNSB"
constexpr uint32_t kMetaVersion = 1;
constexpr size_t kMetaBytes = 24;

Bytes encode_meta(uint32_t page_bytes) {
    Bytes bytes;
    ByteWriter out(bytes);
    out.u32(kMetaMagic);
    out.u32(kMetaVersion);
    out.u32(page_bytes);
    out.u32(0);
    out.u64(hash64(bytes));
    return bytes;
}

}  // namespace

Status Staging::begin(uint32_t page_bytes, uint32_t db_pages) {
    page_bytes_ = page_bytes;
    db_pages_ = db_pages;
    TANIST_TRY(make_directory(directory_));
    Result<Bytes> meta = read_file(meta_path(), kMetaBytes);
    const bool usable = meta.ok() && *meta == encode_meta(page_bytes) && path_exists(pages_path());
    if (!usable) TANIST_TRY(start_anew());
    Result<File> pages = File::open(pages_path(), File::Mode::write);
    if (!pages) return std::move(pages).error();
    pages_ = std::move(pages).value();
    Result<File> have = File::open(have_path(), File::Mode::create);
    if (!have) return std::move(have).error();
    have_ = std::move(have).value();

    bits_.assign(size_t{db_pages} / 8 + 1, 0);
    Result<size_t> found = have_.read_at(0, bits_);
    if (!found) return std::move(found).error();
    bits_.back() &= static_cast<uint8_t>((1u << (db_pages % 8)) - 1);
    staged_ = 0;
    for (uint8_t byte : bits_) staged_ += static_cast<uint64_t>(std::popcount(byte));
    TANIST_TRY(have_.truncate(bits_.size()));
    TANIST_TRY(have_.write_at(0, bits_));
    Result<FileStat> stat = pages_.stat();
    if (!stat) return std::move(stat).error();
    const uint64_t bytes_max = uint64_t{db_pages} * page_bytes;
    if (stat->bytes > bytes_max) TANIST_TRY(pages_.truncate(bytes_max));
    return ok_status();
}

// The file gets the permissions SQLite gives a new database; the directory keeps it private until
// it becomes one.
Status Staging::start_anew() {
    TANIST_TRY(remove());
    std::ofstream made(pages_path());
    if (!made) return Error{Errc::io, "cannot create " + pages_path()};
    made.close();
    std::error_code failed;
    using std::filesystem::perms;
    std::filesystem::permissions(pages_path(), perms::group_write | perms::others_write,
                                 std::filesystem::perm_options::remove, failed);
    if (failed) return Error{Errc::io, pages_path() + ": " + failed.message()};
    return replace_file(meta_path(), encode_meta(page_bytes_));
}

bool Staging::has(uint32_t pgno) const {
    const size_t bit = pgno - 1;
    return bit / 8 < bits_.size() && (bits_[bit / 8] >> (bit % 8) & 1) != 0;
}

bool Staging::has_any(uint32_t first, uint32_t count) const {
    for (uint32_t i = 0; i < count; ++i) {
        if (has(first + i)) return true;
    }
    return false;
}

Status Staging::put(std::span<const uint32_t> pages, ByteView images) {
    for (size_t first = 0; first < pages.size();) {
        size_t count = 1;
        while (first + count < pages.size() && pages[first + count] == pages[first] + count) {
            count += 1;
        }
        TANIST_TRY(pages_.write_at(uint64_t{pages[first] - 1} * page_bytes_,
                                   images.subspan(first * page_bytes_, count * page_bytes_)));
        const uint32_t last = pages[first] + static_cast<uint32_t>(count) - 1;
        if (last / 8 >= bits_.size()) bits_.resize(size_t{last} / 8 + 1);
        for (uint32_t bit = pages[first] - 1; bit < last; ++bit) {
            if (!has(bit + 1)) staged_ += 1;
            bits_[bit / 8] |= static_cast<uint8_t>(1u << (bit % 8));
        }
        TANIST_TRY(save_bits(pages[first], last));
        first += count;
    }
    return ok_status();
}

Status Staging::save_bits(uint32_t first, uint32_t last) {
    const size_t from = (first - 1) / 8;
    const size_t bytes = (last - 1) / 8 - from + 1;
    return have_.write_at(from, ByteView(bits_).subspan(from, bytes));
}

Status Staging::read(uint32_t first, MutableBytes images) const {
    Result<size_t> found = pages_.read_at(uint64_t{first - 1} * page_bytes_, images);
    if (!found) return std::move(found).error();
    std::fill(images.begin() + static_cast<std::ptrdiff_t>(*found), images.end(), uint8_t{0});
    return ok_status();
}

std::vector<uint32_t> Staging::list(uint32_t last) const {
    std::vector<uint32_t> pages;
    for (uint32_t pgno = 1; pgno <= last && (pgno - 1) / 8 < bits_.size(); ++pgno) {
        if (has(pgno)) pages.push_back(pgno);
    }
    return pages;
}

Status Staging::become(const std::string& path, uint32_t db_pages) {
    TANIST_TRY(pages_.truncate(uint64_t{db_pages} * page_bytes_));
    TANIST_TRY(pages_.sync_data());
    std::error_code failed;
    const std::filesystem::file_status old = std::filesystem::status(path, failed);
    if (!failed && std::filesystem::exists(old)) {
        std::filesystem::permissions(pages_path(), old.permissions(), failed);
        if (failed) return Error{Errc::io, pages_path() + ": " + failed.message()};
    }
    // A WAL of an older file must never be read as the new one's.
    TANIST_TRY(remove_path(path + "-wal"));
    TANIST_TRY(remove_path(path + "-shm"));
    TANIST_TRY(remove_path(path + "-journal"));
    TANIST_TRY(sync_directory(directory_of(path)));
    TANIST_TRY(rename_path(pages_path(), path));
    return sync_directory(directory_of(path));
}

Status Staging::remove() {
    pages_ = File();
    have_ = File();
    TANIST_TRY(remove_path(meta_path()));
    TANIST_TRY(remove_path(have_path()));
    return remove_path(pages_path());
}

}  // namespace tanist
