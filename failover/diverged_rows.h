// Which rows differ between the history that was discarded and the database as it is now, as far as
// the discarded pages tell: of each table with rowids, the rows on leaves that the tail had
// changed.
//
// The discarded history is only known where it changed something, so its tree is read through the
// present pages elsewhere. Where the two do not fit together, pages are left out here, and remain
// in the export as pages.
#pragma once

#include "failover/table_tree.h"

namespace tanist {

struct RowDifference {
    std::string table;
    int64_t rowid = 0;
    std::string column;
    const char* kind = "";  // changed; only here; only now
    SqlValue here;
    SqlValue now;
};

struct TableShape {
    std::string name;
    uint32_t root = 0;
    std::vector<std::string> columns;  // as they are stored
    int rowid_column = -1;             // INTEGER PRIMARY KEY: stored as NULL
};

struct RowSide {
    PageSource pages;
    std::vector<TableShape> tables;
};

struct RowComparison {
    std::vector<RowDifference> differences;
    std::set<uint32_t> understood;  // pages of `changed` whose rows were read
};

RowComparison compare_rows(const RowSide& here, const RowSide& now, uint32_t usable_bytes,
                           const std::set<uint32_t>& changed);

// Name, root and SQL of the tables in a schema; not those without rowids, nor virtual ones.
struct SchemaEntry {
    std::string name;
    uint32_t root = 0;
    std::string sql;
};
std::vector<SchemaEntry> tables_in_schema(const PageSource& pages, uint32_t usable_bytes);

}  // namespace tanist
