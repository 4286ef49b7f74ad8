// chaos_compare PRIMARY REPLICA: are two databases that nobody writes equal, byte for byte?
//
// Each side is first checkpointed completely by a stock connection, so that its file is the whole
// truth. Byte 18 of page 1 (the write version that makes a replica read-only) is not compared.
// Both must also pass integrity_check. Exit 0 equal, 5 different, 1 it could not be found out.
//
// It is a process of its own because it opens the files without SQLite, and closing such a
// descriptor would drop the POSIX locks of every connection in the same process.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <string>
#include <vector>

#include "tests/support/process/arguments.h"
#include "tests/support/process/database.h"

namespace {

using std::chrono::steady_clock;
using tanist::testing::Database;

bool checkpoint_completely(Database& db, std::chrono::seconds patience) {
    const auto deadline = steady_clock::now() + patience;
    int frames = -1;
    int written = -1;
    int rc = SQLITE_OK;
    while (steady_clock::now() < deadline) {
        rc = sqlite3_wal_checkpoint_v2(db.handle(), "main", SQLITE_CHECKPOINT_PASSIVE, &frames,
                                       &written);
        if (rc == SQLITE_OK && frames == written) return true;
        ::usleep(2000);  // a reader of an old snapshot is in the way
    }
    std::fprintf(stderr, "checkpoint: %s, %d of %d frames written back\n", sqlite3_errstr(rc),
                 written, frames);
    return false;
}

bool settle(const std::string& path, std::chrono::seconds patience, bool integrity,
            int64_t& page_bytes) {
    Database db;
    tanist::testing::OpenOptions how;
    how.flags = SQLITE_OPEN_READWRITE;
    std::string verdict;
    int rc = db.open(path, how);
    if (rc == SQLITE_OK) rc = db.ask("PRAGMA page_size", page_bytes);
    db.keep_wal();
    if (rc == SQLITE_ROW && integrity) rc = db.ask("PRAGMA integrity_check", verdict);
    if (rc != SQLITE_ROW) {
        std::fprintf(stderr, "%s: %s\n", path.c_str(), db.trouble().c_str());
        return false;
    }
    if (integrity && verdict != "ok") {
        std::fprintf(stderr, "%s: integrity_check: %s\n", path.c_str(), verdict.c_str());
        return false;
    }
    return checkpoint_completely(db, patience);
}

struct File {
    explicit File(const std::string& path) : fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC)) {}
    ~File() {
        if (fd >= 0) ::close(fd);
    }
    off_t bytes() const {
        struct stat facts {};
        return ::fstat(fd, &facts) == 0 ? facts.st_size : -1;
    }
    int fd;
};

// Numbers of the pages that differ, from 1.
std::vector<int64_t> differing_pages(const File& a, const File& b, int64_t page_bytes) {
    std::vector<int64_t> different;
    std::vector<char> x(static_cast<size_t>(page_bytes));
    std::vector<char> y(static_cast<size_t>(page_bytes));
    for (int64_t page = 1; (page - 1) * page_bytes < a.bytes(); ++page) {
        const ssize_t n = ::pread(a.fd, x.data(), x.size(), (page - 1) * page_bytes);
        const ssize_t m = ::pread(b.fd, y.data(), y.size(), (page - 1) * page_bytes);
        if (page == 1) x[18] = y[18] = 0;
        if (n != m || n <= 0 || !std::equal(x.begin(), x.begin() + n, y.begin())) {
            different.push_back(page);
        }
    }
    return different;
}

}  // namespace

int main(int argc, char** argv) {
    tanist::testing::Arguments arguments(argc, argv);
    const std::chrono::seconds patience(arguments.number("patience", 20));
    const bool integrity = !arguments.has("no-integrity");
    arguments.finish(2, "chaos_compare PRIMARY REPLICA [--patience SECONDS] [--no-integrity]");
    const std::string& primary = arguments.words()[0];
    const std::string& replica = arguments.words()[1];
    int64_t page_bytes = 0;
    int64_t replica_page_bytes = 0;
    if (!settle(primary, patience, integrity, page_bytes)) return 1;
    if (!settle(replica, patience, integrity, replica_page_bytes)) return 1;
    const File a(primary);
    const File b(replica);
    if (page_bytes != replica_page_bytes || a.bytes() != b.bytes()) {
        std::printf("different: %ld bytes in pages of %ld against %ld bytes in pages of %ld\n",
                    a.bytes(), page_bytes, b.bytes(), replica_page_bytes);
        return 5;
    }
    const std::vector<int64_t> pages = differing_pages(a, b, page_bytes);
    if (pages.empty()) {
        std::printf("equal: %ld bytes\n", a.bytes());
        return 0;
    }
    std::printf("different: %zu of %ld pages:", pages.size(), a.bytes() / page_bytes);
    for (size_t i = 0; i < pages.size() && i < 20; ++i) std::printf(" %ld", pages[i]);
    std::printf("\n");
    return 5;
}
