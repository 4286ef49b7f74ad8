#include "extension/write_version.h"

#include <cstring>

namespace tanist {
namespace {

constexpr int kAt = 18;
constexpr uint8_t kWal = 2;
constexpr uint8_t kReadOnly = 3;
// No other page begins so: it would be the type of a b-tree page, or the number of a page beyond
// any database. An encrypted page 1 does not either, and is left alone.
constexpr char kPage1[] = "SQLite format 3";

bool is_page_1(const void* bytes, int count) {
    return count > kAt && std::memcmp(bytes, kPage1, sizeof kPage1) == 0;
}

}  // namespace

void WriteVersion::show_from_wal(void* out, int count) {
    if (!is_page_1(out, count)) return;
    auto* page = static_cast<uint8_t*>(out);
    hidden_ = page[kAt] == kReadOnly;
    if (hidden_) page[kAt] = kWal;
}

void WriteVersion::show_from_database(void* out, int count, int64_t offset) {
    if (offset != 0 || !is_page_1(out, count)) return;
    auto* page = static_cast<uint8_t*>(out);
    if (page[kAt] == kReadOnly) page[kAt] = kWal;
}

const void* WriteVersion::restore(const void* in, int count, int64_t offset) {
    if (!hidden_ || offset != 0 || !is_page_1(in, count)) return in;
    const auto* page = static_cast<const uint8_t*>(in);
    copy_.assign(page, page + count);
    copy_[kAt] = kReadOnly;
    return copy_.data();
}

}  // namespace tanist
