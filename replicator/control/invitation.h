// <db>-tanist/invitation: the one open invitation of a node that has no cluster yet. Only the
// BLAKE2b digest of the secret is stored; 128 random bits need no slow hash. Decisions are pure;
// the file is one line of text.
//
// A right secret is taken once. Wrong ones are refused, and after kFailuresMax in a minute not even
// answered, but they never close the door to the right one: whoever can reach the port could
// otherwise keep the node from being added.
#pragma once

#include <array>
#include <string>

#include "replicator/base/bytes.h"
#include "replicator/base/ids.h"
#include "replicator/base/result.h"
#include "replicator/control/node_address.h"

namespace tanist {

struct Invitation {
    std::array<uint8_t, 32> digest{};
    int64_t expires_unix_ns = 0;
    NodeKey used_by;  // zero: not used
    bool operator==(const Invitation&) const = default;
};

enum class InviteAnswer { taken, wrong_secret, used, expired, none };

// What presenting `secret` means. An invitation that was used answers `used` to the right secret
// only: a stolen one is told apart from a guess.
InviteAnswer present(const Invitation* invitation, ByteView secret, int64_t now_unix_ns);
// One sentence for both sides.
std::string say(InviteAnswer answer, const Invitation* invitation);

// Counts wrong secrets; false: too many in this minute, do not even answer.
class InviteFailures {
  public:
    static constexpr int kFailuresMax = 5;
    bool answer(int64_t now_unix_ns);

  private:
    int64_t minute_ = -1;
    int failures_ = 0;
};

std::array<uint8_t, 32> invite_digest(ByteView secret);
std::string encode_invitation(const Invitation& invitation);
Result<Invitation> decode_invitation(std::string_view text);
// not_found when there is none.
Result<Invitation> read_invitation(const std::string& path);
Status write_invitation(const std::string& path, const Invitation& invitation);

}  // namespace tanist
