// The programs as scripts see them: what they print and how they exit.
#include <doctest/doctest.h>
#include <sqlite3.h>

#include <nlohmann/json.hpp>
#include <string>

#include "replicator/log/log.h"
#include "tests/support/daemons.h"

using namespace tanist;
using namespace tanist::testing;
using Json = nlohmann::json;

namespace {

Outcome bash(const TempDir& dir, const std::string& script) {
    write_text(dir.path("script.sh"), script);
    return shell(dir, "bash script.sh");
}

struct Cli {
    TempDir dir;
    Outcome tanist(const std::string& arguments) { return bash(dir, kTanist + " " + arguments); }
    Outcome tanistd(const std::string& arguments) {
        return bash(dir, "exec timeout 20 " + kTanistd + " " + arguments);
    }
    Json json(const std::string& arguments, int code) {
        Outcome outcome = tanist(arguments + " --json");
        CHECK(outcome.code == code);
        Json json = Json::parse(outcome.text, nullptr, false);
        REQUIRE_MESSAGE(!json.is_discarded(), outcome.text);
        return json;
    }
    void sql(const std::string& name, const std::string& sql) {
        sqlite3* db = nullptr;
        REQUIRE(sqlite3_open(dir.path(name).c_str(), &db) == SQLITE_OK);
        REQUIRE(sqlite3_exec(db, sql.c_str(), nullptr, nullptr, nullptr) == SQLITE_OK);
        REQUIRE(sqlite3_close(db) == SQLITE_OK);
    }
    void make_database(const std::string& name) {
        sql(name, "PRAGMA journal_mode=WAL; CREATE TABLE t(x); INSERT INTO t VALUES(1);");
    }
    std::string content(const std::string& name) { return file_text(dir.path(name)); }
};

}  // namespace

TEST_CASE("cli: every command explains itself with an example and its exit codes") {
    Cli cli;
    for (const char* command :
         {"init", "members list", "members add", "members remove", "status", "doctor", "keys show",
          "keys make", "keys rotate", "log dump", "log verify", "log stat"}) {
        Outcome help = cli.tanist(std::string(command) + " --help");
        INFO(command);
        CHECK(help.code == 0);
        CHECK(help.says("Examples:\n  tanist " + std::string(command)));
        CHECK(help.says("Exit codes: 0 done"));
        CHECK(help.says("--json"));
    }
    for (const char* group : {"", "members ", "keys ", "log "}) {
        CHECK(cli.tanist(std::string(group) + "--help").says("Examples:\n  tanist"));
    }
    CHECK(cli.tanist("--version").says("tanist 0."));
    CHECK(cli.tanistd("--version").says("tanistd 0."));
    CHECK(cli.tanistd("--help").says("Exit codes"));
}

TEST_CASE("cli: wrong usage exits with 2") {
    Cli cli;
    for (const char* wrong : {"", "nonsense", "init", "members", "status --colour", "log"}) {
        CHECK_MESSAGE(cli.tanist(wrong).code == 2, wrong);
    }
    CHECK(cli.tanistd("").code == 2);
    CHECK(cli.tanistd("--nonsense").code == 2);
}

TEST_CASE("cli: with --json even wrong usage is answered in JSON") {
    Cli cli;
    for (const char* wrong : {"status", "nonsense", "members add app.db", "log dump --colour"}) {
        CAPTURE(wrong);
        CHECK(cli.json(wrong, 2)["error"]["code"] == "invalid");
    }
}

// A command that does not work yet would be worse than none.
TEST_CASE("cli: what this version cannot do is not offered") {
    Cli cli;
    for (const char* later : {"restore"}) {
        CHECK_MESSAGE(cli.tanist(later).code == 2, later);
        CHECK_FALSE(cli.tanist("--help").says(std::string("\n  ") + later));
    }
}

TEST_CASE("init: makes a primary once, and says so the second time") {
    Cli cli;
    cli.make_database("app.db");
    Json first = cli.json("init app.db", 0);
    CHECK(first["role"] == "primary");
    CHECK(first["already"] == false);
    Json again = cli.json("init app.db", 0);
    CHECK(again["already"] == true);
    CHECK(again["group"] == first["group"]);
}

