#include "replicator/node/replica_state.h"

#include <algorithm>

#include "replicator/node/log_options.h"

namespace tanist {

Status ReplicaShared::open_log(GroupId group) {
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

LogPoint ReplicaShared::log_end() const {
    const std::lock_guard lock(exchanging_);
    return log->end();
}

Status ReplicaShared::begin_sync_log(const LogPoint& base) {
    sync_log.reset();
    auto options = log_options(layout, settings);
    if (!options) return std::move(options).error();
    auto begun = sync_files().begin(log->group(), base, *options);
    if (!begun) return std::move(begun).error();
    sync_log = std::move(begun).value();
    sync_durable_lsn.store(base.position.lsn.value);
    return ok_status();
}

Status ReplicaShared::drop_sync_log() {
    sync_log.reset();
    return sync_files().drop();
}

// Whoever starts after a crash in between must not take the new log for one that was cut.
Status ReplicaShared::keep_sync_log() {
    const uint64_t durable = sync_durable_lsn.load();
    control->durable_lsn.store(std::min(control->durable_lsn.load(), durable));
    durable_lsn.store(std::min(durable_lsn.load(), durable));
    TANIST_TRY(sync_files().keep());
    sync_log->moved_to(layout.log());
    {
        const std::lock_guard lock(exchanging_);
        log.swap(sync_log);
    }
    sync_log.reset();
    durable_lsn.store(durable);
    control->durable_lsn.store(durable);
    return ok_status();
}

}  // namespace tanist
