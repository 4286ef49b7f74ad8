// What is left of a cluster that failed: how its databases differ, and their files.
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <vector>

#include "replicator/base/hash.h"
#include "replicator/wal/wal_index.h"
#include "tests/failover/cluster.h"

namespace tanist::torture {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

constexpr size_t kPagesNamed = 12;

std::string hex(uint64_t number) {
    std::array<char, 17> text{};
    std::snprintf(text.data(), text.size(), "%016llx", static_cast<unsigned long long>(number));
    return text.data();
}

size_t page_bytes_of(const std::string& image) {
    if (image.size() < 18) return 0;
    const size_t stored =
        static_cast<uint8_t>(image[16]) << 8 | static_cast<size_t>(static_cast<uint8_t>(image[17]));
    return stored == 1 ? 65536 : stored;
}

// "equal to a", "3 pages differ from a's: 1 2 14".
std::string difference(const std::string& image, const std::string& other, const std::string& of) {
    if (image == other) return "equal to " + of;
    const size_t bytes = page_bytes_of(other);
    if (image.empty() || bytes == 0) return "cannot be read, or " + of + "'s cannot";
    const size_t pages = std::max(image.size(), other.size()) / bytes;
    size_t differing = 0;
    std::string named;
    for (size_t page = 0; page < pages; ++page) {
        const size_t at = page * bytes;
        const bool both = at < image.size() && at < other.size();
        if (both && image.compare(at, bytes, other, at, bytes) == 0) continue;
        if (++differing <= kPagesNamed) named += " " + std::to_string(page + 1);
    }
    return std::to_string(differing) + " pages differ from " + of + "'s:" + named +
           (differing > kPagesNamed ? " ..." : "");
}

std::string describe_wal(const std::string& db) {
    std::error_code none;
    const auto bytes = fs::file_size(db + "-wal", none);
    std::string text = "WAL " + (none ? std::string("none") : std::to_string(bytes) + " bytes");
    std::vector<char> region(kWalIndexRegionBytes);
    std::ifstream file(db + "-shm", std::ios::binary);
    if (!file.read(region.data(), static_cast<std::streamsize>(region.size()))) return text;
    const auto header = read_wal_index_header(region.data());
    if (!header) return text + ", its index is not whole";
    return text + ", frames " + std::to_string(header->max_frame) + ", written back " +
           std::to_string(read_checkpoint_info(region.data()).backfilled) + ", change " +
           std::to_string(header->change) + ", pages " + std::to_string(header->db_pages);
}

uint64_t number(const Json& json, const char* key) {
    return json.is_object() ? json.value(key, uint64_t{0}) : 0;
}

// Sockets are left out: what cannot be copied must not keep the rest from it.
void copy_tree(const fs::path& from, const fs::path& to) {
    std::error_code ignored;
    fs::create_directories(to, ignored);
    for (const auto& entry : fs::recursive_directory_iterator(from, ignored)) {
        const fs::path target = to / fs::relative(entry.path(), from, ignored);
        if (entry.is_directory(ignored)) fs::create_directories(target, ignored);
        if (!entry.is_regular_file(ignored)) continue;
        std::error_code failed;
        if (!fs::copy_file(entry.path(), target, fs::copy_options::overwrite_existing, failed)) {
            std::printf("not kept: %s: %s\n", entry.path().c_str(), failed.message().c_str());
        }
    }
}

}  // namespace

std::string Cluster::describe_databases() {
    const int holder = std::max(primary(), 0);
    const std::string wanted = image_of(path(holder));
    std::string text;
    for (int node = 0; node < kNodes; ++node) {
        const std::string image = node == holder ? wanted : image_of(path(node));
        const Json seen = status(node);
        const Json log = seen.value("log", Json::object());
        text += name(node) + ": " + seen.value("role", "silent") + ", image " +
                hex(hash64({reinterpret_cast<const uint8_t*>(image.data()), image.size()})) + ", " +
                (node == holder ? "the primary's" : difference(image, wanted, name(holder))) +
                ", log " + seen.value("position", "?") + " to " +
                std::to_string(number(log, "end")) + ", applied " +
                std::to_string(number(seen, "applied")) + ", " + describe_wal(path(node)) + "\n";
    }
    return text;
}

// The nodes' file systems are gone when this process is.
void Cluster::keep_files() const {
    for (int node = 0; node < kNodes; ++node) {
        copy_tree(nodes_[node].directory, directory_ + "/kept-" + name(node));
    }
}

}  // namespace tanist::torture
