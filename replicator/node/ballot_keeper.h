// Writes ballots and tokens for the failover host, in the order in which they came and off its
// thread; what came meanwhile is merged, because only the newest must reach the disk. Now and then
// it writes the canary, too: a node whose disk hangs must neither become nor stay a primary.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <thread>

#include "failover/adapters/ballot_store.h"
#include "replicator/node/mailbox.h"

namespace tanist {

class BallotKeeper {
  public:
    struct Tell {  // called on the keeper's thread
        std::function<void(uint64_t serial)> persisted;
        std::function<void(const std::string& reason)> failed;
        std::function<void()> progress;
        std::function<void(bool fails)> disk;  // when that changes: full, or it answers with errors
    };
    BallotKeeper(failover::BallotStore store, std::string canary, Nanos canary_every, Tell tell);
    ~BallotKeeper() { stop(); }
    void put(failover::Ballot ballot, std::optional<failover::Token> token);
    void stop();  // writes what was put

  private:
    struct Order {
        failover::Ballot ballot;
        std::optional<failover::Token> token;
    };
    void run();
    bool disk_is_full() const;
    void tell_disk(bool fails);
    void try_canary();

    failover::BallotStore store_;
    std::string canary_;
    Nanos canary_every_;
    Tell tell_;
    File canary_file_;
    uint64_t canaries_ = 0;
    bool canary_fails_ = false;
    bool disk_fails_ = false;  // as told
    Mailbox<Order> orders_;
    std::thread thread_;
};

}  // namespace tanist
