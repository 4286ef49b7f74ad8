// What a role of a node (the engine of a primary, or a replica) borrows from the Node that hosts
// it, and whom it tells what is not its own business. An engine inside an application (ship=thread)
// has no host.
#pragma once

#include <string>
#include <vector>

#include "replicator/log/log.h"
#include "replicator/node/door.h"
#include "replicator/node/suffrage.h"
#include "replicator/wire/link.h"
#include "replicator/wire/message.h"

namespace tanist {

// A node of this cluster lives under a higher epoch than ours.
struct Superseded {
    Epoch epoch;
    std::string by;  // its name or endpoint, for people
};

// A new primary does not have the records after `common` that our log has.
struct Divergence {
    LogPoint common;
    // False: the primary's log no longer reaches back to where a common record could be; then
    // everything that our log holds counts as diverged.
    bool proved = false;
    Epoch primary_epoch;
    std::string primary;
};

class RoleHost {
  public:
    virtual ~RoleHost() = default;
    // Bound already. Used by the role's network thread alone, from the role's start to its stop;
    // connections that the role opened are closed when it stops.
    virtual Link& link() = 0;
    virtual Door& door() = 0;  // the keys of that link
    virtual const std::vector<std::string>& endpoints() const = 0;
    // What other machines are told; "" where this node listens nowhere.
    virtual std::string own_endpoint() const = 0;
    // On the role's network thread: a message that does not belong to a session of the role. True:
    // it has been dealt with.
    virtual bool serve(const Incoming& incoming, const Envelope& envelope) = 0;
    // What the host has to say on the link meanwhile: readable when there is something, and said.
    virtual int answers_fd() const = 0;
    virtual void send_answers() = 0;
    // A command changes the members, and its answer is not said yet.
    virtual bool changes_members() const = 0;
    // What elections allow. Any thread.
    virtual Suffrage& suffrage() = 0;
    // Any thread; both return at once, and the role is stopped soon after.
    virtual void superseded(const Superseded& news) = 0;
    virtual void diverged(const Divergence& found) = 0;
};

}  // namespace tanist
