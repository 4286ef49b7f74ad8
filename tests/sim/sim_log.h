// A node's log in the simulator: points and values instead of pages, with what a crash may take.
#pragma once

#include <vector>

#include "failover/core/follow_rule.h"

namespace tanist::sim {

struct Entry {
    LogPoint point;
    uint64_t value = 0;  // a client's write; zero: an epoch's barrier
};

// Stands for the hash over the history.
inline Chain next_chain(const Chain& previous, Epoch epoch, Lsn lsn, uint64_t value) {
    uint64_t a = 0, b = 0;
    std::memcpy(&a, previous.bytes.data(), 8);
    std::memcpy(&b, previous.bytes.data() + 8, 8);
    for (uint64_t word : {epoch.value, lsn.value, value}) {
        a = (a ^ word) * 0x9e3779b97f4a7c15u;
        a ^= a >> 29;
        b = (b + word + a) * 0xbf58476d1ce4e5b9u;
        b ^= b >> 32;
    }
    Chain chain;
    std::memcpy(chain.bytes.data(), &a, 8);
    std::memcpy(chain.bytes.data() + 8, &b, 8);
    return chain;
}

class SimLog : public failover::LogIndex {
  public:
    LogPoint end() const override { return entries_.empty() ? LogPoint{} : entries_.back().point; }
    std::optional<LogPoint> at(Lsn lsn) const override {
        if (lsn.value == 0) return LogPoint{};
        if (lsn.value > entries_.size()) return std::nullopt;
        return entries_[lsn.value - 1].point;
    }
    const Entry& entry(Lsn lsn) const { return entries_[lsn.value - 1]; }
    const std::vector<Entry>& entries() const { return entries_; }
    Lsn durable() const { return durable_; }
    void append(const Entry& entry) { entries_.push_back(entry); }
    Entry make(Epoch epoch, uint64_t value) const {
        const LogPoint last = end();
        const Lsn lsn = last.position.lsn.next();
        return {{{epoch, lsn}, next_chain(last.chain, epoch, lsn, value)}, value};
    }
    void synced(Lsn lsn) { durable_ = std::max(durable_, std::min(lsn, end().position.lsn)); }
    // Cutting is durable at once: the product syncs a cut before it goes on.
    void keep(Lsn lsn) {
        entries_.resize(lsn.value);
        durable_ = std::min(durable_, lsn);
    }

  private:
    std::vector<Entry> entries_;
    Lsn durable_;
};

}  // namespace tanist::sim
