// A replica becomes the primary: the plan, and the change.
//
// Where nobody votes, an operator decides: promotion asks every member that it can reach, refuses
// while one of them is a living primary, holds more of the history, or too few of the data members
// answer, and takes an epoch of a new generation with a random part, so that two promotions by two
// operators never make the same epoch. Those that answered keep the epoch (epoch_claim.h) before
// this node's file says that it is the primary: whatever dies then, an old primary that starts
// finds it, and whoever confirmed its commits does so no more.
#include "failover/core/epoch_parts.h"
#include "replicator/base/notes.h"
#include "replicator/base/random.h"
#include "replicator/control/audit.h"
#include "replicator/control/members.h"
#include "replicator/node/epoch_claim.h"
#include "replicator/node/node_state.h"
#include "replicator/node/status_poll.h"

namespace tanist {
namespace {

using namespace std::chrono_literals;
constexpr Nanos kClaimPatience = 2s;  // a fenced primary becomes a replica meanwhile
constexpr Nanos kWriterPatience = 10s;

constexpr const char* kMayNotLead =
    "this node's key may not lead its cluster, so nobody would follow it; on the primary: tanist "
    "members allow-lead DATABASE NODE";

// Where a node's history ends, for "is more complete than": epoch first, then LSN.
Json member_json(const Member& member, const PolledStatus& answer) {
    Json json{{"name", member.name}, {"endpoint", member.endpoint}, {"reached", answer.reached}};
    if (!answer.reached) return json;
    json["role"] = answer.role;
    json["epoch"] = answer.epoch.value;
    json["end"] = to_string(answer.log_end);
    json["durable"] = answer.durable.value;
    json["applied"] = answer.applied.value;
    return json;
}

}  // namespace

// Everybody else that the roster names.
Result<std::vector<Member>> Node::State::other_members() const {
    auto members = read_members(layout.members());
    if (members) erase_self(*members);
    return members;
}

// Those, and the other voters: a roster that has not come must not make this node the majority.
Result<std::vector<Member>> Node::State::whom_to_ask() const {
    auto members = failover ? members_known(failover->list()) : read_members(layout.members());
    if (members) erase_self(*members);
    return members;
}

void Node::State::erase_self(std::vector<Member>& members) const {
    std::erase_if(members, [&](const Member& member) {
        return member.key == identity || member.endpoint == own_endpoint() ||
               std::find(bound_endpoints.begin(), bound_endpoints.end(), member.endpoint) !=
                   bound_endpoints.end();
    });
}

// Without keys everybody may.
bool Node::State::may_lead(const NodeKey& key) const {
    const MemberList& list = keys.list();
    return list.version == 0 || list.rights_of(key).has(Right::lead);
}

// Who answers, and what that says for and against a promotion. Returns the highest epoch known.
Epoch Node::State::ask_members(PromotionPlan& plan, const std::vector<Member>& members) {
    const Position end = control.captured().position;
    const std::vector<PolledStatus> answers =
        poll_status(layout, options.settings, members, kPollPatience);
    Epoch highest{epoch.load()};
    Json list = Json::array();
    for (size_t i = 0; i < answers.size(); ++i) {
        const PolledStatus& answer = answers[i];
        list.push_back(member_json(members[i], answer));
        const bool ours =
            answer.cluster == to_string(file.cluster) && answer.group == to_string(file.group);
        if (!answer.reached || !ours) continue;
        plan.answering.push_back(members[i]);
        plan.slowest = std::max(plan.slowest, answer.took);
        highest = std::max(highest, answer.epoch);
        if (answer.role == "primary") {
            plan.impossible = answer.endpoint +
                              " is a living primary; fence it there first (tanist fence), or stop "
                              "its daemon and its applications";
        }
        if (answer.log_end > end) {
            plan.behind = true;
            plan.unsafe.push_back(answer.endpoint + " has more of the history, up to " +
                                  to_string(answer.log_end) + "; promote that one");
        }
    }
    const size_t all = members.size() + 1;
    const size_t reached = plan.answering.size() + 1;  // with this node
    plan.needed = failover ? all / 2 + 1 : claims_needed(all, options.settings.commit.rule);
    plan.json["members"] = list;
    plan.json["reached"] = reached;
    plan.json["voters"] = all;
    plan.json["needed"] = plan.needed;
    plan.majority = reached * 2 > all;
    if (reached < plan.needed) {
        plan.unsafe.push_back("only " + std::to_string(reached) + " of " + std::to_string(all) +
                              " data members can be asked, which is " +
                              (plan.majority ? "too few" : "no majority") +
                              ": the primary may live, and others may have more of the history");
    }
    return highest;
}

PromotionPlan Node::State::plan_promotion() {
    PromotionPlan plan;
    const Position end = control.captured().position;
    const Lsn heard{control->primary_lsn.load()};
    plan.json = {{"node", layout.db},
                 {"end", to_string(end)},
                 {"applied", control->applied_lsn.load()},
                 {"primary_end_last_heard", heard.value}};
    auto members = whom_to_ask();
    if (!members) {
        plan.impossible = members.error().message;
        return plan;
    }
    const Epoch highest = ask_members(plan, *members);
    const uint64_t lost = heard > end.lsn ? heard.value - end.lsn.value : 0;
    plan.json["lost_commits_at_least"] = lost;
    if (lost > 0) {
        plan.unsafe.push_back("the primary had " + std::to_string(lost) +
                              " more commits when it was last heard; they would be lost");
    }
    if (!replica) plan.impossible = layout.db + " is a primary already";
    if (replica && !failover && !replica->log_state().whole) {
        plan.impossible = layout.db + " is empty or needs a sync from a primary";
    }
    if (replica && file.cluster.is_zero()) {
        plan.impossible = layout.db + " has never had a primary, so there is nothing to promote";
    }
    if (!may_lead(keys.identity().key())) plan.impossible = kMayNotLead;
    const auto next = failover::forced_epoch(highest, static_cast<uint16_t>(random_u64() | 1));
    if (!next) plan.impossible = "there is no higher epoch left";
    plan.next = next.value_or(Epoch{});
    plan.json["next_epoch"] = plan.next.value;
    plan.json["impossible"] = plan.impossible;
    plan.json["unsafe"] = plan.unsafe;
    return plan;
}

// Who answered keeps the epoch before it is used. What a member confirmed after the plan, to a
// primary that lives where this node cannot see it, is at its end now, and would be lost.
Status Node::State::claim_next_epoch(const PromotionPlan& plan, bool forced, Json& result) {
    const EpochClaim claim{file.cluster, file.group, plan.next, {control.captured().position, {}}};
    // The way is as far as it was for the plan.
    const std::vector<ClaimAnswer> answers = claim_epoch(layout, options.settings, plan.answering,
                                                         claim, kClaimPatience + 2 * plan.slowest);
    const Position end = control.captured().position;
    size_t kept = 1;  // this node's own file will say it
    std::string missing;
    for (size_t i = 0; i < answers.size(); ++i) {
        const std::string& member = plan.answering[i].endpoint;
        if (!answers[i].kept) {
            missing += ". " + member + ": " +
                       (answers[i].refusal.empty() ? "no answer" : answers[i].refusal);
            continue;
        }
        ++kept;
        if (answers[i].end > end && !forced) {
            return Error{Errc::refused, member + " has more of the history by now, up to " +
                                            to_string(answers[i].end) + "; promote that one"};
        }
    }
    result["epoch_kept_by"] = kept;
    result["old_primary_fenced"] = kept >= plan.needed;
    if (kept >= plan.needed || forced) return ok_status();
    return Error{Errc::refused, "only " + std::to_string(kept) + " of the " +
                                    std::to_string(plan.needed) +
                                    " nodes that it takes keep the new epoch" + missing};
}

Json Node::State::promote(const OperatorCommand& command) {
    const bool forced = command.force && command.accept_loss;
    const std::string& word = command.asserted;
    PromotionPlan plan = plan_promotion();
    Json result = success();
    result["plan"] = plan.json;
    if (command.dry_run) return result;
    std::string refused = plan.impossible;
    if (refused.empty() && !plan.unsafe.empty() && !forced) {
        refused = plan.unsafe.front() +
                  "; to promote all the same: --force --accept-loss --assert-fenced NODE";
    }
    if (refused.empty() && !plan.unsafe.empty() && word.empty()) {
        refused =
            "a forced promotion needs your word that the old primary is dead: "
            "--assert-fenced NODE";
    }
    if (!refused.empty()) {
        Json failed = failure({Errc::refused, refused});
        failed["plan"] = plan.json;
        return failed;
    }
    Status logged = audit(layout, {command.who, "promote", layout.db,
                                   "begun, epoch " + std::to_string(plan.next.value) +
                                       (word.empty() ? "" : ", asserted dead: " + word)});
    if (!logged) return failure(logged.error());
    Status done = claim_next_epoch(plan, forced, result);
    if (done) done = become_primary(plan.next, std::nullopt);
    if (!done) {
        Json failed = failure(done.error());
        failed["plan"] = plan.json;
        return failed;
    }
    const std::string own = own_endpoint();
    tell_hook(HookEvent::promote, own, "operator",
              plan.json.value("lost_commits_at_least", uint64_t{0}));
    result["epoch"] = plan.next.value;
    result["position"] = to_string(control.captured().position);
    return result;
}

void Node::State::audit_outcome_of(AuditEntry command, const Status& outcome) {
    command.result = outcome ? "done" : outcome.error().message;
    Status written = audit(layout, command);
    if (!written) note(NoteLevel::warning, "not audited", {{"reason", written.error().message}});
}

// While it was a replica it may have kept another operator's claim. Requires: it is none any more.
Status Node::State::nothing_higher_is_kept(Epoch next_epoch) {
    auto now = read_node_file(layout.node());
    if (!now) return std::move(now).error();
    file = std::move(now).value();
    if (file.epoch < next_epoch) return ok_status();
    return Error{Errc::refused, "a primary of epoch " + std::to_string(file.epoch.value) +
                                    " has been here meanwhile"};
}

// Nobody may write from the moment at which the database is at the log's end until the engine
// watches: SQLite's write lock is held all the while.
Status Node::State::become_primary(Epoch next_epoch, std::optional<LogPoint> at) {
    std::unique_ptr<Replica> old;
    {
        std::lock_guard lock(roles);
        old = std::move(replica);
    }
    auto finished = old->finish(at);
    old.reset();
    if (finished && !failover) finished = nothing_higher_is_kept(next_epoch);
    auto begun = finished ? open_as_primary(next_epoch) : std::move(finished);
    if (begun) return begun;
    // Still a replica, unless the node file says otherwise.
    if (engine) return begun;
    Status served = file.role == Role::replica ? start_replica() : finish_opening();
    if (served && file.role == Role::primary) return served;
    if (!served) {
        std::lock_guard lock(roles);
        broken = served.error().message;
    }
    return begun;
}

Status Node::State::open_as_primary(Epoch next_epoch) {
    if (failover) TANIST_TRY(know_members_of(failover->list()));
    auto hold = WriteHold::take(api, layout.db, kWriterPatience);
    if (!hold) return std::move(hold).error();
    NodeFile next = file;
    next.role = Role::primary;
    next.epoch = next_epoch;
    next.mark_pending = true;
    next.boot = to_string(boot_id());
    TANIST_TRY(write_file(next));
    auto marked = hold->set_writable(true);
    if (!marked) return std::move(marked).error();
    TANIST_TRY(start_engine(true, true));
    next = file;
    next.mark_pending = false;
    TANIST_TRY(write_file(next));
    set_role(Role::primary);
    note(NoteLevel::warning, "promoted: this node is the primary",
         {{"database", layout.db}, {"epoch", std::to_string(next_epoch.value)}});
    return ok_status();
}

}  // namespace tanist
