// Real daemons and the operator's command line, for tests of whole processes: a primary with its
// engine and a replica, what they say, how they exit, whether the two databases are the same.
#pragma once

#include <sqlite3.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <fstream>
#include <functional>
#include <optional>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "replicator/control/control_block.h"
#include "replicator/control/layout.h"
#include "tests/support/eventually.h"
#include "tests/support/process/child.h"
#include "tests/support/stock_sqlite.h"
#include "tests/support/temp_dir.h"

namespace tanist::testing {

inline const std::string kTanist = TANIST_BUILD_DIR "/tanist";
inline const std::string kTanistd = TANIST_BUILD_DIR "/tanistd";
inline const std::string kExtension = TANIST_BUILD_DIR "/tanist.so";

inline std::string file_text(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    std::ostringstream text;
    text << file.rdbuf();
    return text.str();
}

inline void write_text(const std::string& path, const std::string& text) {
    std::ofstream(path, std::ios::binary) << text;
}

struct Outcome {
    int code = -1;
    std::string text;  // stdout and stderr
    bool says(const std::string& part) const { return text.find(part) != std::string::npos; }
};

// One command of a shell, in the directory.
inline Outcome shell(const TempDir& dir, const std::string& command) {
    const std::string script =
        "exec 2>&1; cd '" + dir.root() + "'; unset TANIST_REPLICAS; exec timeout 60 " + command;
    FILE* pipe = popen(script.c_str(), "r");
    if (pipe == nullptr) throw std::runtime_error("popen");
    Outcome outcome;
    char block[4096];
    for (size_t got = 0; (got = fread(block, 1, sizeof block, pipe)) > 0;) {
        outcome.text.append(block, got);
    }
    const int status = pclose(pipe);
    outcome.code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    return outcome;
}

// A tanistd that was started and is ready, or has ended.
class Daemon {
  public:
    Daemon() = default;
    Daemon(const TempDir& dir, std::vector<std::string> arguments)
        : log_(dir.path("daemon-" + std::to_string(++count()) + ".log")) {
        arguments.insert(arguments.begin(), kTanistd);
        ChildOptions options;
        options.talk = true;
        options.log = log_;
        child_ = Child(arguments, options);
        while (std::optional<std::string> line = child_.read_line(std::chrono::seconds(60))) {
            const size_t ready = line->find(" ready");
            if (ready == std::string::npos) continue;
            ready_ = true;
            const size_t endpoint = line->rfind(" on ");
            if (endpoint != std::string::npos) endpoint_ = line->substr(endpoint + 4);
            return;
        }
    }

    bool ready() const { return ready_; }
    // The next line of its output.
    std::optional<std::string> read_line() { return child_.read_line(std::chrono::seconds(60)); }
    const std::string& endpoint() const { return endpoint_; }
    pid_t pid() const { return child_.pid(); }
    bool runs() { return !child_.poll_end(); }
    // What it wrote to standard error.
    std::string said() const { return file_text(log_); }
    bool says(const std::string& part) const { return said().find(part) != std::string::npos; }
    // The exit code of one that ends by itself.
    int wait() {
        const std::optional<int> status = child_.wait_end(std::chrono::seconds(60));
        return status && WIFEXITED(*status) ? WEXITSTATUS(*status) : -1;
    }
    int stop() {
        child_.signal(SIGTERM);
        return wait();
    }
    void kill() { child_.kill(); }

  private:
    static int& count() {
        static int daemons = 0;
        return daemons;
    }
    std::string log_;
    Child child_;
    bool ready_ = false;
    std::string endpoint_;
};

// The committed content of a database; byte 18, the write version, differs on a replica.
inline std::string image_of(const std::string& path) {
    if (::access(path.c_str(), F_OK) != 0) return "";
    StockSqlite db(path);
    sqlite3_int64 bytes = 0;
    unsigned char* content = sqlite3_serialize(db.connection(), "main", &bytes, 0);
    if (content == nullptr) return "";
    std::string image(reinterpret_cast<char*>(content), static_cast<size_t>(bytes));
    sqlite3_free(content);
    if (image.size() > 18) image[18] = 2;
    return image;
}

// A primary whose application is stock SQLite, its engine, and one replica.
struct Pair {
    TempDir dir;
    std::string primary = dir.path("app.db");
    std::string replica = dir.path("replica.db");
    Daemon replica_daemon;
    Daemon engine;

    explicit Pair(const std::string& schema) {
        StockSqlite(primary).must("PRAGMA journal_mode=WAL; " + schema);
        const Outcome init = shell(dir, kTanist + " init app.db");
        if (init.code != 0) throw std::runtime_error(init.text);
        start_replica();
        start_engine();
    }
    void start_replica(const std::string& listen = "tcp://127.0.0.1:*") {
        replica_daemon = Daemon(dir, {"--db", replica, "--listen", listen});
        if (!replica_daemon.ready()) throw std::runtime_error(replica_daemon.said());
    }
    void start_engine() {
        engine = Daemon(dir, {"--db", primary, "--replicas", replica_daemon.endpoint()});
        if (!engine.ready()) throw std::runtime_error(engine.said());
    }
    // The primary must be at rest.
    bool equal_soon() const {
        const std::string wanted = image_of(primary);
        return eventually([&] { return image_of(replica) == wanted; });
    }
    std::string ask(const std::string& sql) const { return StockSqlite(primary).ask(sql); }
    std::string ask_replica(const std::string& sql) const { return StockSqlite(replica).ask(sql); }
    // The engine has been through its loop since now.
    bool engine_looks_again() const {
        auto control = Control::open(Layout(primary).control(), false, false);
        if (!control.ok()) return false;
        const int64_t beat = (*control)->engine_beat_ns.load();
        return eventually([&] { return (*control)->engine_beat_ns.load() != beat; });
    }
    uint64_t rebases() const {
        auto control = Control::open(Layout(primary).control(), false, false);
        return control.ok() ? (*control)->rebases.load() : 0;
    }
};

}  // namespace tanist::testing
