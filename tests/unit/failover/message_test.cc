#include "failover/core/message.h"

#include <doctest/doctest.h>

#include "tests/unit/failover/message_samples.h"

using namespace tanist;
using namespace tanist::failover;

TEST_CASE("failover message: each kind is what it was after encoding and decoding") {
    const std::vector<Message> samples = message_samples();
    CHECK(samples.size() >= std::variant_size_v<Message>);
    for (const Message& sample : samples) {
        const Result<Message> read = decode_message(encode(sample));
        REQUIRE_MESSAGE(read.ok(), name_of(sample));
        CHECK_MESSAGE(*read == sample, name_of(sample));
    }
}

TEST_CASE("failover message: cut short or longer, none is accepted") {
    for (const Message& sample : message_samples()) {
        Bytes bytes = encode(sample);
        for (size_t count = 0; count < bytes.size(); ++count) {
            CHECK_FALSE(decode_message(ByteView(bytes).first(count)).ok());
        }
        bytes.push_back(0);
        CHECK_FALSE(decode_message(bytes).ok());
    }
}

TEST_CASE("failover message: another version is refused with both numbers") {
    Bytes bytes = encode(Message{PromiseAsk{1}});
    bytes[4] = 7;
    const Result<Message> read = decode_message(bytes);
    REQUIRE_FALSE(read.ok());
    CHECK(read.error().code == Errc::version);
    CHECK(read.error().message.find("version 7") != std::string::npos);
}

TEST_CASE("failover message: unknown types, kinds and flags are refused") {
    Bytes bytes = encode(Message{PromiseAsk{1}});
    bytes[6] = 0;
    CHECK_FALSE(decode_message(bytes).ok());
    bytes[6] = 99;
    CHECK_FALSE(decode_message(bytes).ok());
    Bytes refuse = encode(Message{Refuse{}});
    refuse[8 + 16] = 0x80;  // flags
    CHECK_FALSE(decode_message(refuse).ok());
}
