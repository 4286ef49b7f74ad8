#include "replicator/control/node_address.h"

#include "replicator/control/identity.h"
#include "replicator/control/settings.h"

namespace tanist {
namespace {

constexpr std::string_view kScheme = "tanist://";
constexpr std::string_view kInvite = "invite=";
constexpr size_t kKeyDigits = 2 * sizeof(NodeKey::bytes);
constexpr size_t kSecretDigits = 2 * sizeof(InviteSecret);
constexpr size_t kAddressBytesMax = 512;

Error wrong(const std::string& why) {
    return {Errc::invalid, "this is no address of a node: " + why +
                               "; copy the whole tanist://KEY@HOST:PORT?invite=SECRET that its "
                               "tanistd printed"};
}

}  // namespace

bool is_node_address(const std::string& text) { return text.starts_with(kScheme); }

Result<NodeAddress> parse_node_address(const std::string& text) {
    if (!is_node_address(text)) return wrong("it does not begin with tanist://");
    if (text.size() > kAddressBytesMax) return wrong("it is too long");
    std::string_view rest = std::string_view(text).substr(kScheme.size());
    NodeAddress address;
    if (rest.size() <= kKeyDigits || rest[kKeyDigits] != '@' ||
        !parse_hex(rest.substr(0, kKeyDigits), address.key.bytes.data(),
                   address.key.bytes.size())) {
        return wrong("its key is not 64 hex digits and @");
    }
    if (!curve_key_of(address.key)) return wrong("its key is no public key");
    rest.remove_prefix(kKeyDigits + 1);
    if (const size_t query = rest.find('?'); query != std::string_view::npos) {
        std::string_view invite = rest.substr(query + 1);
        rest = rest.substr(0, query);
        InviteSecret secret{};
        if (!invite.starts_with(kInvite) || invite.size() != kInvite.size() + kSecretDigits ||
            !parse_hex(invite.substr(kInvite.size()), secret.data(), secret.size())) {
            return wrong("after ? there is no invite= with 32 hex digits");
        }
        address.invite = secret;
    }
    address.endpoint = "tcp://" + std::string(rest);
    Status endpoint = check_any_endpoint(address.endpoint);
    if (!endpoint) return wrong(endpoint.error().message);
    if (address.endpoint.ends_with(":*")) return wrong("it has no port");
    return address;
}

std::string to_string(const NodeAddress& address) {
    std::string text =
        std::string(kScheme) + to_string(address.key) + "@" +
        (address.endpoint.starts_with("tcp://") ? address.endpoint.substr(6) : address.endpoint);
    if (address.invite) {
        text += "?" + std::string(kInvite) + hex(address.invite->data(), address.invite->size());
    }
    return text;
}

}  // namespace tanist
