#include "tests/process/chaos/stage.h"

#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <utility>

#include "replicator/base/exit_code.h"
#include "tests/process/chaos/schema.h"
#include "tests/support/process/engine.h"

namespace tanist::chaos {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

std::string last_line(const std::string& path) {
    std::ifstream file(path);
    std::string last;
    for (std::string line; std::getline(file, line);) last = line;
    return last;
}

bool killed_by_us(int status) { return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL; }

}  // namespace

Stage::Stage(const Programs& programs, const Plan& plan, const std::string& directory,
             testing::Dice& dice, Tally& tally)
    : programs_(programs),
      plan_(plan),
      directory_(directory),
      primary_(directory + "/app.db"),
      replica_(programs.self_test ? primary_ : directory + "/replica.db"),
      dice_(dice),
      tally_(tally) {}

Stage::~Stage() {
    actors_.clear();
    const pid_t engine = testing::find_engine(primary_);
    if (engine > 0) ::kill(engine, SIGKILL);
}

std::string Stage::raise() {
    // Readers may be a user without rights here: he must be able to reach the files.
    ::chmod(directory_.c_str(), 0755);
    const std::string board = directory_ + "/board";
    board_ = Board::map(board);
    if (!board_) return "cannot make " + board;
    ::chmod(board.c_str(), 0666);
    std::string trouble;
    if (make_schema(primary_, {plan_.page_bytes, plan_.auto_vacuum}, trouble) != SQLITE_OK) {
        return "make_schema: " + trouble;
    }
    if (plan_.keeper) {
        int64_t ignored = 0;
        keeper_.open(primary_, {});
        keeper_.keep_wal();
        keeper_.ask("SELECT ticks FROM meter", ignored);
    }
    if (!programs_.self_test) {
        const std::string problem = start_replica();
        if (!problem.empty()) return problem;
    }
    for (const std::string& how : plan_.readers) {
        if (programs_.self_test && how == "stray") continue;
        start(cast("reader", {tool("chaos_reader"), replica_, "--board", board, "--how", how,
                              "--seed", std::to_string(dice_.below(1 << 30))}));
    }
    return "";
}

Stage::Actor& Stage::cast(const std::string& kind, std::vector<std::string> command) {
    actors_.push_back(std::make_unique<Actor>());
    Actor& actor = *actors_.back();
    actor.kind = kind;
    actor.command = std::move(command);
    actor.options.log = directory_ + "/" + kind + "-" + std::to_string(actors_.size()) + ".log";
    return actor;
}

void Stage::start(Actor& actor) {
    actor.due.reset();
    actor.child = testing::Child(actor.command, actor.options);
}

std::string Stage::start_replica() {
    const std::string listen =
        plan_.ipc ? "ipc://" + directory_ + "/replica.sock" : "tcp://127.0.0.1:*";
    Actor& actor =
        cast("replica", {programs_.build + "/tanistd", "--db", replica_, "--listen", listen});
    actor.options.talk = true;
    start(actor);
    // The ready line names the endpoint as it was bound.
    endpoint_ = testing::read_endpoint(actor.child, seconds(20));
    if (endpoint_.empty()) return "the replica daemon did not say its endpoint";
    // Started again, it must be where the primary looks for it.
    actor.command.back() = endpoint_;
    actor.options.talk = false;
    replica_actor_ = &actor;
    if (!plan_.engine_by_hand) return "";
    const std::string tanist = programs_.build + "/tanist";
    const testing::ChildOptions quiet_options{.log = directory_ + "/tanist.log"};
    if (testing::run({tanist, "init", primary_}, quiet_options) != 0 ||
        testing::run({tanist, "members", "add", primary_, endpoint_}, quiet_options) != 0) {
        return "tanist init or members add failed, see " + quiet_options.log;
    }
    start(cast("engine", {programs_.build + "/tanistd", "--db", primary_}));
    return wait_for_engine(false, seconds(20));
}

std::vector<std::string> Stage::writer_command(size_t index) {
    const WriterPlan& plan = plan_.writers[index];
    std::vector<std::string> command = {
        tool("chaos_writer"), primary_, "--board", directory_ + "/board", "--slot",
        std::to_string(index), "--sync", plan.sync, "--cache", std::to_string(plan.cache_pages),
        "--blob-bytes", std::to_string(plan_.blob_bytes), "--items", std::to_string(plan_.items),
        "--seed", std::to_string(dice_.below(1 << 30)),
        // Some end by themselves: connections are also closed properly, the last one too.
        "--steps", std::to_string(dice_.between(20, 2000))};
    if (!plan_.keeper) command.push_back("--no-spilled-savepoints");
    if (plan.stock || programs_.self_test) return command;
    const std::string replicas = plan_.engine_by_hand ? "" : "&replicas=" + endpoint_;
    command.insert(command.end(), {"--extension", programs_.build + "/tanist.so", "--uri",
                                   "vfs=tanist" + replicas});
    return command;
}

