// An application: a process of its own with one SQLite connection, which runs the statements it is
// told and can be made to stop or die at an exact point of a commit or a checkpoint.
#pragma once

#include <signal.h>
#include <sqlite3.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <stdexcept>
#include <string>

#include "tests/support/process/database.h"

namespace tanist::testing {

enum class Accident {
    none,
    // SIGKILL: the commit frame is in the WAL, the wal-index does not count it.
    die_after_commit_frame,
    // Says "stopped" there and waits for go().
    stop_after_commit_frame,
    // SIGKILL: one of the two copies of the wal-index header counts it.
    die_between_headers,
    // The same: a checkpoint has read the wal-index header and has not
    // used it yet.
    stop_in_checkpoint,
};

class Application {
  public:
    // Make it before this process has the database open: SQLite's locks do not survive a fork.
    explicit Application(const std::string& path, const OpenOptions& options = {}) {
        std::array<int, 2> ends{};
        if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) != 0) {
            throw std::runtime_error("socketpair");
        }
        pid_ = ::fork();
        if (pid_ == 0) {
            ::prctl(PR_SET_PDEATHSIG, SIGKILL);
            ::close(ends[0]);
            work(path, options, ends[1]);
        }
        ::close(ends[1]);
        socket_ = ends[0];
        if (answer() != "open") throw std::runtime_error("cannot open " + path);
    }
    ~Application() {
        ::close(socket_);  // the end of its work
        if (!ended_) wait();
    }
    Application(const Application&) = delete;
    Application& operator=(const Application&) = delete;

    // First column of the last row, or "error: ...".
    std::string run(const std::string& sql) {
        send(sql);
        return answer();
    }
    void send(const std::string& sql, Accident accident = Accident::none) {
        const std::string message = static_cast<char>('0' + static_cast<int>(accident)) + sql;
        if (::send(socket_, message.data(), message.size(), MSG_NOSIGNAL) < 0) {
            throw std::runtime_error("the application is gone");
        }
    }
    void go() { send(""); }
    // "" when the application has died.
    std::string answer() { return receive(socket_); }
    void kill() {
        ::kill(pid_, SIGKILL);
        wait();
    }
    // The number of the signal that ended it, 0 when it ended by itself.
    int wait() {
        int status = 0;
        while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
        }
        ended_ = true;
        return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    }

  private:
    static std::string receive(int socket) {
        std::string text(65536, '\0');
        const ssize_t got = ::recv(socket, text.data(), text.size(), 0);
        text.resize(got > 0 ? static_cast<size_t>(got) : 0);
        return text;
    }
    static void tell(int socket, const std::string& text) {
        ::send(socket, text.data(), text.size(), MSG_NOSIGNAL);
    }
    [[noreturn]] static void work(const std::string& path, const OpenOptions& options, int socket);

    // What the replaced methods of this process's connection know.
    struct Trap {
        Accident accident = Accident::none;
        int socket = -1;
        bool commit_header = false;
        bool commit_written = false;
        const sqlite3_io_methods* db = nullptr;
        const sqlite3_io_methods* wal = nullptr;
        sqlite3_io_methods my_db{};
        sqlite3_io_methods my_wal{};
    };
    static Trap& trap() {
        static Trap instance;
        return instance;
    }
    static int write_wal(sqlite3_file* file, const void* data, int bytes, sqlite3_int64 at);
    static void barrier(sqlite3_file* file);
    static int unfetch(sqlite3_file* file, sqlite3_int64 at, void* memory);
    static void set_trap(sqlite3* db, int socket);

    pid_t pid_ = -1;
    int socket_ = -1;
    bool ended_ = false;
};

inline int Application::write_wal(sqlite3_file* file, const void* data, int bytes,
                                  sqlite3_int64 at) {
    Trap& my = trap();
    const int rc = my.wal->xWrite(file, data, bytes, at);
    if (my.accident == Accident::none) return rc;
    const auto* header = static_cast<const uint8_t*>(data);
    if (bytes == 24) {
        my.commit_header = (header[4] | header[5] | header[6] | header[7]) != 0;
    } else if (my.commit_header) {
        if (my.accident == Accident::die_after_commit_frame) ::raise(SIGKILL);
        if (my.accident == Accident::stop_after_commit_frame) {
            my.accident = Accident::none;
            tell(my.socket, "stopped");
            receive(my.socket);
        }
        my.commit_written = true;
    }
    return rc;
}

inline void Application::barrier(sqlite3_file* file) {
    Trap& my = trap();
    if (my.accident == Accident::die_between_headers && my.commit_written) ::raise(SIGKILL);
    my.db->xShmBarrier(file);
}

inline int Application::unfetch(sqlite3_file* file, sqlite3_int64 at, void* memory) {
    Trap& my = trap();
    if (my.accident == Accident::stop_in_checkpoint && memory == nullptr) {
        my.accident = Accident::none;
        tell(my.socket, "stopped");
        receive(my.socket);
    }
    return my.db->xUnfetch(file, at, memory);
}

inline void Application::set_trap(sqlite3* db, int socket) {
    Trap& my = trap();
    my.socket = socket;
    sqlite3_file* file = nullptr;
    sqlite3_file_control(db, "main", SQLITE_FCNTL_FILE_POINTER, &file);
    my.db = file->pMethods;
    my.my_db = *my.db;
    my.my_db.xShmBarrier = barrier;
    my.my_db.xUnfetch = unfetch;
    file->pMethods = &my.my_db;
    sqlite3_file_control(db, "main", SQLITE_FCNTL_JOURNAL_POINTER, &file);
    if (file == nullptr || file->pMethods == nullptr) return;
    my.wal = file->pMethods;
    my.my_wal = *my.wal;
    my.my_wal.xWrite = write_wal;
    file->pMethods = &my.my_wal;
}

inline void Application::work(const std::string& path, const OpenOptions& options, int socket) {
    Database database;
    std::string first;
    // Reading opens the WAL.
    const bool open = database.open(path, options) == SQLITE_OK &&
                      database.ask("SELECT count(*) FROM sqlite_schema", first) == SQLITE_ROW;
    tell(socket, open ? "open" : database.trouble());
    bool trapped = false;
    for (std::string message; !(message = receive(socket)).empty();) {
        const auto accident = static_cast<Accident>(message[0] - '0');
        if (accident != Accident::none && !trapped) set_trap(database.handle(), socket);
        trapped = trapped || accident != Accident::none;
        trap().accident = accident;
        std::string last;
        const auto keep = [](void* into, int, char** values, char**) {
            *static_cast<std::string*>(into) = values[0] != nullptr ? values[0] : "";
            return 0;
        };
        const int rc = sqlite3_exec(database.handle(), message.c_str() + 1, keep, &last, nullptr);
        trap().accident = Accident::none;
        if (rc != SQLITE_OK) last = std::string("error: ") + sqlite3_errmsg(database.handle());
        tell(socket, last.empty() ? "ok" : last);
    }
    database.close();
    ::_exit(0);
}

}  // namespace tanist::testing
