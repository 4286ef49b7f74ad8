#include "replicator/sync/staging.h"

#include <algorithm>
#include <bit>
#include <filesystem>
#include <fstream>

#include "replicator/base/hash.h"
#include "replicator/base/random.h"

namespace tanist {
namespace {

constexpr uint32_t kMetaMagic = 0x4253'4E54;  // "TNSB"
constexpr uint32_t kMetaVersion = 1;
constexpr uint32_t kMetaVersionSealed = 2;  // with the key's id
constexpr size_t kMetaBytes = 32;
constexpr size_t kPageBytesAt = 8;
constexpr size_t kCopyBytes = 1u << 20;

Bytes encode_meta(uint32_t page_bytes, const StagedForm& form) {
    Bytes bytes;
    ByteWriter out(bytes);
    out.u32(kMetaMagic);
    out.u32(form.sealed() ? kMetaVersionSealed : kMetaVersion);
    out.u32(page_bytes);
    out.u32(0);
    if (form.sealed()) out.u64(form.key_id());
    out.u64(hash64(bytes));
    return bytes;
}

}  // namespace

Status Staging::begin(uint32_t page_bytes, uint32_t db_pages) {
    page_bytes_ = page_bytes;
    db_pages_ = db_pages;
    TANIST_TRY(make_directory(directory_));
    TANIST_TRY(remove_path(copy_path()));
    if (!is_whole(page_bytes)) TANIST_TRY(start_anew());
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
    const uint64_t bytes_max = place_of(db_pages + 1);
    if (stat->bytes > bytes_max) TANIST_TRY(pages_.truncate(bytes_max));
    return ok_status();
}

bool Staging::is_whole(uint32_t page_bytes) const {
    const Result<Bytes> meta = read_file(meta_path(), kMetaBytes);
    return meta.ok() && *meta == encode_meta(page_bytes, form_) && path_exists(pages_path()) &&
           path_exists(have_path());
}

Status Staging::sync() {
    TANIST_TRY(pages_.sync_data());
    TANIST_TRY(have_.sync_data());
    return sync_directory(directory_);
}

Status Staging::keep_own_form() {
    Result<Bytes> meta = read_file(meta_path(), kMetaBytes);
    if (meta.ok() && meta->size() >= kPageBytesAt + sizeof(uint32_t)) {
        ByteReader in(ByteView(*meta).subspan(kPageBytesAt));
        if (*meta == encode_meta(in.u32(), form_)) return ok_status();
    }
    return remove();
}

Status Staging::start_anew() {
    TANIST_TRY(remove());
    Result<File> pages = File::open(pages_path(), File::Mode::create_new);
    if (!pages) return std::move(pages).error();
    return replace_file(meta_path(), encode_meta(page_bytes_, form_));
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
        TANIST_TRY(
            write_run(pages[first], images.subspan(first * page_bytes_, count * page_bytes_)));
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

Status Staging::write_run(uint32_t first, ByteView images) {
    if (!form_.sealed()) return pages_.write_at(place_of(first), images);
    const size_t slot_bytes = form_.slot_bytes(page_bytes_);
    const size_t count = images.size() / page_bytes_;
    Bytes slots(count * slot_bytes);
    for (size_t i = 0; i < count; ++i) {
        SealNonce nonce;
        random_bytes(nonce.bytes.data(), nonce.bytes.size());
        form_.seal(nonce, Pgno(first + static_cast<uint32_t>(i)),
                   images.subspan(i * page_bytes_, page_bytes_),
                   MutableBytes(slots).subspan(i * slot_bytes, slot_bytes));
    }
    return pages_.write_at(place_of(first), slots);
}

// Damaged pages are zeros in `images`.
Status Staging::read_pages(uint32_t first, MutableBytes images,
                           std::vector<uint32_t>& damaged) const {
    const size_t slot_bytes = form_.slot_bytes(page_bytes_);
    const size_t count = images.size() / page_bytes_;
    Bytes slots(form_.sealed() ? count * slot_bytes : 0);
    const MutableBytes stored = form_.sealed() ? MutableBytes(slots) : images;
    Result<size_t> found = pages_.read_at(place_of(first), stored);
    if (!found) return std::move(found).error();
    std::fill(stored.begin() + static_cast<std::ptrdiff_t>(*found), stored.end(), uint8_t{0});
    if (!form_.sealed()) return ok_status();
    for (size_t i = 0; i < count; ++i) {
        const uint32_t pgno = first + static_cast<uint32_t>(i);
        const MutableBytes image = images.subspan(i * page_bytes_, page_bytes_);
        const ByteView slot = ByteView(slots).subspan(i * slot_bytes, slot_bytes);
        if (has(pgno) && form_.open(Pgno(pgno), slot, image)) continue;
        std::fill(image.begin(), image.end(), uint8_t{0});
        if (has(pgno)) damaged.push_back(pgno);
    }
    return ok_status();
}

Status Staging::read(uint32_t first, MutableBytes images) const {
    std::vector<uint32_t> damaged;
    TANIST_TRY(read_pages(first, images, damaged));
    if (damaged.empty()) return ok_status();
    return Error{Errc::corrupt, pages_path() + ": the seal of page " +
                                    std::to_string(damaged.front()) + " does not fit"};
}

Status Staging::read_or_forget(uint32_t first, MutableBytes images) {
    std::vector<uint32_t> damaged;
    TANIST_TRY(read_pages(first, images, damaged));
    for (const uint32_t pgno : damaged) {
        bits_[(pgno - 1) / 8] &= static_cast<uint8_t>(~(1u << ((pgno - 1) % 8)));
        staged_ -= 1;
        TANIST_TRY(save_bits(pgno, pgno));
    }
    return ok_status();
}

std::vector<uint32_t> Staging::list(uint32_t last) const {
    std::vector<uint32_t> pages;
    for (uint32_t pgno = 1; pgno <= last && (pgno - 1) / 8 < bits_.size(); ++pgno) {
        if (has(pgno)) pages.push_back(pgno);
    }
    return pages;
}

Status Staging::become_database(uint32_t db_pages) {
    if (form_.sealed()) {
        if (Status copied = write_copy(db_pages); !copied) {
            static_cast<void>(remove_path(copy_path()));  // it may be what fills the disk
            return copied;
        }
    } else {
        TANIST_TRY(pages_.truncate(uint64_t{db_pages} * page_bytes_));
        TANIST_TRY(pages_.sync_data());
    }
    const std::string ready = form_.sealed() ? copy_path() : pages_path();
    TANIST_TRY(give_permissions(ready));
    // A WAL of an older file must never be read as the new one's.
    TANIST_TRY(remove_path(db_path_ + "-wal"));
    TANIST_TRY(remove_path(db_path_ + "-shm"));
    TANIST_TRY(remove_path(db_path_ + "-journal"));
    TANIST_TRY(sync_directory(directory_of(db_path_)));
    TANIST_TRY(rename_path(ready, db_path_));
    TANIST_TRY(sync_directory(directory_of(db_path_)));
    return remove();
}

// A full disk is asked for again and again; it is not filled to the brim each time.
Status Staging::write_copy(uint32_t db_pages) const {
    const uint64_t bytes = uint64_t{db_pages} * page_bytes_;
    const Result<uint64_t> room = free_bytes(directory_of(db_path_));
    if (room && *room < bytes) {
        return Error{Errc::no_space, "the synced pages are encrypted at rest, and " +
                                         std::to_string(bytes) + " bytes beside " + db_path_ +
                                         " are needed to install them; " + std::to_string(*room) +
                                         " are free"};
    }
    Result<File> copy = File::open(copy_path(), File::Mode::create_new);
    if (!copy) return std::move(copy).error();
    return copy_pages(*copy, db_pages);
}

Status Staging::copy_pages(File& copy, uint32_t db_pages) const {
    const uint32_t most = static_cast<uint32_t>(kCopyBytes / page_bytes_);
    Bytes images;
    for (uint32_t done = 0; done < db_pages;) {
        const uint32_t count = std::min(db_pages - done, most);
        images.resize(size_t{count} * page_bytes_);
        TANIST_TRY(read(done + 1, images));
        TANIST_TRY(copy.write_at(uint64_t{done} * page_bytes_, images));
        done += count;
    }
    return copy.sync_data();
}

// Those of the database that it replaces, or those that SQLite gives a new one: a file made without
// a word about permissions shows what the umask leaves.
Status Staging::give_permissions(const std::string& path) const {
    using std::filesystem::perms;
    std::error_code failed;
    std::filesystem::file_status like = std::filesystem::status(db_path_, failed);
    if (failed || !std::filesystem::exists(like)) {
        const std::string probe = directory_ + "/probe";
        if (!std::ofstream(probe)) return Error{Errc::io, "cannot create " + probe};
        like = std::filesystem::status(probe, failed);
        if (failed) return Error{Errc::io, probe + ": " + failed.message()};
        like.permissions(like.permissions() & ~(perms::group_write | perms::others_write));
        TANIST_TRY(remove_path(probe));
    }
    std::filesystem::permissions(path, like.permissions(), failed);
    if (failed) return Error{Errc::io, path + ": " + failed.message()};
    return ok_status();
}

Status Staging::remove() {
    pages_ = File();
    have_ = File();
    TANIST_TRY(remove_path(copy_path()));
    TANIST_TRY(remove_path(meta_path()));
    TANIST_TRY(remove_path(have_path()));
    return remove_path(pages_path());
}

}  // namespace tanist
