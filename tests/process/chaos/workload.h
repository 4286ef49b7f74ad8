// What a chaos writer does: one random operation at a time, chosen by seed. Every operation that
// commits also moves meter.ticks and this writer's writer.seq.
#pragma once

#include <string>

#include "tests/process/chaos/board.h"
#include "tests/process/chaos/schema.h"
#include "tests/support/process/dice.h"

namespace tanist::chaos {

struct WorkloadOptions {
    int writer = 0;  // slot on the board, and writer.id
    int blob_bytes_max = 1 << 20;
    int items_max = 4000;            // the database stays about this big
    bool spilled_savepoints = true;  // upstream: such commits do not survive WAL recovery
    bool maintenance = true;         // VACUUM, incremental_vacuum, checkpoints, DDL
};

class Workload {
  public:
    // `db` and `board` outlive this.
    Workload(testing::Database& db, Board& board, testing::Dice& dice,
             const WorkloadOptions& options)
        : db_(db), board_(board), dice_(dice), options_(options) {}
    // One operation. False: something happened that no application should see; see trouble().
    bool step();
    const std::string& trouble() const { return trouble_; }

  private:
    using Change = int (Workload::*)();
    bool transaction(Change change);
    bool outside(const std::string& sql);
    bool judge(int rc, const char* doing);
    int one_change();
    int transfer();
    int insert_items();
    int update_items();
    int delete_items();
    int put_pairs();
    int put_pages();
    int drop_pages();
    int put_blob();
    int drop_blob();
    int change_schema();
    int many_changes();
    int savepoint_rolled_back();
    int scramble();
    bool rolled_back();
    bool maintain();
    int sequence(std::initializer_list<std::string> statements);
    std::string n(int64_t value) const { return std::to_string(value); }

    testing::Database& db_;
    Board& board_;
    testing::Dice& dice_;
    WorkloadOptions options_;
    std::string trouble_;
};

}  // namespace tanist::chaos
