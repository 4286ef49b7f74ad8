#include "replicator/control/writer_turn.h"

#include <doctest/doctest.h>

#include <thread>

using namespace tanist;

namespace {

// A connection that wrote in its last transaction.
struct Writer {
    ControlTurn& line;
    WriterTurn turn;
    explicit Writer(ControlTurn& l) : line(l) {
        turn.asked_to_write(line, true);
        turn.has_written(line);
    }
    void reads(bool pipelined = true) { turn.about_to_read(line, pipelined); }
};

}  // namespace

TEST_CASE("writer turn: a writer has it from its READ lock until WRITE is free") {
    ControlTurn line{};
    Writer a(line);
    a.reads();
    CHECK(a.turn.is_ours());
    a.turn.has_read(line);
    a.turn.asked_to_write(line, true);
    CHECK(line.holder != 0);
    a.turn.has_written(line);
    CHECK(line.holder == 0);
}

TEST_CASE("writer turn: the next one waits, and gets it") {
    ControlTurn line{};
    Writer a(line);
    Writer b(line);
    a.reads();
    std::thread other([&] { b.reads(); });
    a.turn.has_written(line);
    other.join();
    CHECK(b.turn.is_ours());
}

TEST_CASE("writer turn: who only reads, or commits in another way, has none and waits for none") {
    ControlTurn line{};
    Writer a(line);
    a.reads(false);
    WriterTurn reader;
    reader.about_to_read(line, true);
    CHECK_FALSE(a.turn.is_ours());
    CHECK_FALSE(reader.is_ours());
}

TEST_CASE("writer turn: who has it for long is passed over, and gives nothing back") {
    ControlTurn line{};
    Writer a(line);
    Writer b(line);
    a.reads();
    line.since_ns = boot_now().ns - 2 * WriterTurn::kLongest.count();
    b.reads();
    CHECK(b.turn.is_ours());
    a.turn.has_written(line);
    CHECK(line.holder != 0);
}

TEST_CASE("writer turn: who reads and reads, or does not get WRITE, gives it back") {
    ControlTurn line{};
    Writer a(line);
    a.reads();
    for (int i = 0; i < 10; ++i) a.turn.has_read(line);
    CHECK(line.holder == 0);
    Writer b(line);
    b.reads();
    b.turn.asked_to_write(line, false);
    CHECK(line.holder == 0);
}
