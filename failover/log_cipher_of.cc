#include "failover/log_cipher_of.h"

#include "replicator/base/file.h"
#include "replicator/control/log_key.h"

namespace tanist {

Result<std::shared_ptr<const LogCipher>> log_cipher_of(const std::string& directory,
                                                       const std::string& key_file) {
    if (!key_file.empty()) return load_log_key(key_file);
    const std::string real = real_path(directory) + "/";
    const size_t at = real.rfind("-tanist/");
    if (at == std::string::npos) return std::shared_ptr<const LogCipher>();
    const Layout layout(real.substr(0, at));
    Result<Settings> settings = read_settings(layout.settings());
    if (!settings) return std::move(settings).error();
    return find_log_cipher(layout, *settings);
}

}  // namespace tanist
