// What people get wrong: each mistake is a sentence with a remedy and a documented exit code, and
// loses nothing.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <filesystem>

#include "tests/support/application.h"
#include "tests/support/daemons.h"

using namespace tanist;
using namespace tanist::testing;

namespace {

namespace fs = std::filesystem;

const std::string kListen = " --listen 'tcp://127.0.0.1:*'";

// A directory with one database in WAL mode.
struct Place {
    TempDir dir;
    std::string db = dir.path("app.db");
    Place() { StockSqlite(db).must("PRAGMA journal_mode=WAL; CREATE TABLE t(x)"); }
    Outcome tanist(const std::string& arguments) { return shell(dir, kTanist + " " + arguments); }
    Outcome tanistd(const std::string& arguments) { return shell(dir, kTanistd + " " + arguments); }
    void init() { REQUIRE(tanist("init app.db").code == 0); }
};

void check(const Outcome& outcome, int code, std::vector<std::string> says) {
    CAPTURE(outcome.text);
    CHECK(outcome.code == code);
    for (const std::string& part : says) CHECK_MESSAGE(outcome.says(part), part);
}

std::string status_of(const TempDir& dir, const std::string& target) {
    return shell(dir, kTanist + " status " + target).text;
}

}  // namespace

TEST_CASE("bad input: a file that is no database is named so and left alone") {
    Place place;
    const std::string text(5000, 'x');
    write_text(place.dir.path("text.db"), text);
    check(place.tanist("init text.db"), 1, {"text.db is not a SQLite database"});
    check(place.tanistd("--db text.db" + kListen), 3, {"--replace overwrites it"});
    check(place.tanist("doctor text.db"), 1, {"not a database", "remedy: "});
    CHECK(file_text(place.dir.path("text.db")) == text);
    // Damaged after it was set up.
    place.init();
    write_text(place.db, text);
    check(place.tanistd("--db app.db"), 1, {"app.db is not a SQLite database"});
    CHECK(file_text(place.db) == text);
}

TEST_CASE("bad input: a primary that somebody took out of WAL mode") {
    Place place;
    place.init();
    StockSqlite(place.db).must("PRAGMA journal_mode=DELETE");
    check(place.tanist("doctor app.db"), 1, {"fail journal mode", "remedy: tanist init"});
    Daemon engine(place.dir, {"--db", place.db});
    CHECK(engine.ready());  // it puts the database back
    CHECK(StockSqlite(place.db).ask("PRAGMA journal_mode") == "wal");
}

TEST_CASE("bad input: a process that holds the database in EXCLUSIVE mode") {
    Place place;
    place.init();
    OpenOptions options;
    Application holder(place.db, options);
    holder.run("PRAGMA locking_mode=EXCLUSIVE; INSERT INTO t VALUES(1)");
    check(place.tanistd("--db app.db"), 1, {"locking_mode=EXCLUSIVE, end it or set it to NORMAL"});
    check(place.tanist("doctor app.db"), 1, {"fail locking mode", "remedy: "});
    CHECK(holder.run("SELECT count(*) FROM t") == "1");
}

TEST_CASE("bad input: a directory without permission to write") {
    Place place;
    const std::string nobody = "setpriv --reuid 65534 --regid 65534 --clear-groups ";
    REQUIRE(::chmod(place.dir.root().c_str(), 0755) == 0);
    // Only root can become somebody else, who must be able to see the programs.
    if (shell(place.dir, nobody + kTanist + " --version").code != 0) return;
    check(shell(place.dir, nobody + kTanistd + " --db new.db" + kListen), 1,
          {"new.db-tanist, which cannot be made", "Permission denied"});
    check(shell(place.dir, nobody + kTanist + " init app.db"), 1,
          {"no permission to write", "run this as"});
    CHECK(!fs::exists(place.dir.path("new.db")));
    CHECK(!fs::exists(place.dir.path("app.db-tanist")));
}

