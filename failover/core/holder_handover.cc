// The holder gives its epoch up: for a planned switchover (B14), because its disk hangs (L6) or
// fails, or because the application is gone.
//
// Order matters: stop, persist `released`, and only then let the certificate out. From `stop` on
// this node neither ships, acknowledges nor commits as holder of the epoch again (L4).
#include "failover/core/holder.h"
#include "failover/core/mutation.h"

namespace tanist::failover {

Status Holder::switch_over_to(const NodeKey& target, Instant now, Actions& out) {
    if (phase_ != HolderPhase::open) {
        return Error{Errc::refused, "only an open primary can hand over"};
    }
    const Member* member = standing_.config.find(target);
    if (member == nullptr || !member->syncs() || target == standing_.self()) {
        return Error{Errc::invalid, "the target is no other member that holds data and syncs"};
    }
    const auto peer = peers_.find(target);
    const bool fresh = peer != peers_.end() && peer->second.has_acked &&
                       now < peer->second.heard + 3 * standing_.config.timing.heartbeat;
    if (!fresh) return Error{Errc::unreachable, "the target does not follow now"};
    phase_ = HolderPhase::draining;
    target_ = target;
    drained_ = false;
    drain_until_ = now + standing_.config.timing.drain;
    set_gate(now, out);
    out.push_back(action::Drain{});
    return ok_status();
}

void Holder::on_drained(Instant now, Actions& out) {
    if (phase_ != HolderPhase::draining) return;
    drained_ = true;
    tend_switchover(now, out);
}

void Holder::tend_switchover(Instant now, Actions& out) {
    if (phase_ != HolderPhase::draining) return;
    const Lsn end = standing_.log.end.position.lsn;
    const auto peer = peers_.find(target_);
    const bool complete = drained_ && committed_.lsn >= end && peer != peers_.end() &&
                          peer->second.log.durable >= end;
    if (complete) return release(target_, "handed over", out);
    if (now < drain_until_) return;
    phase_ = HolderPhase::open;
    out.push_back(action::Resume{});
    out.push_back(action::Report{"switchover given up: the target did not catch up in time"});
    set_gate(now, out);
}

// Who cannot write its log serves nobody; it need not be waited out where somebody can take over.
void Holder::tend_log(Instant now, Actions& out) {
    const bool serves = phase_ == HolderPhase::open || phase_ == HolderPhase::draining;
    if (!serves || standing_.log.writable || reachable(now).empty()) return;
    release({}, "its log cannot be written", out);
}

void Holder::on_app_gone(Actions& out) {
    const bool wanted = standing_.config.on_app_exit == OnAppExit::release;
    if (wanted && (phase_ == HolderPhase::open || phase_ == HolderPhase::draining)) {
        release({}, "the application is gone", out);
    }
}

void Holder::release(const NodeKey& successor, const std::string& reason, Actions& out) {
    const Config& config = standing_.config;
    ReleaseCert cert{config.cluster, config.group,      epoch(),      standing_.self(),
                     successor,      standing_.log.end, dice_.next(), {}};
    cert.signature = standing_.signer.sign(signed_bytes(cert));
    if (mutant(Mutation::handover_no_release)) {
        tell_all(Release{cert}, out);
        phase_ = HolderPhase::open;
        return;
    }
    phase_ = HolderPhase::releasing;
    lease_until_ = Instant{0};
    gate_ = Gate{GateState::closed, epoch(), Instant{0}};
    out.push_back(action::SetGate{gate_});
    out.push_back(action::StepDown{epoch(), reason});
    const uint64_t serial = voter_.release_own(epoch(), out);
    for (const NodeKey& voter : config.voters()) {
        out.push_back(action::SendAfterPersist{serial, voter, Release{cert}});
    }
    release_serial_ = serial;
}

// The release is durable: this node is a voter like any other now.
void Holder::on_persisted() {
    if (phase_ != HolderPhase::releasing || !voter_.durable(release_serial_)) return;
    phase_ = HolderPhase::none;
    token_.reset();
}

}  // namespace tanist::failover
