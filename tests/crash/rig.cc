#include "tests/crash/rig.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <set>
#include <utility>
#include <vector>

#include "replicator/log/log.h"
#include "tests/crash/ledger.h"
#include "tests/support/process/database.h"

namespace tanist::crash {
namespace {

using std::chrono::seconds;
using Clock = std::chrono::steady_clock;
using testing::Database;

// Bounds of a failing run only.
constexpr seconds kPatience{60};

std::string name_of(Role role) {
    return role == Role::writer ? "writer" : role == Role::engine ? "engine" : "replica";
}

bool killed(int status) { return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL; }

// The committed content; byte 18, the write version, differs on a replica.
std::string image_of(Database& db) {
    sqlite3_int64 bytes = 0;
    unsigned char* content = sqlite3_serialize(db.handle(), "main", &bytes, 0);
    if (!content) return "";
    std::string image(reinterpret_cast<char*>(content), static_cast<size_t>(bytes));
    sqlite3_free(content);
    if (image.size() > 18) image[18] = 2;
    return image;
}

// Opens with stock SQLite, as the last connection never: the daemons have theirs.
std::string open_stock(Database& db, const std::string& path) {
    testing::OpenOptions how;
    how.flags = SQLITE_OPEN_READWRITE;
    int rc = db.open(path, how);
    if (rc == SQLITE_OK) rc = add_digest_function(db);
    return rc == SQLITE_OK ? "" : "cannot open " + path + ": " + db.trouble();
}

}  // namespace

std::string to_string(const Case& the_case) {
    return "page " + std::to_string(the_case.page_bytes) + " " + the_case.sync + " " +
           the_case.mode + ", " +
           (the_case.blow == Blow::kill ? "kill " : "power cut at a step of ") +
           name_of(the_case.victim) + (the_case.newborn ? " in its first sync" : "") +
           (the_case.sealed ? ", encrypted at rest" : "");
}

Rig::Rig(const Programs& programs, const Case& the_case, const std::string& directory,
         testing::Dice& dice, Stakes& stakes)
    : programs_(programs),
      case_(the_case),
      directory_(directory),
      primary_(directory + "/primary/app.db"),
      replica_(directory + "/replica/replica.db"),
      dice_(dice),
      stakes_(stakes),
      primary_machine_(directory + "/primary", directory + "/primary-machine",
                       programs.tools + "/crash_layer.so"),
      replica_machine_(directory + "/replica", directory + "/replica-machine",
                       programs.tools + "/crash_layer.so") {}

Rig::~Rig() = default;

testing::ChildOptions Rig::options(Machine& machine, Role role, const std::string& log) const {
    testing::ChildOptions how;
    how.log = directory_ + "/" + log + ".log";
    how.environment = machine.environment(role);
    // An application must not start an engine of its own here: it would run without the layer.
    how.environment.push_back("TANIST_DAEMON=/bin/false");
    return how;
}

std::string Rig::raise() {
    board_ = Board::map(directory_ + "/board");
    if (!board_) return "cannot make the board";
    std::string trouble = make_ledger(primary_, case_.page_bytes);
    if (!trouble.empty()) return trouble;
    const std::string tanist = programs_.build + "/tanist";
    const testing::ChildOptions quiet{.log = directory_ + "/tanist.log"};
    if (testing::run({tanist, "init", primary_}, quiet) != 0 ||
        testing::run({tanist, "members", "add", primary_, "ipc://" + directory_ + "/replica.sock"},
                     quiet) != 0) {
        return "tanist init or members add failed, see " + quiet.log;
    }
    const bool keeps_journal = case_.blow == Blow::cut_power;
    primary_machine_.boot(keeps_journal);
    replica_machine_.boot(keeps_journal);
    trouble = start_missing();
    if (trouble.empty()) trouble = finish();
    if (trouble.empty()) start_reader();
    return trouble;
}

std::string Rig::start_daemon(Daemon& daemon, std::vector<std::string> command,
                              const testing::ChildOptions& how) {
    if (case_.sealed) command.insert(command.end(), {"--encrypt-at-rest", "true"});
    testing::ChildOptions talking = how;
    talking.talk = true;
    daemon.child = testing::Child(command, talking);
    daemon.ready = false;
    while (const auto line = daemon.child.read_line(kPatience)) {
        if (line->find(" ready") == std::string::npos) continue;
        daemon.ready = true;
        return "";
    }
    // It may be the victim, struck on its way up; whoever wanted it up looks.
    return daemon.child.wait_end(kPatience) ? "" : "a daemon neither becomes ready nor ends";
}

std::string Rig::start_engine() {
    return start_daemon(
        engine_, {programs_.build + "/tanistd", "--db", primary_, "--log-segment-bytes", "256KiB"},
        options(primary_machine_, Role::engine, "engine"));
}

std::string Rig::start_replica() {
    return start_daemon(replica_daemon_,
                        {programs_.build + "/tanistd", "--db", replica_, "--listen",
                         "ipc://" + directory_ + "/replica.sock", "--log-segment-bytes", "256KiB"},
                        options(replica_machine_, Role::replica, "replica"));
}

void Rig::start_reader() {
    reader_ = testing::Child(
        {programs_.tools + "/crash_reader", replica_, "--board", directory_ + "/board"},
        options(replica_machine_, Role::none, "reader"));
}

void Rig::empty_replica() {
    reader_.kill();
    for (const auto& entry : std::filesystem::directory_iterator(directory_ + "/replica")) {
        std::filesystem::remove_all(entry.path());
    }
    replica_machine_.boot(case_.blow == Blow::cut_power);
    start_reader();
}

// Both daemons run afterwards.
std::string Rig::start_missing() {
    const auto down = [](Daemon& daemon) {
        return !daemon.child.started() || daemon.child.poll_end();
    };
    if (down(replica_daemon_)) {
        const std::string trouble = start_replica();
        if (!trouble.empty()) return trouble;
        if (!replica_daemon_.ready) return "the replica daemon does not start, see replica.log";
    }
    if (down(engine_)) {
        const std::string trouble = start_engine();
        if (!trouble.empty()) return trouble;
        if (!engine_.ready) return "the engine does not start, see engine.log";
    }
    return "";
}

std::vector<std::string> Rig::writer_command(bool only_finish) const {
    // Short enough that a daemon which is down makes commits fail.
    const std::string rule = case_.mode == "async"
                                 ? ""
                                 : ";PRAGMA tanist_ack='durable:1';PRAGMA tanist_commit_mode='" +
                                       case_.mode + "';PRAGMA tanist_ack_timeout='200ms'";
    std::vector<std::string> command = {
        programs_.tools + "/crash_writer",
        primary_,
        "--board",
        directory_ + "/board",
        "--extension",
        programs_.build + "/tanist.so",
        "--uri",
        "vfs=tanist&ship=daemon",
        "--pragmas",
        "PRAGMA synchronous=" + case_.sync + ";PRAGMA cache_size=5" + rule};
    if (only_finish) {
        command.insert(command.end(), {"--finish", "--forget", std::to_string(judged_)});
    }
    return command;
}

std::string Rig::play(uint64_t at) {
    struck_ = primary_lost_power_ = false;
    Machine& machine = victims_machine();
    uint32_t classes = kStepFile | kStepSend;
    // Between two steps that change no file a power cut leaves the same as a kill or nothing new.
    if (case_.blow == Blow::kill) classes |= kStepVfs | kStepWake;
    if (case_.victim != Role::writer) {
        // The blow may fall while the daemon starts.
        Daemon& daemon = case_.victim == Role::engine ? engine_ : replica_daemon_;
        machine.between_entries([&] { daemon.child.kill(); });
    }
    if (case_.newborn) empty_replica();
    machine.arm({case_.victim, case_.blow, classes, at});
    std::string trouble;
    if (case_.victim == Role::engine) trouble = start_engine();
    if (case_.victim == Role::replica) trouble = start_replica();
    if (trouble.empty()) trouble = attend();
    if (trouble.empty()) trouble = run_writer();
    // The daemons come to their steps when there is something to ship.
    if (trouble.empty() && !struck_) trouble = wait_for_replica();
    if (trouble.empty()) trouble = stop_victim();
    steps_ = machine.steps();
    machine.disarm();
    if (trouble.empty()) trouble = start_missing();
    if (trouble.empty()) trouble = finish();
    if (trouble.empty()) trouble = judge();
    if (trouble.empty()) trouble = primary_machine_.take_journal();
    if (trouble.empty()) trouble = replica_machine_.take_journal();
    return trouble;
}

std::string Rig::run_writer() {
    // A cut of the primary's power while its engine started has no application to hit.
    if (struck_ && on_primary() && case_.blow == Blow::cut_power) return "";
    writer_ =
        testing::Child(writer_command(false), options(primary_machine_, Role::writer, "writer"));
    const auto deadline = Clock::now() + kPatience;
    while (Clock::now() < deadline) {
        const std::string trouble = attend();
        if (!trouble.empty()) return trouble;
        const auto status = writer_.poll_end();
        if (!status) {
            ::usleep(500);
            continue;
        }
        // The power may have gone with its last step.
        const std::string late = attend();
        if (!late.empty()) return late;
        const bool fell =
            killed(*status) && struck_ &&
            (case_.victim == Role::writer || (on_primary() && case_.blow == Blow::cut_power));
        const bool fine = WIFEXITED(*status) && WEXITSTATUS(*status) == 0;
        return fell || fine ? ""
                            : "the writer " + testing::describe_end(*status) + ", see writer.log";
    }
    return "the writer is stuck";
}

// A daemon that the application's run did not bring to the step may come to it while it stops.
std::string Rig::stop_victim() {
    if (case_.victim == Role::writer || struck_) return "";
    Daemon& daemon = case_.victim == Role::engine ? engine_ : replica_daemon_;
    daemon.child.signal(SIGTERM);
    const auto status = daemon.child.wait_end(kPatience);
    if (!status) return name_of(case_.victim) + " does not stop";
    if (victims_machine().struck()) return attend();
    const bool fine = WIFEXITED(*status) && WEXITSTATUS(*status) == 0;
    return fine ? "" : name_of(case_.victim) + ", told to stop, " + testing::describe_end(*status);
}

// Carries out what a blow brings with it; notices who ended without one.
std::string Rig::attend() {
    if (!struck_ && victims_machine().struck()) {
        struck_ = true;
        struck_at_ = victims_machine().struck_at();
        return carry_out();
    }
    if (reader_.started()) {
        if (const auto status = reader_.poll_end()) {
            return "the reader " + testing::describe_end(*status) + ", see reader.log";
        }
    }
    for (Daemon* daemon : {&engine_, &replica_daemon_}) {
        const auto status = daemon->child.poll_end();
        if (!status || victims_machine().struck()) continue;
        return std::string(daemon == &engine_ ? "the engine " : "the replica ") +
               testing::describe_end(*status);
    }
    return "";
}

std::string Rig::carry_out() {
    testing::Child& victim = case_.victim == Role::writer   ? writer_
                             : case_.victim == Role::engine ? engine_.child
                                                            : replica_daemon_.child;
    const auto status = victim.wait_end(kPatience);
    if (!status || !killed(*status)) return "the victim of the blow does not die";
    victims_machine().disarm();
    if (case_.blow == Blow::cut_power) {
        const std::string trouble = cut_power();
        if (!trouble.empty()) return trouble;
    }
    return start_missing();
}

std::string Rig::cut_power() {
    if (on_primary()) {
        writer_.kill();
        engine_.child.kill();
        primary_lost_power_ = true;
        // A replica shows a commit once it is settled, and its committer may not have been told
        // yet.
        if (case_.mode != "async") board_->may_go_back.store(GoBack::over_unanswered);
        if (may_lose_commits()) board_->may_go_back.store(GoBack::over_any);
        return primary_machine_.lose_power(dice_, stakes_);
    }
    replica_daemon_.child.kill();
    reader_.kill();
    // What the replica showed last may be in its log as a commit of which only the primary knows
    // whether it was settled (docs/guarantees.md): until it says so, the state before is shown.
    board_->may_go_back.store(GoBack::over_last);
    std::string trouble = replica_machine_.lose_power(dice_, stakes_);
    if (trouble.empty()) trouble = judge_replica_log();
    if (trouble.empty()) trouble = start_replica();
    if (trouble.empty()) start_reader();
    return trouble;
}

// One last commit, which the replica is waited for.
std::string Rig::finish() {
    testing::Child child(writer_command(true), options(primary_machine_, Role::writer, "finish"));
    const auto status = child.wait_end(kPatience);
    if (!status) return "the last commit is stuck";
    if (!WIFEXITED(*status) || WEXITSTATUS(*status) != 0) {
        return "the last commit failed, see finish.log";
    }
    return wait_for_replica();
}

std::string Rig::wait_for_replica() {
    const uint64_t wanted = board_->attempts.load();
    const auto deadline = Clock::now() + kPatience;
    Database db;
    int64_t shown = -1;
    while (Clock::now() < deadline) {
        if (db.is_open() || open_stock(db, replica_).empty()) {
            db.ask("SELECT attempt FROM state", shown);
        }
        if (shown == static_cast<int64_t>(wanted)) return "";
        // No connection of ours lives through a power cut either.
        if (victims_machine().struck() && !struck_) db.close();
        const std::string trouble = attend();
        if (!trouble.empty()) return trouble;
        ::usleep(1000);
    }
    return "the replica does not catch up: it shows attempt " + std::to_string(shown) +
           ", wanted " + std::to_string(wanted);
}

std::string Rig::judge() {
    std::string trouble = judge_primary();
    if (!trouble.empty()) return trouble;
    Database primary;
    Database replica;
    trouble = open_stock(primary, primary_);
    if (trouble.empty()) trouble = open_stock(replica, replica_);
    if (!trouble.empty()) return trouble;
    for (Database* db : {&primary, &replica}) {
        std::string verdict;
        db->ask("PRAGMA integrity_check", verdict);
        if (verdict != "ok") return "integrity_check says " + verdict + db->trouble();
    }
    const std::string image = image_of(primary);
    if (image.empty() || image != image_of(replica)) {
        return "the replica differs from the primary";
    }
    board_->may_go_back.store(GoBack::no);
    return attend();
}

// What the application was told against what is there.
std::string Rig::judge_primary() {
    Database db;
    const std::string trouble = open_stock(db, primary_);
    if (!trouble.empty()) return trouble;
    const Look look = look_at(db);
    if (look.code != SQLITE_OK) return "cannot read the primary: " + db.trouble();
    if (!look.violation.empty()) return "on the primary " + look.violation;
    const std::vector<uint64_t> done = committed(db);
    const std::set<uint64_t> there(done.begin(), done.end());
    for (uint64_t attempt = judged_ + 1; attempt <= board_->attempts.load(); ++attempt) {
        const Outcome outcome = board_->outcome(attempt);
        const std::string name = "attempt " + std::to_string(attempt);
        if (outcome == Outcome::refused && there.contains(attempt)) {
            return name + " was refused and is there";
        }
        if (there.contains(attempt)) continue;
        // Its message says "committed here", and no more than that.
        const bool here = outcome == Outcome::unconfirmed && !primary_lost_power_;
        const bool promised = outcome == Outcome::acknowledged && !may_lose_commits();
        if (here || promised) return name + " was acknowledged and is gone";
    }
    judged_ = board_->attempts.load();
    return "";
}

// SQLite promises nothing else in NORMAL; a synchronous rule promises all that it confirmed.
bool Rig::may_lose_commits() const {
    return primary_lost_power_ && case_.sync != "FULL" && case_.mode == "async";
}

// Directly after a power cut: what was acknowledged is in the replica's log, whatever the primary
// could send again.
std::string Rig::judge_replica_log() {
    if (case_.mode == "async" || case_.newborn) return "";
    const uint64_t acknowledged = board_->acknowledged_lsn.load();
    Result<LogWalk> walk =
        walk_log(replica_ + "-tanist/log", nullptr, true,
                 [](const std::string&, uint64_t, const RecordHeader&) { return true; });
    if (!walk.ok()) return "the replica's log cannot be read: " + walk.error().message;
    if (walk->end.position.lsn.value >= acknowledged) return "";
    return "LSN " + std::to_string(acknowledged) + " was acknowledged, the replica's log ends at " +
           std::to_string(walk->end.position.lsn.value);
}

}  // namespace tanist::crash
