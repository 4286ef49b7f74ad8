// A voter without data: it binds its endpoints and serves votes, the list of voters, the status and
// an invitation; a primary that says HELLO here is refused. Its votes are the failover host's.
#pragma once

#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "replicator/base/event.h"
#include "replicator/control/control_block.h"
#include "replicator/node/newcomer.h"
#include "replicator/node/role_host.h"

namespace tanist {

class Witness {
  public:
    Witness(Layout layout, RoleHost& host) : layout_(std::move(layout)), host_(host) {}
    ~Witness() { stop(); }
    Status start(std::chrono::milliseconds invite_expires, ClusterId cluster);
    void stop();
    const std::vector<std::string>& invitations() const { return invitations_; }

  private:
    void run();
    void receive_all();
    void serve_status(const Incoming& incoming, const Envelope& asked);

    Layout layout_;
    RoleHost& host_;
    ClusterId cluster_;
    Control control_;
    std::unique_ptr<Newcomer> newcomer_;
    std::vector<std::string> invitations_;
    Event wake_;
    std::atomic<bool> stopping_{false};
    std::thread thread_;
};

}  // namespace tanist
