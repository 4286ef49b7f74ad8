#include <unistd.h>

#include "replicator/base/file.h"
#include "replicator/control/toml_text.h"

namespace tanist {

std::string why_file_is_untrusted(const std::string& path) {
    const std::string real = real_path(path);
    Result<FileStat> file = stat_path(real);
    if (!file) return "";  // reading it says why
    if ((file->mode & 0002) != 0) {
        return path + " can be written by everybody; run: chmod o-w " + path;
    }
    if (file->owner == 0 || file->owner == ::geteuid()) return "";
    const size_t slash = real.rfind('/');
    Result<FileStat> directory = stat_path(slash == 0 ? "/" : real.substr(0, slash));
    if (directory && directory->owner == file->owner) return "";
    return path + " belongs to user " + std::to_string(file->owner) +
           ", who is neither this user nor the owner of its directory; run: chown " +
           std::to_string(::geteuid()) + " " + path;
}

}  // namespace tanist
