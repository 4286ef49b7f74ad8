// The primary's connections to the witnesses that have keys. Nothing is shipped to a witness, but
// it must know the cluster's keys like everybody else, and announces a new one of its own: each is
// sent the signed member list every now and then, and one that does not answer is connected to
// anew.
//
// Thread rule: the thread that owns the link.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "replicator/control/members.h"
#include "replicator/node/announcer.h"
#include "replicator/node/door.h"

namespace tanist {

class WitnessLinks {
  public:
    WitnessLinks(Door& door, Announcer& announcer) : door_(door), announcer_(announcer) {}
    // Requires: `witnesses` are all there are.
    void tend(Link& link, const std::vector<Member>& witnesses, Instant now);
    // Whether the message came from one of them; then it is dealt with.
    bool takes(Link& link, const Incoming& incoming, const Envelope& envelope);

  private:
    struct Peer {
        LinkId link = 0;
        uint64_t session = 0;
        NodeKey server;  // whose key it was opened to
        unsigned attempts = 0;
        Instant said{0};
        bool answered = true;  // what was said last
    };
    void say(Link& link, const Member& witness, Peer& peer);

    Door& door_;
    Announcer& announcer_;
    std::map<std::string, Peer> peers_;  // by endpoint
};

}  // namespace tanist
