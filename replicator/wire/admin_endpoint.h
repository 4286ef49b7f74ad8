// Where a node's daemon takes commands: the unix-domain socket admin.sock in the directory beside
// its database. The address of such a socket holds 107 bytes of path; a longer one is reached
// through a descriptor of the directory, which lives as long as this object.
#pragma once

#include <string>

#include "replicator/base/file.h"

namespace tanist {

class AdminEndpoint {
  public:
    // not_found: there is no such directory.
    static Result<AdminEndpoint> in(const std::string& directory);
    static std::string path_in(const std::string& directory) { return directory + "/admin.sock"; }
    const std::string& text() const { return text_; }  // ipc://...

  private:
    AdminEndpoint() = default;
    File directory_;
    std::string text_;
};

}  // namespace tanist
