// LD_PRELOAD=tanist.so: the extension loaded and the VFS made the default in any program that links
// libsqlite3 dynamically, now or later, without exporting a symbol
// (docs/decisions/0002-preload.md).
//
// In an ELF constructor, before anything of the program has run: SQLite is initialised, a
// connection in memory is opened to be handed sqlite3_api, the VFS is registered, and SQLite is
// shut down again, so that the program may still configure it. SQLite's start registers "unix" as
// the default once more; so one function of its mutex methods, the allocation, is replaced: its
// first call of a start puts ours back in front of "unix". Nothing on a statement's path changes.
#include <dlfcn.h>

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <string>

#include "extension/entry.h"
#include "extension/host.h"

namespace tanist {
namespace {

const sqlite3_api_routines* host_api = nullptr;
sqlite3_mutex* (*allocate_mutex)(int) = nullptr;
int (*end_mutexes)() = nullptr;
std::atomic<bool> looked = false;  // since SQLite was last started

int take_api(sqlite3*, char**, const sqlite3_api_routines* api) noexcept {
    host_api = api;
    return SQLITE_OK;
}

// The first request for SQLITE_MUTEX_STATIC_MAIN comes from sqlite3_initialize, with no lock held.
// Later ones may come from a holder of that very mutex, so only the first may look. What is called
// here runs that initialisation to its end first, which the outer one then finds done.
sqlite3_mutex* allocate_mutex_and_look(int id) noexcept {
    if (id == SQLITE_MUTEX_STATIC_MASTER && !looked.exchange(true)) {
        try {
            start_in_process(host_api, true);
        } catch (...) {  // the program goes on without replication
        }
    }
    return allocate_mutex(id);
}

int end_mutexes_and_forget() noexcept {
    looked = false;
    return end_mutexes();
}

// True when tanist.so was named in LD_PRELOAD, not merely loaded by a program that has one.
bool preloaded() {
    const char* list = std::getenv("LD_PRELOAD");
    Dl_info own{};
    if (list == nullptr || ::dladdr(reinterpret_cast<void*>(&preloaded), &own) == 0) return false;
    const char* slash = std::strrchr(own.dli_fname, '/');
    const std::string name = slash != nullptr ? slash + 1 : own.dli_fname;
    const std::string words = list;
    for (size_t at = 0; at < words.size();) {
        const size_t end = std::min(words.find_first_of(" :", at), words.size());
        const std::string word = words.substr(at, end - at);
        if (word == name ||
            (word.size() > name.size() &&
             word.compare(word.size() - name.size() - 1, std::string::npos, "/" + name) == 0)) {
            return true;
        }
        at = end + 1;
    }
    return false;
}

template <class Function>
bool find(void* library, const char* name, Function& out) {
    out = reinterpret_cast<Function>(::dlsym(library, name));
    return out != nullptr;
}

// The functions that sqlite3_api does not have, or that come before it.
struct Host {
    int (*config)(int, ...);
    int (*initialize)();
    int (*shutdown)();
    int (*open)(const char*, sqlite3**);
    int (*close)(sqlite3*);
    int (*auto_extension)(void (*)(void));

    bool load() {
        // Already there, or what a later dlopen of the same name will find.
        void* library = ::dlopen("libsqlite3.so.0", RTLD_LAZY | RTLD_LOCAL);
        return library != nullptr && find(library, "sqlite3_config", config) &&
               find(library, "sqlite3_initialize", initialize) &&
               find(library, "sqlite3_shutdown", shutdown) && find(library, "sqlite3_open", open) &&
               find(library, "sqlite3_close", close) &&
               find(library, "sqlite3_auto_extension", auto_extension);
    }
};

void learn_api(const Host& host) {
    sqlite3* db = nullptr;
    host.auto_extension(reinterpret_cast<void (*)(void)>(take_api));
    host.open(":memory:", &db);
    host.close(db);
}

void preload() {
    Host host{};
    if (!host.load()) return;
    sqlite3_mutex_methods methods{};
    // Refused once somebody's constructor has started SQLite: then it stays started, and no
    // shutdown may come between.
    const bool fresh = host.config(SQLITE_CONFIG_GETMUTEX, &methods) == SQLITE_OK;
    if (host.initialize() != SQLITE_OK) return;
    learn_api(host);
    if (host_api == nullptr || start_in_process(host_api, true) != SQLITE_OK || !fresh) return;
    host.shutdown();
    host.config(SQLITE_CONFIG_GETMUTEX, &methods);
    if (methods.xMutexAlloc == nullptr) return;
    allocate_mutex = methods.xMutexAlloc;
    end_mutexes = methods.xMutexEnd;
    methods.xMutexAlloc = allocate_mutex_and_look;
    methods.xMutexEnd = end_mutexes_and_forget;
    host.config(SQLITE_CONFIG_MUTEX, &methods);
}

__attribute__((constructor)) void at_load() {
    try {
        if (preloaded()) preload();
    } catch (...) {  // the program goes on without replication
    }
}

}  // namespace
}  // namespace tanist
