#include "failover/table_tree.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstdio>

namespace tanist {
namespace {

constexpr uint8_t kInterior = 0x05;
constexpr uint8_t kLeaf = 0x0d;
constexpr int kDepthMax = 20;
constexpr uint64_t kPayloadBytesMax = 64u << 20;

// Big-endian; Requires: at + count <= bytes.size().
uint64_t big_endian(ByteView bytes, size_t at, size_t count) {
    uint64_t value = 0;
    for (size_t i = 0; i < count; ++i) value = value << 8 | bytes[at + i];
    return value;
}

// Moves `at`. Nothing: it ends before its last byte.
std::optional<uint64_t> varint(ByteView bytes, size_t& at) {
    uint64_t value = 0;
    for (int i = 0; i < 9; ++i, ++at) {
        if (at >= bytes.size()) return std::nullopt;
        if (i == 8) return value << 8 | bytes[at++];
        value = value << 7 | (bytes[at] & 0x7f);
        if ((bytes[at] & 0x80) == 0) {
            ++at;
            return value;
        }
    }
    return std::nullopt;
}

size_t bytes_of_type(uint64_t type) {
    constexpr std::array<size_t, 12> kBytes = {0, 1, 2, 3, 4, 6, 8, 8, 0, 0, 0, 0};
    return type < kBytes.size() ? kBytes[type] : (type - 12) / 2;
}

SqlValue value_of(uint64_t type, ByteView bytes) {
    if (type == 0) return std::monostate{};
    if (type == 8 || type == 9) return static_cast<int64_t>(type - 8);
    if (type == 7) return std::bit_cast<double>(big_endian(bytes, 0, 8));
    if (type < 7) {
        const size_t bits = bytes.size() * 8;
        const uint64_t raw = big_endian(bytes, 0, bytes.size()) << (64 - bits);
        return static_cast<int64_t>(raw) >> (64 - bits);
    }
    if (type % 2 == 0) return Bytes(bytes.begin(), bytes.end());
    return SqlText{std::string(bytes.begin(), bytes.end())};
}

}  // namespace

struct TableTree::Page {
    Bytes bytes;
    size_t header = 0;  // 100 on page 1
    bool leaf = false;

