// What one round of the chaos test is made of, drawn from the dice. Pure.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "tests/support/process/dice.h"

namespace tanist::chaos {

struct WriterPlan {
    bool stock = false;  // without the extension
    std::string sync;
    int cache_pages = 0;
};

struct Plan {
    int page_bytes = 4096;
    int auto_vacuum = 0;
    int blob_bytes = 1 << 20;
    int items = 2000;
    bool ipc = false;             // endpoint; else tcp on the loopback
    bool engine_by_hand = false;  // tanistd --db app.db; else started by the extension
    bool keeper = true;           // a connection that is never killed: the WAL is never recovered
    int stanzas = 2;
    std::vector<WriterPlan> writers;
    std::vector<std::string> readers;
    int checkpointers = 1;
    // Who is killed; "engine" covers freezing it. Narrowed by hand to find a fault.
    std::set<std::string> struck = {"writer", "reader", "checkpointer", "engine", "replica"};

    // Then nobody restarts the WAL before the engine has it, whoever is killed.
    bool every_writer_has_extension() const;
};

Plan draw_plan(testing::Dice& dice, uint64_t round);
// Replaces what was drawn by what a person asks for, e.g.
// "writers=stock/NORMAL/2000;checkpointers=0;struck=engine,replica;page=512". "" or what is wrong.
std::string narrow_plan(const std::string& wishes, Plan& plan);
std::string to_string(const Plan& plan);

}  // namespace tanist::chaos
