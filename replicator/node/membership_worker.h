// Carries out what operators ask about the members, one after the other, on a thread of its own: a
// node that joins may let us wait; the thread begins with the first. Each is in the audit log with
// its outcome.
#pragma once

#include <atomic>
#include <mutex>
#include <string>
#include <thread>

#include "replicator/control/layout.h"
#include "replicator/control/operator_command.h"
#include "replicator/node/admin_server.h"
#include "replicator/node/mailbox.h"

namespace tanist {

class MembershipWorker {
  public:
    explicit MembershipWorker(Layout layout) : layout_(std::move(layout)) {}
    ~MembershipWorker() { stop(); }
    // The one that is under way is ended; later ones are not begun, and not answered. Idempotent.
    void stop();
    // From before a command changes anything until its answer was given; any thread.
    bool at_work() const { return at_work_.load(); }
    // Any thread. Requires: it is about members.
    void put(OperatorCommand command, AdminServer::Answer answer);

  private:
    struct Asked {
        OperatorCommand command;
        AdminServer::Answer answer;
    };
    void run();

    Layout layout_;
    Mailbox<Asked> asked_;
    std::atomic<bool> at_work_{false};
    std::once_flag begun_;
    std::thread thread_;
};

}  // namespace tanist