void Stage::start_writers() {
    for (size_t i = 0; i < plan_.writers.size(); ++i) start(cast("writer", writer_command(i)));
    for (int i = 0; i < plan_.checkpointers; ++i) {
        // One of them works on the replica: its files are as public as the primary's.
        start(cast("checkpointer",
                   {tool("chaos_checkpointer"), i == 1 ? replica_ : primary_, "--board",
                    directory_ + "/board", "--seed", std::to_string(dice_.below(1 << 30))}));
    }
}

void Stage::kill(Actor& actor) {
    if (!plan_.struck.contains(actor.kind)) return;
    if (actor.child.poll_end()) return;  // ended by itself: attend() judges
    actor.child.kill();
    ++tally_[actor.kind];
    actor.due = Clock::now() + milliseconds(dice_.chance(50) ? 0 : dice_.between(1, 300));
}

bool Stage::strike_engine(bool freeze) {
    if (!plan_.struck.contains("engine")) return false;
    const pid_t engine = testing::find_engine(primary_);
    if (engine <= 0) return false;
    if (freeze) {
        ::kill(engine, SIGSTOP);
        ::usleep(static_cast<unsigned>(dice_.between(1, 300'000)));
        ::kill(engine, SIGCONT);
        ++tally_["engine stopped and continued"];
        return true;
    }
    for (auto& actor : actors_) {
        if (actor->kind == "engine" && actor->child.pid() == engine) {
            kill(*actor);
            return true;
        }
    }
    ::kill(engine, SIGKILL);
    ++tally_["engine"];
    return true;
}

void Stage::strike() {
    const auto roll = dice_.below(100);
    if (!programs_.self_test && roll < 22 && strike_engine(false)) return;
    if (!programs_.self_test && roll < 25 && strike_engine(true)) return;
    if (roll < 28) {  // the whole primary at once, as when its container is killed
        for (auto& actor : actors_) {
            if (actor->kind == "writer") kill(*actor);
        }
        strike_engine(false);
        return;
    }
    if (roll < 43 && replica_actor_) return kill(*replica_actor_);
    const std::string kind = roll < 55 ? "reader" : roll < 60 ? "checkpointer" : "writer";
    std::vector<Actor*> choices;
    for (auto& actor : actors_) {
        if (actor->kind == kind && !actor->off && !actor->due) choices.push_back(actor.get());
    }
    if (!choices.empty()) kill(*choices[dice_.below(choices.size())]);
}

std::string Stage::why_ended(const Actor& actor, int status) {
    if (killed_by_us(status)) return "";
    const bool fine = WIFEXITED(status) && WEXITSTATUS(status) == 0 && actor.kind == "writer";
    // An engine of the extension may have been quicker; two are refused, which is right. (That one
    // may be dead again by now, so it cannot be asked for.)
    const bool lost_race =
        actor.kind == "engine" && WIFEXITED(status) && WEXITSTATUS(status) == kExitRefused &&
        last_line(actor.options.log).find("serves this database already") != std::string::npos;
    if (fine || lost_race) return "";
    return actor.kind + " " + testing::describe_end(status) + ", see " + actor.options.log;
}

std::string Stage::attend() {
    for (auto& actor : actors_) {
        if (actor->off) continue;
        if (!actor->due) {
            const auto status = actor->child.poll_end();
            if (!status) continue;
            const std::string why = why_ended(*actor, *status);
            if (!why.empty()) return why;
            actor->due = Clock::now() + milliseconds(actor->kind == "engine" ? 100 : 0);
        }
        if (Clock::now() >= *actor->due) start(*actor);
    }
    return "";
}

void Stage::retire(const std::string& kind) {
    for (auto& actor : actors_) {
        if (actor->kind != kind || actor->off) continue;
        actor->off = true;
        if (actor->due) continue;
        if (!actor->child.poll_end()) ++tally_[kind];
        actor->child.kill();
    }
}

std::string Stage::quiet() {
    std::string problem = attend();
    retire("writer");
    retire("checkpointer");
    for (auto& actor : actors_) {
        if (actor->due && !actor->off) start(*actor);
    }
    // An engine that was struck may be dying still: the last commit must reckon with that.
    return problem;
}

std::string Stage::finish(const std::string& token) {
    std::vector<std::string> command = writer_command(0);
    command.insert(command.end(), {"--finish", token});
    const testing::ChildOptions options{.log = directory_ + "/finish.log"};
    testing::Child child(command, options);
    const auto status = child.wait_end(seconds(60));
    if (!status) return "the last commit of the stanza hangs";
    if (!WIFEXITED(*status) || WEXITSTATUS(*status) != 0) {
        return "the last commit of the stanza failed, see " + options.log;
    }
    return "";
}

pid_t Stage::engine_pid() const { return testing::find_engine(primary_); }

// There is no event for another session's process; its end shows in /proc.
std::string Stage::wait_for_engine(bool gone, seconds patience) {
    const auto deadline = Clock::now() + patience;
    while ((engine_pid() == 0) != gone) {
        if (Clock::now() > deadline) return gone ? "the engine did not leave" : "no engine came";
        ::usleep(5000);
    }
    return "";
}

std::string Stage::lower() {
    retire("reader");
    keeper_.close();
    if (programs_.self_test) return "";
    for (auto& actor : actors_) {
        if (actor->kind == "engine") actor->off = true;
    }
    const pid_t engine = engine_pid();
    // One that waits for the lock of the engine that leaves would take its place.
    for (auto& actor : actors_) {
        if (actor->kind != "engine" || actor->child.pid() == engine) continue;
        if (actor->child.started() && !actor->child.poll_end()) actor->child.kill();
    }
    if (engine > 0) ::kill(engine, SIGTERM);
    replica_actor_->off = true;
    replica_actor_->child.signal(SIGTERM);
    const auto status = replica_actor_->child.wait_end(seconds(30));
    if (!status) return "the replica daemon ignores SIGTERM";
    if (!WIFEXITED(*status) || WEXITSTATUS(*status) != 0) {
        return "the replica daemon, told to stop, " + testing::describe_end(*status);
    }
    for (auto& actor : actors_) {
        if (actor->kind != "engine") continue;
        const bool told = actor->child.pid() == engine;
        const auto end = actor->child.wait_end(seconds(30));
        if (!told || (end && WIFEXITED(*end) && WEXITSTATUS(*end) == 0)) continue;
        return "the engine, told to stop, " + (end ? testing::describe_end(*end) : "stays");
    }
    const std::string stays = engine > 0 ? wait_for_engine(true, seconds(30)) : "";
    if (!stays.empty()) return stays;
    const std::string leftover = find_leftover();
    return leftover.empty() ? "" : "left behind: " + leftover;
}

std::string Stage::note_totals() {
    for (const WriterSlot& slot : board_->writers) {
        tally_["commits"] += slot.commits;
        tally_["commits refused as busy"] += slot.refused;
    }
    tally_["reader looks"] += board_->looks;
    tally_["reader looks refused"] += board_->looks_refused;
    tally_["stray writes refused"] += board_->strays_refused;
    tally_["checkpoints"] += board_->checkpoints;
    const testing::EngineTotals totals = testing::read_engine_totals(primary_);
    tally_["commits captured"] += totals.commits;
    tally_["bytes captured"] += totals.bytes;
    tally_["rebases"] += totals.rebases;
    return note_reasons();
}

// The engine's own words for each gap and each sync: a gap is due where nobody watched a restart of
// the WAL, a sync where the log of a replica does not lead on, and nowhere else.
std::string Stage::note_reasons() {
    std::vector<std::string> logs = {primary_ + "-tanist/engine.log"};
    for (const auto& actor : actors_) {
        if (actor->kind == "engine") logs.push_back(actor->options.log);
    }
    std::string needless;
    for (const std::string& log : logs) {
        std::ifstream file(log);
        for (std::string line; std::getline(file, line);) {
            const bool gap = line.find("must compare the database anew") != std::string::npos;
            const bool sync = line.find("state=syncing") != std::string::npos;
            const size_t begin = line.find("reason=");
            if ((!gap && !sync) || begin == std::string::npos) continue;
            std::string reason = line.substr(begin + 7, line.rfind(" position=") - begin - 7);
            // A TRUNCATE checkpoint leaves a WAL file without salts, and when everybody dies before
            // the next commit, nothing proves that nobody else committed meanwhile.
            const bool emptied = line.find("WAL 0:0/") != std::string::npos ||
                                 line.find("after 0:0/") != std::string::npos;
            const bool due = reason.find("the log begins here") != std::string::npos ||
                             !plan_.every_writer_has_extension() || (emptied && !plan_.keeper);
            if (gap && !due) needless = line;
            // Numbers would make each reason a kind of its own.
            std::erase_if(reason, [](unsigned char c) { return std::isdigit(c) != 0; });
            ++tally_[(gap ? "gap: " : "sync: ") + reason];
        }
    }
    return needless.empty() ? "" : "a gap, and every writer has the extension: " + needless;
}

// A process of this round that outlives it: "" or its command.
std::string Stage::find_leftover() const {
    std::error_code ignored;
    for (const auto& entry : std::filesystem::directory_iterator("/proc", ignored)) {
        const std::string pid = entry.path().filename();
        if (pid.find_first_not_of("0123456789") != std::string::npos) continue;
        std::ifstream file(entry.path() / "cmdline");
        std::string words{std::istreambuf_iterator<char>(file), {}};
        std::replace(words.begin(), words.end(), '\0', ' ');
        if (words.find(directory_ + "/") != std::string::npos) return pid + ": " + words;
    }
    return "";
}

std::string Stage::status() const {
    if (programs_.self_test) return "";
    std::string text;
    for (const std::string& database : {primary_, replica_}) {
        text += testing::output_of({programs_.build + "/tanist", "status", database, "--json"});
    }
    return text;
}

}  // namespace tanist::chaos
