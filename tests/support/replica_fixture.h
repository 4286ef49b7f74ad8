// A primary's engine and one replica daemon as an operator starts them, in a directory of their
// own. The application is whoever opens primary() with stock SQLite.
#pragma once

#include <doctest/doctest.h>
#include <signal.h>
#include <unistd.h>

#include <fstream>
#include <functional>
#include <iterator>
#include <string>

#include "tests/support/eventually.h"
#include "tests/support/process/child.h"
#include "tests/support/process/database.h"
#include "tests/support/process/engine.h"
#include "tests/support/temp_dir.h"

namespace tanist::testing {

class ReplicaFixture {
  public:
    ReplicaFixture() : primary_(dir_.path("app.db")), replica_(dir_.path("replica.db")) {}
    // Where the two databases are, instead of beside each other.
    ReplicaFixture(const std::string& primary, const std::string& replica)
        : primary_(primary), replica_(replica) {}

    const std::string& primary() const { return primary_; }
    const std::string& replica() const { return replica_; }
    Child& engine() { return engine_; }
    Child& daemon() { return daemon_; }
    const TempDir& dir() const { return dir_; }

    void start_replica(const std::vector<std::string>& settings = {}) {
        std::vector<std::string> command = {program("tanistd"), "--db", replica_, "--listen",
                                            endpoint()};
        command.insert(command.end(), settings.begin(), settings.end());
        daemon_ = start(command, "replica.log");
        REQUIRE_FALSE(read_endpoint(daemon_, kPatience).empty());
    }
    void start_engine(const std::vector<std::string>& settings = {}) {
        const ChildOptions quiet{.log = dir_.path("tanist.log")};
        if (!set_up_) {
            REQUIRE(run({program("tanist"), "init", primary_}, quiet) == 0);
            REQUIRE(run({program("tanist"), "members", "add", primary_, endpoint()}, quiet) == 0);
            set_up_ = true;
        }
        std::vector<std::string> command = {program("tanistd"), "--db", primary_};
        command.insert(command.end(), settings.begin(), settings.end());
        engine_ = start(command, "engine.log");
        REQUIRE(engine_.read_line(kPatience).has_value());
    }
    bool replica_answers(const std::string& sql, int64_t expected,
                         std::chrono::seconds patience = kPatience) const {
        return eventually([&] { return ask(replica_, sql) == expected; }, patience);
    }
    // -1 when there is no answer.
    static int64_t ask(const std::string& path, const std::string& sql) {
        OpenOptions how;
        how.flags = SQLITE_OPEN_READWRITE;
        Database db;
        int64_t value = -1;
        if (::access(path.c_str(), F_OK) == 0 && db.open(path, how) == SQLITE_OK) {
            db.ask(sql, value);
        }
        return value;
    }
    // Byte for byte; nobody may write.
    bool equal() const {
        const ChildOptions quiet{.log = dir_.path("compare.log")};
        return run({program("tests/process/chaos/chaos_compare"), primary_, replica_}, quiet) == 0;
    }
    std::string status_of(const std::string& path) const {
        return output_of({program("tanist"), "status", path, "--json"});
    }
    std::string log_of(const std::string& name) const {
        std::ifstream file(dir_.path(name));
        return std::string((std::istreambuf_iterator<char>(file)), {});
    }
    // How often `text` stands in a log.
    int count_in(const std::string& name, const std::string& text) const {
        const std::string log = log_of(name);
        int count = 0;
        for (size_t at = 0; (at = log.find(text, at)) != std::string::npos; at += text.size()) {
            count += 1;
        }
        return count;
    }
    static std::string program(const std::string& name) { return TANIST_BUILD_DIR "/" + name; }

    static constexpr std::chrono::seconds kPatience{60};

  private:
    Child start(const std::vector<std::string>& command, const std::string& log) const {
        ChildOptions options;
        options.log = dir_.path(log);
        options.talk = true;
        return Child(command, options);
    }
    std::string endpoint() const { return "ipc://" + dir_.path("replica.sock"); }

    TempDir dir_;
    std::string primary_;
    std::string replica_;
    bool set_up_ = false;
    Child daemon_;
    Child engine_;
};

}  // namespace tanist::testing
