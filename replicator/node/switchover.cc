// A planned change of the primary, without loss. The primary holds SQLite's write lock, so writers
// wait; when the successor has applied everything, the primary gives up its epoch for good
// (durably, in the node file), and tells the successor so with a certificate that it signs. The
// successor checks that it was named, by the primary that it follows, at exactly the end of its own
// log, and opens the next epoch. Until the certificate leaves, everything can be taken back by
// letting the lock go.
#include "failover/core/epoch_parts.h"
#include "failover/core/message.h"
#include "replicator/base/event.h"
#include "replicator/base/notes.h"
#include "replicator/base/random.h"
#include "replicator/control/audit.h"
#include "replicator/node/node_state.h"
#include "replicator/node/status_poll.h"

namespace tanist {
namespace {

using namespace std::chrono_literals;
constexpr Nanos kWriterPatience = 2s;  // for the transaction that runs now
constexpr Nanos kDrainPatience = 2s;   // writers wait at most about this long for nothing
constexpr Nanos kTakeOverPatience = 10s;
constexpr Nanos kTellEvery = 200ms;  // or as often as it can answer, where that takes longer
constexpr Nanos kLookEvery = 1ms;

void nap() {
    const std::atomic<uint32_t> nobody_wakes{0};
    futex_wait(&nobody_wakes, 0, kLookEvery);
}

}  // namespace

Result<Member> Node::State::member_named(const std::string& name) const {
    auto members = other_members();
    if (!members) return std::move(members).error();
    for (const std::string& endpoint : options.settings.replicas) {
        members->push_back({.name = endpoint, .endpoint = endpoint, .key = {}});
    }
    for (const Member& member : *members) {
        if (member.name == name || member.endpoint == name) return member;
    }
    return Error{Errc::not_found, "no member is named " + name + "; see: tanist members list"};
}

// What the engine knows of a member; nothing when it has no session.
std::optional<PeerReport> Node::State::report_on(const Member& member) const {
    for (size_t i = 0; i < control->peers.load() && i < limits::kMembersMax; ++i) {
        PeerReport report = control.peer(i);
        if (report.endpoint == member.endpoint) return report;
    }
    return std::nullopt;
}

// Why a switchover cannot begin, one sentence; "" when it can.
std::string Node::State::why_no_switchover(const Member& target) const {
    if (file.role != Role::primary || !engine) {
        return layout.db + " is no primary that takes writes; run this on the primary";
    }
    if (bound_endpoints.empty()) {
        return "this primary listens nowhere, so it could not follow " + target.name +
               "; start its tanistd with --listen";
    }
    if (!may_lead(target.key)) {
        return target.name +
               "'s key may not lead this cluster; allow it: tanist members allow-lead " +
               layout.db + " " + target.name;
    }
    const std::optional<PeerReport> report = report_on(target);
    const bool follows = report && report->state == PeerState::streaming;
    // A dead one is not noticed at once: ask it.
    if (!follows || !poll_status(layout, options.settings, {target}, kPollPatience)[0].reached) {
        return target.name + " does not follow just now; see: tanist status " + layout.db;
    }
    return "";
}

Json Node::State::switch_over(const OperatorCommand& command) {
    auto target = member_named(command.to);
    if (!target) return failure(target.error());
    const std::string refused = why_no_switchover(*target);
    if (!refused.empty()) return failure({Errc::refused, refused});
    Json result = success();
    result["from"] = layout.db;
    result["to"] = target->name;
    result["position"] = to_string(control.captured().position);
    result["behind"] = control.captured().position.lsn.value - report_on(*target)->applied.value;
    if (command.dry_run) return result;
    if (auto logged = audit(layout, {command.who, "switchover", target->name, "begun"}); !logged) {
        return failure(logged.error());
    }
    const Instant began = boot_now();
    Status done = hand_over(*target);
    if (!done) return failure(done.error());
    result["seconds"] = static_cast<double>((boot_now() - began).count()) / 1e9;
    return result;
}

Status Node::State::hand_over(const Member& target) {
    auto held = WriteHold::take(api, layout.db, kWriterPatience);
    if (!held) return std::move(held).error().in("the writers did not come to rest");
    std::optional<WriteHold> hold = std::move(held).value();
    auto final = drain(*hold, target);
    if (!final) return std::move(final).error().in("nothing was changed");
    const auto next = failover::next_epoch(file.epoch);
    if (!next) return Error{Errc::refused, "there is no higher epoch left"};
    auto cert = sign_release(target, *final);
    if (!cert) return std::move(cert).error();
    // From here on this node is not the holder of its epoch, whatever happens.
    set_role(Role::fenced);
    NodeFile given_up = file;
    given_up.role = Role::fenced;
    given_up.superseded_by = *next;
    if (auto written = write_file(given_up); !written) {
        set_role(Role::primary);
        return written;
    }
    const bool taken = tell_until_taken(target, *cert, *next);
    hold.reset();  // become_replica() takes it again; the gate and the node file keep writers out
    Status followed = become_replica();
    if (followed) {
        tell_hook(HookEvent::demote, target.endpoint, "switchover", 0);
    } else {
        note(NoteLevel::error, "cannot follow yet", {{"reason", followed.error().message}});
        end_without_role(followed.error());
    }
    if (taken) return ok_status();
    return Error{Errc::unknown_outcome,
                 target.name +
                     " was told to take over and has not said that it did; this node "
                     "gave its epoch up. Look: tanist status " +
                     target.endpoint + "; if it is no primary, promote one: tanist promote"};
}

// Nobody writes: waits until everything visible is in the log, and the target has applied it.
Result<LogPoint> Node::State::drain(WriteHold& hold, const Member& target) {
    const Instant give_up = boot_now() + kDrainPatience;
    for (; boot_now() < give_up; nap()) {
        control.ring(true);
        auto even = log_is_even(hold);
        if (!even) return std::move(even).error();
        if (!*even) continue;
        const LogPoint end = engine->log_end();
        const std::optional<PeerReport> report = report_on(target);
        if (!report || report->state != PeerState::streaming) {
            return Error{Errc::unreachable, target.name + " has stopped following"};
        }
        if (report->applied >= end.position.lsn) return end;
    }
    return Error{Errc::unreachable, target.name + " did not catch up in time"};
}

Result<Bytes> Node::State::sign_release(const Member& target, const LogPoint& final) const {
    failover::ReleaseCert cert;
    cert.cluster = file.cluster;
    cert.group = file.group;
    cert.epoch = file.epoch;
    cert.holder = keys.identity().key();
    cert.successor = target.key;
    cert.final = final;
    cert.nonce = random_u64();
    const Signature signature = keys.identity().sign(failover::signed_bytes(cert));
    cert.signature.bytes = signature.bytes;
    return failover::encode(failover::Message(failover::Release{cert}));
}

bool Node::State::tell_until_taken(const Member& target, const Bytes& cert, Epoch next) {
    const Instant give_up = boot_now() + kTakeOverPatience;
    for (Nanos patience = kTellEvery; boot_now() < give_up;) {
        engine->tell(target.endpoint, cert);
        const auto answers = poll_status(layout, options.settings, {target}, patience);
        if (!answers[0].reached) patience = std::min(2 * patience, kPollPatience);
        if (answers[0].reached && answers[0].role == "primary" && answers[0].epoch >= next) {
            return true;
        }
        nap();
    }
    return false;
}

// -- the successor

void Node::State::handle(node_order::TakeOver& order) {
    const failover::ReleaseCert& cert = order.cert;
    if (!replica || cert.cluster != file.cluster || cert.group != file.group) return;
    if (cert.epoch != file.epoch || cert.holder != order.from) return;
    Signature signature;
    signature.bytes = cert.signature.bytes;
    const bool named = cert.successor.is_zero() || cert.successor == keys.identity().key();
    if (!named || !verify(cert.holder, failover::signed_bytes(cert), signature)) {
        note(NoteLevel::warning, "a release of the primary's epoch is not for this node");
        return;
    }
    const auto next = failover::next_epoch(cert.epoch);
    if (!next) return;
    Status done = become_primary(*next, cert.final);
    audit_outcome_of({"the primary's certificate", "take over", layout.db, ""}, done);
    if (!done) {
        note(NoteLevel::error, "cannot take over", {{"reason", done.error().message}});
        return;
    }
    const std::string own = own_endpoint();
    tell_hook(HookEvent::promote, own, "switchover", 0);
}

}  // namespace tanist
