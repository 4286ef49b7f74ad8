// The rules. Each gives one Breach per place; a name per rule, so that a test can ask for all.
#pragma once

#include <string>
#include <vector>

#include "tests/tidy/source_file.h"

namespace tanist::tidy {

struct Breach {
    std::string rule;
    int line = 0;
    std::string sentence;
};

// Every rule's name.
std::vector<std::string> rule_names();
std::vector<Breach> check(const SourceFile& file);

}  // namespace tanist::tidy
