// Fields of a JSON text that may lack them, or have them of another type.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

namespace tanist {

using Json = nlohmann::json;

inline const Json& at(const Json& json, const char* name) {
    static const Json kNothing;
    if (!json.is_object()) return kNothing;
    const auto found = json.find(name);
    return found == json.end() ? kNothing : *found;
}

inline std::string text(const Json& json, const char* name) {
    const Json& value = at(json, name);
    return value.is_string() ? value.get<std::string>() : "";
}

}  // namespace tanist