TEST_CASE("init: switches a rollback-journal database to WAL") {
    Cli cli;
    cli.sql("app.db", "PRAGMA journal_mode=DELETE; CREATE TABLE t(x);");
    CHECK(cli.tanist("init app.db").code == 0);
    // Bytes 18 and 19: the write and read version.
    CHECK(cli.content("app.db").substr(18, 2) == "\2\2");
}

TEST_CASE("init: no database, or no such file, is a sentence and exit 1") {
    Cli cli;
    write_text(cli.dir.path("text.db"), std::string(5000, 'x'));
    Outcome text = cli.tanist("init text.db");
    CHECK(text.code == 1);
    CHECK(text.says("tanist: "));
    CHECK(cli.content("text.db") == std::string(5000, 'x'));
    CHECK(cli.tanist("init missing.db").code == 1);
    CHECK(cli.json("init missing.db", 1)["error"]["code"] == "not found");
    CHECK(cli.tanist("init made.db --create").code == 0);
}

TEST_CASE("members: added, listed, removed") {
    Cli cli;
    cli.make_database("app.db");
    CHECK(cli.tanist("members list app.db").code == 1);
    REQUIRE(cli.tanist("init app.db").code == 0);
    CHECK(cli.tanist("members add app.db tcp://127.0.0.1:7401").code == 0);
    CHECK(cli.tanist("members add app.db ipc:///run/b.sock --name b").code == 0);
    CHECK(cli.json("members list app.db", 0)["members"].size() == 2);
    CHECK(cli.tanist("members add app.db tcp://127.0.0.1:7401").code == 3);
    CHECK(cli.tanist("members remove app.db b").code == 0);
    CHECK(cli.tanist("members remove app.db b").code == 1);
    CHECK(cli.json("members list app.db", 0)["members"][0]["name"] == "127.0.0.1:7401");
}

TEST_CASE("members: an endpoint that others can reach is refused and says why") {
    Cli cli;
    cli.make_database("app.db");
    REQUIRE(cli.tanist("init app.db").code == 0);
    Outcome refused = cli.tanist("members add app.db tcp://10.0.0.1:7401");
    CHECK(refused.code == 3);
    CHECK(refused.says("needs keys"));
}

TEST_CASE("status: of a database that nobody set up names the command that does") {
    Cli cli;
    cli.make_database("app.db");
    Outcome status = cli.tanist("status app.db");
    CHECK(status.code == 1);
    CHECK(status.says("tanist init"));
}

TEST_CASE("status: of a new primary") {
    Cli cli;
    cli.make_database("app.db");
    REQUIRE(cli.tanist("init app.db").code == 0);
    CHECK(cli.json("status app.db", 0)["role"] == "primary");
    CHECK(cli.tanist("status app.db").says("primary, epoch 1"));
}

TEST_CASE("status: an endpoint where nobody listens is unreachable") {
    Cli cli;
    Outcome status = cli.tanist("status ipc://" + cli.dir.path("nobody.sock"));
    CHECK(status.code == 4);
    CHECK(status.says("nobody answers"));
}

TEST_CASE("doctor: a database in WAL mode passes, one with a rollback journal does not") {
    Cli cli;
    cli.make_database("app.db");
    CHECK(cli.json("doctor app.db", 0)["fail"] == 0);
    cli.sql("old.db", "PRAGMA journal_mode=DELETE; CREATE TABLE t(x);");
    Outcome old = cli.tanist("doctor old.db");
    CHECK(old.code == 1);
    CHECK(old.says("fail journal mode: is delete"));
    CHECK(old.says("remedy: tanist init"));
    CHECK(cli.tanist("doctor missing.db").code == 1);
}

