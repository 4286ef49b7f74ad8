#include "replicator/node/unfinished_sync.h"

#include "replicator/apply/intent.h"
#include "replicator/base/file.h"
#include "replicator/base/notes.h"
#include "replicator/node/log_options.h"
#include "replicator/sync/install_plan.h"
#include "replicator/sync/sync_log.h"
#include "replicator/sync/sync_sink.h"

namespace tanist {
namespace {

Status finish_database(const SqliteApi& api, const Layout& layout, const Settings& settings,
                       GroupId group, const std::string& log_directory, IntentFile& intent) {
    auto options = log_options(layout, settings);
    if (!options) return std::move(options).error();
    auto log = Log::open(log_directory, group, *options);
    if (!log) return std::move(log).error();
    const StagedForm form = options->seal ? StagedForm(options->cipher) : StagedForm();
    const std::unique_ptr<LogReader> reader = (*log)->reader();
    auto finished = SyncSink::finish_install(api, layout.db, layout.base(), form, *reader, intent);
    if (!finished) return std::move(finished).error();
    return ok_status();
}

bool may_pass(Errc code) {
    return code == Errc::busy || code == Errc::no_space || code == Errc::io;
}

}  // namespace

Result<bool> settle_unfinished_sync(const SqliteApi& api, const Layout& layout,
                                    const Settings& settings, GroupId group) {
    const SyncLogFiles files(layout.log(), layout.base());
    if (files.is_moving()) {
        TANIST_TRY(files.keep());
        return true;
    }
    const auto drop = [&]() -> Result<bool> {
        TANIST_TRY(files.drop());
        return false;
    };
    auto plan = read_install_plan(layout.base());
    if (!plan && may_pass(plan.error().code)) return std::move(plan).error();
    if (!plan) return drop();
    auto intent = IntentFile::open(layout.intent());
    if (!intent) return std::move(intent).error();
    const std::optional<Intent> last = intent->read();
    const bool there = last && !last->syncing && last->done == plan->end;
    if (!there && !(last && last->syncing)) return drop();  // nothing of it was done
    if (!there) {
        Status done = finish_database(api, layout, settings, group, files.path(), *intent);
        if (!done && may_pass(done.error().code)) {
            return Error(done.error()).in("a sync is half installed, and cannot be finished now");
        }
        if (!done) {
            note(NoteLevel::error, "a sync is half installed, and cannot be finished",
                 {{"reason", done.error().message}});
            return drop();
        }
    }
    TANIST_TRY(files.keep());
    note(NoteLevel::info, "a sync that was half installed is finished",
         {{"position", to_string(plan->end.position)}});
    return true;
}

}  // namespace tanist
