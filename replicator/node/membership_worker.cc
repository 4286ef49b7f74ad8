#include "replicator/node/membership_worker.h"

#include "replicator/base/notes.h"
#include "replicator/control/audit.h"
#include "replicator/membership/membership.h"
#include "replicator/node/node_state.h"

namespace tanist {
namespace {

constexpr Nanos kWaitLongest = std::chrono::seconds(10);

Result<Membership> carry_out(const Layout& layout, const OperatorCommand& command) {
    if (command.kind == OperatorCommand::Kind::members_list) return read_membership(layout);
    Result<Membership> changed = change_membership(layout, command);
    Status kept = audit(layout, {.who = command.who,
                                 .what = to_string(command.kind),
                                 .target = target_of(command),
                                 .result = changed ? "done" : changed.error().message});
    if (!kept) note(NoteLevel::warning, "not audited", {{"reason", kept.error().message}});
    return changed;
}

std::string answer_to(const Layout& layout, const OperatorCommand& command) {
    const Result<Membership> membership = carry_out(layout, command);
    Json json = membership ? success() : failure(membership.error());
    if (membership) json.update(Json::parse(membership_json(layout, *membership)));
    return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace

void MembershipWorker::stop() {
    asked_.close();
    std::call_once(begun_, [] {});  // it does not begin any more
    if (thread_.joinable()) thread_.join();
}

void MembershipWorker::put(OperatorCommand command, AdminServer::Answer answer) {
    std::call_once(begun_, [this] { thread_ = std::thread([this] { run(); }); });
    asked_.put({std::move(command), std::move(answer)});
}

void MembershipWorker::run() {
    while (!asked_.closed()) {
        for (Asked& asked : asked_.wait(kWaitLongest)) {
            if (asked_.closed()) return;
            at_work_.store(true);
            asked.answer(answer_to(layout_, asked.command));
            at_work_.store(false);
        }
    }
}

}  // namespace tanist
