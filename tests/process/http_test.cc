// What load balancers and Prometheus see of real daemons.
#include <doctest/doctest.h>
#include <httplib.h>

#include <regex>

#include "tests/support/daemons.h"

using namespace tanist;
using namespace tanist::testing;

namespace {

struct HttpPair : Pair {
    std::string of_primary;
    std::string of_replica;

    HttpPair() : Pair("CREATE TABLE t(x)") {
        REQUIRE(engine.stop() == 0);
        REQUIRE(replica_daemon.stop() == 0);
        const std::string endpoint = replica_daemon.endpoint();
        replica_daemon = Daemon(dir, {"--db", replica, "--listen", endpoint, "--http", kAnyPort});
        of_replica = http_of(replica_daemon);
        engine = Daemon(dir, {"--db", primary, "--replicas", endpoint, "--http", kAnyPort});
        of_primary = http_of(engine);
    }
    static constexpr const char* kAnyPort = "127.0.0.1:*";
    // From its line "tanistd: HTTP on 127.0.0.1:PORT".
    static std::string http_of(Daemon& daemon) {
        REQUIRE_MESSAGE(daemon.ready(), daemon.said());
        while (std::optional<std::string> line = daemon.read_line()) {
            const size_t at = line->find("HTTP on ");
            if (at != std::string::npos) return line->substr(at + 8);
        }
        FAIL("no HTTP address was printed");
        return "";
    }
    static httplib::Result get(const std::string& address, const std::string& path) {
        return httplib::Client("http://" + address).Get(path);
    }
    static int code(const std::string& address, const std::string& path) {
        const auto result = get(address, path);
        return result ? result->status : -1;
    }
    // Of /metrics; -1: not there.
    static double metric(const std::string& address, const std::string& name) {
        const auto result = get(address, "/metrics");
        std::smatch found;
        if (!result) return -1;
        const std::regex line("(^|\n)" + name + " ([0-9.e+-]+)\n");
        return std::regex_search(result->body, found, line) ? std::stod(found[2]) : -1;
    }
};

}  // namespace

TEST_CASE_FIXTURE(HttpPair, "http: the probes tell primary and replica apart") {
    StockSqlite(primary).must("INSERT INTO t VALUES (1)");
    REQUIRE(equal_soon());
    CHECK(code(of_primary, "/primary") == 200);
    CHECK(code(of_primary, "/replica") == 503);
    CHECK(code(of_replica, "/primary") == 503);
    CHECK(eventually([&] { return code(of_replica, "/replica?lag=5s") == 200; }));
    CHECK(code(of_primary, "/health") == 200);
    CHECK(code(of_primary, "/nowhere") == 404);
}

TEST_CASE_FIXTURE(HttpPair, "http: a fenced primary is no primary") {
    REQUIRE(shell(dir, kTanist + " fence app.db").code == 0);
    CHECK(eventually([&] { return code(of_primary, "/primary") == 503; }));
}

TEST_CASE_FIXTURE(HttpPair, "http: a replica whose primary is gone is no replica to read from") {
    CHECK(eventually([&] { return code(of_replica, "/replica") == 200; }));
    engine.kill();
    CHECK(eventually([&] { return code(of_replica, "/replica") == 503; }));
}

TEST_CASE_FIXTURE(HttpPair, "http: the metrics follow the commits") {
    StockSqlite(primary).must("INSERT INTO t VALUES (1); INSERT INTO t VALUES (2)");
    REQUIRE(equal_soon());
    CHECK(eventually([&] { return metric(of_primary, "tanist_at_risk_transactions") == 0; }));
    const double end = metric(of_primary, "tanist_log_end_lsn");
    CHECK(end >= 2);
    CHECK(eventually([&] { return metric(of_replica, "tanist_applied_lsn") == end; }));
}

TEST_CASE_FIXTURE(HttpPair, "http: an address in use is refused with a sentence") {
    const Outcome second =
        shell(dir, kTanistd + " --db other.db --listen tcp://127.0.0.1:* --http " + of_primary);
    CHECK(second.code == 1);
    CHECK(second.says("choose another --http"));
}

TEST_CASE_FIXTURE(HttpPair, "http: an address that others reach needs status_open") {
    const Outcome open =
        shell(dir, kTanistd + " --db other.db --listen tcp://127.0.0.1:* --http " + "0.0.0.0:7480");
    CHECK(open.code == 3);
    CHECK(open.says("--status-open true"));
}
