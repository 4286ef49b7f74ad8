// tanist-ship.so: the engine inside an application, for ship=thread. The extension loads this
// module only when that is asked for, so an application that does not ask never loads libzmq.
//
// The engine's threads take no signals. They end when nobody has had the database open for a
// while, when the node was superseded, or with the process; nothing is done at exit, because
// everything that matters is in files that survive a SIGKILL.
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "replicator/base/event.h"
#include "replicator/base/notes.h"
#include "replicator/control/layout.h"
#include "replicator/node/daemonize.h"
#include "replicator/node/engine.h"
#include "replicator/node/signals.h"
#include "replicator/node/write_hold.h"
#include "replicator/wal/sqlite_host.h"

namespace tanist {
namespace {

constexpr Nanos kWriterPatience = std::chrono::seconds(10);

struct Hosted {
    std::unique_ptr<Engine> engine;
    Event never;
};

// Leaked on purpose: threads may use them while the process exits.
std::mutex& hosted_mutex() {
    static auto* mutex = new std::mutex;
    return *mutex;
}
std::map<std::string, std::unique_ptr<Hosted>>& hosted() {
    static auto* map = new std::map<std::string, std::unique_ptr<Hosted>>;
    static int owner = process_id();
    if (owner != process_id()) {
        // A child of fork has none of the threads; what it inherited is left alone.
        map = new std::map<std::string, std::unique_ptr<Hosted>>;
        owner = process_id();
    }
    return *map;
}

void run_until_finished(const SqliteApi& api, const std::string& path, Hosted* mine) {
    mine->engine->wait_finished(mine->never.fd());
    if (mine->engine->superseded()) {
        // While the engine runs, which captures that like any commit.
        if (auto marked = mark_read_only(api, path, kWriterPatience); !marked) {
            note(NoteLevel::error, "processes without the extension are not fenced",
                 {{"database", path}, {"reason", marked.error().message}});
        }
    }
    mine->engine->stop(std::chrono::seconds(2));
    std::lock_guard lock(hosted_mutex());
    hosted().erase(path);
}

// `api` stays as long as the process.
Status start(const SqliteApi& api, const std::string& path) {
    std::lock_guard lock(hosted_mutex());
    if (hosted().contains(path)) return ok_status();
    Layout layout(path);
    auto settings = read_settings(layout.settings());
    if (!settings) return std::move(settings).error();
    TANIST_TRY(apply_environment(*settings));
    set_note_level(settings->log_level);  // of all engines in this process
    settings->listen.clear();             // an application never listens
    SignalsBlocked quiet;
    auto engine = Engine::start(
        api, {.db_path = path, .settings = std::move(*settings), .leave_when_idle = true});
    if (!engine) return std::move(engine).error();
    auto item = std::make_unique<Hosted>();
    item->engine = std::move(engine).value();
    Hosted* mine = item.get();
    hosted()[path] = std::move(item);
    std::thread([&api, path, mine] { run_until_finished(api, path, mine); }).detach();
    return ok_status();
}

}  // namespace
}  // namespace tanist

// 0: an engine runs for this database, here or in another process. 1: it does not; the reason has
// been noted. Never throws.
extern "C" __attribute__((visibility("default"))) int tanist_ship_start(
    const sqlite3_api_routines* routines, const char* db_path,
    void (*sink)(tanist::NoteLevel, const std::string&)) noexcept {
    try {
        tanist::set_note_sink(sink);
        static const tanist::SqliteApi api = tanist::host_sqlite(routines);
        tanist::Status started = tanist::start(api, db_path);
        if (started || started.error().code == tanist::Errc::refused) return 0;
        tanist::note(tanist::NoteLevel::error, "the engine did not start in the application",
                     {{"reason", started.error().message}});
    } catch (...) {
    }
    return 1;
}
