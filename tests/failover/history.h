// What clients of a failing cluster were told, and whether that can be true. Pure.
//
// Every operation appends one value, used once, to one of a few lists, moves money between two
// accounts, and reads in the same transaction the last values of its list and the sum of all
// accounts. From the values alone it follows which operations are in the final database and in
// which order; nothing of Tanist is asked.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

namespace tanist::torture {

enum class Outcome {
    acknowledged,  // COMMIT succeeded
    refused,       // told that nothing happened
    unknown,       // any other error, or the client died
};

struct Operation {
    std::string client;
    uint64_t value = 0;  // never used twice
    int list = 0;
    int64_t began_ns = 0;  // after the gate let it in
    int64_t ended_ns = 0;  // unknown: when it was told, or INT64_MAX
    Outcome outcome = Outcome::unknown;
    uint64_t epoch = 0;          // under which its node was primary when it began
    std::vector<uint64_t> tail;  // the last values of its list before its own, oldest first
    int64_t sum = 0;             // of all accounts, after it
};
using History = std::vector<Operation>;

// The end: everything healed, the nodes equal.
struct Final {
    std::map<int, std::vector<uint64_t>> lists;  // in the order of the table
    int64_t sum = 0;
    std::set<uint64_t> saved;  // values found in the diverged tails of all nodes
};

// What the mode under test promises.
struct Promise {
    int64_t sum = 0;
    bool acknowledged_survives = false;  // synchronous; else it may be discarded, but not silently
    bool one_holder = false;             // voters: a fenced epoch acknowledges nothing
};

// One sentence for each breach; at most `kBreachesMax`.
std::vector<std::string> breaches_of(const History& history, const Final& end,
                                     const Promise& promise);
constexpr size_t kBreachesMax = 20;

// The longest time in which nothing was acknowledged that began at `from_ns` or later.
struct Silence {
    int64_t last_before_ns = 0;  // the acknowledgement that ends before it
    int64_t first_after_ns = 0;  // 0: none came
    int64_t ns() const { return first_after_ns - last_before_ns; }
};
// The one between the last acknowledgement to a client of `old_node` before `fault_ns` (or a little
// later: what was under way), and the first to any client of another node.
Silence takeover_of(const History& history, const std::string& old_node, int64_t fault_ns);

// The client's notes: one line when an operation begins, one when it ends. A line that is cut short
// (the client was killed) is left out.
//   b VALUE LIST EPOCH NS
//   a VALUE NS SUM TAIL,TAIL,...      acknowledged
//   r VALUE NS                        refused
//   u VALUE NS                        unknown
void read_notes(const std::string& client, const std::string& text, History& into);

}  // namespace tanist::torture
