#include "tests/bench/rig.h"

#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>

#include "tests/support/process/database.h"
#include "tests/support/process/engine.h"

namespace tanist::bench {

using std::chrono::seconds;
using std::chrono::steady_clock;

Rig::Rig(const Setting& setting, const std::string& name, const Pinning& pinning, Wire wire)
    : setting_(setting),
      pinning_(pinning),
      wire_(wire),
      directory_(setting.directory + "/" + name),
      primary_(directory_ + "/app.db"),
      replica_(directory_ + "/replica.db") {
    std::filesystem::create_directories(directory_);
    // Known before the replica runs, which may be started after the engine.
    if (wire_ == Wire::ipc) address_ = "ipc://" + directory_ + "/replica.sock";
}

Rig::~Rig() {
    engine_.signal(SIGTERM);
    engine_.wait_end(seconds(20));
    daemon_.signal(SIGTERM);
    daemon_.wait_end(seconds(20));
    engine_.kill();
    daemon_.kill();
    std::error_code ignored;
    std::filesystem::remove_all(directory_, ignored);
}

void Rig::give_up(const std::string& why) const {
    std::fprintf(stderr, "bench: %s; logs are in %s\n", why.c_str(), directory_.c_str());
    std::_Exit(1);
}

void Rig::start_engine() {
    testing::ChildOptions options;
    options.log = directory_ + "/engine.log";
    const std::string tanist = setting_.build + "/tanist";
    if (testing::run({tanist, "init", primary_}, options) != 0 ||
        testing::run({tanist, "members", "add", primary_, address_}, options) != 0) {
        give_up("tanist init or members add failed");
    }
    options.talk = true;
    options.cpu = pinning_.daemons;
    engine_ = testing::Child({setting_.build + "/tanistd", "--db", primary_}, options);
    if (!engine_.read_line(seconds(20))) give_up("the engine did not come up");
}

void Rig::start_replica() {
    testing::ChildOptions options;
    options.log = directory_ + "/replica.log";
    options.talk = true;
    options.cpu = pinning_.daemons;
    const std::string endpoint = wire_ == Wire::ipc ? address_ : "tcp://127.0.0.1:*";
    std::vector<std::string> command = {setting_.build + "/tanistd", "--db", replica_, "--listen",
                                        endpoint};
    if (wire_ == Wire::curve) command.insert(command.end(), {"--curve", "true"});
    daemon_ = testing::Child(command, options);
    address_ = testing::read_endpoint(daemon_, seconds(20));
    if (address_.empty()) give_up("no replica daemon came up");
    while (wire_ == Wire::curve && !address_.starts_with("tanist://")) {
        const auto line = daemon_.read_line(seconds(20));
        if (!line) give_up("the replica daemon printed no address");
        const size_t at = line->find("tanist://");
        if (at != std::string::npos) address_ = line->substr(at, line->find('\'', at) - at);
    }
}

std::optional<double> Rig::seconds_until(const std::string& sql, int64_t value, seconds patience) {
    const auto start = steady_clock::now();
    testing::Database db;
    testing::OpenOptions how;
    how.flags = SQLITE_OPEN_READWRITE;
    int64_t seen = -1;
    while (steady_clock::now() - start < patience) {
        if (engine_.started() && engine_.poll_end()) give_up("the engine ended by itself");
        if (daemon_.poll_end()) give_up("the replica daemon ended by itself");
        if (!db.is_open()) db.open(replica_, how);
        if (db.is_open()) db.ask(sql, seen);
        if (seen == value) {
            return std::chrono::duration<double>(steady_clock::now() - start).count();
        }
        ::usleep(500);
    }
    std::fprintf(stderr, "bench: the replica answers %ld instead of %ld to: %s\n", seen, value,
                 sql.c_str());
    return std::nullopt;
}

bool Rig::equal() {
    testing::ChildOptions options;
    options.log = directory_ + "/compare.log";
    return testing::run({setting_.tools + "/../process/chaos/chaos_compare", primary_, replica_},
                        options) == 0;
}

std::vector<std::string> Rig::shim() const {
    return {"--extension", setting_.build + "/tanist.so", "--uri", "vfs=tanist"};
}

}  // namespace tanist::bench
