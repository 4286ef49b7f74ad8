// The key file of `encrypt_at_rest`: one line, `tanist-log-key-1 ` and 64 hexadecimal digits, 0600.
// By default <db>-tanist/log.key; `encrypt_at_rest_key` names another place, which is what protects
// the log from somebody who has the whole disk.
#pragma once

#include <memory>
#include <string>

#include "replicator/base/log_cipher.h"
#include "replicator/base/result.h"
#include "replicator/control/layout.h"
#include "replicator/control/settings.h"

namespace tanist {

// not_found, corrupt; refused: others than its owner can read the file.
Result<std::shared_ptr<const LogCipher>> load_log_key(const std::string& path);
// What opens this node's log: made when the settings ask for it and it is not there; null when they
// do not and it is not there. With a key and without `encrypt_at_rest`, the log may hold sealed
// records of before.
Result<std::shared_ptr<const LogCipher>> log_cipher(const Layout& layout, const Settings& settings);
// The same for whoever only reads: nothing is made.
Result<std::shared_ptr<const LogCipher>> find_log_cipher(const Layout& layout,
                                                         const Settings& settings);

}  // namespace tanist
