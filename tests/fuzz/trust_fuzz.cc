// What decides about trust and comes from outside: signed member lists, the addresses that people
// paste, the invitation's file, ZAP requests, operators' commands. No bytes crash a reader, and
// what is accepted is written again as the same bytes. The first byte chooses the reader.
#include <algorithm>
#include <cstdlib>
#include <string>

#include "replicator/control/invitation.h"
#include "replicator/control/member_list.h"
#include "replicator/control/node_address.h"
#include "replicator/control/operator_command.h"
#include "replicator/wire/zmq_zap.h"

using namespace tanist;

namespace {

void member_list(ByteView bytes) {
    auto list = decode_member_list(bytes);
    if (!list.ok()) return;
    if (!std::ranges::equal(encode_member_list(*list), bytes)) std::abort();
    // A list never replaces itself, signed or not.
    if (why_list_refused(*list, *list, list->signer).empty()) std::abort();
    (void)list->allowed();
}

void address(const std::string& text) {
    auto parsed = parse_node_address(text);
    if (!parsed.ok()) return;
    auto again = parse_node_address(to_string(*parsed));
    if (!again.ok() || *again != *parsed) std::abort();
}

void invitation(const std::string& text) {
    auto decoded = decode_invitation(text);
    if (!decoded.ok()) return;
    auto again = decode_invitation(encode_invitation(*decoded));
    if (!again.ok() || *again != *decoded) std::abort();
}

void command(const std::string& text) {
    auto parsed = parse_operator_command(text);
    if (!parsed.ok()) return;
    (void)target_of(*parsed);
    auto again = parse_operator_command(operator_command_json(*parsed));
    if (!again.ok() || *again != *parsed) std::abort();
}

// Frames are separated by a byte 0.
void zap(const std::string& text) {
    std::vector<std::string> frames(1);
    for (char c : text) {
        if (c == 0) {
            frames.emplace_back();
        } else {
            frames.back().push_back(c);
        }
    }
    const DoorList nobody;
    if (answer_zap(frames, nobody).status == "200") std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    if (size == 0) return 0;
    const std::string text(reinterpret_cast<const char*>(data) + 1, size - 1);
    switch (data[0] % 5) {
        case 0:
            member_list({data + 1, size - 1});
            break;
        case 1:
            address(text);
            break;
        case 2:
            invitation(text);
            break;
        case 3:
            zap(text);
            break;
        case 4:
            command(text);
            break;
    }
    return 0;
}
