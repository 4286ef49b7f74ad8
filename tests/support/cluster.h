// A primary and a replica as a user has them: the real tanistd, and applications that load the
// extension into their own SQLite. The engine is the one that the extension starts.
#pragma once

#include <doctest/doctest.h>
#include <signal.h>
#include <sqlite3.h>

#include <chrono>
#include <cstdio>
#include <functional>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "replicator/base/file.h"
#include "replicator/control/control_block.h"
#include "replicator/control/layout.h"
#include "tests/support/eventually.h"
#include "tests/support/process/child.h"
#include "tests/support/temp_dir.h"

namespace tanist::testing {

using namespace std::chrono_literals;

// Generous: a loaded machine must not fail a test.
constexpr auto kPatience = 60s;

inline void load_extension() {
    sqlite3* db = nullptr;
    REQUIRE(sqlite3_open(":memory:", &db) == SQLITE_OK);
    sqlite3_enable_load_extension(db, 1);
    char* sentence = nullptr;
    const int rc = sqlite3_load_extension(db, TANIST_BUILD_DIR "/tanist.so", nullptr, &sentence);
    const std::string why = sentence != nullptr ? sentence : "";
    sqlite3_free(sentence);
    REQUIRE_MESSAGE(rc == SQLITE_OK, why);
    sqlite3_close(db);
}

// One connection of an application of this process.
class App {
  public:
    explicit App(const std::string& uri) {
        load_extension();
        opened =
            sqlite3_open_v2(uri.c_str(), &db_,
                            SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_URI, nullptr);
        sqlite3_busy_timeout(db_, 30'000);
    }
    App(const App&) = delete;
    App& operator=(const App&) = delete;
    ~App() { sqlite3_close(db_); }
    int run(const std::string& sql) {
        return sqlite3_exec(db_, sql.c_str(), nullptr, nullptr, nullptr);
    }
    // First column of the first row; the error's sentence on failure.
    std::string ask(const std::string& sql) {
        sqlite3_stmt* statement = nullptr;
        std::string answer;
        int rc = sqlite3_prepare_v2(db_, sql.c_str(), -1, &statement, nullptr);
        if (rc == SQLITE_OK) rc = sqlite3_step(statement);
        if (rc == SQLITE_ROW) {
            const auto* text = sqlite3_column_text(statement, 0);
            if (text != nullptr) answer = reinterpret_cast<const char*>(text);
        } else if (rc != SQLITE_DONE) {
            answer = sqlite3_errmsg(db_);
        }
        sqlite3_finalize(statement);
        return answer;
    }
    std::string sentence() { return sqlite3_errmsg(db_); }
    sqlite3* db() { return db_; }
    int opened = 0;

  private:
    sqlite3* db_ = nullptr;
};

class Cluster {
  public:
    Cluster() : layout_(dir_.path("app.db")) { start_replica(); }
    ~Cluster() {
        // The engine is no child of ours, and outlives us by its idle time otherwise.
        if (const pid_t pid = engine_pid(); pid > 0) {
            ::kill(pid, SIGCONT);
            ::kill(pid, SIGKILL);
        }
    }

    std::string primary() const { return dir_.path("app.db"); }
    std::string replica() const { return dir_.path("replica.db"); }
    std::string path(const std::string& name) const { return dir_.path(name); }
    const std::string& endpoint() const { return endpoint_; }
    std::string uri(const std::string& more = "") const {
        return "file:" + primary() + "?vfs=tanist&replicas=" + endpoint_ + more;
    }

    // 0: none lives.
    pid_t engine_pid() const {
        if (!engine_lives(layout_.ship_lock())) return 0;
        auto text = read_file(layout_.ship_lock(), 32);
        return text.ok() ? std::atoi(std::string(text->begin(), text->end()).c_str()) : 0;
    }
    pid_t wait_engine() const {
        pid_t pid = 0;
        eventually([&] { return (pid = engine_pid()) > 0; });
        return pid;
    }
    // Gone for certain when this returns.
    void kill_engine() const {
        const pid_t pid = wait_engine();
        REQUIRE(pid > 0);
        ::kill(pid, SIGKILL);
        REQUIRE(eventually([&] { return engine_pid() != pid; }));
    }
    void signal_engine(int number) const { ::kill(wait_engine(), number); }

    // The answer of a stock connection that opens the replica anew.
    std::string on_replica(const std::string& sql) const {
        sqlite3* db = nullptr;
        std::string answer;
        if (sqlite3_open_v2(replica().c_str(), &db, SQLITE_OPEN_READONLY, "unix") == SQLITE_OK) {
            sqlite3_busy_timeout(db, 1000);
            sqlite3_exec(
                db, sql.c_str(),
                [](void* out, int, char** values, char**) {
                    *static_cast<std::string*>(out) = values[0] != nullptr ? values[0] : "";
                    return 0;
                },
                &answer, nullptr);
        }
        sqlite3_close(db);
        return answer;
    }
    bool replica_answers(const std::string& sql, const std::string& expected) const {
        return eventually([&] { return on_replica(sql) == expected; });
    }

    // The stock shell with the extension, as a short-lived process.
    std::string shell(const std::string& sql, const std::string& more = "") const {
        return output_of({"sqlite3", "-batch", ":memory:", ".load " TANIST_BUILD_DIR "/tanist",
                          ".open \"" + uri(more) + "\"", sql});
    }

  private:
    void start_replica() {
        replica_ =
            Child({TANIST_BUILD_DIR "/tanistd", "--db", replica(), "--listen", "tcp://127.0.0.1:*"},
                  ChildOptions{.log = dir_.path("replica.log"), .talk = true});
        REQUIRE(replica_.started());
        while (auto line = replica_.read_line(kPatience)) {
            const size_t at = line->find("tcp://");
            if (at == std::string::npos) continue;
            endpoint_ = line->substr(at, line->find_first_of(" ,", at) - at);
            return;
        }
        FAIL("the replica did not become ready");
    }

    TempDir dir_;
    Layout layout_;
    Child replica_;
    std::string endpoint_;
};

}  // namespace tanist::testing
