#include <array>
#include <cstdio>

#include "failover/commands.h"
#include "failover/log_cipher_of.h"
#include "failover/output.h"
#include "replicator/base/file.h"
#include "replicator/log/log.h"

namespace tanist {
namespace {

const char* name_of(RecordKind kind) {
    switch (kind) {
        case RecordKind::commit:
            return "commit";
        case RecordKind::abort:
            return "abort";
        case RecordKind::epoch:
            return "epoch";
        case RecordKind::rebase:
            return "rebase";
    }
    return "?";
}

Json record_json(const std::string& segment, uint64_t offset, const RecordHeader& header) {
    return {{"position", to_string(header.position())},
            {"kind", name_of(header.kind)},
            {"segment", segment},
            {"offset", offset},
            {"bytes", header.record_bytes()},
            {"pages", header.page_count},
            {"page_bytes", header.page_bytes},
            {"db_pages", header.db_pages},
            {"commit_time_ns", header.commit_time_ns},
            {"chain", to_string(header.chain)}};
}

Json walk_json(const std::string& directory, const LogWalk& walk) {
    return {{"directory", directory},
            {"group", to_string(walk.group)},
            {"segments", walk.segments},
            {"records", walk.records},
            {"base", to_string(walk.base.position)},
            {"end", to_string(walk.end.position)},
            {"chain", to_string(walk.end.chain)},
            {"tail", walk.tail}};
}

// A database may be named instead of its log directory.
std::string log_directory(const std::string& named) {
    const std::string inside = named + "-tanist/log";
    return path_exists(inside) ? inside : named;
}

void print_walk(const std::string& directory, const LogWalk& walk) {
    print_line(directory);
    print_line("  group      " + to_string(walk.group));
    print_line("  records    " + std::to_string(walk.records) + " in " +
               std::to_string(walk.segments) + (walk.segments == 1 ? " segment" : " segments"));
    print_line("  from       " + to_string(walk.base.position) + " (not included)");
    print_line("  to         " + to_string(walk.end.position) + ", chain " +
               to_string(walk.end.chain));
    print_line("  tail       " + walk.tail);
}

Result<LogWalk> walk(const LogCommandOptions& options, bool check_payloads,
                     const std::function<bool(const std::string& segment, uint64_t offset,
                                              const RecordHeader&)>& visit) {
    const std::string directory = log_directory(options.directory);
    auto cipher = log_cipher_of(directory, options.key_file);
    if (!cipher) return std::move(cipher).error();
    return walk_log(directory, *cipher, check_payloads, visit);
}

}  // namespace

int run_log_dump(const LogCommandOptions& options) {
    if (!options.json) {
        print_line(
            "POSITION    KIND    PAGES  DB PAGES  BYTES     CHAIN             SEGMENT+OFFSET");
    }
    Result<LogWalk> found =
        walk(options, false,
             [&](const std::string& segment, uint64_t offset, const RecordHeader& header) {
                 if (options.json) {
                     print_json(record_json(segment, offset, header));
                     return true;
                 }
                 std::array<char, 256> line;
                 std::snprintf(
                     line.data(), line.size(), "%-11s %-7s %-6u %-9u %-9llu %-17.16s %s+%llu",
                     to_string(header.position()).c_str(), name_of(header.kind), header.page_count,
                     header.db_pages, static_cast<unsigned long long>(header.record_bytes()),
                     to_string(header.chain).c_str(), segment.c_str(),
                     static_cast<unsigned long long>(offset));
                 print_line(line.data());
                 return true;
             });
    if (!found) return print_error(found.error(), options.json);
    if (!options.json) print_line("tail: " + found->tail);
    return kExitDone;
}

int run_log_verify(const LogCommandOptions& options) {
    const std::string directory = log_directory(options.directory);
    Result<LogWalk> found =
        walk(options, true, [](const std::string&, uint64_t, const RecordHeader&) { return true; });
    if (!found) return print_error(found.error(), options.json);
    if (options.json) {
        print_json(walk_json(directory, *found));
    } else {
        print_walk(directory, *found);
        print_line("Every record's header, payload and chain is good.");
    }
    return kExitDone;
}

int run_log_stat(const LogCommandOptions& options) {
    const std::string directory = log_directory(options.directory);
    uint64_t bytes = 0;
    uint64_t pages = 0;
    Result<LogWalk> found =
        walk(options, false, [&](const std::string&, uint64_t, const RecordHeader& header) {
            bytes += header.record_bytes();
            pages += header.page_count;
            return true;
        });
    if (!found) return print_error(found.error(), options.json);
    if (options.json) {
        Json json = walk_json(directory, *found);
        json["bytes"] = bytes;
        json["pages"] = pages;
        print_json(json);
        return kExitDone;
    }
    print_walk(directory, *found);
    print_line("  size       " + say_bytes(bytes) + ", " + std::to_string(pages) + " pages");
    return kExitDone;
}

}  // namespace tanist
