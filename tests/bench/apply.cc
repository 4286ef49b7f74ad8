// (c) How fast a replica can follow: pages a second into the database, against the stock pager.
#include <cstdio>
#include <filesystem>

#include "tests/bench/rig.h"

namespace tanist::bench {

void run_apply(const Setting& setting, Report& report) {
    const std::string program = setting.tools + "/bench_apply";
    if (!std::filesystem::exists(program)) {
        std::fprintf(stderr, "bench: %s was not built\n", program.c_str());
        return report.verdict("apply", ">= 1.5 times the stock pager", false);
    }
    Series stock, writer, applier, ratio, applier_ratio;
    bool equal = true;
    for (int pair = 0; pair < setting.pairs; ++pair) {
        const std::string directory = setting.directory + "/apply";
        std::filesystem::create_directory(directory);
        const std::string said =
            testing::output_of({program, directory, "--commits", setting.quick ? "2000" : "20000"});
        std::filesystem::remove_all(directory);
        double pages[3] = {0, 0, 0};
        int same = 0;
        const int got =
            std::sscanf(said.c_str(), "%lf %lf %lf %d", &pages[0], &pages[1], &pages[2], &same);
        equal = equal && got == 4 && same == 1;
        if (got != 4 || pages[0] <= 0) continue;
        stock.add(pages[0]);
        writer.add(pages[1]);
        applier.add(pages[2]);
        ratio.add(pages[1] / pages[0]);
        applier_ratio.add(pages[2] / pages[0]);
    }
    report.line("apply", "pages/s, 4 pages per commit",
                {{"ratio", ratio.median()},
                 {"ratio_least", ratio.least()},
                 {"ratio_most", ratio.most()},
                 {"behind_ratio", applier_ratio.median()},
                 {"stock_pages_per_s", stock.median()},
                 {"writer_pages_per_s", writer.median()},
                 {"applier_pages_per_s", applier.median()},
                 {"runs", static_cast<double>(ratio.count())},
                 {"equal", equal ? 1.0 : 0.0}});
    report.verdict("apply", "one commit each: >= 1.5 times the stock pager",
                   equal && ratio.median() >= 1.5);
}

}  // namespace tanist::bench
