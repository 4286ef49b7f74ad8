#include "replicator/ship/record_sender.h"

#include <doctest/doctest.h>

#include "tests/unit/log/log_fixture.h"

using namespace tanist;

namespace {

// A log whose records are sent into lists of envelopes and bodies.
struct SenderFixture : LogFixture {
    std::vector<Envelope> envelopes;
    std::vector<Bytes> bodies;

    follower_event::Sent send(uint64_t from, uint64_t last, uint64_t budget = 8u << 20) {
        std::unique_ptr<LogReader> reader = log->reader();
        follower_action::SendRecords action;
        action.lsn = Lsn(from);
        action.offset = 0;
        action.budget_bytes = budget;
        action.last = Lsn(last);
        auto sent = send_records(*reader, action, [&](ByteView envelope, Bytes body) {
            auto decoded = decode_envelope(envelope);
            REQUIRE(decoded.ok());
            envelopes.push_back(*decoded);
            bodies.push_back(std::move(body));
            return true;
        });
        REQUIRE(sent.ok());
        return *sent;
    }
    // What the bodies hold, one after the other.
    Bytes stream() const {
        Bytes all;
        for (const Bytes& body : bodies)
            all.insert(all.end(), body.begin() + kDataPrefixBytes, body.end());
        return all;
    }
    Bytes stored(uint64_t lsn) {
        std::unique_ptr<LogReader> reader = log->reader();
        auto header = reader->header_of(Lsn(lsn));
        REQUIRE(header.ok());
        Bytes bytes(header->record_bytes());
        REQUIRE(reader->read(Lsn(lsn), 0, bytes).ok());
        return bytes;
    }
    Bytes stored(uint64_t from, uint64_t last) {
        Bytes all;
        for (uint64_t lsn = from; lsn <= last; ++lsn) {
            Bytes one = stored(lsn);
            all.insert(all.end(), one.begin(), one.end());
        }
        return all;
    }
};

}  // namespace

TEST_CASE_FIXTURE(SenderFixture, "record_sender: short records share a message") {
    append(5, 2);
    auto sent = send(1, 5);
    CHECK(bodies.size() == 1);
    CHECK(sent.next == Lsn(6));
    CHECK(stream() == stored(1, 5));
    CHECK(envelopes[0].flags == kDataLast);
}

TEST_CASE_FIXTURE(SenderFixture, "record_sender: a long record goes out in chunks, alone") {
    options.segment_bytes = 4u << 20;
    REQUIRE(reopen());
    append(1);
    append(1, 600);
    append(1);
    auto sent = send(1, 3);
    CHECK(sent.next == Lsn(4));
    CHECK(bodies.size() == 4);
    CHECK(envelopes[1].flags == 0);
    CHECK(stream() == stored(1, 3));
}

TEST_CASE_FIXTURE(SenderFixture, "record_sender: records of several segments arrive in order") {
    append(100, 4);
    auto sent = send(3, 100);
    CHECK(sent.next == Lsn(101));
    CHECK(stream() == stored(3, 100));
    CHECK(log->stat().segments > 1);
}

TEST_CASE_FIXTURE(SenderFixture, "record_sender: nothing beyond the budget leaves") {
    append(100, 4);
    auto sent = send(1, 100, 100'000);
    CHECK(sent.body_bytes <= 100'000);
    CHECK(sent.next < Lsn(101));
    CHECK(stream() == stored(1, sent.next.value - 1));
}
