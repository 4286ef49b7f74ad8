#include "replicator/wire/message.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <set>
#include <sstream>

#include "replicator/base/hash.h"
#include "tests/support/wire_samples.h"

namespace tanist {
namespace {

struct Encoded {
    Bytes envelope, body;
};

Encoded encoded(const Message& message) {
    Encoded out;
    encode(message, out.envelope, out.body);
    return out;
}

Result<Body> decoded(const Encoded& frames) {
    auto envelope = decode_envelope(frames.envelope);
    if (!envelope.ok()) return std::move(envelope).error();
    return decode_body(*envelope, frames.body);
}

Message sample(MessageType type) { return testing::wire_samples()[static_cast<size_t>(type) - 1]; }

// Makes a changed envelope or body fit its checksums again, as a peer with a bug would.
void reseal(Encoded& frames) {
    auto put = [&](size_t at, uint64_t value, size_t count) {
        for (size_t i = 0; i < count; ++i) {
            frames.envelope[at + i] = static_cast<uint8_t>(value >> (8 * i));
        }
    };
    put(48, frames.body.size(), 4);
    put(52, frames.body.empty() ? 0 : hash64(frames.body), 4);
    put(56, hash64(ByteView(frames.envelope).first(56)), 8);
}

bool refused(const Encoded& frames) { return !decoded(frames).ok(); }

Bytes read_file(const std::string& path) {
    std::ifstream in(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
}

}  // namespace

// Found by fuzzing: it was taken for a question without hashes.
TEST_CASE("message: a sync_ask that counts hashes and has none is refused") {
    Encoded frames = encoded(sample(MessageType::sync_ask));
    constexpr size_t kFixedBytes = 16;
    REQUIRE(frames.body.size() > kFixedBytes);
    frames.body.resize(kFixedBytes);
    reseal(frames);
    CHECK(refused(frames));
}

// Found by fuzzing: half an answer was taken for none.
TEST_CASE("message: a history without an epoch that has a record all the same is refused") {
    Encoded frames = encoded(sample(MessageType::history));
    constexpr size_t kEpochAt = 8;
    std::fill_n(frames.body.begin() + kEpochAt, 8, uint8_t{0});
    reseal(frames);
    CHECK(refused(frames));
}

TEST_CASE("message: every type survives encoding and decoding") {
    for (const Message& message : testing::wire_samples()) {
        CAPTURE(to_string(type_of(message.body)));
        Encoded first = encoded(message);
        auto envelope = decode_envelope(first.envelope);
        REQUIRE(envelope.ok());
        CHECK(envelope->session == message.envelope.session);
        CHECK(envelope->epoch == message.envelope.epoch);
        CHECK(envelope->lsn == message.envelope.lsn);
        CHECK(envelope->offset == message.envelope.offset);
        auto body = decode_body(*envelope, first.body);
        REQUIRE(body.ok());
        CHECK(type_of(*body) == type_of(message.body));
        // Equal bytes of the second encoding: every field came through.
        Encoded second = encoded({*envelope, *body});
        CHECK(second.envelope == first.envelope);
        CHECK(second.body == first.body);
    }
}

TEST_CASE("message: a chunk sealed in place equals the encoded one") {
    Message message = sample(MessageType::data);
    Encoded expected = encoded(message);
    const Data& data = std::get<Data>(message.body);
    Bytes body(kDataPrefixBytes + data.bytes.size());
    std::ranges::copy(data.bytes, body.begin() + kDataPrefixBytes);
    CHECK(encode_data(message.envelope, data.committed, true, body) == expected.envelope);
    CHECK(body == expected.body);
}

TEST_CASE("message: sync_pages encoded from views equals the encoded message") {
    Message message = sample(MessageType::sync_pages);
    Encoded expected = encoded(message);
    Encoded got;
    encode_sync_pages(message.envelope, std::get<SyncPages>(message.body), got.envelope, got.body);
    CHECK(got.envelope == expected.envelope);
    CHECK(got.body == expected.body);
}

TEST_CASE("message: every flipped bit is found") {
    for (const Message& message : testing::wire_samples()) {
        Encoded good = encoded(message);
        CAPTURE(to_string(type_of(message.body)));
        for (size_t at = 0; at < good.envelope.size(); ++at) {
            Encoded bad = good;
            bad.envelope[at] ^= 0x10;
            CHECK(refused(bad));
        }
        for (size_t at = 0; at < good.body.size(); at += 5) {
            Encoded bad = good;
            bad.body[at] ^= 0x01;
            CHECK(refused(bad));
        }
    }
}

TEST_CASE("message: a body of another length is refused, whatever the hash says") {
    for (const Message& message : testing::wire_samples()) {
        MessageType type = type_of(message.body);
        // Their bodies end where the frame ends.
        static const std::set<MessageType> kOpenEnded = {
            MessageType::data,    MessageType::status,  MessageType::join,
            MessageType::members, MessageType::command, MessageType::command_result,
            MessageType::roster,  MessageType::vote,    MessageType::voters};
        if (kOpenEnded.contains(type)) {
            continue;
        }
        CAPTURE(to_string(type));
        Encoded longer = encoded(message);
        longer.body.push_back(0);
        reseal(longer);
        CHECK(refused(longer));
        Encoded shorter = encoded(message);
        if (shorter.body.empty()) continue;
        shorter.body.pop_back();
        reseal(shorter);
        CHECK(refused(shorter));
    }
}

TEST_CASE("message: envelopes with unknown parts are refused") {
    struct Change {
        size_t at;
        uint8_t value;
    };
    const auto unknown = static_cast<uint8_t>(static_cast<int>(kMessageTypeLast) + 1);
    // Magic, header length, type 0, a type after the last, flags of an ack, stream.
    for (Change change : {Change{0, 1}, Change{6, 72}, Change{8, 0}, Change{8, unknown},
                          Change{10, 1}, Change{11, 1}, Change{12, 1}}) {
        CAPTURE(change.at);
        Encoded bad = encoded(sample(MessageType::ack));
        bad.envelope[change.at] = change.value;
        reseal(bad);
        auto envelope = decode_envelope(bad.envelope);
        REQUIRE(!envelope.ok());
        CHECK(envelope.error().code == Errc::corrupt);
    }
}

TEST_CASE("message: another protocol version is named with both numbers") {
    Encoded bad = encoded(sample(MessageType::ack));
    bad.envelope[4] = 9;
    auto envelope = decode_envelope(bad.envelope);
    REQUIRE(!envelope.ok());
    CHECK(envelope.error().code == Errc::version);
    CHECK(envelope.error().message.find("version 9") != std::string::npos);
    CHECK(envelope.error().message.find("version 1") != std::string::npos);
}

TEST_CASE("message: a body longer than its type allows is refused before it is looked at") {
    Encoded bad = encoded(sample(MessageType::ack));
    bad.body.resize(limits::kControlBodyBytesMax + 1);
    reseal(bad);
    CHECK(!decode_envelope(bad.envelope).ok());
}

TEST_CASE("message: fields out of bounds are refused") {
    auto bad = [](Body body) {
        Message message;
        message.body = std::move(body);
        return refused(encoded(message));
    };
    Hello hello = std::get<Hello>(sample(MessageType::hello).body);
    hello.page_bytes = 1000;
    CHECK(bad(hello));
    hello.page_bytes = 4096;
    hello.version_min = 0;
    CHECK(bad(hello));
    hello.version_min = 3;
    CHECK(bad(hello));
    Welcome welcome = std::get<Welcome>(sample(MessageType::welcome).body);
    welcome.state = static_cast<ReplicaState>(4);
    CHECK(bad(welcome));
    CHECK(bad(Refuse{static_cast<RefuseCode>(0), ""}));
    CHECK(bad(Refuse{static_cast<RefuseCode>(static_cast<int>(kRefuseCodeLast) + 1), ""}));
    CHECK(bad(Data{Lsn(1), {}}));
    CHECK(bad(SyncBegin{{}, {}, 4095, 1}));
    CHECK(bad(SyncAsk{1, 0, 5, {}}));
    CHECK(bad(SyncAsk{1, UINT32_MAX, 5, {}}));
    CHECK(bad(SyncAsk{1, 1, limits::kSyncAskPagesMax + 1, {}}));
    CHECK(bad(SyncAsk{1, 1, 1, {Hash128{}, Hash128{}}}));
    Bytes image(512);
    CHECK(bad(SyncPages{1, false, 512, {0}, image}));
}

TEST_CASE("message: the largest messages fit a frame") {
    Bytes chunk(limits::kBodyBytesMax);
    CHECK(!refused(encoded({{}, Data{Lsn(1), chunk}})));
    SyncPages pages{1, false, limits::kPageBytesMin, {}, chunk};
    for (uint32_t page = 1; page <= limits::kBodyBytesMax / limits::kPageBytesMin; ++page) {
        pages.pages.push_back(page);
    }
    CHECK(!refused(encoded({{}, pages})));
    SyncAsk ask{1, 1, limits::kSyncAskPagesMax, {}};
    ask.hashes.resize(limits::kSyncAskPagesMax);
    CHECK(!refused(encoded({{}, ask})));
}

TEST_CASE("message: names and reasons are cut, not refused") {
    auto body = decoded(encoded({{}, NeedSync{std::string(70000, 'x')}}));
    REQUIRE(body.ok());
    CHECK(std::get<NeedSync>(*body).reason.size() == 1024);
}

// A change of these bytes breaks every running cluster. TANIST_REWRITE_GOLDEN=1 writes them anew.
TEST_CASE("message: the golden messages of version 1 are what this program writes and reads") {
    std::string directory = std::string(TANIST_SOURCE_DIR) + "/tests/golden/v1/wire/";
    for (const Message& message : testing::wire_samples()) {
        std::string name = to_string(type_of(message.body));
        CAPTURE(name);
        Encoded frames = encoded(message);
        Bytes both = frames.envelope;
        both.insert(both.end(), frames.body.begin(), frames.body.end());
        std::string path = directory + name + ".message";
        if (std::getenv("TANIST_REWRITE_GOLDEN") != nullptr) {
            std::ofstream out(path, std::ios::binary);
            out.write(reinterpret_cast<const char*>(both.data()),
                      static_cast<std::streamsize>(both.size()));
            continue;
        }
        Bytes golden = read_file(path);
        REQUIRE(golden.size() >= kEnvelopeBytes);
        CHECK(golden == both);
    }
}

// The page is the contract; this keeps it and the code from drifting apart.
TEST_CASE("message: docs/wire-protocol.md has the envelope's table as the code writes it") {
    std::ifstream page(std::string(TANIST_SOURCE_DIR) + "/docs/wire-protocol.md");
    std::string line;
    while (std::getline(page, line) && line != "## Envelope") continue;
    size_t at = 0;
    std::vector<std::string> names;
    while (std::getline(page, line) && !line.starts_with("## ")) {
        size_t offset = 0;
        size_t bytes = 0;
        char name[40];
        if (std::sscanf(line.c_str(), "| %zu | %zu | %39[a-z_] |", &offset, &bytes, name) != 3) {
            continue;
        }
        CHECK(offset == at);
        at += bytes;
        names.push_back(name);
    }
    CHECK(at == kEnvelopeBytes);
    Envelope envelope;
    envelope.session = 0x0101010101010101;
    envelope.epoch = Epoch(0x0202020202020202);
    envelope.lsn = Lsn(0x0303030303030303);
    envelope.offset = 0x0404040404040404;
    Bytes bytes = encoded({envelope, NeedSync{"x"}}).envelope;
    CHECK(names == std::vector<std::string>{"magic", "version", "header_bytes", "type", "flags",
                                            "stream", "session", "epoch", "lsn", "offset",
                                            "body_bytes", "body_hash", "checksum"});
    CHECK(bytes[0] == 'T');
    CHECK(bytes[4] == kWireVersion);
    CHECK(bytes[6] == kEnvelopeBytes);
    CHECK(bytes[8] == 7);
    CHECK(bytes[16] == 1);
    CHECK(bytes[24] == 2);
    CHECK(bytes[32] == 3);
    CHECK(bytes[40] == 4);
    CHECK(bytes[48] == 3);
}

}  // namespace tanist
