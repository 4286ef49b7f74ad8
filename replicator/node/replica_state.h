// What the threads of a replica share, and the events and commands that travel between them.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <variant>

#include "replicator/control/control_block.h"
#include "replicator/control/layout.h"
#include "replicator/control/node_file.h"
#include "replicator/control/settings.h"
#include "replicator/log/log.h"
#include "replicator/node/log_options.h"
#include "replicator/node/mailbox.h"
#include "replicator/node/role_host.h"
#include "replicator/receive/receiver.h"
#include "replicator/sync/staged_form.h"
#include "replicator/sync/sync_log.h"
#include "replicator/wal/sqlite_api.h"

namespace tanist {

// net -> store: what to do with the log. `frame` keeps the bytes alive that `bytes` points into.
namespace store_command {
struct Begin {
    RecordHeader header;
};
struct Part {
    Frame frame;
    ByteView bytes;
};
struct Finish {
    RecordHeader header;
};
struct Abandon {};
// A delta sync begins: from here on its own log is appended to; until one of the next two.
struct BeginSyncLog {
    LogPoint base;
    uint64_t number = 0;
};
struct DropSyncLog {};
struct KeepSyncLog {};
struct Create {  // adopted: from now on there is a log
    GroupId group;
};
}  // namespace store_command
using StoreCommand =
    std::variant<store_command::Begin, store_command::Part, store_command::Finish,
                 store_command::Abandon, store_command::BeginSyncLog, store_command::DropSyncLog,
                 store_command::KeepSyncLog, store_command::Create>;

// net, store -> apply.
namespace apply_command {
struct Apply {};  // the target moved: min(durable, committed)
struct SyncBegan {
    SyncBegin begin;
};
struct SyncGot {
    Frame frame;
    SyncPages pages;
};
struct SyncComplete {
    SyncEnd end;
};
struct SyncAborted {};
struct SyncLogKept {};  // from store: the log is the installed sync's
}  // namespace apply_command
using ApplyCommand = std::variant<apply_command::Apply, apply_command::SyncBegan,
                                  apply_command::SyncGot, apply_command::SyncComplete,
                                  apply_command::SyncAborted, apply_command::SyncLogKept>;

struct ReplicaShared {
    ReplicaShared(const SqliteApi& sqlite, Layout files, Settings s)
        : api(sqlite), layout(std::move(files)), settings(std::move(s)) {}

    const SqliteApi& api;
    Layout layout;
    Settings settings;
    RoleHost* host = nullptr;
    int gives_way = 0;  // steps of priority, of every thread; set before they start
    NodeFile node;
    NodeKey identity;
    Control control;
    // Belongs to the database. Null until adopted; made, and exchanged for sync_log, by the store
    // thread. The apply thread reads it through a reader that it has not got at that moment; the
    // net thread only while a sync's log is neither kept nor about to be; others, log_end().
    std::unique_ptr<Log> log;
    std::unique_ptr<Log> sync_log;  // of a delta sync that is not installed; store thread
    bool log_was_cut = false;  // it ends before what was synced once in this boot; set with the log
    StagedForm staged_form;    // of a delta sync's pages; set with the log
    Mailbox<StoreCommand> to_store;
    Mailbox<ApplyCommand> to_apply;
    Mailbox<ReceiverEvent> to_net;
    // Opens or creates it.
    Status open_log(GroupId group);
    LogPoint log_end() const;  // any thread, once log_is_open
    // -- store thread, or whoever has stopped it.
    // What is appended goes here.
    Log& appended_to() { return sync_log ? *sync_log : *log; }
    SyncLogFiles sync_files() const { return {layout.log(), layout.base()}; }
    Status begin_sync_log(const LogPoint& base);
    Status drop_sync_log();
    // The database is at a point of the sync's log.
    Status keep_sync_log();

    std::atomic<bool> log_is_open{false};  // for other threads than those of the replica
    std::atomic<bool> whole{false};  // net writes: the database can be brought to the log's end
    std::atomic<uint64_t> durable_lsn{0};       // store writes; of the log
    std::atomic<uint64_t> sync_durable_lsn{0};  // store writes; of the sync's log
    std::atomic<uint64_t> committed_lsn{0};     // net writes
    std::atomic<uint64_t> keep_from_lsn{0};     // apply writes: the log is needed from here on
    // apply writes: the database is on its way from the log to the sync's.
    std::atomic<bool> installing{false};
    std::atomic<bool> promoted{false};  // all of the log is to be applied, settled or not

  private:
    mutable std::mutex exchanging_;  // guards the pointer `log` against log_end()
};

}  // namespace tanist
