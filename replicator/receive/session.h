// What the receiver holds of one session with a primary; private to receiver.cc.
#pragma once

#include <cstdint>
#include <string>

#include "replicator/receive/credit.h"
#include "replicator/receive/receiver.h"

namespace tanist {

// How far an accepted HELLO is. `making_durable`: adoption or epoch is on its way to the disk.
// `settling`: the log answers where it ends, after everything of earlier sessions.
enum class Opening { making_durable, settling, open };

// `opening`: the sync's log is being made. `copying`: ranges are asked for. `ending`: the last ask
// is out. `filling`: sync_end is here, the sync's log is not there yet. `installing`: the sink has
// everything. `keeping`: the database is the sync's, and its log becomes the log.
enum class SyncStep { none, opening, copying, ending, filling, installing, keeping };

struct Session {
    uint64_t id = 0;
    LinkId link = 0;
    LinkId sync_link = 0;
    NodeKey node;
    std::string name;
    Epoch epoch;
    Opening opening = Opening::making_durable;
    CreditWindow credit;
    uint64_t credit_told = 0;  // consumed() when the last ack left
    int64_t echo_unix_ns = 0;
    bool receipt_wanted = false;  // of records whose Appended is still to come
    // Numbers of the newest sync that was begun, and of the one whose log was begun.
    uint64_t sync_begun = 0;
    uint64_t sync_reset = 0;

    // Whether it is no sync that an older sync socket brings late.
    bool begin_sync(LinkId from, uint64_t number) {
        if (number <= sync_begun) return false;
        sync_begun = number;
        sync_link = from;
        return true;
    }
    bool has(LinkId from, const Envelope& message) const {
        return id == message.session && (from == link || from == sync_link);
    }
};

// The last primary that was not ours, and why it was refused; for the view.
struct Refusal {
    std::string text;
    Instant at{0};
};

// A record whose AppendFinish is out.
struct Unanswered {
    LogPoint point;
    uint64_t queued;  // CreditWindow::queued() at its end
};

}  // namespace tanist
