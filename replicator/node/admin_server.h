// The daemon's ear for its operator: a unix-domain socket <db>-tanist/admin.sock, 0600 in a 0700
// directory, so whoever may open it may command this node. One thread of its own, so that it
// answers while the node changes its role.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "replicator/node/mailbox.h"
#include "replicator/wire/admin_endpoint.h"
#include "replicator/wire/link.h"
#include "replicator/wire/message.h"

namespace tanist {

class AdminServer {
  public:
    // To be called once, from any thread, with the result's JSON.
    using Answer = std::function<void(std::string json)>;
    struct Handlers {
        std::function<std::string()> status;                    // admin thread
        std::function<void(std::string json, Answer)> command;  // admin thread; must not wait
    };
    static Result<std::unique_ptr<AdminServer>> start(const std::string& directory,
                                                      Handlers handlers);
    ~AdminServer();  // answers that come later are dropped

  private:
    struct Reply {
        LinkId to = 0;
        uint64_t session = 0;
        Body body;
    };
    AdminServer(AdminEndpoint endpoint, Handlers handlers);
    void run();
    void receive_all();
    void send(Reply reply);

    AdminEndpoint endpoint_;
    Handlers handlers_;
    std::unique_ptr<Link> link_;
    // Shared with the answers that are still to come.
    std::shared_ptr<Mailbox<Reply>> replies_ = std::make_shared<Mailbox<Reply>>();
    std::atomic<bool> stopping_{false};
    std::thread thread_;
};

}  // namespace tanist
