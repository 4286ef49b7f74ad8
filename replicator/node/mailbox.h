// A queue between two threads of a node: any thread puts, one thread takes. The taker's Event is
// signalled when something came, so that it can sit in a poll loop.
#pragma once

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <iterator>
#include <mutex>
#include <utility>

#include "replicator/base/event.h"

namespace tanist {

template <class T>
class Mailbox {
  public:
    void put(T item) {
        bool first;
        {
            std::lock_guard lock(mutex_);
            first = items_.empty();
            items_.push_back(std::move(item));
        }
        if (first) wake();
    }
    // All of them at once; `items` is empty afterwards.
    void put_all(std::deque<T>& items) {
        if (items.empty()) return;
        bool first;
        {
            std::lock_guard lock(mutex_);
            first = items_.empty();
            if (first)
                items_.swap(items);
            else
                std::move(items.begin(), items.end(), std::back_inserter(items_));
        }
        items.clear();
        if (first) wake();
    }
    // Everything that is there; does not wait.
    std::deque<T> take() {
        event_.drain();
        std::lock_guard lock(mutex_);
        return std::exchange(items_, {});
    }
    // Waits until something is there, or close(), or the timeout.
    std::deque<T> wait(Nanos timeout) {
        std::unique_lock lock(mutex_);
        came_.wait_for(lock, timeout, [this] { return !items_.empty() || closed_; });
        return std::exchange(items_, {});
    }
    void close() {
        {
            std::lock_guard lock(mutex_);
            closed_ = true;
        }
        came_.notify_all();
        event_.signal();
    }
    bool closed() const {
        std::lock_guard lock(mutex_);
        return closed_;
    }
    int fd() const { return event_.fd(); }

  private:
    // The taker takes everything, so it was told of what is there already.
    void wake() {
        came_.notify_one();
        event_.signal();
    }

    mutable std::mutex mutex_;  // guards items_ and closed_
    std::condition_variable came_;
    std::deque<T> items_;
    bool closed_ = false;
    Event event_;
};

}  // namespace tanist
