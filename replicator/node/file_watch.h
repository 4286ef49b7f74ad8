// Tells once that somebody wrote to a file (inotify, one-shot). Armed only while the engine sleeps,
// so that a busy writer does not pay for notifications.
#pragma once

#include <string>

namespace tanist {

class FileWatch {
  public:
    FileWatch();
    ~FileWatch();
    FileWatch(const FileWatch&) = delete;
    FileWatch& operator=(const FileWatch&) = delete;
    // False when the file does not exist (its directory is watched for creation instead).
    bool arm(const std::string& path);
    bool drain();  // true when something was there
    int fd() const { return fd_; }

  private:
    int fd_ = -1;
};

}  // namespace tanist
