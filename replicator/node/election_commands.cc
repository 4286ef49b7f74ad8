// An operator's commands where voters decide: each begins something in the failover node, and is
// answered when that has come to its end.
#include "failover/core/epoch_parts.h"
#include "replicator/base/notes.h"
#include "replicator/base/random.h"
#include "replicator/control/audit.h"
#include "replicator/node/node_state.h"
#include "replicator/node/status_poll.h"

namespace tanist {
namespace {

using namespace std::chrono_literals;
constexpr Nanos kTakeOverPatience = 10s;
constexpr Nanos kPausePatience = 5s;
constexpr Nanos kElectionSlack = 3s;
constexpr Nanos kLookAgain = 250ms;

std::string dump(const Json& json) {
    return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

// Who would not even vote for itself loses the hand-over to whoever comes next. Why it is so, and
// when to ask again; "" it is not.
std::pair<std::string, Nanos> why_not_yet(const PolledStatus& member, Epoch elected) {
    if (!member.votes) return {"does not vote yet; it is told soon who the voters are", kLookAgain};
    if (member.elected != elected) {
        return {"has not heard yet who the primary is; it is told soon", kLookAgain};
    }
    if (member.withholds <= Nanos(0)) return {"", Nanos(0)};
    const auto tenths = (member.withholds + 99ms) / 100ms;
    return {"votes for nobody, itself included, for another " + std::to_string(tenths / 10) + "." +
                std::to_string(tenths % 10) +
                " s: an earlier promise of it may still bind it; try again then",
            member.withholds};
}

}  // namespace

// True: the command has been begun, or answered.
bool Node::State::decide_by_vote(node_order::Command& command) {
    using Kind = OperatorCommand::Kind;
    const OperatorCommand& asked = command.asked;
    const bool ours = asked.kind == Kind::promote || asked.kind == Kind::switchover ||
                      asked.kind == Kind::pause || asked.kind == Kind::resume ||
                      asked.kind == Kind::recover;
    if (!ours || !votes.votes()) return false;
    if (!failover) {
        const Json refused =
            failure({Errc::refused,
                     voters_missing.empty() ? "this node does not vote just now" : voters_missing});
        audit_answer(asked, refused);
        command.answer(dump(refused));
        return true;
    }
    PendingCommand begun;
    begun.who = asked.who;
    begun.began = boot_now();
    if (const auto& token = failover->view().token) begun.before = token->epoch();
    begun.result = success();
    Json answered;
    if (pending) {
        answered = failure({Errc::busy, "another command is under way"});
    } else if (asked.kind == Kind::promote) {
        answered = begin_promotion(asked, begun);
    } else if (asked.kind == Kind::switchover) {
        answered = begin_switchover(asked, begun);
    } else if (asked.kind == Kind::recover) {
        answered = begin_recovery(asked, begun);
    } else {
        answered = begin_pause(asked, begun);
    }
    if (!answered.is_null()) {
        audit_answer(asked, answered);
        command.answer(dump(answered));
        return true;
    }
    begun.answer = std::move(command.answer);
    pending = std::move(begun);
    return true;
}

// The plan first; then the voters are asked, and their rules decide.
Json Node::State::begin_promotion(const OperatorCommand& asked, PendingCommand& begun) {
    const PromotionPlan plan = plan_promotion();
    begun.result["plan"] = plan.json;
    if (asked.dry_run) return begun.result;
    std::string refused = plan.impossible;
    const bool forced = asked.force && asked.accept_loss;
    const std::string& word = asked.asserted;
    if (refused.empty() && !plan.unsafe.empty() && (!forced || plan.behind)) {
        refused = plan.unsafe.front();
        if (!plan.behind) {
            refused += "; to promote all the same: --force --accept-loss --assert-fenced NODE";
        }
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
    Status logged =
        audit(layout, {begun.who, "promote", layout.db,
                       "begun, by vote" + (word.empty() ? "" : ", asserted dead: " + word)});
    if (!logged) return failure(logged.error());
    // A majority that answers votes by its rules, but for the one that guards what was confirmed.
    if (!plan.unsafe.empty() && !plan.majority) {
        const Status cut = force_voters(plan.next, plan.answering);
        const Status again = failover ? ok_status() : start_failover();
        if (!cut) return failure(cut.error());
        if (!again) return failure(again.error());
    }
    failover::OperatorCert order;
    order.cluster = file.cluster;
    order.group = file.group;
    // Where nobody waited for replicas, whoever promotes one accepts what it lacks.
    const bool gives_up = !plan.unsafe.empty() || forced || failover->list().config.sync_k == 0;
    order.kind = gives_up ? failover::VoteKind::accept_loss : failover::VoteKind::ordered;
    order.target = identity;
    order.signed_unix_ns = unix_now_ns();
    order.nonce = random_u64();
    const failover::Timing& timing = failover->list().config.timing;
    begun.kind = PendingCommand::Kind::promote;
    begun.node = identity;
    begun.target = layout.db;
    begun.give_up = boot_now() + timing.promise + timing.lease + kElectionSlack;
    failover->tell(failover::event::Promote{failover->sign(order)});
    return Json();
}

Json Node::State::begin_switchover(const OperatorCommand& asked, PendingCommand& begun) {
    auto target = member_named(asked.to);
    if (!target) return failure(target.error());
    const VoterAddress* voter = failover->list().at(target->endpoint);
    if (!engine || failover->view().holder != failover::HolderPhase::open) {
        return failure({Errc::refused, layout.db + " is no primary that takes writes; run this on "
                                                   "the primary"});
    }
    const std::optional<PeerReport> report = report_on(*target);
    // A dead one is not noticed at once: ask it.
    const auto said = poll_status(layout, options.settings, {*target}, kPollPatience)[0];
    if (voter == nullptr || !report || report->state != PeerState::streaming || !said.reached) {
        return failure({Errc::refused, target->name +
                                           " does not follow just now; see: tanist "
                                           "status " +
                                           layout.db});
    }
    if (const auto [why, wait] = why_not_yet(said, begun.before); !why.empty()) {
        Json refused = failure({Errc::refused, target->name + " " + why});
        refused["wait_seconds"] = static_cast<double>(wait.count()) / 1e9;
        return refused;
    }
    begun.result["from"] = layout.db;
    begun.result["to"] = target->name;
    begun.result["position"] = to_string(control.captured().position);
    begun.result["behind"] = control.captured().position.lsn.value -
                             std::min(control.captured().position.lsn.value, report->applied.value);
    if (asked.dry_run) return begun.result;
    Status logged = audit(layout, {begun.who, "switchover", target->name, "begun"});
    if (!logged) return failure(logged.error());
    begun.kind = PendingCommand::Kind::switchover;
    begun.node = voter->node;
    begun.target = target->name;
    begun.give_up = boot_now() + kTakeOverPatience;
    failover->tell(failover::event::SwitchOver{voter->node});
    return Json();
}

// The policy is the holder's to change; a majority stores it.
Json Node::State::begin_pause(const OperatorCommand& asked, PendingCommand& begun) {
    begun.kind = PendingCommand::Kind::pause;
    begun.paused = asked.kind == OperatorCommand::Kind::pause;
    begun.target = layout.db;
    const failover::NodeView view = failover->view();
    if (view.holder != failover::HolderPhase::open) {
        const VoterAddress* holder =
            view.token ? failover->list().find(view.token->holder()) : nullptr;
        return failure({Errc::refused, layout.db + " is not the primary; run this on its machine" +
                                           (holder != nullptr ? ": " + holder->endpoint : "")});
    }
    begun.result["paused"] = begun.paused;
    begun.result["already"] = view.policy.paused == begun.paused;
    if (view.policy.paused == begun.paused) return begun.result;
    const char* what = begun.paused ? "pause" : "resume";
    if (Status logged = audit(layout, {begun.who, what, layout.db, "begun"}); !logged) {
        return failure(logged.error());
    }
    begun.give_up = boot_now() + kPausePatience;
    failover->tell(failover::event::Pause{begun.paused});
    return Json();
}

void Node::State::finish_pending(const Status& outcome) {
    if (!pending) return;
    PendingCommand done = std::move(*std::exchange(pending, std::nullopt));
    const char* what = done.kind == PendingCommand::Kind::promote      ? "promote"
                       : done.kind == PendingCommand::Kind::recover    ? "recover"
                       : done.kind == PendingCommand::Kind::switchover ? "switchover"
                       : done.paused                                   ? "pause"
                                                                       : "resume";
    audit_outcome_of({done.who, what, done.target, ""}, outcome);
    if (!outcome) {
        Json failed = failure(outcome.error());
        if (done.result.contains("plan")) failed["plan"] = done.result["plan"];
        return done.answer(dump(failed));
    }
    done.result["seconds"] = static_cast<double>((boot_now() - done.began).count()) / 1e9;
    if (done.kind == PendingCommand::Kind::promote) {
        done.result["epoch"] = file.epoch.value;
        done.result["position"] = to_string(control.captured().position);
    }
    done.answer(dump(done.result));
}

// Of those whose end no order tells.
bool Node::State::is_done(const PendingCommand& command) const {
    const failover::NodeView view = failover->view();
    if (command.kind == PendingCommand::Kind::recover) {
        return !view.lost_ballot && (!view.suspect || !command.log_counts);
    }
    return command.kind == PendingCommand::Kind::pause &&
           view.holder == failover::HolderPhase::open && view.policy.paused == command.paused;
}

void Node::State::tend_pending() {
    if (!pending || !failover) return;
    if (is_done(*pending)) return finish_pending(ok_status());
    if (boot_now() < pending->give_up) return;
    const failover::NodeView view = failover->view();
    if (pending->kind == PendingCommand::Kind::switchover && pending->left) {
        return finish_pending(
            Error{Errc::unknown_outcome, pending->target +
                                             " was told to take over and has not said that it did; "
                                             "this node gave its epoch up, and the voters elect"});
    }
    std::string why = "the voters did not agree in time";
    for (const auto& [node, reason] : view.refusals) {
        const VoterAddress* voter = failover->list().find(node);
        why += std::string("; ") + (voter != nullptr ? voter->name : to_string(node)) + ": " +
               failover::to_string(reason);
    }
    if (pending->kind == PendingCommand::Kind::promote) {
        why += "; if only for what members that do not answer may have: --force --accept-loss";
    }
    finish_pending(Error{Errc::refused, why});
}

}  // namespace tanist
