// docs/failover.md, the golden files and the code say the same.
#include <doctest/doctest.h>

#include <cstdlib>
#include <fstream>

#include "failover/core/ballot.h"
#include "replicator/base/file.h"
#include "tests/unit/failover/message_samples.h"

using namespace tanist;
using namespace tanist::failover;

namespace {

const std::string kSource = TANIST_SOURCE_DIR;
const std::string kGolden = kSource + "/tests/golden/v1/failover/";

// Every number of the ballot is a byte of its own kind, so that a range in the table shows itself.
Ballot golden_ballot() {
    Ballot ballot;
    ballot.serial = 0x0101010101010101;
    ballot.node.bytes.fill(0x02);
    ballot.promised = Epoch(0x0303030303030303);
    ballot.voted = {Epoch(0x0202020202020202), {}, 0x0505050505050505};
    ballot.voted.candidate.bytes.fill(0x04);
    ballot.released = Epoch(0x0101010101010101);
    ballot.policy = {{Epoch(0x0707070707070707), 0x08080808}, 9, AckLevel::applied, true};
    ballot.suspect = ballot.clean_stop = true;
    ballot.commit_hint = {Epoch(0x0b0b0b0b0b0b0b0b), Lsn(0x0b0b0b0b0b0b0b0b)};
    ballot.boot.bytes.fill(0x0c);
    ballot.config = config_of(3, 1, 1);
    return ballot;
}

const std::map<std::string, uint8_t> kBallotBytes = {
    {"reserved", 0},        {"serial", 0x01},       {"node", 0x02},
    {"promised", 0x03},     {"voted: epoch", 0x02}, {"voted: candidate", 0x04},
    {"voted: nonce", 0x05}, {"released", 0x01},     {"policy: epoch", 0x07},
    {"policy: step", 0x08}, {"policy: k", 9},       {"policy: level", 3},
    {"policy: paused", 1},  {"flags", 1 + 8},       {"watermark", 0x0b},
    {"boot", 0x0c},
};

// A change of these bytes makes ballots, tokens and messages of running clusters unreadable.
// TANIST_REWRITE_GOLDEN=1 writes them anew.
void check_golden(const std::string& name, const Bytes& bytes) {
    CAPTURE(name);
    if (std::getenv("TANIST_REWRITE_GOLDEN") != nullptr) {
        REQUIRE(make_directory(kGolden).ok());
        REQUIRE(replace_file(kGolden + name, bytes).ok());
        return;
    }
    const Result<Bytes> golden = read_file(kGolden + name, 1 << 20);
    REQUIRE(golden.ok());
    CHECK(*golden == bytes);
}

Bytes used_part(const Bytes& slot) {
    const size_t body = slot[8] | size_t{slot[9]} << 8;
    return Bytes(slot.begin(), slot.begin() + static_cast<long>(16 + body + 8));
}

}  // namespace

TEST_CASE("failover format: the page's ballot table is the code's") {
    const Bytes slot = encode_slot(golden_ballot());
    std::ifstream page(kSource + "/docs/failover.md");
    std::string line;
    while (std::getline(page, line) && line != "### Ballot file") continue;
    size_t at = 0, compared = 0;
    while (std::getline(page, line) && !line.starts_with("### ")) {
        size_t offset = 0, bytes = 0;
        char name[40] = "";
        const int fields =
            std::sscanf(line.c_str(), "| %zu | %zu | %39[a-z: ] |", &offset, &bytes, name);
        if (fields != 3) continue;
        CHECK(offset == at);
        at += bytes;
        std::string field = name;
        while (field.ends_with(' ')) field.pop_back();
        const auto value = kBallotBytes.find(field);
        if (value == kBallotBytes.end()) continue;
        ++compared;
        for (size_t i = 0; i < bytes; ++i) CHECK_MESSAGE(slot[offset + i] == value->second, field);
    }
    CHECK(compared == kBallotBytes.size());
    CHECK(at == 168);  // where the config begins
}

TEST_CASE("failover format: the golden ballot and token of version 1") {
    check_golden("ballot", used_part(encode_slot(golden_ballot())));
    const std::vector<Message> samples = message_samples();
    for (const Message& sample : samples) {
        if (auto* announce = std::get_if<Announce>(&sample)) {
            check_golden("token", token_file(announce->token));
        }
    }
}

TEST_CASE("failover format: the golden messages of version 1") {
    std::map<std::string, int> seen;
    for (const Message& sample : message_samples()) {
        const std::string name = name_of(sample);
        const int number = ++seen[name];
        const std::string suffix = number > 1 ? "_" + std::to_string(number) : "";
        check_golden(name + suffix + ".message", encode(sample));
    }
}

TEST_CASE("failover format: the page has every message by its number") {
    std::ifstream page(kSource + "/docs/failover.md");
    std::string line;
    std::map<int, std::string> rows;
    while (std::getline(page, line) && line != "### Messages") continue;
    while (std::getline(page, line) && !line.starts_with("## ")) {
        int number = 0;
        char name[40] = "";
        if (std::sscanf(line.c_str(), "| %d | %39[a-z_] |", &number, name) == 2)
            rows[number] = name;
    }
    for (const Message& sample : message_samples()) {
        CHECK(rows[static_cast<int>(sample.index()) + 1] == name_of(sample));
    }
    CHECK(rows.size() == std::variant_size_v<Message>);
}
