// `tanist recover --accept-suspect`: what a node lost and nobody can tell it any more, an
// operator's word replaces. Its log counts as it is, although it may lack what the node had
// acknowledged; and a ballot that is lost is replaced by a promise that outranks all that it can
// have promised (Voter::take_word). Only where nobody else can: while a primary serves, or somebody
// who answers has more, that one tells.
#include "failover/core/epoch_parts.h"
#include "replicator/base/random.h"
#include "replicator/node/node_state.h"
#include "replicator/node/status_poll.h"

namespace tanist {
namespace {

using namespace std::chrono_literals;
constexpr Nanos kDonePatience = 5s;

Json row_of(const Member& member, const PolledStatus& answer) {
    Json json{{"name", member.name}, {"endpoint", member.endpoint}, {"reached", answer.reached}};
    if (!answer.reached) return json;
    json["role"] = answer.role;
    json["end"] = to_string(answer.log_end);
    json["suspect"] = answer.suspect;
    json["lost_ballot"] = answer.lost_ballot;
    return json;
}

}  // namespace

RecoveryPlan Node::State::plan_recovery() {
    RecoveryPlan plan;
    const failover::NodeView view = failover->view();
    const auto log = log_state();
    const Position end = log ? log->end.position : Position{};
    const Lsn heard{control->primary_lsn.load()};
    const bool is_witness = file.role == Role::witness;
    plan.word = {.seen = view.promised,
                 .nonce = static_cast<uint16_t>(random_u64() | 1),
                 .log_counts = !is_witness};
    plan.needed = view.suspect || view.lost_ballot;
    const bool has_all = is_witness || heard <= end.lsn;
    plan.json = {{"node", layout.db},
                 {"end", to_string(end)},
                 {"suspect", view.suspect},
                 {"lost_ballot", view.lost_ballot},
                 {"primary_end_last_heard", heard.value},
                 {"lost_commits_at_least", has_all ? 0 : heard.value - end.lsn.value}};
    auto members = whom_to_ask();
    if (!members) {
        plan.impossible = members.error().message;
        return plan;
    }
    Json rows = Json::array();
    const auto answers = poll_status(layout, options.settings, *members, kPollPatience);
    for (size_t i = 0; i < answers.size(); ++i) {
        const PolledStatus& answer = answers[i];
        rows.push_back(row_of((*members)[i], answer));
        const bool ours =
            answer.cluster == to_string(file.cluster) && answer.group == to_string(file.group);
        if (!answer.reached || !ours) continue;
        plan.word.seen = std::max({plan.word.seen, answer.epoch, answer.elected});
        if (answer.leads) {
            plan.impossible = answer.endpoint + " is the primary: it gives this node what it lacks";
        } else if (!is_witness && answer.log_end > end) {
            plan.word.log_counts = false;
            plan.more_at = answer.endpoint + ", up to " + to_string(answer.log_end);
        }
    }
    if (plan.impossible.empty() && !plan.more_at.empty() && !view.lost_ballot) {
        plan.impossible = "more of the history is at " + plan.more_at + "; promote that node";
    }
    plan.json["members"] = rows;
    plan.json["log_counts"] = plan.word.log_counts;
    plan.json["more_at"] = plan.more_at;
    plan.json["impossible"] = plan.impossible;
    return plan;
}

// Null: begun; the answer comes when it is done.
Json Node::State::begin_recovery(const OperatorCommand& asked, PendingCommand& begun) {
    const RecoveryPlan plan = plan_recovery();
    begun.result["plan"] = plan.json;
    begun.result["already"] = !plan.needed;
    if (asked.dry_run || !plan.needed) return begun.result;
    std::string refused = plan.impossible;
    if (refused.empty() && !asked.accept_loss) {
        refused =
            "what this node had acknowledged may be lost; to go on all the same: "
            "--accept-suspect";
    }
    if (!refused.empty()) {
        Json failed = failure({Errc::refused, refused});
        failed["plan"] = plan.json;
        return failed;
    }
    const std::string what = plan.word.log_counts ? "begun, its log counts as it is, up to "
                                                  : "begun, it votes again; its log ends at ";
    const Status logged =
        audit(layout, {begun.who, "recover", layout.db, what + plan.json.value("end", "")});
    if (!logged) return failure(logged.error());
    begun.kind = PendingCommand::Kind::recover;
    begun.target = layout.db;
    begun.log_counts = plan.word.log_counts;
    begun.give_up = boot_now() + kDonePatience;
    failover->tell(failover::event::Recover{plan.word});
    return Json();
}

}  // namespace tanist
