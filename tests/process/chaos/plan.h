// What one round of the chaos test is made of, drawn from the dice. Pure.
#pragma once

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
};

Plan draw_plan(testing::Dice& dice, uint64_t round);
std::string to_string(const Plan& plan);

}  // namespace tanist::chaos
