#include "tests/bench/measure.h"

#include <algorithm>
#include <cmath>

namespace tanist::bench {

double Series::quantile(double q) const {
    if (values_.empty()) return 0;
    std::vector<double> sorted = values_;
    std::sort(sorted.begin(), sorted.end());
    const double rank = q * static_cast<double>(sorted.size() - 1);
    return sorted[static_cast<size_t>(std::lround(rank))];
}

Report::Report(const std::string& path) {
    if (!path.empty()) json_ = std::fopen(path.c_str(), "a");
}

Report::~Report() {
    if (json_) std::fclose(json_);
}

void Report::line(const std::string& part, const std::string& what, const Figures& figures) {
    std::printf("%-11s %-34s", part.c_str(), what.c_str());
    for (const auto& [name, value] : figures) std::printf("  %s %.4g", name.c_str(), value);
    std::printf("\n");
    std::fflush(stdout);
    if (!json_) return;
    std::fprintf(json_, "{\"part\":\"%s\",\"what\":\"%s\"", part.c_str(), what.c_str());
    for (const auto& [name, value] : figures) {
        std::fprintf(json_, ",\"%s\":%.9g", name.c_str(), value);
    }
    std::fprintf(json_, "}\n");
    std::fflush(json_);
}

void Report::verdict(const std::string& part, const std::string& wanted, bool met) {
    std::printf("%-11s %s: %s\n", part.c_str(), met ? "met" : "NOT MET", wanted.c_str());
    std::fflush(stdout);
    all_met_ = all_met_ && met;
    if (!json_) return;
    std::fprintf(json_, "{\"part\":\"%s\",\"wanted\":\"%s\",\"met\":%s}\n", part.c_str(),
                 wanted.c_str(), met ? "true" : "false");
    std::fflush(json_);
}

}  // namespace tanist::bench
