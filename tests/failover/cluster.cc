#include "tests/failover/cluster.h"

#include <fcntl.h>
#include <signal.h>
#include <sqlite3.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <functional>
#include <regex>
#include <sstream>
#include <stdexcept>

#include "tests/support/eventually.h"
#include "tests/support/process/database.h"

namespace tanist::torture {
namespace {

using testing::Child;
using testing::ChildOptions;
using testing::Database;
namespace fs = std::filesystem;

constexpr uint64_t kValuesPerClient = 1'000'000'000;

std::string text_of(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    std::ostringstream text;
    text << file.rdbuf();
    return text.str();
}

void must(int rc, Database& db) {
    if (rc != SQLITE_OK) throw std::runtime_error(db.trouble());
}

}  // namespace

std::string image_of(const std::string& path) {
    Database db;
    if (db.open(path, {.flags = SQLITE_OPEN_READWRITE}) != SQLITE_OK) return "";
    sqlite3_int64 bytes = 0;
    unsigned char* content = sqlite3_serialize(db.handle(), "main", &bytes, 0);
    if (content == nullptr) return "";
    std::string image(reinterpret_cast<char*>(content), static_cast<size_t>(bytes));
    sqlite3_free(content);
    if (image.size() > 18) image[18] = 2;
    return image;
}

bool soon(const std::function<bool()>& holds, std::chrono::seconds patience) {
    return testing::eventually(holds, patience);
}

int64_t boot_ns() {
    timespec now{};
    ::clock_gettime(CLOCK_BOOTTIME, &now);
    return now.tv_sec * 1'000'000'000 + now.tv_nsec;
}

Cluster::Cluster(ClusterOptions options, std::string directory)
    : options_(std::move(options)), directory_(std::move(directory)) {
    for (int node = 0; node < kNodes; ++node) {
        nodes_[node].directory = directory_of(directory_, node);
    }
    // The voters are founded from the settings of the first primary.
    if (options_.automatic) options_.settings += "failover = \"automatic\"\n";
}

// -- a cluster from nothing, by the commands of docs/security.md

void Cluster::found() {
    if (const std::string why = network_.make(); !why.empty()) throw std::runtime_error(why);
    for (int node = 0; node < kNodes; ++node) {
        Node& at = nodes_[node];
        fs::create_directories(at.directory);
        if (options_.disk_bytes.empty()) continue;
        const std::string size = "mode=0755,size=" + options_.disk_bytes;
        if (::mount("tmpfs", at.directory.c_str(), "tmpfs", 0, size.c_str()) != 0) {
            throw std::runtime_error("cannot mount a file system for a node");
        }
    }
    found_primary();
    for (int node = 1; node < kNodes; ++node) {
        start_daemon(node);
        std::smatch found;
        std::string address;
        while (auto line = nodes_[node].daemon.read_line(std::chrono::seconds(30))) {
            if (!std::regex_search(*line, found, std::regex("tanist://[^']*"))) continue;
            address = found[0];
            break;
        }
        const CommandEnd added = tanist(0, "members add " + path(0) + " '" + address + "' --name " +
                                               name(node) + " --may-lead");
        if (added.code != 0) throw std::runtime_error("members add: " + added.text);
    }
    start_daemon(0);
    if (!converges()) throw std::runtime_error("the new cluster does not come together");
    // Everybody knows everybody before anything happens.
    for (int node = 1; node < kNodes; ++node) {
        const bool knows = soon([&] {
            const std::string members = text_of(path(node) + "-tanist/members");
            return members.find(Network::endpoint(0)) != std::string::npos &&
                   members.find(Network::endpoint(3 - node)) != std::string::npos;
        });
        if (!knows) throw std::runtime_error("no roster at " + name(node));
        nodes_[node].daemon.kill();
        start_daemon(node);
    }
    if (!converges()) throw std::runtime_error("the new cluster does not come together again");
    if (options_.automatic && !soon([&] { return all_vote(); })) {
        throw std::runtime_error("not every node of the new cluster votes");
    }
}

Cluster::~Cluster() {
    for (Node& node : nodes_) {
        node.daemon.kill();
        node.client.kill();
        if (!options_.disk_bytes.empty()) ::umount2(node.directory.c_str(), MNT_DETACH);
    }
}

// Who joined a moment ago, or was started, votes for nobody at first.
bool Cluster::all_vote() {
    std::set<uint64_t> elected;
    for (int node = 0; node < kNodes; ++node) {
        const nlohmann::json view = status(node).value("failover", nlohmann::json());
        if (!view.is_object() || !view["withholds_seconds"].is_null()) return false;
        elected.insert(view.value("epoch", uint64_t{0}));
    }
    return elected.size() == 1;
}

void Cluster::found_primary() {
    Database db;
    must(db.open(path(0), {}), db);
    must(db.run("PRAGMA journal_mode=WAL; CREATE TABLE entry(id INTEGER PRIMARY KEY, list INT, "
                "value TEXT UNIQUE); CREATE INDEX by_list ON entry(list, id);"
                "CREATE TABLE account(id INTEGER PRIMARY KEY, balance INT);"
                "INSERT INTO account SELECT value - 1, 1000 FROM "
                "(WITH RECURSIVE n(value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM n LIMIT 10)"
                " SELECT value FROM n)"),
         db);
    db.close();
    const CommandEnd made = tanist(0, "init " + path(0));
    if (made.code != 0) throw std::runtime_error("init: " + made.text);
}

// -- processes

void Cluster::start_daemon(int node) {
    Node& at = nodes_[node];
    const std::string settings = path(node) + "-tanist/tanist.toml";
    fs::create_directories(path(node) + "-tanist");
    fs::permissions(path(node) + "-tanist", fs::perms::owner_all);
    std::ofstream text(settings);
    // Small segments, and a log that keeps what a primary writes while it is cut off.
    text << "log_segment_bytes = \"1MiB\"\nlog_bytes_max = \"1GiB\"\nack_timeout = \"2s\"\n";
    // A replica that belongs to no cluster yet takes no settings of a primary.
    if (node == 0 || fs::exists(path(node) + "-tanist/members")) {
        text << "wal_bytes_max = \"4MiB\"\nack = \"" << options_.ack << "\"\n" << options_.settings;
    }
    text.close();
    ChildOptions child;
    child.talk = true;
    child.log = directory_ + "/daemon-" + name(node) + ".log";
    child.environment = clock_environment(node);
    if (options_.environment) child.environment = options_.environment(node);
    at.daemon = Child(Network::on(node, {options_.build + "/tanistd", "--db", path(node),
                                         "--listen", Network::endpoint(node)}),
                      child);
    while (auto line = at.daemon.read_line(std::chrono::seconds(60))) {
        if (line->find(" ready") != std::string::npos) return;
    }
    throw std::runtime_error("the daemon of " + name(node) + " does not start: " + log_of(node));
}

std::vector<std::string> Cluster::clock_environment(int node) const {
    if (!options_.clocks) return {};
    if (!fs::exists(clock_of(node))) step_clock(node, std::chrono::nanoseconds(0));
    return {"LD_PRELOAD=" + options_.build + "/tests/failover/clock_layer.so",
            "TANIST_TEST_CLOCK=" + clock_of(node)};
}

// In place: the processes have it mapped.
void Cluster::step_clock(int node, std::chrono::nanoseconds offset) const {
    const int fd = ::open(clock_of(node).c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    const int64_t ns = offset.count();
    const bool done = fd >= 0 && ::write(fd, &ns, sizeof ns) == static_cast<ssize_t>(sizeof ns);
    if (fd >= 0) ::close(fd);
    if (!done) throw std::runtime_error("cannot step the clock of " + name(node));
}

void Cluster::start_client(int node) {
    Node& at = nodes_[node];
    // Values tell who wrote them: 10^9 for each client that ever was, a, b, c by turns.
    const uint64_t first =
        (at.clients++ * kNodes + static_cast<uint64_t>(node) + 1) * kValuesPerClient;
    ChildOptions child;
    child.log = directory_ + "/client-" + name(node) + ".log";
    child.environment = clock_environment(node);
    at.client = Child(Network::on(node, {options_.build + "/tests/failover/failover_client",
                                         path(node), notes_of(node), options_.build + "/tanist.so",
                                         std::to_string(first), std::to_string(options_.pace_ms)}),
                      child);
}

void Cluster::start_clients() {
    for (int node = 0; node < kNodes; ++node) {
        counted_[node] = acknowledged(node);
        start_client(node);
    }
}

void Cluster::stop_clients() {
    for (Node& node : nodes_) {
        node.client.signal(SIGCONT);
        node.client.kill();
    }
}

void Cluster::kill_node(int node) {
    nodes_[node].client.signal(SIGSTOP);  // nothing starts an engine between the two
    nodes_[node].daemon.kill();
    nodes_[node].client.kill();
}

void Cluster::signal_node(int node, int number) {
    nodes_[node].client.signal(number);
    nodes_[node].daemon.signal(number);
}

CommandEnd Cluster::tanist(int node, const std::string& words) {
    std::string line = "exec 2>&1; exec timeout 60";
    for (const std::string& word : Network::on(node, {options_.build + "/tanist"})) {
        line += " " + word;
    }
    CommandEnd end;
    FILE* pipe = ::popen((line + " " + words).c_str(), "r");
    if (pipe == nullptr) throw std::runtime_error("popen");
    std::array<char, 4096> block;
    for (size_t got = 0; (got = fread(block.data(), 1, block.size(), pipe)) > 0;) {
        end.text.append(block.data(), got);
    }
    const int status = ::pclose(pipe);
    end.code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    return end;
}

nlohmann::json Cluster::status(int node) {
    auto json = nlohmann::json::parse(tanist(node, "status " + path(node) + " --json").text,
                                      nullptr, false);
    return json.is_object() ? json : nlohmann::json::object();
}

std::string Cluster::role(int node) { return status(node).value("role", ""); }

int Cluster::primary() {
    for (int node = 0; node < kNodes; ++node) {
        if (daemon_runs(node) && role(node) == "primary") return node;
    }
    return -1;
}

void Cluster::fill_disk(int node) {
    const std::string filler = nodes_[node].directory + "/filler";
    std::ofstream file(filler, std::ios::binary);
    const std::string block(65536, 'x');
    while (file.write(block.data(), static_cast<std::streamsize>(block.size())).flush()) {
    }
}

void Cluster::free_disk(int node) { fs::remove(nodes_[node].directory + "/filler"); }

// -- waiting

uint64_t Cluster::acknowledged(int node) const {
    const std::string notes = text_of(notes_of(node));
    uint64_t count = 0;
    for (size_t at = 0; (at = notes.find("\na ", at)) != std::string::npos; ++at) ++count;
    return count;
}

bool Cluster::writes_soon(int node) {
    const uint64_t before = acknowledged(node);
    return soon([&] { return acknowledged(node) > before + 20; });
}

bool Cluster::any_writes_soon() {
    std::array<uint64_t, kNodes> before{};
    for (int node = 0; node < kNodes; ++node) before[node] = acknowledged(node);
    return soon([&] {
        for (int node = 0; node < kNodes; ++node) {
            if (acknowledged(node) > before[node] + 20) return true;
        }
        return false;
    });
}

bool Cluster::any_other_writes(int than) {
    for (int node = 0; node < kNodes; ++node) {
        if (node != than && acknowledged(node) > counted_[node]) return true;
    }
    return false;
}

bool Cluster::all_follow_soon(int holder) {
    const uint64_t end = end_of(holder);
    return soon([&] { return all_have(holder, end); });
}

bool Cluster::all_have(int holder, uint64_t end) {
    int following = 0;
    for (const auto& replica : status(holder).value("replicas", nlohmann::json::array())) {
        following += replica.value("state", "") == "streaming" &&
                     replica.value("applied", uint64_t{0}) >= end;
    }
    return following == kNodes - 1;
}

bool Cluster::one_primary_soon(int not_on) {
    return soon([&] {
        for (int node = 0; node < kNodes; ++node) {
            if (node != not_on && daemon_runs(node) && role(node) == "primary") return true;
        }
        return false;
    });
}

bool Cluster::converges() {
    return soon([&] {
        const int holder = primary();
        if (holder < 0) return false;
        for (int node = 0; node < kNodes; ++node) {
            if (node != holder && role(node) != "replica") return false;
        }
        int following = 0;
        for (const auto& replica : status(holder).value("replicas", nlohmann::json::array())) {
            following += replica.value("state", "") == "streaming";
        }
        if (following != kNodes - 1) return false;
        const std::string image = image_of(path(holder));
        for (int node = 0; node < kNodes; ++node) {
            if (node != holder && image_of(path(node)) != image) return false;
        }
        return !image.empty();
    });
}

std::string Cluster::promote_any(int not_on) {
    std::string refused;
    const bool done = soon(
        [&] {
            for (int node = 0; node < kNodes; ++node) {
                if (node == not_on || !daemon_runs(node)) continue;
                const CommandEnd end = tanist(node, "promote " + path(node) + " --yes");
                if (end.code == 0) return true;
                refused += name(node) + ": " + end.text;
            }
            return false;
        },
        std::chrono::seconds(20));
    return done ? "" : refused;
}

// -- judging

History Cluster::history() const {
    History history;
    for (int node = 0; node < kNodes; ++node)
        read_notes(name(node), text_of(notes_of(node)), history);
    return history;
}

// Values have a form of their own, so they are found in the pages of an export. Tails that were
// read are removed, as an operator would in the end: in a long run they fill the disk.
std::set<uint64_t> Cluster::saved_values(int node) {
    std::set<uint64_t> values;
    const auto list = nlohmann::json::parse(
        tanist(node, "diverged list " + path(node) + " --json").text, nullptr, false);
    if (!list.is_object()) return values;
    for (const auto& tail : list.value("diverged", nlohmann::json::array())) {
        const std::string out = directory_ + "/export.db";
        fs::remove(out);
        const std::string tail_name = tail.value("name", "");
        const CommandEnd end =
            tanist(node, "diverged export " + path(node) + " " + tail_name + " " + out);
        if (end.code != 0) throw std::runtime_error("diverged export: " + end.text);
        const std::string bytes = text_of(out);
        static const std::regex kValue("v([0-9]{10,13});");
        for (std::sregex_iterator at(bytes.begin(), bytes.end(), kValue), none; at != none; ++at) {
            values.insert(std::stoull((*at)[1]));
        }
        fs::remove_all(path(node) + "-tanist/diverged/" + tail_name);
    }
    return values;
}

Final Cluster::final_state(int node) {
    Final end;
    Database db;
    must(db.open(path(node), {.flags = SQLITE_OPEN_READWRITE}), db);
    std::string check;
    if (db.ask("PRAGMA integrity_check", check) != SQLITE_ROW || check != "ok") {
        throw std::runtime_error("integrity_check of " + name(node) + ": " + check);
    }
    if (db.ask("SELECT sum(balance) FROM account", end.sum) != SQLITE_ROW) {
        throw std::runtime_error(db.trouble());
    }
    const auto take = [](void* into, int, char** columns, char**) {
        auto& lists = *static_cast<std::map<int, std::vector<uint64_t>>*>(into);
        lists[std::stoi(columns[0])].push_back(std::stoull(columns[1]));
        return 0;
    };
    sqlite3_exec(db.handle(), "SELECT list, trim(value, 'v;') FROM entry ORDER BY list, id", take,
                 &end.lists, nullptr);
    for (int any = 0; any < kNodes; ++any) saved_.merge(saved_values(any));
    end.saved = saved_;
    return end;
}

std::string Cluster::log_of(int node) const {
    return text_of(directory_ + "/daemon-" + name(node) + ".log");
}

}  // namespace tanist::torture
