// The rows of a table's b-tree, read from page images: what is left of a history that no SQLite can
// open any more, because only the pages that it changed were kept. Format: sqlite.org/fileformat2,
// sections 1.6 and 2.1. Pure; everything from a page is checked before it is used, and a page that
// does not fit is left out, never guessed at.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <variant>
#include <vector>

#include "replicator/base/bytes.h"

namespace tanist {

struct SqlText {
    std::string bytes;
    bool operator==(const SqlText&) const = default;
};
using SqlValue = std::variant<std::monostate, int64_t, double, SqlText, Bytes>;
using SqlRow = std::vector<SqlValue>;
using SqlRows = std::map<int64_t, SqlRow>;  // by rowid

// Nothing: there is no such page.
using PageSource = std::function<std::optional<Bytes>(uint32_t pgno)>;

class TableTree {
  public:
    // `usable_bytes`: of each page, without what the header reserves.
    TableTree(PageSource source, uint32_t usable_bytes, uint32_t root)
        : source_(std::move(source)), usable_bytes_(usable_bytes), root_(root) {}

    // Rows on the leaves that `wanted` names, and in `seen` which of those leaves there are. Other
    // leaves are not read. Without `wanted`: all.
    SqlRows rows(const std::set<uint32_t>* wanted, std::set<uint32_t>& seen) const;
    std::optional<SqlRow> find(int64_t rowid) const;

  private:
    struct Page;
    std::optional<Page> page(uint32_t pgno) const;
    std::optional<int> depth() const;
    std::vector<uint32_t> leaves(const std::set<uint32_t>* wanted) const;
    void read_leaf(const Page& leaf, SqlRows& rows) const;
    std::optional<Bytes> payload(ByteView cell, size_t at, uint64_t bytes) const;

    PageSource source_;
    uint32_t usable_bytes_;
    uint32_t root_;
};

// Nothing: the record is damaged.
std::optional<SqlRow> decode_sql_record(ByteView record);
// As SQL spells it.
std::string sql_literal(const SqlValue& value);

}  // namespace tanist
