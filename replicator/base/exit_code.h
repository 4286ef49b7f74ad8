// Exit codes of every program of this project, as scripts see them.
#pragma once

#include "replicator/base/result.h"

namespace tanist {

enum ExitCode : int {
    kExitDone = 0,
    kExitFailed = 1,
    kExitUsage = 2,
    kExitRefused = 3,  // for safety
    kExitUnreachable = 4,
    kExitDiffers = 5,
};

inline ExitCode exit_code_of(const Error& error) {
    if (error.code == Errc::refused || error.code == Errc::stale_epoch) return kExitRefused;
    return error.code == Errc::unreachable ? kExitUnreachable : kExitFailed;
}

}  // namespace tanist
