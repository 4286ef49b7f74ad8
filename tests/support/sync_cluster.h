// A primary and one or two replicas at ipc endpoints, so that a replica can be killed and started
// again at the same place; and what a test of synchronous commits asks of them.
#pragma once

#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>

#include "replicator/control/node_file.h"
#include "replicator/log/log.h"
#include "tests/support/cluster.h"
#include "tests/support/stock_sqlite.h"

namespace tanist::testing {

// Whether `holds` becomes true within a bound that is part of the claim.
inline bool eventually_within(std::chrono::milliseconds bound, const std::function<bool()>& holds) {
    const auto deadline = std::chrono::steady_clock::now() + bound;
    while (std::chrono::steady_clock::now() < deadline) {
        if (holds()) return true;
        std::this_thread::sleep_for(5ms);
    }
    return false;
}

class SyncCluster {
  public:
    explicit SyncCluster(bool second = false) : layout_(primary()) {
        start_replica();
        if (second) start(second_, "second");
    }
    ~SyncCluster() {
        if (const pid_t pid = engine_pid(); pid > 0) {
            ::kill(pid, SIGCONT);
            ::kill(pid, SIGKILL);
        }
    }
    SyncCluster(const SyncCluster&) = delete;
    SyncCluster& operator=(const SyncCluster&) = delete;

    std::string primary() const { return dir_.path("app.db"); }
    std::string uri(const std::string& more = "") const {
        std::string replicas = endpoint("replica");
        if (second_.started()) replicas += "," + endpoint("second");
        return "file:" + primary() + "?vfs=tanist&replicas=" + replicas + more;
    }
    std::string path(const std::string& name) const { return dir_.path(name); }

    // -- processes
    void start_replica() { start(replica_, "replica"); }
    void kill_replica() { replica_.kill(); }
    void stop_replica() const { stop(replica_); }
    void go_on_replica() const { replica_.signal(SIGCONT); }
    void stop_second() const { stop(second_); }
    void go_on_second() const { second_.signal(SIGCONT); }
    void kill_second() { second_.kill(); }
    void start_second() { start(second_, "second"); }
    pid_t engine_pid() const {
        if (!engine_lives(layout_.ship_lock())) return 0;
        auto text = read_file(layout_.ship_lock(), 32);
        return text.ok() ? std::atoi(std::string(text->begin(), text->end()).c_str()) : 0;
    }
    void signal_engine(int number) const {
        REQUIRE(eventually([&] { return engine_pid() > 0; }));
        ::kill(engine_pid(), number);
    }
    void kill_engine() const {
        const pid_t pid = engine_pid();
        REQUIRE(pid > 0);
        ::kill(pid, SIGKILL);
        REQUIRE(eventually([&] { return engine_pid() != pid; }));
    }
    // Nobody has the database open. The last `frames` of the WAL are gone, and the machine was
    // started again: shared memory is gone, and the boot is another one.
    void lose_power(uint64_t frames) const {
        const std::string wal = primary() + "-wal";
        auto bytes = stat_path(wal);
        REQUIRE(bytes.ok());
        std::filesystem::resize_file(wal, bytes->bytes - frames * (24 + 4096));
        std::filesystem::remove(primary() + "-shm");
        std::filesystem::remove(layout_.control());
        auto node = read_node_file(layout_.node());
        REQUIRE(node.ok());
        node->boot = std::string(32, '0');
        REQUIRE(write_node_file(layout_.node(), *node).ok());
    }
    // Another process of the application, which runs one statement.
    Child writer(const std::string& more, const std::string& sql) const {
        return Child({"sqlite3", "-batch", ":memory:", ".load " TANIST_BUILD_DIR "/tanist",
                      ".open \"" + uri(more) + "\"", sql},
                     ChildOptions{.log = dir_.path("writer.log")});
    }

