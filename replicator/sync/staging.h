// The pages of a delta sync in progress: `pages` (sparse, each page at its own place, in a
// StagedForm), `have` (a bit per page) and `meta` (the page size they were staged with, and the
// key). All are 0600. A page is written before its bit; a bit whose page a power cut took is
// harmless, because staged pages are compared by hash before they are relied on.
//
// Memory: one bit per page.
#pragma once

#include <span>
#include <string>

#include "replicator/base/file.h"
#include "replicator/base/ids.h"
#include "replicator/sync/staged_form.h"

namespace tanist {

class Staging {
  public:
    // What may become the database `db_path` is staged in `directory`.
    Staging(std::string directory, std::string db_path, StagedForm form)
        : directory_(std::move(directory)), db_path_(std::move(db_path)), form_(std::move(form)) {}
    // Opens what an earlier sync left, or starts anew: also when that was in another form or under
    // another key. Pages beyond db_pages are forgotten.
    Status begin(uint32_t page_bytes, uint32_t db_pages);
    // Removes what an earlier sync left in another form or under another key.
    Status keep_own_form();
    // What begin() would find is what was staged with this page size, in this form.
    bool is_whole(uint32_t page_bytes) const;
    // What is staged is on the disk.
    Status sync();
    bool has(uint32_t pgno) const;
    bool has_any(uint32_t first, uint32_t count) const;
    bool empty() const { return staged_ == 0; }
    // `pages` in any order, runs of consecutive ones are one write.
    Status put(std::span<const uint32_t> pages, ByteView images);
    // Whole pages from `first` on; what is not staged is zeros. corrupt: a page's seal does not
    // fit.
    Status read(uint32_t first, MutableBytes images) const;
    // The same, but a page whose seal does not fit is staged no more.
    Status read_or_forget(uint32_t first, MutableBytes images);
    // Staged pages up to `last`, ascending.
    std::vector<uint32_t> list(uint32_t last) const;
    // What is staged becomes the database; nothing is staged any more. Pages as they are become it
    // by rename. Sealed ones are copied beside it first, so for a while there are both; after any
    // error they are still staged.
    Status become_database(uint32_t db_pages);
    Status remove();

  private:
    std::string pages_path() const { return directory_ + "/pages"; }
    std::string have_path() const { return directory_ + "/have"; }
    std::string meta_path() const { return directory_ + "/meta"; }
    // Beside the database, not in `directory_`: whoever keeps the database on an encrypted file
    // system expects its pages nowhere else.
    std::string copy_path() const { return db_path_ + "-tanist-copy"; }
    uint64_t place_of(uint32_t pgno) const {
        return uint64_t{pgno - 1} * form_.slot_bytes(page_bytes_);
    }
    Status start_anew();
    Status save_bits(uint32_t first, uint32_t last);
    Status write_run(uint32_t first, ByteView images);
    Status read_pages(uint32_t first, MutableBytes images, std::vector<uint32_t>& damaged) const;
    Status write_copy(uint32_t db_pages) const;
    Status copy_pages(File& copy, uint32_t db_pages) const;
    Status give_permissions(const std::string& path) const;

    std::string directory_;
    std::string db_path_;
    StagedForm form_;
    uint32_t page_bytes_ = 0;
    uint32_t db_pages_ = 0;
    uint64_t staged_ = 0;
    File pages_;
    File have_;
    Bytes bits_;
};

}  // namespace tanist
