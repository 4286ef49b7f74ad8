// Making a database replicated: the directory, identity, node file and settings. Done by
// `tanist init`, by the extension on first use, and by tanistd for a new replica.
#pragma once

#include "replicator/base/file.h"
#include "replicator/control/layout.h"
#include "replicator/control/members.h"
#include "replicator/control/node_file.h"
#include "replicator/control/settings.h"

namespace tanist {

// Makes the directory of Tanist's files. invalid: network file system (NFS, SMB, 9p, FUSE...) or a
// directory we cannot write.
Status check_place(const Layout& layout);
// Idempotent; a fenced primary stays fenced. refused: the node file says that this is a replica.
// invalid: as check_place().
Result<NodeFile> set_up_primary(const Layout& layout);
// refused: the path holds a database that is no replica (unless `replace`: it will be overwritten),
// or a primary.
Result<NodeFile> set_up_replica(const Layout& layout, bool replace = false);
// A voter without data: there is a directory and no database. refused: the path is in use.
Result<NodeFile> set_up_witness(const Layout& layout);
// Serialises changes to the files of a directory between processes: a flock on the directory
// itself, held as long as the File lives. busy after a few seconds.
Result<File> lock_directory(const std::string& directory);
// "" when the file system is fine, else one sentence.
std::string why_file_system_is_unsafe(const std::string& path);
// The name of the kind of file system whose statfs magic this is, when it is an unsafe one.
std::string unsafe_file_system(uint32_t magic);

}  // namespace tanist
