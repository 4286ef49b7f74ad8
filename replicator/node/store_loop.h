// The replica's log thread: appends what the net thread received, one fdatasync for everything that
// came meanwhile (group commit), then says so. Nobody else writes the log, but for the net thread
// in its place: a few small records, whose sender may be waiting for them, are stored where they
// arrive while this thread has nothing to do. That saves the two wakes that take as long as the
// disk does.
#pragma once

#include <atomic>
#include <deque>
#include <mutex>
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
    void stop();  // everything handed over is durable when it returns, and nothing is stored later

    // -- net thread.
    void hand_over(std::deque<StoreCommand>& commands);
    // Appends them here and now. False: they are to be handed over. What the receiver is to be told
    // of it, and of sync_here() after it, is in `to_net`, behind what the thread told before: the
    // receiver counts records off one by one, so all its news must come in one order.
    bool append_here(std::deque<StoreCommand>& commands);
    void sync_here();
    // When the receiver was told.
    void applies_now();

  private:
    void run();
    bool may_append_here(const std::deque<StoreCommand>& commands) const;
    void handle(store_command::Begin& command);
    void handle(store_command::Part& command);
    void handle(store_command::Finish& command);
    void handle(store_command::Abandon& command);
    void handle(store_command::BeginSyncLog& command);
    void handle(store_command::DropSyncLog& command);
    void handle(store_command::KeepSyncLog& command);
    void handle(store_command::Create& command);
    void fail(const Error& error);
    void rest_in_storm();
    bool make_durable();
    Status sync_appended();
    void tell_durable();
    void begin_other_log();
    void keep_sync_log();
    void retain();

    ReplicaShared& shared_;
    // Commands handed over, and handled of them: equal when the thread has nothing to do.
    uint64_t handed_over_ = 0;  // net thread
    std::atomic<uint64_t> handled_{0};
    std::mutex working_;           // guards the log's writing end and what stands below
    Nanos sync_took_{0};           // the last one
    bool problem_told_ = false;    // until a record was stored again
    bool failed_ = false;          // everything is ignored until the receiver abandons
    bool open_ = false;            // a record is between begin and finish
    bool appended_ = false;        // something is not yet durable
    bool keep_is_due_ = false;     // it failed, and is tried again
    uint64_t taken_bytes_ = 0;     // of the record being appended, not yet told
    uint64_t unsynced_bytes_ = 0;  // of the records appended since the last sync
    uint64_t batch_bytes_ = 0;     // of those that the last sync covered
    Instant synced_{0};
    Instant retained_{0};
    std::deque<ReceiverEvent> to_net_;  // told together, before and after each sync
    std::thread thread_;
};

}  // namespace tanist
