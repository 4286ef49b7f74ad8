#include <algorithm>

#include "failover/commands.h"
#include "failover/diverged_read.h"
#include "failover/log_cipher_of.h"
#include "failover/output.h"
#include "replicator/base/clock.h"
#include "replicator/base/file.h"
#include "replicator/log/log.h"

namespace tanist {
namespace {

Json facts_json(const DivergedFacts& facts) {
    return {{"name", facts.name},
            {"common", facts.common},
            {"common_proved", facts.common_proved},
            {"end", facts.end},
            {"commits", facts.commits},
            {"bytes", facts.bytes},
            {"saved_unix_ns", facts.saved_unix_ns},
            {"primary", facts.primary},
            {"primary_epoch", facts.primary_epoch}};
}

std::string say_age(int64_t unix_ns) {
    return say_seconds(static_cast<double>(unix_now_ns() - unix_ns) / 1e9) + " ago";
}

Result<DivergedFacts> find(const DivergedOptions& options) {
    Result<std::vector<DivergedFacts>> all = read_diverged(Layout(options.db));
    if (!all) return std::move(all).error();
    auto found = std::find_if(all->begin(), all->end(), [&](const DivergedFacts& facts) {
        return facts.name == options.name;
    });
    if (found != all->end()) return *found;
    return Error{Errc::not_found, "nothing is saved under the name " + options.name +
                                      "; see: tanist diverged list " + options.db};
}

}  // namespace

int run_diverged_list(const DivergedOptions& options) {
    Result<std::vector<DivergedFacts>> all = read_diverged(Layout(options.db));
    if (!all) return print_error(all.error(), options.json);
    Json list = Json::array();
    std::vector<std::vector<std::string>> rows = {
        {"NAME", "COMMITS", "SIZE", "AFTER", "SAVED", "DISCARDED BY"}};
    for (const DivergedFacts& facts : *all) {
        list.push_back(facts_json(facts));
        rows.push_back({facts.name, std::to_string(facts.commits), say_bytes(facts.bytes),
                        facts.common, say_age(facts.saved_unix_ns), facts.primary});
    }
    if (options.json) {
        print_json({{"database", Layout(options.db).db}, {"diverged", list}});
    } else if (all->empty()) {
        print_line("No commits of this node were discarded by a failover.");
    } else {
        print_line(table(rows));
    }
    return kExitDone;
}

int run_diverged_show(const DivergedOptions& options) {
    Result<DivergedFacts> facts = find(options);
    if (!facts) return print_error(facts.error(), options.json);
    Json commits = Json::array();
    std::vector<std::vector<std::string>> rows = {{"POSITION", "PAGES", "WRITTEN"}};
    const std::string directory = Layout(options.db).diverged() + "/" + facts->name + "/log";
    auto cipher = log_cipher_of(directory);
    if (!cipher) return print_error(cipher.error(), options.json);
    Result<LogWalk> walk = walk_log(
        directory, *cipher, false, [&](const std::string&, uint64_t, const RecordHeader& record) {
            if (record.kind != RecordKind::commit) return true;
            commits.push_back({{"position", to_string(record.position())},
                               {"pages", record.page_count},
                               {"commit_time_ns", record.commit_time_ns}});
            rows.push_back({to_string(record.position()), std::to_string(record.page_count),
                            say_age(record.commit_time_ns)});
            return true;
        });
    if (!walk) return print_error(walk.error(), options.json);
    if (options.json) {
        Json json = facts_json(*facts);
        json["list"] = commits;
        print_json(json);
        return kExitDone;
    }
    print_line(table(rows));
    if (!facts->common_proved) {
        print_line(
            "The primary's log did not reach back far enough to find the last common commit, "
            "so some of these may be in the database as well.");
    }
    return kExitDone;
}

int run_diverged_export(const DivergedOptions& options) {
    Result<DivergedFacts> facts = find(options);
    if (!facts) return print_error(facts.error(), options.json);
    if (path_exists(options.out)) {
        return print_error({Errc::invalid, options.out + " exists already; name another file"},
                           options.json);
    }
    Status written = export_diverged(Layout(options.db), *facts, options.out);
    if (!written) return print_error(written.error(), options.json);
    if (options.json) {
        Json json = facts_json(*facts);
        json["out"] = options.out;
        print_json(json);
    } else {
        print_line(options.out +
                   ": tables tanist_commit (what was discarded), tanist_row (each value that "
                   "differs, as it was here and as it is now) and tanist_page (the same, page by "
                   "page; in_rows = 0: only there)");
    }
    return kExitDone;
}

}  // namespace tanist
