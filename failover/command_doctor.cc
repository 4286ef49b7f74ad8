#include <algorithm>

#include "failover/commands.h"
#include "failover/findings.h"
#include "failover/output.h"
#include "replicator/base/file.h"

namespace tanist {
namespace {

const char* name_of(FindingLevel level) {
    switch (level) {
        case FindingLevel::ok:
            return "ok";
        case FindingLevel::warn:
            return "warn";
        case FindingLevel::fail:
            return "fail";
    }
    return "?";
}

size_t count(const Findings& findings, FindingLevel level) {
    return static_cast<size_t>(
        std::count_if(findings.begin(), findings.end(),
                      [&](const Finding& finding) { return finding.level == level; }));
}

void print_findings(const Findings& findings) {
    for (const Finding& finding : findings) {
        std::string level = name_of(finding.level);
        level.resize(5, ' ');
        print_line(level + finding.check + ": " + finding.sentence);
        if (!finding.remedy.empty()) print_line("     remedy: " + finding.remedy);
    }
}

}  // namespace

int run_doctor(const DoctorOptions& options) {
    const Layout layout(options.db);
    if (!path_exists(layout.db)) {
        return print_error({Errc::not_found, layout.db + " does not exist"}, options.json);
    }
    Findings findings;
    find_sqlite_version(findings);
    find_place(layout, findings);
    // Before this process opens the database itself.
    find_processes(layout, findings);
    find_database(layout, findings);
    find_replication(layout, findings);
    const size_t failures = count(findings, FindingLevel::fail);
    const size_t warnings = count(findings, FindingLevel::warn);
    if (options.json) {
        Json list = Json::array();
        for (const Finding& finding : findings) {
            list.push_back({{"check", finding.check},
                            {"level", name_of(finding.level)},
                            {"sentence", finding.sentence},
                            {"remedy", finding.remedy}});
        }
        print_json(
            {{"database", layout.db}, {"fail", failures}, {"warn", warnings}, {"findings", list}});
    } else {
        print_findings(findings);
        print_line(std::to_string(failures) + " to repair, " + std::to_string(warnings) +
                   " to know");
    }
    return failures == 0 ? kExitDone : kExitFailed;
}

}  // namespace tanist
