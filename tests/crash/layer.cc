// crash_layer.so: preloaded into every process of a simulated machine (journal.h). It passes each
// call on to libc and writes down what it did to files below the machine's root. It counts steps,
// and at the one it was told it ends its process by SIGKILL, or cuts the power of the machine.
//
// Nothing is really synced: the page cache survives SIGKILL, and what survives a power cut is
// computed from the journal.
#include <dlfcn.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>

#include "tests/crash/journal.h"

namespace {

using namespace tanist::crash;

constexpr int kDescriptorsMax = 4096;
constexpr unsigned kSyncMicros = 3000;
constexpr uint64_t kPageCacheBytes = 4096;  // the kernel heeds SIGKILL between these

template <class Function>
Function* real(const char* name) {
    return reinterpret_cast<Function*>(::dlsym(RTLD_NEXT, name));
}

// The functions of libc as it has them.
struct Libc {
    decltype(&::open) open = real<int(const char*, int, ...)>("open");
    decltype(&::close) close = real<int(int)>("close");
    int (*fclose)(FILE*) = real<int(FILE*)>("fclose");
    ssize_t (*pwrite)(int, const void*, size_t,
                      off_t) = real<ssize_t(int, const void*, size_t, off_t)>("pwrite");
    ssize_t (*write)(int, const void*, size_t) = real<ssize_t(int, const void*, size_t)>("write");
    ssize_t (*pwritev2)(int, const iovec*, int, off_t,
                        int) = real<ssize_t(int, const iovec*, int, off_t, int)>("pwritev2");
    int (*ftruncate)(int, off_t) = real<int(int, off_t)>("ftruncate");
    int (*posix_fallocate)(int, off_t, off_t) = real<int(int, off_t, off_t)>("posix_fallocate");
    int (*fdatasync)(int) = real<int(int)>("fdatasync");
    int (*fsync)(int) = real<int(int)>("fsync");
    int (*rename)(const char*, const char*) = real<int(const char*, const char*)>("rename");
    int (*unlink)(const char*) = real<int(const char*)>("unlink");
    int (*remove)(const char*) = real<int(const char*)>("remove");
    FILE* (*fopen)(const char*, const char*) = real<FILE*(const char*, const char*)>("fopen");
    long (*syscall)(long, ...) = real<long(long, ...)>("syscall");
    int (*zmq_msg_send)(void*, void*, int) = real<int(void*, void*, int)>("zmq_msg_send");
    int (*zmq_send)(void*, const void*, size_t,
                    int) = real<int(void*, const void*, size_t, int)>("zmq_send");
};

const Libc& libc() {
    static const Libc functions;
    return functions;
}

struct Layer {
    std::string root;  // with a slash at its end
    std::string boot_path;
    Role role = Role::none;
    MachineMemory* memory = nullptr;
    int journal = -1;

