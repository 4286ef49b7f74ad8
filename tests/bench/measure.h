// Numbers of a benchmark: median and spread, a table for people, JSON lines for programs.
#pragma once

#include <cstdint>
#include <cstdio>
#include <string>
#include <utility>
#include <vector>

namespace tanist::bench {

class Series {
  public:
    void add(double value) { values_.push_back(value); }
    double median() const { return quantile(0.5); }
    double least() const { return quantile(0); }
    double most() const { return quantile(1); }
    // 0..1, of the sorted values, nearest rank.
    double quantile(double q) const;
    size_t count() const { return values_.size(); }

  private:
    std::vector<double> values_;
};

// One line of the report: what was measured, and its figures by name.
class Report {
  public:
    // JSON lines go to `path` as well, appended; "" nowhere.
    explicit Report(const std::string& path);
    ~Report();
    Report(const Report&) = delete;
    Report& operator=(const Report&) = delete;
    using Figures = std::vector<std::pair<std::string, double>>;
    void line(const std::string& part, const std::string& what, const Figures& figures);
    // `wanted` is the sentence of the issue; printed beside the verdict.
    void verdict(const std::string& part, const std::string& wanted, bool met);
    bool all_met() const { return all_met_; }

  private:
    std::FILE* json_ = nullptr;
    bool all_met_ = true;
};

}  // namespace tanist::bench
