// Takes records out of the bytes of data messages: order, bounds, and that each record is the
// successor of the last one. Holds no payload. Pure.
#pragma once

#include <optional>

#include "replicator/log/log.h"
#include "replicator/wire/message.h"

namespace tanist {

class RecordAssembly {
  public:
    // What the bytes mean, up to the end of one record or of the bytes.
    struct Step {
        bool begins = false;
        ByteView part;  // of the payload, no padding; may be empty
        bool finishes = false;
        size_t used = 0;
    };
    struct From {
        Lsn lsn;
        uint64_t offset = 0;
        Epoch epoch;  // of the message
    };
    // The bytes must continue what is open, or begin the record after `previous`.
    // invalid: out of order; corrupt, version: not a record, or not of this history
    // (Errc::refused). Requires: bytes.
    Result<Step> take(const From& from, ByteView bytes, const LogPoint& previous, GroupId group);
    bool open() const { return open_; }
    void drop() { open_ = false; }
    const RecordHeader& header() const { return header_; }  // of the last begun

  private:
    Status begin(const From& from, ByteView bytes, const LogPoint& previous, GroupId group);
    bool open_ = false;
    RecordHeader header_;
    uint64_t offset_ = 0;
};

}  // namespace tanist
