#include "failover/diverged_read.h"

#include <algorithm>

#include "replicator/base/file.h"
#include "replicator/control/toml_text.h"

namespace tanist {
namespace {

Status take(const std::string& path, const TomlEntry& entry, DivergedFacts& facts) {
    const auto* text = std::get_if<std::string>(&entry.value);
    const auto* number = std::get_if<int64_t>(&entry.value);
    const auto* flag = std::get_if<bool>(&entry.value);
    const auto wrong = [&] { return toml_error(path, entry.line, "unknown field " + entry.key); };
    if (text != nullptr) {
        if (entry.key == "common") facts.common = *text;
        if (entry.key == "end") facts.end = *text;
        if (entry.key == "primary") facts.primary = *text;
        return ok_status();
    }
    if (flag != nullptr && entry.key == "common_proved") {
        facts.common_proved = *flag;
        return ok_status();
    }
    if (number == nullptr) return wrong();
    if (entry.key == "version" && *number != 1) {
        return Error{Errc::version, path + " has version " + std::to_string(*number) +
                                        ", this Tanist knows version 1"};
    }
    if (entry.key == "commits") facts.commits = static_cast<uint64_t>(*number);
    if (entry.key == "bytes") facts.bytes = static_cast<uint64_t>(*number);
    if (entry.key == "saved_unix_ns") facts.saved_unix_ns = *number;
    if (entry.key == "primary_epoch") facts.primary_epoch = static_cast<uint64_t>(*number);
    return ok_status();
}

}  // namespace

Result<std::vector<DivergedFacts>> read_diverged(const Layout& layout) {
    std::vector<DivergedFacts> all;
    if (!path_exists(layout.diverged())) return all;
    Result<std::vector<std::string>> names = list_directory(layout.diverged());
    if (!names) return std::move(names).error();
    for (const std::string& name : *names) {
        const std::string path = layout.diverged() + "/" + name + "/facts";
        if (!path_exists(path)) continue;  // its saving was cut short, and is begun again
        Result<std::vector<TomlEntry>> entries = read_toml(path);
        if (!entries) return std::move(entries).error();
        DivergedFacts facts;
        facts.name = name;
        for (const TomlEntry& entry : *entries) TANIST_TRY(take(path, entry, facts));
        all.push_back(std::move(facts));
    }
    std::sort(all.begin(), all.end(), [](const DivergedFacts& a, const DivergedFacts& b) {
        return a.saved_unix_ns < b.saved_unix_ns;
    });
    return all;
}

}  // namespace tanist
