// The benchmarks of docs/benchmarks.md, in one program and one run.
//
//   bench [--part throughput|latency|snapshot|idle|apply|commit|curve|leases] [--quick]
//         [--json FILE]
//         [--build DIR] [--dir DIR] [--pairs N] [--seconds N] [--only SHAPE]
//
// --only 'insert NORMAL' runs the throughput shapes whose names contain that. Exit 0 when every
// bound is met, 1 otherwise. --quick is for trying the program out; its numbers mean nothing.
#include <stdlib.h>

#include <cstdio>
#include <filesystem>

#include "tests/bench/rig.h"
#include "tests/support/process/arguments.h"

int main(int argc, char** argv) {
    using tanist::bench::Report;
    tanist::testing::Arguments arguments(argc, argv);
    tanist::bench::Setting setting;
    setting.quick = arguments.has("quick");
    setting.pairs = static_cast<int>(arguments.number("pairs", setting.quick ? 1 : 7));
    setting.seconds = static_cast<double>(arguments.number("seconds", setting.quick ? 1 : 3));
    setting.snapshot_mib = arguments.number("mib", setting.quick ? 64 : 1024);
    setting.idle_seconds = arguments.number("idle-seconds", setting.quick ? 5 : 60);
    setting.build = std::filesystem::absolute(arguments.text("build", "build"));
    setting.tools = std::filesystem::canonical("/proc/self/exe").parent_path();
    setting.postgres = arguments.text("postgres", "");
    const std::string part = arguments.text("part", "all");
    const std::string json = arguments.text("json", "");
    setting.only = arguments.text("only", "");
    std::string directory = arguments.text("dir", "/tmp") + "/bench-XXXXXX";
    arguments.finish(0,
                     "bench [--part throughput|latency|snapshot|idle|apply|commit|curve|leases] "
                     "[--quick] "
                     "[--json FILE] [--build DIR] [--dir DIR] [--pairs N] [--seconds N] "
                     "[--only SHAPE]");
    if (!::mkdtemp(directory.data())) {
        std::perror(directory.c_str());
        return 2;
    }
    setting.directory = directory;
    Report report(json);
    using Part = void (*)(const tanist::bench::Setting&, Report&);
    const std::pair<const char*, Part> parts[] = {
        {"throughput", tanist::bench::run_throughput}, {"latency", tanist::bench::run_latency},
        {"apply", tanist::bench::run_apply},           {"commit", tanist::bench::run_commit},
        {"snapshot", tanist::bench::run_snapshot},     {"idle", tanist::bench::run_idle},
        {"curve", tanist::bench::run_curve},           {"postgres", tanist::bench::run_postgres},
        {"leases", tanist::bench::run_leases},
    };
    bool found = false;
    for (const auto& [name, run] : parts) {
        if (part != "all" && part != name) continue;
        run(setting, report);
        found = true;
    }
    std::filesystem::remove_all(directory);
    if (!found) std::fprintf(stderr, "bench: no part '%s'\n", part.c_str());
    return found && report.all_met() ? 0 : 1;
}
