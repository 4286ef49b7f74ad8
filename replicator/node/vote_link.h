// The failover host's connections: one to each other voter, over which this node sends its part of
// every conversation; the answers come to the endpoint that this node binds. A connection on which
// the other side does not answer is opened anew, so that a node that comes back is reached soon. So
// is one that does not come about, however much the other side says: that comes over its own.
//
// Whoever may lead the cluster also hands the list of voters on, until the other has it.
#pragma once

#include <map>
#include <memory>
#include <vector>

#include "failover/core/message.h"
#include "replicator/control/members.h"
#include "replicator/node/door.h"
#include "replicator/node/voter_list.h"
#include "replicator/wire/link.h"

namespace tanist {

class VoteLink {
  public:
    VoteLink(Layout layout, const Settings& settings) : door_(std::move(layout), settings) {}
    // Before the thread begins that uses it from then on.
    Status open(const VoterList& list);

    void send(const NodeKey& to, const failover::Message& message, Instant now);
    void heard(const NodeKey& from, Instant now);
    // When that voter was last heard; zero: never.
    Instant heard_at(const NodeKey& voter) const;
    void wait(const std::vector<int>& wake, Nanos timeout) { link_->wait(wake, timeout); }
    // What came, and what time demands.
    void tend(Instant now);

  private:
    struct Peer {
        VoterAddress address;
        LinkId link = 0;
        Instant opened{0};
        Instant heard{0};
        Instant asked{0};  // when something was first sent after it was last heard; zero: nothing
        Instant held{0};   // since when `link` holds what it was to send; zero: it does not
        unsigned attempts = 0;
        NodeKey speaks_as;  // the key of its last message: it serves under the same one
        failover::ConfigId has;
        Instant handed{0};  // when the list was last sent, or asked for
    };
    void reopen(Peer& peer, Instant now);
    bool is_dead(Peer& peer, Instant now) const;
    const ListedNode* rotating(const Peer& peer) const;
    bool put(Peer& peer, Body body, Instant now);
    void receive_all(Instant now);
    void hand_list(Peer& peer, Instant now);
    void look_at_keys(Instant now);

    Door door_;
    std::unique_ptr<Link> link_;
    failover::ConfigId list_id_;
    Bytes list_;
    std::map<NodeKey, Peer> peers_;
    int64_t keys_changed_ns_ = 0;
    Instant keys_looked_{0};
};

// Who is at these endpoints; nothing where nobody answered within `patience`.
std::vector<std::optional<VotersHave>> ask_who(const Layout& layout, const Settings& settings,
                                               const std::vector<Member>& members, Nanos patience);

}  // namespace tanist
