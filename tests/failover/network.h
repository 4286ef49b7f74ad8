// Three machines' worth of network on one: a namespace for each node, joined by a bridge in a
// namespace of its own, so that nothing of the host's network is touched. Cuts are made by pointing
// a neighbour's hardware address into the void: packets of one node to one other vanish without an
// error, in one direction only.
#pragma once

#include <array>
#include <string>
#include <vector>

namespace tanist::torture {

class Network {
  public:
    static constexpr int kNodes = 3;
    // Why there can be none on this machine, for people; "" when there can.
    static std::string why_impossible();
    // "" when the network is there; else why there can be none, for people. The calling process
    // gets mounts of its own.
    std::string make();

    static std::string address(int node) { return "10.77.0." + std::to_string(node + 1); }
    static std::string endpoint(int node) { return "tcp://" + address(node) + ":7400"; }
    // `command`, as a process of that node.
    static std::vector<std::string> on(int node, std::vector<std::string> command);

    void cut(int from, int to);
    void isolate(int node);  // from both others, both ways
    void heal();

  private:
    static std::string space(int node) { return "node" + std::to_string(node); }
    std::string join(int node);

    std::array<std::string, kNodes> hardware_;
};

}  // namespace tanist::torture
