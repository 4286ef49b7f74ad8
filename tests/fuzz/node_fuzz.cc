// What other nodes and probes say to a node and no other target reads: the list of voters, the
// roster of members, a path of HTTP. No bytes crash a reader, and a list that is accepted is
// written the same again. The first byte chooses the reader.
#include <algorithm>
#include <cstdlib>
#include <string>

#include "replicator/base/hash.h"
#include "replicator/control/members.h"
#include "replicator/http/answers.h"
#include "replicator/node/voter_list.h"

using namespace tanist;

namespace {

constexpr size_t kChecksumBytes = 8;

// The checksum is made right, so that what it covers is read.
void voters(Bytes bytes) {
    if (bytes.size() < kChecksumBytes) return;
    const size_t body = bytes.size() - kChecksumBytes;
    const uint64_t sum = hash64(ByteView(bytes).first(body));
    for (size_t i = 0; i < kChecksumBytes; ++i) {
        bytes[body + i] = static_cast<uint8_t>(sum >> (8 * i));
    }
    auto list = decode_voter_list(bytes);
    if (!list.ok()) return;
    if (!std::ranges::equal(encode(*list), bytes)) std::abort();
}

void roster(const std::string& text) {
    auto members = parse_members("roster", text);
    if (!members.ok()) return;
    auto again = parse_members("again", members_text(*members));
    if (!again.ok() || *again != *members) std::abort();
}

// The path up to a zero byte, then what may be its lag, or the status that it is answered from.
void http(const std::string& text) {
    const size_t end = std::min(text.find('\0'), text.size());
    const std::string path = text.substr(0, end);
    const std::string rest = end == text.size() ? "" : text.substr(end + 1);
    const HttpAnswer from_lag = answer_http(path, rest, R"({"role":"replica"})");
    const HttpAnswer from_status = answer_http(path, std::nullopt, rest);
    if (from_lag.code < 200 || from_status.code < 200) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    if (size == 0) return 0;
    const std::string text(reinterpret_cast<const char*>(data) + 1, size - 1);
    switch (data[0] % 3) {
        case 0:
            voters(Bytes(data + 1, data + size));
            break;
        case 1:
            roster(text);
            break;
        case 2:
            http(text);
            break;
    }
    return 0;
}
