#include "replicator/node/log_options.h"

#include "replicator/control/log_key.h"

namespace tanist {

Result<LogOptions> log_options(const Layout& layout, const Settings& settings) {
    auto cipher = log_cipher(layout, settings);
    if (!cipher) return std::move(cipher).error();
    LogOptions options;
    options.segment_bytes = settings.log_segment_bytes;
    options.bytes_max = settings.log_bytes_max;
    options.cipher = *std::move(cipher);
    options.seal = settings.encrypt_at_rest;
    return options;
}

}  // namespace tanist