    size_t cells() const { return big_endian(bytes, header + 3, 2); }
    uint32_t right_child() const { return static_cast<uint32_t>(big_endian(bytes, header + 8, 4)); }
    // Where cell `index` begins; nothing: outside of the page.
    std::optional<size_t> cell(size_t index) const {
        const size_t pointer = header + (leaf ? 8 : 12) + index * 2;
        if (pointer + 2 > bytes.size()) return std::nullopt;
        const size_t at = big_endian(bytes, pointer, 2);
        if (at + 4 > bytes.size()) return std::nullopt;
        return at;
    }
    std::optional<uint32_t> child(size_t index) const {
        if (index == cells()) return right_child();
        const auto at = cell(index);
        if (!at) return std::nullopt;
        return static_cast<uint32_t>(big_endian(bytes, *at, 4));
    }
};

std::optional<TableTree::Page> TableTree::page(uint32_t pgno) const {
    if (pgno == 0) return std::nullopt;
    std::optional<Bytes> bytes = source_(pgno);
    if (!bytes || bytes->size() < 512 || usable_bytes_ > bytes->size()) return std::nullopt;
    Page page;
    page.bytes = std::move(*bytes);
    page.header = pgno == 1 ? 100 : 0;
    const uint8_t type = page.bytes[page.header];
    if (type != kLeaf && type != kInterior) return std::nullopt;
    page.leaf = type == kLeaf;
    return page;
}

// How many levels are above the leaves; all leaves are on one level.
std::optional<int> TableTree::depth() const {
    uint32_t pgno = root_;
    for (int level = 0; level < kDepthMax; ++level) {
        const auto here = page(pgno);
        if (!here) return std::nullopt;
        if (here->leaf) return level;
        const auto first = here->child(0);
        if (!first) return std::nullopt;
        pgno = *first;
    }
    return std::nullopt;
}

// Level by level. A mixture of two histories may be no tree at all, so no page is entered twice.
std::vector<uint32_t> TableTree::leaves(const std::set<uint32_t>* wanted) const {
    std::vector<uint32_t> level;
    const auto levels = depth();
    if (!levels) return level;
    level.push_back(root_);
    std::set<uint32_t> entered = {root_};
    for (int above = *levels; above > 0; --above) {
        std::vector<uint32_t> next;
        for (const uint32_t pgno : level) {
            const auto here = page(pgno);
            if (!here || here->leaf) continue;
            for (size_t i = 0; i <= here->cells(); ++i) {
                const auto child = here->child(i);
                if (child && entered.insert(*child).second) next.push_back(*child);
            }
        }
        level = std::move(next);
    }
    if (wanted != nullptr) {
        std::erase_if(level, [&](uint32_t pgno) { return wanted->count(pgno) == 0; });
    }
    return level;
}

SqlRows TableTree::rows(const std::set<uint32_t>* wanted, std::set<uint32_t>& seen) const {
    SqlRows rows;
    for (const uint32_t pgno : leaves(wanted)) {
        const auto leaf = page(pgno);
        if (!leaf || !leaf->leaf) continue;
        seen.insert(pgno);
        read_leaf(*leaf, rows);
    }
    return rows;
}

void TableTree::read_leaf(const Page& leaf, SqlRows& rows) const {
    for (size_t i = 0; i < leaf.cells(); ++i) {
        const auto cell = leaf.cell(i);
        if (!cell) continue;
        size_t at = *cell;
        const auto bytes = varint(leaf.bytes, at);
        const auto rowid = varint(leaf.bytes, at);
        if (!bytes || !rowid) continue;
        const auto record = payload(leaf.bytes, at, *bytes);
        if (!record) continue;
        if (auto row = decode_sql_record(*record)) {
            rows[static_cast<int64_t>(*rowid)] = std::move(*row);
        }
    }
}

// What does not fit on the leaf is in a chain of pages.
std::optional<Bytes> TableTree::payload(ByteView leaf, size_t at, uint64_t bytes) const {
    if (bytes > kPayloadBytesMax) return std::nullopt;
    const uint64_t local_max = usable_bytes_ - 35;
    uint64_t local = bytes;
    if (bytes > local_max) {
        const uint64_t least = (usable_bytes_ - 12) * 32 / 255 - 23;
        const uint64_t fitting = least + (bytes - least) % (usable_bytes_ - 4);
        local = fitting <= local_max ? fitting : least;
    }
    const size_t link = local < bytes ? 4 : 0;
    if (at + local + link > leaf.size()) return std::nullopt;
    Bytes whole(leaf.begin() + static_cast<ptrdiff_t>(at),
                leaf.begin() + static_cast<ptrdiff_t>(at + local));
    uint32_t next = link != 0 ? static_cast<uint32_t>(big_endian(leaf, at + local, 4)) : 0;
    while (whole.size() < bytes) {
        const auto more = next != 0 ? source_(next) : std::nullopt;
        if (!more || more->size() < usable_bytes_) return std::nullopt;
        const uint64_t part = std::min<uint64_t>(bytes - whole.size(), usable_bytes_ - 4);
        whole.insert(whole.end(), more->begin() + 4,
                     more->begin() + static_cast<ptrdiff_t>(4 + part));
        next = static_cast<uint32_t>(big_endian(*more, 0, 4));
    }
    return whole;
}

std::optional<SqlRow> TableTree::find(int64_t rowid) const {
    uint32_t pgno = root_;
    for (int level = 0; level < kDepthMax; ++level) {
        const auto here = page(pgno);
        if (!here) return std::nullopt;
        if (here->leaf) {
            SqlRows rows;
            read_leaf(*here, rows);
            const auto found = rows.find(rowid);
            if (found == rows.end()) return std::nullopt;
            return found->second;
        }
        size_t index = 0;
        for (; index < here->cells(); ++index) {
            const auto cell = here->cell(index);
            if (!cell) return std::nullopt;
            size_t at = *cell + 4;
            const auto key = varint(here->bytes, at);
            if (!key) return std::nullopt;
            if (rowid <= static_cast<int64_t>(*key)) break;
        }
        const auto child = here->child(index);
        if (!child) return std::nullopt;
        pgno = *child;
    }
    return std::nullopt;
}

std::optional<SqlRow> decode_sql_record(ByteView record) {
    size_t at = 0;
    const auto header_bytes = varint(record, at);
    if (!header_bytes || *header_bytes > record.size()) return std::nullopt;
    size_t content = *header_bytes;
    SqlRow row;
    while (at < *header_bytes) {
        const auto type = varint(record.first(*header_bytes), at);
        if (!type || *type == 10 || *type == 11) return std::nullopt;
        const size_t bytes = bytes_of_type(*type);
        if (bytes > record.size() - content) return std::nullopt;
        row.push_back(value_of(*type, record.subspan(content, bytes)));
        content += bytes;
    }
    return row;
}

std::string sql_literal(const SqlValue& value) {
    if (const auto* number = std::get_if<int64_t>(&value)) {
        // The least integer has no literal of its own.
        if (*number == INT64_MIN) return "(-9223372036854775807 - 1)";
        return std::to_string(*number);
    }
    if (const auto* real = std::get_if<double>(&value)) {
        if (std::isinf(*real)) return *real > 0 ? "9e999" : "-9e999";
        std::array<char, 32> text;
        std::snprintf(text.data(), text.size(), "%.17e", *real);
        return text.data();
    }
    if (const auto* blob = std::get_if<Bytes>(&value)) {
        return "x'" + hex(blob->data(), blob->size()) + "'";
    }
    if (const auto* text = std::get_if<SqlText>(&value)) {
        const auto* bytes = reinterpret_cast<const uint8_t*>(text->bytes.data());
        return "CAST(x'" + hex(bytes, text->bytes.size()) + "' AS TEXT)";
    }
    return "NULL";
}

}  // namespace tanist
