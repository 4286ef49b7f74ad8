#include "tests/failover/network.h"

#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "tests/support/process/child.h"

namespace tanist::torture {
namespace {

constexpr const char* kHub = "hub";
constexpr const char* kVoid = "02:00:00:00:00:ff";

// "" when it went well.
std::string ip(const std::vector<std::string>& words) {
    std::vector<std::string> command = {"ip"};
    command.insert(command.end(), words.begin(), words.end());
    testing::ChildOptions options;
    options.log = "/dev/null";
    const int code = testing::run(command, options);
    if (code == 0) return "";
    std::string text;
    for (const std::string& word : command) text += (text.empty() ? "" : " ") + word;
    return "`" + text + "` ended with " + std::to_string(code);
}

// Names of namespaces and mounts are this process's own: however it ends, nothing stays behind.
std::string own_mounts() {
    if (::unshare(CLONE_NEWNS) != 0 ||
        ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) {
        return std::string("no mount namespace can be made here: ") + std::strerror(errno);
    }
    ::mkdir("/run/netns", 0755);
    if (::mount("tmpfs", "/run/netns", "tmpfs", 0, "mode=0755") != 0) {
        return std::string("nothing can be mounted here: ") + std::strerror(errno);
    }
    return "";
}

}  // namespace

std::string Network::why_impossible() {
    if (::geteuid() != 0) return "network namespaces need root";
    if (testing::run({"sh", "-c", "command -v ip >/dev/null"}, {}) != 0) {
        return "`ip` of the package iproute2 is not installed";
    }
    if (testing::run({"unshare", "--net", "--mount", "true"}, {}) != 0) {
        return "this kernel or container allows no network namespaces";
    }
    return "";
}

std::string Network::make() {
    if (std::string why = own_mounts(); !why.empty()) return why;
    const std::string hub = kHub;
    if (std::string why = ip({"netns", "add", hub}); !why.empty()) {
        return "no network namespace can be made here: " + why;
    }
    for (const auto& words : {std::vector<std::string>{"link", "add", "hub", "type", "bridge"},
                              {"link", "set", "hub", "up"}}) {
        std::vector<std::string> there = {"-n", hub};
        there.insert(there.end(), words.begin(), words.end());
        if (std::string why = ip(there); !why.empty()) return "no bridge can be made here: " + why;
    }
    for (int node = 0; node < kNodes; ++node) {
        if (std::string why = join(node); !why.empty()) return why;
    }
    heal();
    return "";
}

std::string Network::join(int node) {
    const std::string hub = kHub;
    const std::string here = space(node);
    const std::string port = "port" + std::to_string(node);
    hardware_[node] = "02:00:00:00:00:0" + std::to_string(node + 1);
    if (std::string why = ip({"netns", "add", here}); !why.empty()) return why;
    const std::vector<std::vector<std::string>> steps = {
        {"-n", hub, "link", "add", port, "type", "veth", "peer", "name", "eth0", "address",
         hardware_[node], "netns", here},
        {"-n", hub, "link", "set", port, "master", "hub", "up"},
        {"-n", here, "link", "set", "lo", "up"},
        {"-n", here, "address", "add", address(node) + "/24", "dev", "eth0"},
        {"-n", here, "link", "set", "eth0", "up"}};
    for (const auto& step : steps) {
        if (std::string why = ip(step); !why.empty()) return why;
    }
    return "";
}

std::vector<std::string> Network::on(int node, std::vector<std::string> command) {
    // `ip netns exec` becomes the command: the same process, the same signals.
    command.insert(command.begin(), {"ip", "netns", "exec", space(node)});
    return command;
}

void Network::cut(int from, int to) {
    ip({"-n", space(from), "neigh", "replace", address(to), "lladdr", kVoid, "dev", "eth0", "nud",
        "permanent"});
}

void Network::isolate(int node) {
    for (int other = 0; other < kNodes; ++other) {
        if (other == node) continue;
        cut(node, other);
        cut(other, node);
    }
}

void Network::heal() {
    for (int from = 0; from < kNodes; ++from) {
        for (int to = 0; to < kNodes; ++to) {
            if (from == to) continue;
            ip({"-n", space(from), "neigh", "replace", address(to), "lladdr", hardware_[to], "dev",
                "eth0", "nud", "permanent"});
        }
    }
}

}  // namespace tanist::torture
