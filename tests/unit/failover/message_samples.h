// One message of each kind (two where a part is optional), every field set.
#pragma once

#include "tests/unit/failover/failover_fixture.h"

namespace tanist::failover {

inline std::vector<Message> message_samples() {
    const Config config = config_of(3, 1, 1);
    const Policy policy{{Epoch(6), 3}, 1, AckLevel::applied, true};
    Token token = token_of(config, 6, 0, {0, 1, 3}, point(5, 20));
    token.grants[1].policy = policy;
    token.terms.loss_epoch = Epoch(2);
    VoteAsk handover{terms_of(config, 7, 1, point(6, 30)), false, release_of(config, 6, 0, 1), {}};
    VoteAsk ordered{terms_of(config, 7, 1, point(6, 30)), true, {}, {}};
    ordered.order = order_of(config, VoteKind::accept_loss, 7, 1);
    ordered.order->loss_records = 4;
    ordered.order->signed_unix_ns = 1'700'000'000'000'000'000;
    Refuse refuse{Epoch(7),  9,     true, RefuseReason::lease, Epoch(8), {Epoch(6), Lsn(31)},
                  config.id, 120ms, {}};
    Refuse stale = refuse;
    stale.pre = false;
    stale.reason = RefuseReason::stale;
    stale.token = token;
    return {
        Renew{Epoch(6), 11, {Epoch(6), Lsn(32)}, {Epoch(6), Lsn(31)}, policy},
        RenewAck{Epoch(6), 11, Epoch(7)},
        handover,
        ordered,
        PreGrant{Epoch(7), 12, true, policy, Epoch(6)},
        VoteGrant{Epoch(7), 12, token.grants[1]},
        refuse,
        stale,
        Announce{token},
        PolicyStore{Epoch(6), policy},
        PolicyStored{Epoch(6), policy.id},
        Release{release_of(config, 6, 0, 1)},
        PromiseAsk{13},
        PromiseTold{13, Epoch(7), policy, true},
        EndAsk{Epoch(7), 14},
        EndTold{Epoch(7), 14, Lsn(33)},
    };
}

}  // namespace tanist::failover