    Layer() {
        const char* root_path = std::getenv(kRootVariable);
        const char* directory = std::getenv(kMemoryVariable);
        const char* name = std::getenv(kRoleVariable);
        if (!root_path || !directory || !name) return;
        const std::string_view who(name);
        role = who == "writer"    ? Role::writer
               : who == "engine"  ? Role::engine
               : who == "replica" ? Role::replica
                                  : Role::none;
        root = std::string(root_path) + "/";
        boot_path = std::string(directory) + kBootName;
        const std::string memory_path = std::string(directory) + kMemoryName;
        const int fd = libc().open(memory_path.c_str(), O_RDWR | O_CLOEXEC);
        journal = libc().open((std::string(directory) + kJournalName).c_str(), O_RDWR | O_CLOEXEC);
        void* at = fd < 0 ? MAP_FAILED
                          : ::mmap(nullptr, sizeof(MachineMemory), PROT_READ | PROT_WRITE,
                                   MAP_SHARED, fd, 0);
        if (fd >= 0) libc().close(fd);
        if (at == MAP_FAILED || journal < 0) {
            fprintf(stderr, "crash_layer: cannot map %s\n", memory_path.c_str());
            ::_exit(120);
        }
        memory = static_cast<MachineMemory*>(at);
    }
};

// Never destroyed: threads of the host may outlive static destruction.
Layer& layer() {
    static Layer* const the = new Layer();
    return *the;
}

// Memory that processes share comes and goes by mmap, which no journal can see. What is left of
// such a file after a power cut is decided without a journal, see disk.h; engine.log is for people.
bool is_tracked(const char* path) {
    const Layer& the = layer();
    if (!the.memory || !path) return false;
    const std::string_view name(path);
    return name.starts_with(the.root) && !name.ends_with("-shm") && !name.ends_with("/control") &&
           !name.ends_with("/engine.log");
}

std::string_view relative(const char* path) {
    return std::string_view(path).substr(layer().root.size());
}

// Opened to be synced.
bool is_root(const char* path) {
    const Layer& the = layer();
    return the.memory && path && the.root == std::string(path) + "/";
}

[[noreturn]] void die() {
    ::kill(::getpid(), SIGKILL);
    for (;;) ::pause();
}

class Locked {
  public:
    Locked() {
        MachineMemory& memory = *layer().memory;
        if (::pthread_mutex_lock(&memory.lock) == EOWNERDEAD) {
            ::pthread_mutex_consistent(&memory.lock);
        }
        if (memory.powered_off.load() != 0) die();  // the lock is robust
    }
    ~Locked() { ::pthread_mutex_unlock(&layer().memory->lock); }
    Locked(const Locked&) = delete;
    Locked& operator=(const Locked&) = delete;
};

// Requires: Locked. The length moves last, so an entry that a killed process began does not exist.
void enter(Op op, uint64_t inode, uint64_t offset, std::string_view name, std::string_view data) {
    MachineMemory& memory = *layer().memory;
    if (memory.keeps_journal.load() == 0) return;
    const JournalEntry entry{op, static_cast<uint32_t>(name.size()), inode, offset, data.size()};
    uint64_t at = memory.journal_bytes.load();
    for (const std::string_view part :
         {std::string_view(reinterpret_cast<const char*>(&entry), sizeof entry), name, data}) {
        for (size_t done = 0; done < part.size();) {
            const ssize_t put = libc().pwrite(layer().journal, part.data() + done,
                                              part.size() - done, static_cast<off_t>(at));
            if (put <= 0) ::_exit(121);
            done += static_cast<size_t>(put);
            at += static_cast<uint64_t>(put);
        }
    }
    memory.journal_bytes.store(at);
}

// Begins a step. Whoever gets something other than `none` must carry out the blow. `where` gives
// the file's name.
template <class Where>
Blow step(Step kind, const char* what, Where where) {
    Layer& the = layer();
    if (!the.memory) return Blow::none;
    MachineMemory& memory = *the.memory;
    if (memory.powered_off.load() != 0) die();
    if (memory.victim.load() != static_cast<uint32_t>(the.role)) return Blow::none;
    if ((memory.classes.load() & kind) == 0) return Blow::none;
    const uint64_t number = memory.steps.fetch_add(1) + 1;
    if (number != memory.strike_at.load()) return Blow::none;
    const std::string place(where());
    snprintf(memory.struck_at, sizeof memory.struck_at, "%s %s", what, place.c_str());
    memory.struck.store(1);
    return static_cast<Blow>(memory.blow.load());
}

[[noreturn]] void fall(Blow blow) {
    if (blow == Blow::cut_power) layer().memory->powered_off.store(1);
    die();
}

void plain_step(Step kind, const char* what, std::string_view where) {
    const Blow blow = step(kind, what, [&] { return where; });
    if (blow != Blow::none) fall(blow);
}

// What each descriptor is.
struct Descriptor {
    std::atomic<uint64_t> inode;  // 0: not of the machine
    std::atomic<bool> directory;
};
Descriptor descriptors[kDescriptorsMax];

void forget(int fd) {
    if (fd < 0 || fd >= kDescriptorsMax) return;
    descriptors[fd].inode.store(0);
    descriptors[fd].directory.store(false);
}

bool is_directory(int fd) {
    return fd >= 0 && fd < kDescriptorsMax && descriptors[fd].directory.load();
}

// Relative to the root.
std::string name_of(int fd) {
    char path[4096];
    const ssize_t got =
        ::readlink(("/proc/self/fd/" + std::to_string(fd)).c_str(), path, sizeof path);
    const std::string_view root = layer().root;
    if (got < static_cast<ssize_t>(root.size())) return "";
    return std::string(path + root.size(), static_cast<size_t>(got) - root.size());
}

// A copy of a descriptor is met here for the first time: nothing told of its making.
void recognise_copy(int fd) {
    struct stat facts {};
    if (!layer().memory || ::fstat(fd, &facts) != 0 || !S_ISREG(facts.st_mode)) return;
    const std::string name = name_of(fd);
    if (!name.empty() && is_tracked((layer().root + name).c_str())) {
        descriptors[fd].inode.store(facts.st_ino);
    }
}

uint64_t tracked_inode(int fd) {
    if (fd < 0 || fd >= kDescriptorsMax || descriptors[fd].directory.load()) return 0;
    if (descriptors[fd].inode.load() == 0) recognise_copy(fd);
    return descriptors[fd].inode.load();
}

void remember(int fd, const char* path, bool existed, bool emptied) {
    struct stat facts {};
    if (fd < 0 || fd >= kDescriptorsMax || ::fstat(fd, &facts) != 0) return;
    if (!S_ISREG(facts.st_mode) && !S_ISDIR(facts.st_mode)) return;  // a FIFO holds nothing
    descriptors[fd].inode.store(facts.st_ino);
    descriptors[fd].directory.store(S_ISDIR(facts.st_mode));
    if (S_ISDIR(facts.st_mode)) return;
    enter(existed ? Op::open : Op::create, facts.st_ino, 0, relative(path), "");
    if (existed && emptied) enter(Op::resize, facts.st_ino, 0, "", "");
}

int open_file(const char* path, int flags, mode_t mode) {
    const Layer& the = layer();
    if (the.memory && path && std::strcmp(path, "/proc/sys/kernel/random/boot_id") == 0) {
        path = the.boot_path.c_str();
    }
    if (is_root(path)) {
        const int fd = libc().open(path, flags, mode);
        remember(fd, path, true, false);
        return fd;
    }
    if (!is_tracked(path)) return libc().open(path, flags, mode);
    const bool existed = ::access(path, F_OK) == 0;
    const bool emptied = (flags & O_TRUNC) != 0;
    if (emptied || (!existed && (flags & O_CREAT) != 0)) {
        plain_step(kStepFile, "open", relative(path));
    }
    const Locked locked;
    const bool is_new = ::access(path, F_OK) != 0;
    const int fd = libc().open(path, flags, mode);
    if (fd >= 0) remember(fd, path, !is_new, emptied);
    return fd;
}

std::string_view view(const void* bytes, size_t count) {
    return {static_cast<const char*>(bytes), count};
}

// A killed process has written the whole, or nothing, or as many pages as the kernel had copied.
size_t part_written(uint64_t offset, size_t bytes, uint64_t number) {
    const uint64_t first = kPageCacheBytes - offset % kPageCacheBytes;
    if (bytes <= first || number % 2 == 0) return 0;
    const uint64_t pages = (bytes - first) / kPageCacheBytes;
    return static_cast<size_t>(
        std::min<uint64_t>(bytes, first + (pages == 0 ? 0 : number / 2 % pages) * kPageCacheBytes));
}

// As long as a disk takes: what others do without waiting for it must be seen to be wrong.
void wait_for_disk() {
    if (layer().memory->keeps_journal.load() != 0) ::usleep(kSyncMicros);
}

template <class Write>
ssize_t write_file(int fd, const void* bytes, size_t count, uint64_t offset, bool durably,
                   Write write) {
    const uint64_t inode = tracked_inode(fd);
    const Blow blow = step(kStepFile, "write", [&] { return name_of(fd); });
    if (durably) wait_for_disk();
    const Locked locked;
    if (blow == Blow::kill) {
        const size_t part = part_written(offset, count, layer().memory->steps.load());
        enter(Op::write, inode, offset, "", view(bytes, part));
        write(bytes, part);
        die();
    }
    // One that is under way when the power goes: perhaps some sectors came.
    const bool done = durably && blow != Blow::cut_power;
    enter(done ? Op::write_durably : Op::write, inode, offset, "", view(bytes, count));
    if (blow == Blow::cut_power) fall(blow);
    return write(bytes, count);
}

}  // namespace

