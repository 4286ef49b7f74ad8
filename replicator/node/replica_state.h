// What the threads of a replica share, and the events and commands that travel between them.
#pragma once

#include <atomic>
#include <memory>
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
struct Reset {
    LogPoint base;
};
struct Create {  // adopted: from now on there is a log
    GroupId group;
};
}  // namespace store_command
using StoreCommand =
    std::variant<store_command::Begin, store_command::Part, store_command::Finish,
                 store_command::Abandon, store_command::Reset, store_command::Create>;

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
}  // namespace apply_command
using ApplyCommand =
    std::variant<apply_command::Apply, apply_command::SyncBegan, apply_command::SyncGot,
                 apply_command::SyncComplete, apply_command::SyncAborted>;

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
    std::unique_ptr<Log> log;  // null until adopted; then made by the store thread
    bool log_was_cut = false;  // it ends before what was synced once in this boot; set with the log
    StagedForm staged_form;    // of a delta sync's pages; set with the log
    Mailbox<StoreCommand> to_store;
    Mailbox<ApplyCommand> to_apply;
    Mailbox<ReceiverEvent> to_net;
    // Opens or creates it.
    Status open_log(GroupId group) {
        auto options = log_options(layout, settings);
        if (!options) return std::move(options).error();
        auto opened = Log::open(layout.log(), group, *options);
        if (!opened) return std::move(opened).error();
        log = std::move(opened).value();
        if (options->seal) staged_form = StagedForm(options->cipher);
        uint64_t end = log->end().position.lsn.value;
        log_was_cut = control->durable_lsn.load() > end;
        durable_lsn.store(end);
        control->durable_lsn.store(end);
        log_is_open.store(true, std::memory_order_release);
        return ok_status();
    }
    std::atomic<bool> log_is_open{false};    // for other threads than those of the replica
    std::atomic<bool> whole{false};          // net writes: the database follows the log
    std::atomic<uint64_t> durable_lsn{0};    // store writes
    std::atomic<uint64_t> committed_lsn{0};  // net writes
    std::atomic<uint64_t> keep_from_lsn{0};  // apply writes: the log is needed from here on
};

}  // namespace tanist
