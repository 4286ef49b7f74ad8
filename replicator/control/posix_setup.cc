#include <sys/vfs.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "replicator/base/file.h"
#include "replicator/control/setup.h"

namespace tanist {
namespace {

struct FileSystemKind {
    uint32_t magic;
    const char* name;
};

// File systems on which a lock or a shared mapping may not mean the same to every process: SQLite's
// WAL is not safe there, and the control block neither.
constexpr std::array<FileSystemKind, 15> kUnsafe = {{
    {0x6969, "NFS"},
    {0x517B, "SMB"},
    {0xFF534D42, "CIFS"},
    {0xFE534D42, "SMB2"},
    {0x01021997, "9p"},
    {0x65735546, "FUSE"},
    {0x5346414F, "AFS"},
    {0x6B414653, "AFS"},
    {0x73757245, "Coda"},
    {0x00C36400, "Ceph"},
    {0x786F4256, "VirtualBox shared folder"},
    {0x7461636F, "OCFS2"},
    {0x01161970, "GFS2"},
    {0x0BD00BD0, "Lustre"},
    {0x47504653, "GPFS"},
}};

}  // namespace

std::string why_file_system_is_unsafe(const std::string& path) {
    struct statfs facts;
    std::string asked = path;
    if (::statfs(asked.c_str(), &facts) != 0) {
        // A database that does not exist yet will be where its directory is.
        asked = directory_of(path);
        if (::statfs(asked.c_str(), &facts) != 0) {
            return asked + " cannot be examined: " + std::strerror(errno);
        }
    }
    const std::string kind = unsafe_file_system(static_cast<uint32_t>(facts.f_type));
    if (kind.empty()) return "";
    return asked + " is on a " + kind +
           " file system, where SQLite's WAL mode is not safe; move the database to a local file "
           "system";
}

std::string unsafe_file_system(uint32_t magic) {
    for (const FileSystemKind& kind : kUnsafe) {
        if (magic == kind.magic) return kind.name;
    }
    return "";
}

}  // namespace tanist
