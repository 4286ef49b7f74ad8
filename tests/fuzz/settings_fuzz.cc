// What people type: TOML of the settings, members and node files, sizes, durations, endpoints. No
// text crashes the readers, and an accepted string survives being quoted and read again. The first
// byte chooses the reader.
#include <cstdlib>
#include <string>

#include "replicator/control/settings.h"
#include "replicator/control/toml_text.h"

using namespace tanist;

namespace {

void toml(const std::string& text) {
    auto entries = parse_toml("fuzz.toml", text);
    if (!entries.ok()) return;
    for (const TomlEntry& entry : *entries) {
        const auto* value = std::get_if<std::string>(&entry.value);
        if (value == nullptr) continue;
        auto again = parse_toml("again.toml", "x = " + toml_quote(*value) + "\n");
        if (!again.ok() || again->size() != 1) std::abort();
        const auto* read = std::get_if<std::string>(&again->front().value);
        if (read == nullptr || *read != *value) std::abort();
    }
}

void setting(const std::string& text) {
    Settings settings;
    const size_t equals = text.find('=');
    if (equals == std::string::npos) return;
    (void)apply_setting(settings, text.substr(0, equals), text.substr(equals + 1));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    if (size == 0) return 0;
    const std::string text(reinterpret_cast<const char*>(data) + 1, size - 1);
    switch (data[0] % 5) {
        case 0:
            toml(text);
            break;
        case 1:
            setting(text);
            break;
        case 2:
            (void)parse_size(text);
            break;
        case 3:
            (void)parse_duration(text);
            break;
        case 4:
            (void)check_endpoint(text);
            break;
    }
    return 0;
}