TEST_CASE("doctor: sees a process that holds the database for itself") {
    Cli cli;
    cli.make_database("app.db");
    sqlite3* db = nullptr;
    REQUIRE(sqlite3_open(cli.dir.path("app.db").c_str(), &db) == SQLITE_OK);
    REQUIRE(sqlite3_exec(db, "PRAGMA locking_mode=EXCLUSIVE; INSERT INTO t VALUES(2);", nullptr,
                         nullptr, nullptr) == SQLITE_OK);
    Outcome doctor = cli.tanist("doctor app.db");
    CHECK(doctor.code == 1);
    CHECK(doctor.says("fail locking mode"));
    CHECK(doctor.says("has the database open without the extension"));
    REQUIRE(sqlite3_close(db) == SQLITE_OK);
}

TEST_CASE("log: dump, verify and stat agree with what was written, and damage is found") {
    Cli cli;
    GroupId group;
    group.bytes.fill(7);
    {
        auto log = Log::open(cli.dir.path("log"), group, LogOptions{}).value();
        for (int i = 0; i < 3; ++i) {
            RecordHeader header;
            header.kind = RecordKind::epoch;
            header.epoch = Epoch(1);
            REQUIRE(log->begin(0).ok());
            Result<RecordHeader> sealed = log->finish(header);
            REQUIRE_MESSAGE(sealed.ok(), (sealed.ok() ? "" : sealed.error().message));
        }
        REQUIRE(log->publish().ok());
        REQUIRE(log->sync().ok());
    }
    CHECK(cli.json("log stat log", 0)["records"] == 3);
    CHECK(cli.json("log verify log", 0)["end"] == "1:3");
    CHECK(cli.tanist("log dump log").says("1:2"));
    CHECK(cli.tanist("log verify no-such-directory").code == 1);
}

TEST_CASE("tanistd: never takes a path that holds another database") {
    Cli cli;
    cli.make_database("other.db");
    const std::string before = cli.content("other.db");
    Outcome refused = cli.tanistd("--db other.db --listen 'tcp://127.0.0.1:*'");
    CHECK(refused.code == 3);
    CHECK(refused.says("--replace overwrites it, or choose another path"));
    CHECK(cli.content("other.db") == before);
}

TEST_CASE("tanistd: a primary is never replaced") {
    Cli cli;
    cli.make_database("app.db");
    REQUIRE(cli.tanist("init app.db").code == 0);
    CHECK(cli.tanistd("--db app.db --replace").code == 3);
}

TEST_CASE("tanistd: says what is missing or wrong before it does anything") {
    Cli cli;
    CHECK(cli.tanistd("--db new.db").code == 2);
    CHECK(cli.tanistd("--db new.db --listen nonsense").code == 2);
    write_text(cli.dir.path("two.toml"),
               "[[database]]\npath = \"a.db\"\n[[database]]\npath = \"b.db\"\n");
    Outcome two = cli.tanistd("--config two.toml");
    CHECK(two.code == 2);
    CHECK(two.says("two.toml:4: this version serves one database"));
    CHECK(cli.tanistd("--config missing.toml").code == 2);
    CHECK(cli.content("new.db").empty());
}

TEST_CASE("tanistd: says where it is ready, answers status, and SIGTERM ends it with 0") {
    Cli cli;
    Outcome run = bash(cli.dir, "coproc D { exec " + kTanistd +
                                    " --db r.db --listen 'tcp://127.0.0.1:*' 2>err; }\n"
                                    "pid=$D_PID\n"
                                    "read -r line <&${D[0]}\n"
                                    "echo \"$line\"\n" +
                                    kTanist +
                                    " status \"${line##* }\" --json; echo \"status $?\"\n"
                                    "kill -TERM $pid; wait $pid; echo \"exit $?\"; cat err\n");
    INFO(run.text);
    CHECK(run.says("tanistd: replica "));
    CHECK(run.says(" ready on tcp://127.0.0.1:"));
    CHECK_FALSE(run.says("127.0.0.1:*"));
    CHECK(run.says("\"role\":\"replica\""));
    CHECK(run.says("status 0"));
    CHECK(run.says("exit 0"));
}