    // -- the primary
    // The first row of a stock connection, opened anew.
    std::string stock(const std::string& sql) const { return StockSqlite(primary()).ask(sql); }
    // A commit is held back; it is in the log as well; none is, or it has ended.
    bool posted() const {
        return eventually([&] { return is_posted(); });
    }
    bool is_posted() const {
        auto control = Control::open(layout_.control(), false, false);
        return control.ok() && phase_of((*control)->prepare.word.load()) == PreparePhase::posted;
    }
    // Nothing is held back, and how the last one ended is on this node's disk.
    bool is_settled_on_disk() const {
        auto control = Control::open(layout_.control(), false, false);
        if (!control.ok()) return false;
        const ControlBlock& block = **control;
        return phase_of(block.prepare.word.load()) == PreparePhase::settled &&
               block.durable_lsn.load() >= block.committed_lsn.load();
    }
    bool logged() const {
        return slot([](const ControlBlock& block) {
            const uint32_t word = block.prepare.word.load();
            return phase_of(word) == PreparePhase::posted &&
                   block.prepare.logged_word.load() == word;
        });
    }
    // The first replica has it durably.
    bool acknowledged_by_one() const {
        return slot([](const ControlBlock& block) {
            return block.ack[0].durable_lsn.load() >= block.prepare.lsn.load();
        });
    }
    bool settled() const {
        return slot([](const ControlBlock& block) {
            return phase_of(block.prepare.word.load()) == PreparePhase::settled;
        });
    }
    std::string engine_log() const {
        auto text = read_file(layout_.engine_log(), 1u << 20);
        return text.ok() ? std::string(text->begin(), text->end()) : "";
    }
    std::string rebases() const {
        auto control = Control::open(layout_.control(), false, false);
        REQUIRE(control.ok());
        return std::to_string((*control)->rebases.load());
    }
    Control control() const {
        auto control = Control::open(layout_.control(), false, false);
        REQUIRE(control.ok());
        return std::move(*control);
    }
    // For a failed requirement.
    std::string why(App& app) const {
        return " | " + app.sentence() + " | " + app.ask("PRAGMA tanist_status");
    }

    // -- the replica
    std::string on_replica(const std::string& sql) const { return ask_copy("replica.db", sql); }
    std::string on_second(const std::string& sql) const { return ask_copy("second.db", sql); }
    bool replica_answers(const std::string& sql, const std::string& expected) const {
        std::string last;
        const bool answers = eventually([&] { return (last = on_replica(sql)) == expected; });
        if (!answers) MESSAGE("the replica answers " << last);
        return answers;
    }
    bool replica_is_at(const std::string& position) const {
        return eventually([&] {
            return status_of("replica.db").find("\"position\":\"" + position + "\"") !=
                   std::string::npos;
        });
    }
    bool replica_is_connected() const {
        return eventually([&] {
            return status_of("replica.db").find("\"state\":\"connected") != std::string::npos;
        });
    }
    std::string status_of(const std::string& name) const {
        return output_of({TANIST_BUILD_DIR "/tanist", "status", dir_.path(name), "--json"});
    }
    // Commit records in the replica's log as it is on the disk.
    int commits_in_replica_log() const {
        int commits = 0;
        auto walk = walk_log(Layout(dir_.path("replica.db")).log(), nullptr, true,
                             [&](const std::string&, uint64_t, const RecordHeader& record) {
                                 commits += record.kind == RecordKind::commit ? 1 : 0;
                                 return true;
                             });
        return walk.ok() ? commits : -1;
    }

  private:
    // A signal is sent before it arrives: until every thread stands still, one may yet acknowledge.
    static void stop(const Child& child) {
        child.signal(SIGSTOP);
        const std::string tasks = "/proc/" + std::to_string(child.pid()) + "/task";
        REQUIRE(eventually([&] {
            for (const auto& task : std::filesystem::directory_iterator(tasks)) {
                std::ifstream file(task.path() / "stat");
                const std::string text(std::istreambuf_iterator<char>(file), {});
                const size_t name_ends = text.rfind(") ");
                if (name_ends == std::string::npos || text[name_ends + 2] != 'T') return false;
            }
            return true;
        }));
    }
    std::string endpoint(const std::string& name) const {
        return "ipc://" + dir_.path(name + ".sock");
    }
    std::string ask_copy(const std::string& name, const std::string& sql) const {
        if (::access(dir_.path(name).c_str(), F_OK) != 0) return "";
        return StockSqlite(dir_.path(name)).ask(sql);
    }
    void start(Child& child, const std::string& name) const {
        child = Child({TANIST_BUILD_DIR "/tanistd", "--db", dir_.path(name + ".db"), "--listen",
                       endpoint(name)},
                      ChildOptions{.log = dir_.path(name + ".log"), .talk = true});
        while (auto line = child.read_line(kPatience)) {
            if (line->find(" ready") != std::string::npos) return;
        }
        FAIL("a replica did not become ready");
    }
    template <class Holds>
    bool slot(Holds holds) const {
        return eventually([&] {
            auto control = Control::open(layout_.control(), false, false);
            return control.ok() && holds(**control);
        });
    }

    TempDir dir_;
    Layout layout_;
    Child replica_;
    Child second_;
};

}  // namespace tanist::testing
