#include "tests/process/chaos/plan.h"

#include <algorithm>
#include <cstdlib>
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

bool Plan::every_writer_has_extension() const {
    const auto stock = [](const WriterPlan& writer) { return writer.stock; };
    return checkpointers == 0 && std::none_of(writers.begin(), writers.end(), stock);
}

namespace {

std::vector<std::string> split(const std::string& text, char at) {
    std::vector<std::string> parts;
    std::istringstream stream(text);
    for (std::string part; std::getline(stream, part, at);) parts.push_back(part);
    return parts;
}

bool wish(const std::string& name, const std::string& value, Plan& plan) {
    const auto number = [&] { return std::atoi(value.c_str()); };
    const std::vector<std::string> list = split(value, ',');
    if (name == "page") {
        plan.page_bytes = number();
        plan.blob_bytes = plan.page_bytes == 512 ? 300'000 : 1 << 20;
    } else if (name == "auto_vacuum") {
        plan.auto_vacuum = number();
    } else if (name == "ipc") {
        plan.ipc = number() != 0;
    } else if (name == "by_hand") {
        plan.engine_by_hand = number() != 0;
    } else if (name == "keeper") {
        plan.keeper = number() != 0;
    } else if (name == "stanzas") {
        plan.stanzas = number();
    } else if (name == "checkpointers") {
        plan.checkpointers = number();
    } else if (name == "readers") {
        plan.readers = list;
    } else if (name == "struck") {
        plan.struck = {list.begin(), list.end()};
    } else if (name == "writers") {
        plan.writers.clear();
        for (const std::string& word : list) {
            const std::vector<std::string> parts = split(word, '/');
            if (parts.size() != 3) return false;
            plan.writers.push_back({parts[0] == "stock", parts[1], std::atoi(parts[2].c_str())});
        }
    } else {
        return false;
    }
    return true;
}

}  // namespace

std::string narrow_plan(const std::string& wishes, Plan& plan) {
    for (const std::string& part : split(wishes, ';')) {
        const size_t equals = part.find('=');
        if (equals == std::string::npos ||
            !wish(part.substr(0, equals), part.substr(equals + 1), plan)) {
            return "not understood: " + part;
        }
    }
    return "";
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
