// The replica's log thread: appends what the net thread received, one fdatasync for everything that
// came meanwhile (group commit), then says so. Only this thread writes the log.
#pragma once

#include <deque>
#include <thread>

#include "replicator/node/replica_state.h"

namespace tanist {

class StoreLoop {
  public:
    explicit StoreLoop(ReplicaShared& shared) : shared_(shared) {}
    ~StoreLoop() { stop(); }
    void start() {
        thread_ = std::thread([this] { run(); });
    }
    void stop();  // everything handed over is durable when it returns

  private:
    void run();
    void handle(store_command::Begin& command);
    void handle(store_command::Part& command);
    void handle(store_command::Finish& command);
    void handle(store_command::Abandon& command);
    void handle(store_command::Reset& command);
    void handle(store_command::Create& command);
    void fail(const Error& error);
    void rest_in_storm();
    void make_durable();
    void retain();

    ReplicaShared& shared_;
    bool problem_told_ = false;    // until a record was stored again
    bool failed_ = false;          // everything is ignored until the receiver abandons
    bool open_ = false;            // a record is between begin and finish
    bool appended_ = false;        // something is not yet durable
    uint64_t taken_bytes_ = 0;     // of the record being appended, not yet told
    uint64_t unsynced_bytes_ = 0;  // of the records appended since the last sync
    uint64_t batch_bytes_ = 0;     // of those that the last sync covered
    Instant synced_{0};
    Instant retained_{0};
    std::deque<ReceiverEvent> to_net_;  // told together, before and after each sync
    std::thread thread_;
};

}  // namespace tanist
