#include "replicator/control/invitation.h"

#include <charconv>

#include "replicator/base/file.h"
#include "replicator/control/identity.h"

namespace tanist {
namespace {

constexpr std::string_view kPrefix = "tanist-invitation-1 ";
constexpr size_t kDigits = 64;
constexpr size_t kFileBytesMax = 256;
constexpr int64_t kMinuteNs = 60'000'000'000;

}  // namespace

std::array<uint8_t, 32> invite_digest(ByteView secret) {
    Bytes bytes;
    constexpr std::string_view kContext = "tanist invitation 1\n";
    bytes.insert(bytes.end(), kContext.begin(), kContext.end());
    bytes.insert(bytes.end(), secret.begin(), secret.end());
    return digest(bytes);
}

InviteAnswer present(const Invitation* invitation, ByteView secret, int64_t now_unix_ns) {
    if (invitation == nullptr) return InviteAnswer::none;
    if (!equal_secrets(invite_digest(secret), invitation->digest)) {
        return InviteAnswer::wrong_secret;
    }
    if (!invitation->used_by.is_zero()) return InviteAnswer::used;
    if (now_unix_ns >= invitation->expires_unix_ns) return InviteAnswer::expired;
    return InviteAnswer::taken;
}

std::string say(InviteAnswer answer, const Invitation* invitation) {
    switch (answer) {
        case InviteAnswer::taken:
            return "the invitation is good";
        case InviteAnswer::wrong_secret:
            return "the invitation's secret is wrong; copy the whole address that tanistd printed "
                   "last";
        case InviteAnswer::used:
            return "the invitation has been used already, by key " +
                   to_string(invitation->used_by) +
                   "; if that was not you, it was stolen: remove the new node's -tanist directory "
                   "and start it again";
        case InviteAnswer::expired:
            return "the invitation has expired; restart that tanistd, it prints a new one";
        case InviteAnswer::none:
            break;
    }
    return "that node has no open invitation; it belongs to a cluster already";
}

bool InviteFailures::answer(int64_t now_unix_ns) {
    const int64_t minute = now_unix_ns / kMinuteNs;
    if (minute != minute_) failures_ = 0;
    minute_ = minute;
    return failures_ < kFailuresMax && ++failures_ <= kFailuresMax;
}

std::string encode_invitation(const Invitation& invitation) {
    return std::string(kPrefix) + hex(invitation.digest.data(), invitation.digest.size()) + " " +
           std::to_string(invitation.expires_unix_ns) + " " + to_string(invitation.used_by) + "\n";
}

Result<Invitation> decode_invitation(std::string_view text) {
    const Error bad{Errc::corrupt, "this is not an invitation file; remove it"};
    if (!text.starts_with(kPrefix) || !text.ends_with("\n")) return bad;
    text.remove_prefix(kPrefix.size());
    text.remove_suffix(1);
    Invitation invitation;
    if (text.size() < 2 * kDigits + 3 || text[kDigits] != ' ' ||
        text[text.size() - kDigits - 1] != ' ') {
        return bad;
    }
    std::string_view number = text.substr(kDigits + 1, text.size() - 2 * kDigits - 2);
    auto [end, error] =
        std::from_chars(number.data(), number.data() + number.size(), invitation.expires_unix_ns);
    if (error != std::errc{} || end != number.data() + number.size() ||
        !parse_hex(text.substr(0, kDigits), invitation.digest.data(), invitation.digest.size()) ||
        !parse_hex(text.substr(text.size() - kDigits), invitation.used_by.bytes.data(),
                   invitation.used_by.bytes.size())) {
        return bad;
    }
    return invitation;
}

Result<Invitation> read_invitation(const std::string& path) {
    Result<Bytes> bytes = read_file(path, kFileBytesMax);
    if (!bytes) return std::move(bytes).error();
    Result<Invitation> invitation =
        decode_invitation({reinterpret_cast<const char*>(bytes->data()), bytes->size()});
    if (!invitation) return std::move(invitation).error().in(path);
    return invitation;
}

Status write_invitation(const std::string& path, const Invitation& invitation) {
    return replace_file(path, view_of(encode_invitation(invitation)));
}

}  // namespace tanist