// -- the calls, under the names by which programs know them

extern "C" {

#define EXPORTED __attribute__((visibility("default")))

EXPORTED int open(const char* path, int flags, ...) {
    va_list more;
    va_start(more, flags);
    const mode_t mode = (flags & O_CREAT) != 0 ? va_arg(more, mode_t) : 0;
    va_end(more);
    return open_file(path, flags, mode);
}

EXPORTED int open64(const char* path, int flags, ...) {
    va_list more;
    va_start(more, flags);
    const mode_t mode = (flags & O_CREAT) != 0 ? va_arg(more, mode_t) : 0;
    va_end(more);
    return open_file(path, flags, mode);
}

EXPORTED FILE* fopen(const char* path, const char* mode) {
    if (!is_tracked(path) || mode[0] == 'r') return libc().fopen(path, mode);
    plain_step(kStepFile, "open", relative(path));
    const Locked locked;
    const bool existed = ::access(path, F_OK) == 0;
    FILE* file = libc().fopen(path, mode);
    if (file) remember(fileno(file), path, existed, mode[0] == 'w');
    return file;
}

EXPORTED FILE* fopen64(const char* path, const char* mode) { return fopen(path, mode); }

EXPORTED int close(int fd) {
    forget(fd);
    return libc().close(fd);
}

// It closes its descriptor by a call within libc, and the next file gets the same number.
EXPORTED int fclose(FILE* file) {
    forget(fileno(file));
    return libc().fclose(file);
}

EXPORTED ssize_t pwrite(int fd, const void* bytes, size_t count, off_t offset) {
    if (tracked_inode(fd) == 0) return libc().pwrite(fd, bytes, count, offset);
    return write_file(
        fd, bytes, count, static_cast<uint64_t>(offset), false,
        [&](const void* from, size_t n) { return libc().pwrite(fd, from, n, offset); });
}

EXPORTED ssize_t pwritev2(int fd, const iovec* pieces, int count, off_t offset, int flags) {
    if (tracked_inode(fd) == 0) return libc().pwritev2(fd, pieces, count, offset, flags);
    std::string bytes;
    for (int i = 0; i < count; ++i) bytes.append(view(pieces[i].iov_base, pieces[i].iov_len));
    return write_file(
        fd, bytes.data(), bytes.size(), static_cast<uint64_t>(offset), (flags & RWF_DSYNC) != 0,
        [&](const void* from, size_t n) { return libc().pwrite(fd, from, n, offset); });
}

EXPORTED ssize_t pwritev64v2(int fd, const iovec* pieces, int count, off64_t offset, int flags) {
    return pwritev2(fd, pieces, count, offset, flags);
}

EXPORTED ssize_t pwrite64(int fd, const void* bytes, size_t count, off64_t offset) {
    return pwrite(fd, bytes, count, offset);
}

EXPORTED ssize_t write(int fd, const void* bytes, size_t count) {
    // Not for copies: standard output and error are some, and sockets are many.
    if (fd < 0 || fd >= kDescriptorsMax || descriptors[fd].inode.load() == 0)
        return libc().write(fd, bytes, count);
    const int flags = ::fcntl(fd, F_GETFL);
    const off_t offset = ::lseek(fd, 0, (flags & O_APPEND) != 0 ? SEEK_END : SEEK_CUR);
    return write_file(fd, bytes, count, static_cast<uint64_t>(offset), false,
                      [&](const void* from, size_t n) { return libc().write(fd, from, n); });
}

EXPORTED int ftruncate(int fd, off_t bytes) noexcept {
    const uint64_t inode = tracked_inode(fd);
    if (inode == 0) return libc().ftruncate(fd, bytes);
    plain_step(kStepFile, "truncate", name_of(fd));
    const Locked locked;
    enter(Op::resize, inode, static_cast<uint64_t>(bytes), "", "");
    return libc().ftruncate(fd, bytes);
}

EXPORTED int ftruncate64(int fd, off64_t bytes) noexcept { return ftruncate(fd, bytes); }

EXPORTED int posix_fallocate(int fd, off_t offset, off_t count) {
    const uint64_t inode = tracked_inode(fd);
    if (inode == 0) return libc().posix_fallocate(fd, offset, count);
    plain_step(kStepFile, "allocate", name_of(fd));
    const Locked locked;
    enter(Op::allocate, inode, static_cast<uint64_t>(offset + count), "", "");
    return libc().posix_fallocate(fd, offset, count);
}

EXPORTED int posix_fallocate64(int fd, off64_t offset, off64_t count) {
    return posix_fallocate(fd, offset, count);
}

EXPORTED int fsync(int fd) {
    const bool names = is_directory(fd);
    if (!names && tracked_inode(fd) == 0) return libc().fsync(fd);
    const std::string name = name_of(fd);
    const Blow blow = step(kStepFile, "sync", [&] { return name; });
    wait_for_disk();
    if (blow != Blow::none) fall(blow);
    const Locked locked;
    if (names) {
        enter(Op::sync_names, 0, 0, name, "");
    } else {
        enter(Op::sync, descriptors[fd].inode.load(), 0, "", "");
    }
    return 0;
}

// Of a directory, too: so SQLite makes the name of a new WAL durable.
EXPORTED int fdatasync(int fd) {
    if (!is_directory(fd) && tracked_inode(fd) == 0) return libc().fdatasync(fd);
    return fsync(fd);
}

EXPORTED int rename(const char* from, const char* to) noexcept {
    if (!is_tracked(from) || !is_tracked(to)) return libc().rename(from, to);
    plain_step(kStepFile, "rename", relative(from));
    const Locked locked;
    const int result = libc().rename(from, to);
    if (result == 0) enter(Op::rename, 0, 0, relative(from), relative(to));
    return result;
}

EXPORTED int unlink(const char* path) noexcept {
    if (!is_tracked(path) || ::access(path, F_OK) != 0) return libc().unlink(path);
    plain_step(kStepFile, "unlink", relative(path));
    const Locked locked;
    const int result = libc().unlink(path);
    if (result == 0) enter(Op::unlink, 0, 0, relative(path), "");
    return result;
}

EXPORTED int remove(const char* path) noexcept {
    if (!is_tracked(path) || ::access(path, F_OK) != 0) return libc().remove(path);
    plain_step(kStepFile, "unlink", relative(path));
    const Locked locked;
    const int result = libc().remove(path);
    if (result == 0) enter(Op::unlink, 0, 0, relative(path), "");
    return result;
}

EXPORTED long syscall(long number, ...) noexcept {
    va_list more;
    va_start(more, number);
    long words[6];
    for (long& word : words) word = va_arg(more, long);
    va_end(more);
    if (number == SYS_futex) plain_step(kStepWake, "futex", "");
    return libc().syscall(number, words[0], words[1], words[2], words[3], words[4], words[5]);
}

EXPORTED int zmq_msg_send(void* message, void* socket, int flags) {
    plain_step(kStepSend, "send", "");
    return libc().zmq_msg_send(message, socket, flags);
}

EXPORTED int zmq_send(void* socket, const void* bytes, size_t count, int flags) {
    plain_step(kStepSend, "send", "");
    return libc().zmq_send(socket, bytes, count, flags);
}

// For the writer, which counts the calls that SQLite makes to its VFS.
EXPORTED void tanist_crash_vfs_step(const char* what, const char* where) {
    plain_step(kStepVfs, what, where);
}

}  // extern "C"
