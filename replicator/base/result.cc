#include "replicator/base/result.h"

namespace tanist {

const char* to_string(Errc code) {
    switch (code) {
        case Errc::invalid:
            return "invalid";
        case Errc::not_found:
            return "not found";
        case Errc::corrupt:
            return "corrupt";
        case Errc::version:
            return "unknown version";
        case Errc::io:
            return "input/output error";
        case Errc::no_space:
            return "no space";
        case Errc::busy:
            return "busy";
        case Errc::stale_epoch:
            return "stale epoch";
        case Errc::refused:
            return "refused";
        case Errc::unreachable:
            return "unreachable";
        case Errc::unknown_outcome:
            return "outcome unknown";
    }
    return "?";
}

}  // namespace tanist
