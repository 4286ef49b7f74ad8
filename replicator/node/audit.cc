#include "replicator/node/audit.h"

#include <nlohmann/json.hpp>

#include "replicator/base/clock.h"
#include "replicator/base/file.h"

namespace tanist {

Status audit(const std::string& path, const std::string& what,
             std::initializer_list<AuditFact> facts) {
    nlohmann::ordered_json line{{"unix_ns", unix_now_ns()}, {"what", what}};
    for (const auto& [name, value] : facts) line[name] = value;
    auto file = File::open(path, File::Mode::create);
    if (!file) return std::move(file).error();
    auto stat = file->stat();
    if (!stat) return std::move(stat).error();
    const std::string text =
        line.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
    TANIST_TRY(file->write_at(stat->bytes, view_of(text)));
    return file->sync_data();
}

}  // namespace tanist
