// A directory of its own for one test, removed with everything in it.
#pragma once

#include <stdlib.h>

#include <filesystem>
#include <stdexcept>
#include <string>

namespace tanist {

class TempDir {
  public:
    TempDir() {
        const char* base = getenv("TMPDIR");
        root_ = std::string(base != nullptr && *base != 0 ? base : "/tmp") + "/tanist-XXXXXX";
        if (mkdtemp(root_.data()) == nullptr) {
            throw std::runtime_error("cannot make a temporary directory");
        }
    }
    ~TempDir() {
        std::error_code ignored;
        std::filesystem::remove_all(root_, ignored);
    }
    TempDir(const TempDir&) = delete;
    TempDir& operator=(const TempDir&) = delete;

    const std::string& root() const { return root_; }
    std::string path(const std::string& name) const { return root_ + "/" + name; }

  private:
    std::string root_;
};

}  // namespace tanist
