// The files <db>-tanist/ballot and <db>-tanist/token on disk. Format: docs/failover.md.
//
// write() returns when both are durable: first the ballot, into the slot that does not hold the
// newest one, then the token. So a token above the promise never comes from a crash in between, and
// says that the ballot was lost or restored. After an error the node must stop voting: what the
// disk holds is unknown. One owner; not thread-safe.
#pragma once

#include <optional>
#include <string>

#include "failover/core/ballot.h"
#include "replicator/base/file.h"

namespace tanist::failover {

struct StoredState {
    LoadedBallot ballot;
    std::optional<Token> token;  // nothing: absent or damaged
};

class BallotStore {
  public:
    // `directory`: <db>-tanist. Creates nothing but the ballot file itself, on the first write. The
    // ballot that it finds is on the disk when it returns: a killed process may not have synced it,
    // and a candidate that asks again is answered from it.
    // version: written by a later Tanist, nothing is touched.
    static Result<BallotStore> open(const std::string& directory, const NodeKey& self,
                                    bool member_before, Epoch log_epoch);
    const StoredState& found() const { return found_; }
    Status write(const Ballot& ballot, const std::optional<Token>& token);

  private:
    std::string directory_;
    File file_;
    StoredState found_;
    int next_slot_ = 0;
};

}  // namespace tanist::failover
