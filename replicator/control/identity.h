// <db>-tanist/identity: this node's Ed25519 key pair (libsodium), created on first use, 0600 in a
// 0700 directory, never logged, never sent. Issue C derives the CURVE key from it.
#pragma once

#include <string>

#include "replicator/base/ids.h"
#include "replicator/base/result.h"

namespace tanist {

// Creates it when absent. refused: the file can be read by others.
Result<NodeKey> load_or_create_identity(const std::string& path);

}  // namespace tanist
