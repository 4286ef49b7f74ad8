// The pages of a delta sync in progress: `pages` (sparse, each page at its own offset), `have` (a
// bit per page) and `meta` (the page size they were staged with). A page is written before its bit;
// a bit whose page a power cut took is harmless, because staged pages are compared by hash before
// they are relied on.
//
// Memory: one bit per page.
#pragma once

#include <span>
#include <string>

#include "replicator/base/file.h"
#include "replicator/base/ids.h"

namespace tanist {

class Staging {
  public:
    explicit Staging(std::string directory) : directory_(std::move(directory)) {}
    // Opens what an earlier sync left, or starts anew. Pages beyond db_pages are forgotten.
    Status begin(uint32_t page_bytes, uint32_t db_pages);
    bool has(uint32_t pgno) const;
    bool has_any(uint32_t first, uint32_t count) const;
    bool empty() const { return staged_ == 0; }
    // `pages` in any order, runs of consecutive ones are one write.
    Status put(std::span<const uint32_t> pages, ByteView images);
    // Whole pages from `first` on; what is not staged is zeros.
    Status read(uint32_t first, MutableBytes images) const;
    // Staged pages up to `last`, ascending.
    std::vector<uint32_t> list(uint32_t last) const;
    // `pages` becomes the file `path`; nothing is staged any more.
    Status become(const std::string& path, uint32_t db_pages);
    Status remove();

  private:
    std::string pages_path() const { return directory_ + "/pages"; }
    std::string have_path() const { return directory_ + "/have"; }
    std::string meta_path() const { return directory_ + "/meta"; }
    Status start_anew();
    Status save_bits(uint32_t first, uint32_t last);

    std::string directory_;
    uint32_t page_bytes_ = 0;
    uint32_t db_pages_ = 0;
    uint64_t staged_ = 0;
    File pages_;
    File have_;
    Bytes bits_;
};

}  // namespace tanist
