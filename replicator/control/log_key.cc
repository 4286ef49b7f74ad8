#include "replicator/control/log_key.h"

#include <algorithm>
#include <string_view>

#include "replicator/base/file.h"
#include "replicator/base/random.h"

namespace tanist {
namespace {

constexpr std::string_view kPrefix = "tanist-log-key-1 ";
constexpr size_t kFileBytes = kPrefix.size() + 2 * sizeof(LogKey::bytes) + 1;

std::string path_of(const Layout& layout, const Settings& settings) {
    return settings.encrypt_at_rest_key.empty() ? layout.log_key() : settings.encrypt_at_rest_key;
}

Status make_log_key(const std::string& path) {
    LogKey key;
    random_bytes(key.bytes.data(), key.bytes.size());
    std::string text = std::string(kPrefix) + hex(key.bytes.data(), key.bytes.size()) + "\n";
    // On the disk before the first record that needs it.
    Status written = replace_file(path, view_of(text));
    wipe(text.data(), text.size());
    wipe(key.bytes.data(), key.bytes.size());
    if (!written.ok()) return Error(written.error()).in("the log's key cannot be made");
    return make_private(path);
}

}  // namespace

Result<std::shared_ptr<const LogCipher>> load_log_key(const std::string& path) {
    Result<FileStat> stat = stat_path(path);
    if (!stat) return std::move(stat).error();
    if ((stat->mode & 077) != 0) {
        return Error{Errc::refused, path +
                                        " can be read by others than its owner, so the log is not "
                                        "secret; run: chmod 600 " +
                                        path};
    }
    Result<Bytes> bytes = read_file(path, kFileBytes);
    if (!bytes) return std::move(bytes).error();
    const std::string_view text(reinterpret_cast<const char*>(bytes->data()), bytes->size());
    LogKey key;
    const bool good = text.size() == kFileBytes && text.starts_with(kPrefix) &&
                      parse_hex(text.substr(kPrefix.size(), 2 * key.bytes.size()), key.bytes.data(),
                                key.bytes.size());
    wipe(bytes->data(), bytes->size());
    if (!good) {
        return Error{Errc::corrupt, path +
                                        " is not a log's key file; put the right one back, or move "
                                        "it and the log directory away to begin a new log"};
    }
    auto cipher = std::make_shared<const LogCipher>(key);
    wipe(key.bytes.data(), key.bytes.size());
    return cipher;
}

Result<std::shared_ptr<const LogCipher>> find_log_cipher(const Layout& layout,
                                                         const Settings& settings) {
    const std::string path = path_of(layout, settings);
    if (!path_exists(path)) return std::shared_ptr<const LogCipher>();
    return load_log_key(path);
}

Result<std::shared_ptr<const LogCipher>> log_cipher(const Layout& layout,
                                                    const Settings& settings) {
    const std::string path = path_of(layout, settings);
    if (settings.encrypt_at_rest && !path_exists(path)) TANIST_TRY(make_log_key(path));
    return find_log_cipher(layout, settings);
}

}  // namespace tanist
