// The one symbol that tanist.so exports.
//
// SQLite calls sqlite3_tanist_init for load_extension(); it registers the VFS for the whole process
// and, for every connection opened from then on, connection_opened(). The library is linked
// -z nodelete, and says SQLITE_OK_LOAD_PERMANENTLY, because the VFS must outlive the connection
// that loaded it.
#include <cstdlib>
#include <cstring>
#include <mutex>

#include "extension/database_file.h"
#include "extension/entry.h"
#include "extension/functions.h"
#include "extension/host.h"
#include "extension/vfs.h"
#include "replicator/base/notes.h"

// The table of the host's SQLite; one per process, the same for every connection.
const sqlite3_api_routines* sqlite3_api = nullptr;

namespace tanist {
namespace {

// SQLITE_OK_LOAD_PERMANENTLY came with it.
constexpr int kOldestSqlite = 3014000;

// At the end of every sqlite3_open: the connection works, and is nobody else's yet. An error makes
// the open fail with the sentence.
int connection_opened(sqlite3* db, char** sentence, const sqlite3_api_routines*) noexcept {
    try {
        const int rc = register_functions(db);
        if (rc != SQLITE_OK) return rc;
        DatabaseFile* file = database_of(db, "main");
        if (file == nullptr) return SQLITE_OK;
        const Status done = file->refusal.empty() ? activate(db, *file)
                                                  : Status(Error{Errc::refused, file->refusal});
        if (done.ok()) return SQLITE_OK;
        if (sentence != nullptr) {
            *sentence = sqlite3_mprintf("%s", done.error().message.c_str());
        }
        return SQLITE_ERROR;
    } catch (...) {
        return SQLITE_NOMEM;
    }
}

}  // namespace

void note_to_sqlite(NoteLevel level, const std::string& line) {
    const int code = level == NoteLevel::info ? SQLITE_NOTICE : SQLITE_WARNING;
    sqlite3_log(code, "tanist: %s", line.c_str());
}

int start_in_process(const sqlite3_api_routines* api, bool make_default) {
    // Once: other threads use it while one more connection loads the extension.
    static std::once_flag first;
    std::call_once(first, [&] {
        sqlite3_api = api;
        set_note_sink(note_to_sqlite);
    });
    if (sqlite3_api != api) return SQLITE_MISUSE;
    const int rc = register_vfs(make_default);
    if (rc != SQLITE_OK) return rc;
    return sqlite3_auto_extension(reinterpret_cast<void (*)(void)>(connection_opened));
}

bool default_wanted() {
    const char* wish = std::getenv("TANIST_DEFAULT_VFS");
    return wish != nullptr && std::strcmp(wish, "1") == 0;
}

}  // namespace tanist

extern "C" __attribute__((visibility("default"))) int sqlite3_tanist_init(
    sqlite3* db, char** sentence, const sqlite3_api_routines* api) noexcept {
    try {
        if (api->libversion_number() < tanist::kOldestSqlite) {
            if (sentence != nullptr) {
                *sentence = api->mprintf("Tanist needs SQLite 3.14 or newer; this is %s",
                                         api->libversion());
            }
            return SQLITE_ERROR;
        }
        const int rc = tanist::start_in_process(api, tanist::default_wanted());
        if (rc == SQLITE_MISUSE && sentence != nullptr) {
            *sentence = api->mprintf(
                "Tanist serves another copy of SQLite in this process already; link the program "
                "and its libraries with one (tanist doctor names both)");
        }
        if (rc != SQLITE_OK) return rc;
        // The loading connection was opened before, so it gets the functions here.
        const int functions = tanist::register_functions(db);
        return functions == SQLITE_OK ? SQLITE_OK_LOAD_PERMANENTLY : functions;
    } catch (...) {
        return SQLITE_NOMEM;
    }
}