TEST_CASE("bad input: an endpoint in use") {
    Place place;
    Daemon first(place.dir, {"--db", place.dir.path("a.db"), "--listen", "tcp://127.0.0.1:*"});
    REQUIRE(first.ready());
    check(place.tanistd("--db b.db --listen " + first.endpoint()), 1,
          {first.endpoint() + " is in use by another program; stop that one or choose another"});
    const std::string ipc = "ipc://" + place.dir.path("socket");
    Daemon second(place.dir, {"--db", place.dir.path("c.db"), "--listen", ipc});
    REQUIRE(second.ready());
    check(place.tanistd("--db b.db --listen " + ipc), 1, {"is in use by another program"});
    CHECK(shell(place.dir, kTanist + " status " + ipc).code == 0);
    CHECK(shell(place.dir, kTanist + " status " + first.endpoint()).code == 0);
}

TEST_CASE("bad input: a replica path that holds another database, with and without --replace") {
    Pair pair("CREATE TABLE t(x)");
    const std::string other = pair.dir.path("other.db");
    StockSqlite(other).must(
        "PRAGMA journal_mode=WAL; CREATE TABLE mine(y); INSERT INTO mine "
        "VALUES(7)");
    const std::string before = file_text(other);
    Daemon refused(pair.dir, {"--db", other, "--listen", "tcp://127.0.0.1:*"});
    CHECK(refused.wait() == 3);
    CHECK(refused.says("holds another database; --replace overwrites it, or choose another path"));
    CHECK(file_text(other) == before);
    CHECK(!fs::exists(other + "-tanist"));
    Daemon taken(pair.dir, {"--db", other, "--listen", "tcp://127.0.0.1:*", "--replace"});
    REQUIRE(taken.ready());
    shell(pair.dir, kTanist + " members add app.db " + taken.endpoint());
    CHECK(eventually([&] { return image_of(other) == image_of(pair.primary); }));
    CHECK(pair.equal_soon());
}

TEST_CASE("bad input: a replica of another cluster is refused, and both sides say so") {
    Pair pair("CREATE TABLE t(x); INSERT INTO t VALUES(1)");
    REQUIRE(pair.equal_soon());
    Place stranger;
    stranger.init();
    Daemon engine(stranger.dir,
                  {"--db", stranger.db, "--replicas", pair.replica_daemon.endpoint()});
    REQUIRE(engine.ready());
    CHECK(eventually([&] {
        const std::string status = status_of(stranger.dir, "app.db");
        return status.find("refused") != std::string::npos &&
               status.find("belongs to another cluster") != std::string::npos;
    }));
    CHECK(pair.replica_daemon.says("another cluster"));
    CHECK(shell(pair.dir, kTanist + " status replica.db")
              .says(stranger.db + " was refused: this replica belongs to another cluster"));
    Application(pair.primary).run("INSERT INTO t VALUES(2)");
    CHECK(pair.equal_soon());
}

TEST_CASE("bad input: settings with a mistake name file and line") {
    Place place;
    place.init();
    struct Mistake {
        const char* line;
        const char* says;
    };
    const std::vector<Mistake> mistakes = {
        {"colour = 1", "unknown setting colour"},
        {"log_bytes_max = true", "log_bytes_max"},
        {"log_bytes_max = \"many\"", "log_bytes_max"},
        {"replicas = [\"tcp://10.0.0.1:7400\"]", "needs keys"},
        {"listen = [\"nonsense\"]", "nonsense"},
        {"ship = \"pigeon\"", "pigeon"},
        {"log_level = ", "tanist.toml:2"},
    };
    for (const Mistake& mistake : mistakes) {
        CAPTURE(mistake.line);
        write_text(place.dir.path("app.db-tanist/tanist.toml"),
                   std::string("# settings\n") + mistake.line + "\n");
        check(place.tanistd("--db app.db"), 2, {mistake.says, "tanist.toml:2"});
        OpenOptions options;
        options.extension = kExtension;
        options.parameters = "vfs=tanist";
        CHECK_THROWS(Application(place.db, options));
    }
}

