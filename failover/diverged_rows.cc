#include "failover/diverged_rows.h"

#include <algorithm>

namespace tanist {
namespace {

constexpr size_t kSchemaColumns = 5;  // type, name, tbl_name, rootpage, sql

const TableShape* shape_of(const RowSide& side, const std::string& name) {
    const auto found = std::find_if(side.tables.begin(), side.tables.end(),
                                    [&](const TableShape& shape) { return shape.name == name; });
    return found == side.tables.end() ? nullptr : &*found;
}

// A column that was added later is missing in older rows.
SqlValue column_of(const SqlRow* row, const TableShape& shape, size_t column, int64_t rowid) {
    if (row == nullptr) return std::monostate{};
    const SqlValue value = column < row->size() ? (*row)[column] : SqlValue();
    const bool is_rowid = static_cast<int>(column) == shape.rowid_column;
    if (is_rowid && std::holds_alternative<std::monostate>(value)) return rowid;
    return value;
}

class TableComparison {
  public:
    TableComparison(const TableShape& shape, RowComparison& out) : shape_(shape), out_(out) {}

    void differ(int64_t rowid, const SqlRow* here, const SqlRow* now) {
        const char* kind = here == nullptr ? "only now" : now == nullptr ? "only here" : "changed";
        for (size_t i = 0; i < shape_.columns.size(); ++i) {
            SqlValue old_value = column_of(here, shape_, i, rowid);
            SqlValue new_value = column_of(now, shape_, i, rowid);
            if (here != nullptr && now != nullptr && old_value == new_value) continue;
            out_.differences.push_back({shape_.name, rowid, shape_.columns[i], kind,
                                        std::move(old_value), std::move(new_value)});
        }
    }

  private:
    const TableShape& shape_;
    RowComparison& out_;
};

void compare_table(const TableShape& shape, const TableTree* here, const TableTree* now,
                   const std::set<uint32_t>& changed, RowComparison& out) {
    TableComparison comparison(shape, out);
    SqlRows old_rows;
    SqlRows new_rows;
    std::set<uint32_t> present;
    if (here != nullptr) old_rows = here->rows(&changed, out.understood);
    if (now != nullptr) new_rows = now->rows(&changed, present);
    for (const auto& [rowid, row] : old_rows) {
        const auto other = now != nullptr ? now->find(rowid) : std::nullopt;
        if (!other || *other != row) comparison.differ(rowid, &row, other ? &*other : nullptr);
    }
    for (const auto& [rowid, row] : new_rows) {
        if (old_rows.count(rowid) != 0) continue;
        // It may stand on a leaf that the tail left alone.
        const auto other = here != nullptr ? here->find(rowid) : std::nullopt;
        if (!other || *other != row) comparison.differ(rowid, other ? &*other : nullptr, &row);
    }
}

}  // namespace

RowComparison compare_rows(const RowSide& here, const RowSide& now, uint32_t usable_bytes,
                           const std::set<uint32_t>& changed) {
    RowComparison out;
    std::set<std::string> names;
    for (const RowSide* side : {&here, &now}) {
        for (const TableShape& shape : side->tables) names.insert(shape.name);
    }
    for (const std::string& name : names) {
        const TableShape* old_shape = shape_of(here, name);
        const TableShape* new_shape = shape_of(now, name);
        std::optional<TableTree> old_tree;
        std::optional<TableTree> new_tree;
        if (old_shape != nullptr) old_tree.emplace(here.pages, usable_bytes, old_shape->root);
        if (new_shape != nullptr) new_tree.emplace(now.pages, usable_bytes, new_shape->root);
        compare_table(old_shape != nullptr ? *old_shape : *new_shape,
                      old_tree ? &*old_tree : nullptr, new_tree ? &*new_tree : nullptr, changed,
                      out);
    }
    return out;
}

std::vector<SchemaEntry> tables_in_schema(const PageSource& pages, uint32_t usable_bytes) {
    std::vector<SchemaEntry> tables;
    std::set<uint32_t> seen;
    for (const auto& [rowid, row] : TableTree(pages, usable_bytes, 1).rows(nullptr, seen)) {
        if (row.size() < kSchemaColumns) continue;
        const auto* type = std::get_if<SqlText>(&row[0]);
        const auto* name = std::get_if<SqlText>(&row[1]);
        const auto* root = std::get_if<int64_t>(&row[3]);
        const auto* sql = std::get_if<SqlText>(&row[4]);
        if (type == nullptr || type->bytes != "table" || name == nullptr || root == nullptr ||
            sql == nullptr || *root < 2 || *root > UINT32_MAX) {
            continue;
        }
        tables.push_back({name->bytes, static_cast<uint32_t>(*root), sql->bytes});
    }
    return tables;
}

}  // namespace tanist
