#include "tests/failover/history.h"

#include <algorithm>
#include <sstream>
#include <unordered_map>

namespace tanist::torture {
namespace {

struct Place {
    int list = 0;
    size_t at = 0;
};

class Judge {
  public:
    Judge(const History& history, const Final& end, const Promise& promise)
        : history_(history), end_(end), promise_(promise) {}

    std::vector<std::string> judge() {
        place_values();
        for (const Operation& op : history_) {
            judge_presence(op);
            if (op.outcome == Outcome::acknowledged) judge_reads(op);
        }
        judge_order();
        if (promise_.one_holder) judge_holders();
        if (end_.sum != promise_.sum) {
            say("the accounts sum up to " + std::to_string(end_.sum) + " in the end, not " +
                std::to_string(promise_.sum));
        }
        return std::move(breaches_);
    }

  private:
    static std::string name(const Operation& op) {
        return "value " + std::to_string(op.value) + " of " + op.client;
    }
    void say(std::string sentence) {
        if (breaches_.size() < kBreachesMax) breaches_.push_back(std::move(sentence));
    }
    const Place* place_of(uint64_t value) const {
        auto found = places_.find(value);
        return found == places_.end() ? nullptr : &found->second;
    }

    void place_values() {
        std::set<uint64_t> invoked;
        for (const Operation& op : history_) {
            if (!invoked.insert(op.value).second) say(name(op) + " was used twice by the test");
        }
        for (const auto& [list, values] : end_.lists) {
            for (size_t i = 0; i < values.size(); ++i) {
                const std::string what = "value " + std::to_string(values[i]);
                if (!places_.emplace(values[i], Place{list, i}).second)
                    say(what + " is there twice");
                if (invoked.count(values[i]) == 0) say(what + " is there and nobody wrote it");
            }
        }
    }

    void judge_presence(const Operation& op) {
        const Place* place = place_of(op.value);
        if (place != nullptr && place->list != op.list) say(name(op) + " is in another list");
        if (op.outcome == Outcome::refused && place != nullptr) {
            say(name(op) + " was refused and is there");
        }
        if (op.outcome != Outcome::acknowledged || place != nullptr) return;
        if (promise_.acknowledged_survives) {
            say(name(op) + " was acknowledged under epoch " + std::to_string(op.epoch) +
                " and is lost");
        } else if (end_.saved.count(op.value) == 0) {
            say(name(op) + " was acknowledged, then discarded, and is in no diverged tail");
        }
    }

    // What it saw directly before its own value is what stands there in the end.
    void judge_reads(const Operation& op) {
        if (op.sum != promise_.sum) {
            say(name(op) + " saw accounts that sum up to " + std::to_string(op.sum));
        }
        const Place* place = place_of(op.value);
        if (place == nullptr || place->list != op.list) return;
        const std::vector<uint64_t>& values = end_.lists.at(place->list);
        const bool same = op.tail.size() <= place->at &&
                          std::equal(op.tail.rbegin(), op.tail.rend(),
                                     std::make_reverse_iterator(values.begin() +
                                                                static_cast<ptrdiff_t>(place->at)));
        if (!same) say(name(op) + " saw other values before it than there are");
    }

    // What was acknowledged before another began stands before it.
    void judge_order() {
        std::map<int, std::vector<const Operation*>> by_list;
        for (const Operation& op : history_) {
            if (op.outcome == Outcome::acknowledged && place_of(op.value) != nullptr) {
                by_list[op.list].push_back(&op);
            }
        }
        for (auto& [list, ops] : by_list) {
            std::sort(ops.begin(), ops.end(), [&](const Operation* a, const Operation* b) {
                return place_of(a->value)->at < place_of(b->value)->at;
            });
            int64_t latest_began = INT64_MIN;
            for (const Operation* op : ops) {
                if (op->ended_ns < latest_began) say(name(*op) + " stands after a later one");
                latest_began = std::max(latest_began, op->began_ns);
            }
        }
    }

    // FENCED: from the first acknowledgement of an epoch on, nothing that begins under a lower one
    // is acknowledged.
    void judge_holders() {
        std::map<uint64_t, int64_t> first_ack;  // of each epoch
        for (const Operation& op : history_) {
            if (op.outcome != Outcome::acknowledged) continue;
            auto [at, fresh] = first_ack.emplace(op.epoch, op.ended_ns);
            if (!fresh) at->second = std::min(at->second, op.ended_ns);
        }
        for (const Operation& op : history_) {
            if (op.outcome != Outcome::acknowledged) continue;
            for (auto higher = first_ack.upper_bound(op.epoch); higher != first_ack.end();
                 ++higher) {
                if (op.began_ns <= higher->second) continue;
                say(name(op) + " was acknowledged under epoch " + std::to_string(op.epoch) +
                    ", which epoch " + std::to_string(higher->first) + " had fenced");
                break;
            }
        }
    }

    const History& history_;
    const Final& end_;
    const Promise& promise_;
    std::unordered_map<uint64_t, Place> places_;
    std::vector<std::string> breaches_;
};

void read_tail(const std::string& text, std::vector<uint64_t>& tail) {
    std::istringstream values(text);
    for (std::string value; std::getline(values, value, ',');) tail.push_back(std::stoull(value));
}

}  // namespace

std::vector<std::string> breaches_of(const History& history, const Final& end,
                                     const Promise& promise) {
    return Judge(history, end, promise).judge();
}

Silence takeover_of(const History& history, const std::string& old_node, int64_t fault_ns) {
    Silence silence;
    for (const Operation& op : history) {
        if (op.outcome != Outcome::acknowledged) continue;
        if (op.client == old_node && op.began_ns <= fault_ns) {
            silence.last_before_ns = std::max(silence.last_before_ns, op.ended_ns);
        }
        if (op.client == old_node || op.began_ns < fault_ns) continue;
        if (silence.first_after_ns == 0 || op.ended_ns < silence.first_after_ns) {
            silence.first_after_ns = op.ended_ns;
        }
    }
    return silence;
}

void read_notes(const std::string& client, const std::string& text, History& into) {
    std::unordered_map<uint64_t, size_t> at;
    size_t begin = 0;
    for (size_t end = 0; (end = text.find('\n', begin)) != std::string::npos; begin = end + 1) {
        std::istringstream line(text.substr(begin, end - begin));
        char kind = 0;
        uint64_t value = 0;
        line >> kind >> value;
        if (kind == 'b') {
            Operation op;
            op.client = client;
            op.value = value;
            op.ended_ns = INT64_MAX;
            line >> op.list >> op.epoch >> op.began_ns;
            at[value] = into.size();
            into.push_back(std::move(op));
            continue;
        }
        Operation& op = into[at.at(value)];
        line >> op.ended_ns;
        if (kind == 'r') op.outcome = Outcome::refused;
        if (kind != 'a') continue;
        op.outcome = Outcome::acknowledged;
        std::string tail;
        line >> op.sum >> tail;
        read_tail(tail, op.tail);
    }
}

}  // namespace tanist::torture
