// Disks that refuse to write, for tests.
#pragma once

#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>

#include <string>

namespace tanist {

// While it lives, no file of this process is written beyond `bytes` (EFBIG).
class FileSizeLimit {
  public:
    explicit FileSizeLimit(uint64_t bytes) {
        signal(SIGXFSZ, SIG_IGN);
        getrlimit(RLIMIT_FSIZE, &before_);
        rlimit now = before_;
        now.rlim_cur = bytes;
        setrlimit(RLIMIT_FSIZE, &now);
    }
    ~FileSizeLimit() { lift(); }
    FileSizeLimit(const FileSizeLimit&) = delete;
    FileSizeLimit& operator=(const FileSizeLimit&) = delete;
    void lift() const { setrlimit(RLIMIT_FSIZE, &before_); }

  private:
    rlimit before_{};
};

// A file system in memory of so many bytes. Needs the right to mount.
class SmallDisk {
  public:
    SmallDisk(const std::string& directory, uint64_t bytes) : directory_(directory) {
        const std::string size = "size=" + std::to_string(bytes);
        mounted_ = mount("tanist-test", directory.c_str(), "tmpfs", 0, size.c_str()) == 0;
    }
    ~SmallDisk() {
        if (mounted_) umount2(directory_.c_str(), MNT_DETACH);
    }
    SmallDisk(const SmallDisk&) = delete;
    SmallDisk& operator=(const SmallDisk&) = delete;
    bool is_mounted() const { return mounted_; }

  private:
    std::string directory_;
    bool mounted_ = false;
};

}  // namespace tanist
