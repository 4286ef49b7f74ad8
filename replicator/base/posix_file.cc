#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <cstdlib>
#include <system_error>

#include "replicator/base/file.h"

namespace tanist {
namespace {

Error os_error(const char* doing, const std::string& path, int reason) {
    Errc code = Errc::io;
    if (reason == ENOSPC || reason == EDQUOT) code = Errc::no_space;
    if (reason == ENOENT) code = Errc::not_found;
    return {code, std::string("cannot ") + doing + " " + path + ": " +
                      std::generic_category().message(reason)};
}

int open_flags(File::Mode mode) {
    switch (mode) {
        case File::Mode::read:
            return O_RDONLY;
        case File::Mode::write:
            return O_RDWR;
        case File::Mode::create:
            return O_RDWR | O_CREAT;
        case File::Mode::create_new:
            return O_RDWR | O_CREAT | O_EXCL;
    }
    return O_RDONLY;
}

FileStat from_system(const struct stat& got) {
    auto ns = [](const timespec& t) { return int64_t{t.tv_sec} * 1'000'000'000 + t.tv_nsec; };
    FileStat out;
    out.bytes = static_cast<uint64_t>(got.st_size);
    out.inode = got.st_ino;
    out.modified_ns = ns(got.st_mtim);
    out.changed_ns = ns(got.st_ctim);
    out.mode = got.st_mode;
    out.owner = got.st_uid;
    return out;
}

}  // namespace

std::string directory_of(const std::string& path) {
    size_t slash = path.rfind('/');
    if (slash == std::string::npos) return ".";
    return slash == 0 ? "/" : path.substr(0, slash);
}

Result<File> File::open(const std::string& path, Mode mode) {
    int fd;
    do {
        fd = ::open(path.c_str(), open_flags(mode) | O_CLOEXEC, 0600);
    } while (fd < 0 && errno == EINTR);
    if (fd < 0) return os_error("open", path, errno);
    File file;
    file.fd_ = fd;
    file.path_ = path;
    return file;
}

File::File(File&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)), path_(std::move(other.path_)) {}

File& File::operator=(File&& other) noexcept {
    if (this != &other) {
        close();
        fd_ = std::exchange(other.fd_, -1);
        path_ = std::move(other.path_);
    }
    return *this;
}

File::~File() { close(); }

void File::close() {
    // After EINTR the state of the descriptor is released on Linux: closing again could close
    // somebody else's file.
    if (fd_ >= 0) ::close(fd_);
    fd_ = -1;
}

Result<size_t> File::read_at(uint64_t offset, MutableBytes out) const {
    size_t done = 0;
    while (done < out.size()) {
        ssize_t got =
            ::pread(fd_, out.data() + done, out.size() - done, static_cast<off_t>(offset + done));
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return os_error("read", path_, errno);
        if (got == 0) break;
        done += static_cast<size_t>(got);
    }
    return done;
}

Status File::read_exactly_at(uint64_t offset, MutableBytes out) const {
    Result<size_t> got = read_at(offset, out);
    if (!got.ok()) return std::move(got).error();
    if (*got == out.size()) return ok_status();
    return Error{Errc::corrupt, path_ + " ends at byte " + std::to_string(offset + *got) + "; " +
                                    std::to_string(out.size()) + " bytes were expected at " +
                                    std::to_string(offset)};
}

Status File::write_at(uint64_t offset, ByteView bytes) {
    size_t done = 0;
    while (done < bytes.size()) {
        ssize_t put = ::pwrite(fd_, bytes.data() + done, bytes.size() - done,
                               static_cast<off_t>(offset + done));
        if (put < 0 && errno == EINTR) continue;
        if (put < 0) return os_error("write", path_, errno);
        if (put == 0) return os_error("write", path_, EIO);
        done += static_cast<size_t>(put);
    }
    return ok_status();
}

Status File::write_at_durably(uint64_t offset, ByteView bytes) {
    iovec piece{const_cast<uint8_t*>(bytes.data()), bytes.size()};
    ssize_t put;
    do {
        put = ::pwritev2(fd_, &piece, 1, static_cast<off_t>(offset), RWF_DSYNC);
    } while (put < 0 && errno == EINTR);
    if (put >= 0 && static_cast<size_t>(put) == bytes.size()) return ok_status();
    if (put < 0 && errno != EOPNOTSUPP && errno != ENOSYS) return os_error("write", path_, errno);
    TANIST_TRY(write_at(offset, bytes));
    return sync_data();
}

Status File::truncate(uint64_t bytes) {
    int result;
    do {
        result = ::ftruncate(fd_, static_cast<off_t>(bytes));
    } while (result != 0 && errno == EINTR);
    if (result != 0) return os_error("truncate", path_, errno);
    return ok_status();
}

Status File::allocate(uint64_t bytes) {
    // posix_fallocate falls back to touching every block where the file system has no fallocate.
    int reason;
    do {
        reason = ::posix_fallocate(fd_, 0, static_cast<off_t>(bytes));
    } while (reason == EINTR);
    if (reason != 0) return os_error("reserve space for", path_, reason);
    return ok_status();
}

Status File::sync_data() {
    int result;
    do {
        result = ::fdatasync(fd_);
    } while (result != 0 && errno == EINTR);
    if (result != 0) return os_error("sync", path_, errno);
    return ok_status();
}

Result<File> File::duplicate() const {
    File copy;
    copy.fd_ = ::fcntl(fd_, F_DUPFD_CLOEXEC, 0);
    if (copy.fd_ < 0) return os_error("duplicate", path_, errno);
    copy.path_ = path_;
    return copy;
}

Result<FileStat> File::stat() const {
    struct stat got {};
    if (::fstat(fd_, &got) != 0) return os_error("stat", path_, errno);
    return from_system(got);
}

Result<bool> File::try_lock(bool exclusive) {
    int result;
    do {
        result = ::flock(fd_, (exclusive ? LOCK_EX : LOCK_SH) | LOCK_NB);
    } while (result != 0 && errno == EINTR);
    if (result == 0) return true;
    if (errno == EWOULDBLOCK) return false;
    return os_error("lock", path_, errno);
}

void File::unlock() { ::flock(fd_, LOCK_UN); }

Result<FileStat> stat_path(const std::string& path) {
    struct stat got {};
    if (::stat(path.c_str(), &got) != 0) return os_error("stat", path, errno);
    return from_system(got);
}

bool path_exists(const std::string& path) { return ::access(path.c_str(), F_OK) == 0; }

Status make_directory(const std::string& path) {
    if (::mkdir(path.c_str(), 0700) == 0) return sync_directory(directory_of(path));
    int reason = errno;
    struct stat got {};
    if (reason == EEXIST && ::stat(path.c_str(), &got) == 0 && S_ISDIR(got.st_mode)) {
        return ok_status();
    }
    return os_error("make the directory", path, reason);
}

Status sync_directory(const std::string& path) {
    int fd = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return os_error("open", path, errno);
    int reason = ::fsync(fd) == 0 ? 0 : errno;
    ::close(fd);
    // Some file systems have nothing to sync in a directory and say so.
    if (reason == 0 || reason == EINVAL) return ok_status();
    return os_error("sync", path, reason);
}

Status sync_what_was_left(const std::string& path) {
    Result<File> file = File::open(path, File::Mode::read);
    if (file.ok()) {
        TANIST_TRY(file->sync_data());
    } else if (file.error().code != Errc::not_found) {
        return std::move(file).error();
    }
    return sync_directory(directory_of(path));
}

Result<std::vector<std::string>> list_directory(const std::string& path) {
    DIR* directory = ::opendir(path.c_str());
    if (directory == nullptr) return os_error("list", path, errno);
    std::vector<std::string> names;
    errno = 0;
    while (const dirent* entry = ::readdir(directory)) {
        std::string name = entry->d_name;
        if (name != "." && name != "..") names.push_back(std::move(name));
        errno = 0;
    }
    int reason = errno;
    ::closedir(directory);
    if (reason != 0) return os_error("list", path, reason);
    std::sort(names.begin(), names.end());
    return names;
}

Status rename_path(const std::string& from, const std::string& to) {
    if (::rename(from.c_str(), to.c_str()) == 0) return ok_status();
    return os_error("rename", from + " to " + to, errno);
}

Status remove_path(const std::string& path) {
    if (::remove(path.c_str()) == 0 || errno == ENOENT) return ok_status();
    return os_error("remove", path, errno);
}

Status make_private(const std::string& path) {
    if (::chmod(path.c_str(), 0600) == 0) return ok_status();
    return os_error("restrict", path, errno);
}

Result<uint64_t> free_bytes(const std::string& path) {
    struct statvfs got {};
    if (::statvfs(path.c_str(), &got) != 0) return os_error("measure", path, errno);
    return uint64_t{got.f_bavail} * got.f_frsize;
}

Result<Bytes> read_file(const std::string& path, uint64_t bytes_max) {
    Result<File> file = File::open(path, File::Mode::read);
    if (!file.ok()) return std::move(file).error();
    // The size is found by reading: files of /proc say that they have none.
    Bytes content;
    std::array<uint8_t, 16384> part;
    for (;;) {
        Result<size_t> got = file->read_at(content.size(), part);
        if (!got.ok()) return std::move(got).error();
        content.insert(content.end(), part.begin(), part.begin() + static_cast<ptrdiff_t>(*got));
        if (content.size() > bytes_max) {
            return Error{Errc::invalid,
                         path + " is larger than " + std::to_string(bytes_max) + " bytes"};
        }
        if (*got < part.size()) return content;
    }
}

Status replace_file(const std::string& path, ByteView content) {
    // The process id keeps two processes that replace one file out of each other's half-written
    // content; what a crash leaves is overwritten by the next one with that id.
    const std::string fresh = path + ".new-" + std::to_string(::getpid());
    auto write = [&]() -> Status {
        Result<File> file = File::open(fresh, File::Mode::create);
        if (!file.ok()) return std::move(file).error();
        TANIST_TRY(file->truncate(0));
        TANIST_TRY(file->write_at(0, content));
        TANIST_TRY(file->sync_data());
        return rename_path(fresh, path);
    };
    Status written = write();
    if (!written.ok()) {
        ::unlink(fresh.c_str());
        return written;
    }
    return sync_directory(directory_of(path));
}

std::string real_path(const std::string& path) {
    auto resolve = [](const std::string& p) -> std::string {
        char* got = ::realpath(p.c_str(), nullptr);
        if (got == nullptr) return {};
        std::string out = got;
        std::free(got);
        return out;
    };
    std::string whole = resolve(path);
    if (!whole.empty()) return whole;
    std::string directory = resolve(directory_of(path));
    if (directory.empty()) return path;
    size_t slash = path.rfind('/');
    std::string name = slash == std::string::npos ? path : path.substr(slash + 1);
    return (directory == "/" ? "" : directory) + "/" + name;
}

Id128<struct BootTag> boot_id() {
    Id128<struct BootTag> id;
    Result<Bytes> text = read_file("/proc/sys/kernel/random/boot_id", 4096);
    if (!text.ok()) return id;
    std::string digits;
    for (uint8_t c : *text) {
        if (c != '-' && c != '\n') digits.push_back(static_cast<char>(c));
    }
    if (!parse_hex(digits, id.bytes.data(), id.bytes.size())) return {};
    return id;
}

}  // namespace tanist
