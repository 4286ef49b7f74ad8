#include "tests/process/chaos/plan.h"

#include <sstream>

namespace tanist::chaos {

Plan draw_plan(testing::Dice& dice, uint64_t round) {
    static constexpr int kPageBytes[] = {4096, 512, 65536};
    static const char* const kSync[] = {"OFF", "NORMAL", "FULL"};
    static constexpr int kCaches[] = {10, 40, 2000};
    static const char* const kReaders[] = {"mmap", "reconnect", "readonly", "stray", "plain"};
    Plan plan;
    plan.page_bytes = kPageBytes[round % 3];
    plan.auto_vacuum = static_cast<int>(dice.below(3));
    plan.blob_bytes = plan.page_bytes == 512 ? 300'000 : static_cast<int>(dice.between(1, 4)) << 20;
    plan.items = plan.page_bytes == 512 ? 1000 : 2000;
    plan.ipc = dice.chance(50);
    plan.engine_by_hand = dice.chance(40);
    plan.keeper = dice.chance(60);
    plan.stanzas = static_cast<int>(dice.between(1, 3));
    plan.checkpointers = static_cast<int>(dice.between(0, 2));
    for (int64_t i = dice.between(1, 4); i > 0; --i) {
        // The first one has the extension: somebody must start the engine.
        plan.writers.push_back(
            {!plan.writers.empty() && dice.chance(40), dice.pick(kSync), dice.pick(kCaches)});
    }
    for (size_t i = 0; i < 3; ++i) plan.readers.push_back(kReaders[(round + i) % 5]);
    return plan;
}

std::string to_string(const Plan& plan) {
    std::ostringstream text;
    text << "page " << plan.page_bytes << ", auto_vacuum " << plan.auto_vacuum << ", "
         << (plan.ipc ? "ipc" : "tcp") << ", engine "
         << (plan.engine_by_hand ? "by hand" : "by the extension")
         << (plan.keeper ? ", keeper" : ", no keeper") << ", " << plan.checkpointers
         << " checkpointers, writers";
    for (const WriterPlan& writer : plan.writers) {
        text << ' ' << (writer.stock ? "stock" : "shim") << '/' << writer.sync << '/'
             << writer.cache_pages;
    }
    return text.str();
}

}  // namespace tanist::chaos
