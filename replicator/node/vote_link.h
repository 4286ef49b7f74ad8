// The failover host's connections: one to each other voter, over which this node sends its part of
// every conversation; the answers come to the endpoint that this node binds. A connection on which
// the other side does not answer is opened anew, so that a node that comes back is reached soon. So
// is one that does not come about, however much the other side says: that comes over its own.
//
// Whoever may lead the cluster also hands the list of voters on, until the other has it. Witnesses
// come last: one that alone knew the newest list would grant nobody, and may hand it to nobody.
#pragma once

#include <atomic>
#include <future>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "failover/core/message.h"
#include "replicator/base/event.h"
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
        bool witness = false;
        LinkId link = 0;
        Instant opened{0};
        Instant heard{0};
        Instant asked{0};  // when something was first sent after it was last heard; zero: nothing
        Instant held{0};   // since when `link` holds what it was to send; zero: it does not
        unsigned attempts = 0;
        Nanos patience{0};  // how long `link` may take to come about, or to be answered
        bool used = false;  // something was sent on `link`, or is held by it
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
    bool data_lacks_list(Instant now) const;
    void look_at_keys(Instant now);

    Door door_;
    std::unique_ptr<Link> link_;
    failover::ConfigId list_id_;
    Bytes list_;
    Instant first_tended_{0};
    std::map<NodeKey, Peer> peers_;
    int64_t keys_changed_ns_ = 0;
    Instant keys_looked_{0};
};

// What each of some members said of itself; nothing where it did not answer.
using VoterAnswers = std::vector<std::optional<VotersHave>>;
// Who is at these endpoints. Returns when all have answered, after `patience`, or at once when
// `give_up` is true; `wake` is signalled then. Both null: nobody gives up.
VoterAnswers ask_who(const Layout& layout, const Settings& settings,
                     const std::vector<Member>& members, Nanos patience,
                     const std::atomic<bool>* give_up, const Event* wake);

// The same on a thread of its own, so that who is silent or far away holds nobody up. Given up when
// this goes. What it is made of must live longer.
class VoterInquiry {
  public:
    VoterInquiry(const Layout& layout, const Settings& settings, std::vector<Member> members,
                 Nanos patience);
    ~VoterInquiry();
    VoterInquiry(const VoterInquiry&) = delete;
    VoterInquiry& operator=(const VoterInquiry&) = delete;

    const std::vector<Member>& members() const { return members_; }
    // Once. Nothing: they are still being asked.
    std::optional<VoterAnswers> take();

  private:
    std::vector<Member> members_;
    std::atomic<bool> given_up_{false};
    Event wake_;
    std::future<VoterAnswers> answers_;
};

}  // namespace tanist