TEST_CASE("bad input: endpoints that others can reach need keys") {
    Place place;
    place.init();
    check(place.tanistd("--db app.db --replicas tcp://192.0.2.1:7400"), 3, {"needs keys"});
    check(place.tanist("members add app.db tcp://[2001:db8::1]:7400"), 3, {"needs keys"});
    check(place.tanist("status tcp://192.0.2.1:7400"), 3, {"needs keys"});
}

namespace {

// A pair that has written, whose two logs have records, at rest and stopped.
struct StoppedPair : Pair {
    StoppedPair() : Pair("CREATE TABLE t(x)") {
        Application writer(primary);
        writer.run("INSERT INTO t VALUES('copied')");
        // What the replica copies when it begins is in no record of its log.
        REQUIRE(equal_soon());
        for (int i = 0; i < 20; ++i) writer.run("INSERT INTO t VALUES(randomblob(2000))");
        INFO(engine.said(), replica_daemon.said());
        REQUIRE(equal_soon());
        REQUIRE(engine.stop() == 0);
        REQUIRE(replica_daemon.stop() == 0);
    }
    std::string log_of(const std::string& db) const { return db + "-tanist/log"; }
    // The first segment of a log.
    std::string segment_of(const std::string& db) const {
        std::vector<std::string> names;
        for (const auto& entry : fs::directory_iterator(log_of(db))) {
            if (entry.path().extension() == ".log") names.push_back(entry.path());
        }
        REQUIRE(!names.empty());
        return *std::min_element(names.begin(), names.end());
    }
    Outcome start(const std::string& db) {
        return shell(dir, kTanistd + " --db " + db + (db == replica ? kListen : ""));
    }
};

std::string flip(std::string bytes, size_t at, size_t count) {
    for (size_t i = at; i < at + count; ++i) bytes[i] = static_cast<char>(~bytes[i]);
    return bytes;
}

}  // namespace

TEST_CASE("bad input: a damaged log is described to the byte and never cut") {
    StoppedPair pair;
    for (const std::string& db : {pair.primary, pair.replica}) {
        CAPTURE(db);
        const std::string segment = pair.segment_of(db);
        const std::string damaged = flip(file_text(segment), 20000, 100);
        write_text(segment, damaged);
        const Outcome verify = shell(pair.dir, kTanist + " log verify " + db);
        check(verify, 1, {segment, "LSN ", " at byte ", " bytes are "});
        check(pair.start(db), 1, {segment, " at byte ", "tanist log verify", "move"});
        CHECK(file_text(segment) == damaged);
        // The remedy of the message.
        fs::rename(pair.log_of(db), pair.dir.path("aside-" + fs::path(db).filename().string()));
    }
    pair.start_replica();
    pair.start_engine();
    Application(pair.primary).run("INSERT INTO t VALUES('after')");
    CHECK(pair.equal_soon());
}

TEST_CASE("bad input: a log of a newer version is left alone") {
    StoppedPair pair;
    const std::string segment = pair.segment_of(pair.primary);
    std::string newer = file_text(segment);
    newer[4] = 9;
    newer[5] = 0;
    write_text(segment, newer);
    check(pair.start(pair.primary), 1, {segment, "version 9 is not known"});
    check(shell(pair.dir, kTanist + " log stat app.db"), 1, {"version 9 is not known"});
    CHECK(file_text(segment) == newer);
}

TEST_CASE("bad input: a log of another database is left alone") {
    StoppedPair pair;
    Place other;
    other.init();
    Daemon engine(other.dir, {"--db", other.db});
    REQUIRE(engine.ready());
    Application(other.db).run("INSERT INTO t VALUES(1)");
    REQUIRE(engine.stop() == 0);
    for (const std::string& db : {pair.primary, pair.replica}) {
        CAPTURE(db);
        fs::rename(pair.log_of(db), db + "-own-log");
        fs::copy(other.db + "-tanist/log", pair.log_of(db), fs::copy_options::recursive);
        check(pair.start(db), 1, {"belongs to group", "move"});
        fs::remove_all(pair.log_of(db));
        fs::rename(db + "-own-log", pair.log_of(db));
    }
    pair.start_replica();
    pair.start_engine();
    CHECK(pair.equal_soon());
}
