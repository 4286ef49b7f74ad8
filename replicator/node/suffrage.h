// What the election rules allow the data plane, asked at the very instant at which it acts: may
// records of this epoch be taken, may this acknowledgement leave, does that one count. One mutex
// orders these instants with the steps of the failover node, so that no acknowledgement leaves
// after a higher epoch was promised, and none counts after the primacy was given up.
//
// Where nobody votes, everything is allowed and nothing is locked.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <mutex>
#include <string>

#include "failover/core/node.h"
#include "replicator/control/ack_rule.h"

namespace tanist {

class Suffrage {
  public:
    using Admission = failover::Voter::Admission;

    // From now on voters decide, also while no failover node runs here: then nothing is allowed.
    void begin() { votes_.store(true, std::memory_order_release); }
    bool votes() const { return votes_.load(std::memory_order_acquire); }

    // The replica, before it takes what a primary sends under `epoch`.
    Admission admit(Epoch epoch, const NodeKey& from) const {
        if (!votes()) return Admission::take;
        std::lock_guard lock(mutex_);
        return node_ != nullptr ? node_->admit(epoch, from) : Admission::not_yet;
    }
    // The replica: `send` is called when an acknowledgement for `epoch` may leave now.
    template <class Send>
    bool acknowledge(Epoch epoch, Send send) const {
        if (!votes()) return send(), true;
        std::lock_guard lock(mutex_);
        if (node_ == nullptr || !node_->may_ack(epoch)) return false;
        send();
        return true;
    }
    // What the failover node judges by has changed: it is to look now. Any thread.
    void stir() const {
        if (!votes()) return;
        std::lock_guard lock(mutex_);
        if (wake_) wake_();
    }
    // The primary's engine of `epoch`: `count` is called when what `endpoint` has acknowledged
    // counts, and the failover node is told.
    template <class Count>
    void count(Epoch epoch, const std::string& endpoint, const AckPoint& point, Count count) {
        if (!votes()) return count();
        std::lock_guard lock(mutex_);
        if (node_ == nullptr || !holds(epoch)) return;
        acked_[endpoint] = {epoch, point};
        count();
        if (eager_ && wake_) wake_();
    }

  private:
    friend class FailoverHost;
    bool holds(Epoch epoch) const {
        using failover::HolderPhase;
        const auto& holder = node_->holder();
        return holder.active() && holder.phase() != HolderPhase::releasing &&
               holder.epoch() == epoch;
    }
    struct Acked {
        Epoch epoch;
        AckPoint point;
    };

    std::atomic<bool> votes_{false};
    mutable std::mutex mutex_;  // guards all below, and every step of the node
    failover::Node* node_ = nullptr;
    std::map<std::string, Acked> acked_;  // by endpoint; not yet told to the node
    bool eager_ = false;                  // the node waits for acknowledgements: tell it at once
    std::function<void()> wake_;
};

}  // namespace tanist
