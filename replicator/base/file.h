// Files and directories. posix_file.cc is the implementation and, with its siblings posix_*.cc,
// the only place with OS headers.
//
// Errors: Errc::no_space for ENOSPC and EDQUOT, not_found for ENOENT, io for the rest; the message
// names the path and the system's reason. A File has one owner; pread from several threads is fine.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "replicator/base/bytes.h"
#include "replicator/base/result.h"

namespace tanist {

struct FileStat {
    uint64_t bytes = 0;
    uint64_t inode = 0;
    int64_t modified_ns = 0;
    int64_t changed_ns = 0;  // ctime: cannot be set by a program
    uint32_t mode = 0;
    uint32_t owner = 0;
};

class File {
  public:
    enum class Mode {
        read,
        write,
        create,
        create_new
    };  // create: opens or makes; new files are 0600
    static Result<File> open(const std::string& path, Mode mode);
    File() = default;
    File(File&& other) noexcept;
    File& operator=(File&& other) noexcept;
    ~File();

    bool is_open() const { return fd_ >= 0; }
    const std::string& path() const { return path_; }
    // Bytes read; fewer than asked only at the end of the file.
    Result<size_t> read_at(uint64_t offset, MutableBytes out) const;
    Status read_exactly_at(uint64_t offset, MutableBytes out) const;  // corrupt when too short
    Status write_at(uint64_t offset, ByteView bytes);
    // On the disk when it returns, with what is needed to find it; other writes need not be.
    Status write_at_durably(uint64_t offset, ByteView bytes);
    Status truncate(uint64_t bytes);
    Status allocate(uint64_t bytes);  // reserves blocks; the range reads as zeros
    Status sync_data();               // fdatasync
    Result<FileStat> stat() const;
    Result<File> duplicate() const;  // another descriptor of the same open file
    // flock(2). False: another open file description holds it.
    Result<bool> try_lock(bool exclusive);
    void unlock();
    int fd() const { return fd_; }
    void close();

  private:
    int fd_ = -1;
    std::string path_;
};

Result<FileStat> stat_path(const std::string& path);
bool path_exists(const std::string& path);
Status make_directory(const std::string& path);  // 0700, its name is durable; existing is fine
Status sync_directory(const std::string& path);
// What a killed process had written to the file, or named it, and not synced; absent is fine.
Status sync_what_was_left(const std::string& path);
std::string directory_of(const std::string& path);  // "." where the path names none
Result<std::vector<std::string>> list_directory(const std::string& path);
Status rename_path(const std::string& from, const std::string& to);
Status remove_path(const std::string& path);   // absent is fine
Status make_private(const std::string& path);  // mode 0600
Result<uint64_t> free_bytes(const std::string& path);
Result<Bytes> read_file(const std::string& path, uint64_t bytes_max);
// Readers see the old content or the new one, also after a power cut.
Status replace_file(const std::string& path, ByteView content);
// Absolute, symbolic links resolved; of a path that does not exist yet: its directory's.
std::string real_path(const std::string& path);
// Changes with every boot of the machine (/proc/sys/kernel/random/boot_id).
Id128<struct BootTag> boot_id();

}  // namespace tanist
