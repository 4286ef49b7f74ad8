#include "failover/findings.h"

namespace tanist {
namespace {

constexpr int version_of(int major, int minor, int patch) {
    return major * 1'000'000 + minor * 1000 + patch;
}

}  // namespace

// Fixed in 3.51.3, and in 3.44.6 and 3.50.7 for those branches.
std::string wal_reset_bug(int version) {
    if (version < version_of(3, 7, 0) || version >= version_of(3, 51, 3)) return "";
    if (version >= version_of(3, 44, 6) && version < version_of(3, 45, 0)) return "";
    if (version >= version_of(3, 50, 7) && version < version_of(3, 51, 0)) return "";
    return "can lose commits when one process restarts the WAL while another checkpoints it (the "
           "WAL-reset bug)";
}

// Seen in 3.43.2, 3.47.0 and 3.49.2, gone in 3.51.1.
std::string checksum_bug(int version) {
    if (version < version_of(3, 43, 0) || version >= version_of(3, 51, 1)) return "";
    return "can write a commit without a valid checksum after a savepoint was rolled back in a "
           "transaction larger than the cache; such a commit is gone after a crash";
}

}  // namespace tanist
