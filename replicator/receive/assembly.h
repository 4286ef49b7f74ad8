// Puts a record together from the chunks of data messages: order, bounds, and that the record is
// the successor of the last one. Holds no payload. Pure.
#pragma once

#include <optional>

#include "replicator/log/log.h"
#include "replicator/wire/message.h"

namespace tanist {

class RecordAssembly {
  public:
    // What one chunk means.
    struct Step {
        bool begins = false;
        ByteView part;  // of the payload, no padding; may be empty
        bool finishes = false;
    };
    // The chunk must continue what is open, or begin the record after `previous`.
    // invalid: out of order; corrupt, version: not a record, or not of this history
    // (Errc::refused).
    Result<Step> take(const Envelope& envelope, const Data& data, const LogPoint& previous,
                      GroupId group);
    bool open() const { return open_; }
    void drop() { open_ = false; }
    const RecordHeader& header() const { return header_; }  // of the last begun

  private:
    Status begin(const Envelope& envelope, const Data& data, const LogPoint& previous,
                 GroupId group);
    bool open_ = false;
    RecordHeader header_;
    uint64_t offset_ = 0;
};

}  // namespace tanist
