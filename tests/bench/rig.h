// What every part of the benchmark stands on: directories, the pinned daemons, waiting for the
// replica.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "tests/bench/measure.h"
#include "tests/support/process/child.h"

namespace tanist::bench {

struct Setting {
    std::string build;      // tanist.so, tanistd, tanist
    std::string tools;      // bench_load and its kin
    std::string directory;  // everything is made in here
    int pairs = 7;
    double seconds = 3;  // of one load
    bool quick = false;
    std::string only;      // throughput: shapes whose name contains this
    std::string postgres;  // tests/bench/postgres, when it is the caller
    int64_t snapshot_mib = 1024;
    int64_t idle_seconds = 60;
};

// Which cores the application and the daemons run on; -1 anywhere.
struct Pinning {
    int application = -1;
    int daemons = -1;
};

// How engine and replica are connected.
enum class Wire { ipc, tcp, curve };

// A primary with its engine, and one replica, both started by hand so that they can be pinned.
// The primary's database file must exist.
class Rig {
  public:
    // Prints why and exits when something does not come up: there is nothing to measure then.
    Rig(const Setting& setting, const std::string& name, const Pinning& pinning,
        Wire wire = Wire::ipc);
    ~Rig();
    Rig(const Rig&) = delete;
    Rig& operator=(const Rig&) = delete;

    void start_engine();
    void start_replica();
    // `sql` must give `value` on the replica; nothing when it did not within `patience`.
    std::optional<double> seconds_until(const std::string& sql, int64_t value,
                                        std::chrono::seconds patience);
    bool equal();  // chaos_compare

    const std::string& primary() const { return primary_; }
    const std::string& replica() const { return replica_; }
    pid_t engine_pid() const { return engine_.pid(); }
    pid_t replica_pid() const { return daemon_.pid(); }
    // URI and extension for an application.
    std::vector<std::string> shim() const;

  private:
    [[noreturn]] void give_up(const std::string& why) const;
    Setting setting_;
    Pinning pinning_;
    Wire wire_;
    std::string directory_;
    std::string primary_;
    std::string replica_;
    std::string address_;  // of the replica, for `tanist members add`
    testing::Child daemon_;
    testing::Child engine_;
};

void run_throughput(const Setting& setting, Report& report);
void run_latency(const Setting& setting, Report& report);
void run_apply(const Setting& setting, Report& report);
void run_snapshot(const Setting& setting, Report& report);
void run_commit(const Setting& setting, Report& report);
void run_postgres(const Setting& setting, Report& report);
void run_curve(const Setting& setting, Report& report);
void run_leases(const Setting& setting, Report& report);
void run_idle(const Setting& setting, Report& report);

}  // namespace tanist::bench
