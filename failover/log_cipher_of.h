// The key of a log that a command reads: named, or where the settings of its database say.
#pragma once

#include <memory>
#include <string>

#include "replicator/base/log_cipher.h"
#include "replicator/base/result.h"

namespace tanist {

// `directory`: a log directory in some <db>-tanist/, or anywhere. Null: there is no key.
Result<std::shared_ptr<const LogCipher>> log_cipher_of(const std::string& directory,
                                                       const std::string& key_file = "");

}  // namespace tanist
