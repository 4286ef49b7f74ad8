// What every program here does around its work.
#pragma once

#include <functional>
#include <string>

#include "tests/support/process/arguments.h"

namespace tanist::torture {

constexpr int kSkipped = 77;  // ctest's SKIP_RETURN_CODE

// `play` in a new directory of this pattern, which goes when it returns 0 and is named otherwise.
// kSkipped where this process can have no network namespaces.
int play_in_directory(
    int argc, char** argv, std::string pattern,
    const std::function<int(testing::Arguments& arguments, const std::string& directory)>& play);

}  // namespace tanist::torture
