// Group commit on a file: of all who wait until what they wrote is durable, one syncs for all.
// (Gray & Reuter, Transaction Processing, 9.4.7.) Any thread; within one process.
//
// A sync that fails is told to everybody whom it should have covered and, since the system tells of
// lost bytes only once, to everybody after them who writes to the same generation of the file.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>

namespace tanist {

class GroupSync {
  public:
    // The one of a file; shared by all of this process. Not inherited over fork().
    static std::shared_ptr<GroupSync> of(const std::string& path);

    using Ticket = uint64_t;
    using Sync = std::function<int()>;  // 0, or a code that stands for its failure

    // For what was written to the file until now; `generation` is that of the file's content.
    Ticket ask(uint64_t generation);
    // Syncs for all who have asked, unless somebody is just syncing: then it returns at once.
    void help(Ticket ticket, const Sync& sync);
    // Until the ticket is settled: by another's sync, or by one of its own. 0, or the code.
    int await(Ticket ticket, const Sync& sync);

  private:
    void lead(std::unique_lock<std::mutex>& lock, const Sync& sync);
    bool is_bad(Ticket ticket) const { return bad_from_ <= ticket && ticket <= bad_to_; }

    std::mutex mutex_;
    std::condition_variable settled_;
    bool syncing_ = false;
    Ticket asked_ = 0;
    Ticket done_ = 0;  // settled, well or badly
    uint64_t generation_ = 0;
    int failure_ = 0;
    Ticket bad_from_ = UINT64_MAX;
    Ticket bad_to_ = 0;
};

}  // namespace tanist
