#include "tests/crash/disk.h"

#include <sys/stat.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "tests/crash/journal.h"

namespace tanist::crash {
namespace {

namespace fs = std::filesystem;
constexpr uint64_t kSectorBytes = 512;
constexpr uint64_t kPageCacheBytes = 4096;

bool is_mapped(const std::string& name) {
    return name.ends_with("-shm") || name.ends_with("/control");
}

// Neither part of the disk nor touched by a cut: a FIFO holds nothing.
bool is_outside(const std::string& name) {
    return name.ends_with("/engine.log") || name.ends_with("/chime");
}

Content read_content(const fs::path& path) {
    std::ifstream file(path, std::ios::binary);
    return Content(std::istreambuf_iterator<char>(file), {});
}

void write_content(const fs::path& path, const Content& content) {
    std::ofstream file(path, std::ios::binary | std::ios::trunc);
    file.write(reinterpret_cast<const char*>(content.data()),
               static_cast<std::streamsize>(content.size()));
}

std::vector<std::string> list_files(const std::string& root) {
    std::vector<std::string> names;
    for (const auto& entry : fs::recursive_directory_iterator(root)) {
        if (entry.is_regular_file()) names.push_back(fs::relative(entry.path(), root).string());
    }
    std::sort(names.begin(), names.end());
    return names;
}

std::string directory_of(const std::string& name) {
    const size_t slash = name.rfind('/');
    return slash == std::string::npos ? "" : name.substr(0, slash);
}

void put(Content& content, uint64_t offset, const uint8_t* bytes, uint64_t count) {
    if (content.size() < offset + count) content.resize(offset + count);
    std::copy(bytes, bytes + count, content.begin() + static_cast<std::ptrdiff_t>(offset));
}

}  // namespace

Disk Disk::power_on(const std::string& root) {
    Disk disk;
    for (const std::string& name : list_files(root)) {
        if (is_mapped(name) || is_outside(name)) continue;
        struct stat facts {};
        if (::stat((root + "/" + name).c_str(), &facts) != 0) continue;
        disk.by_inode_[facts.st_ino] = disk.files_.size();
        disk.names_[name] = disk.files_.size();
        disk.files_.push_back({read_content(root + "/" + name), {}});
    }
    disk.platter_names_ = disk.names_;
    return disk;
}

// A file that nobody was seen to make (by a call the layer does not know) is taken as an empty one
// whose name is on the platter.
size_t Disk::file_of(uint64_t inode, const std::string& name) {
    const auto found = by_inode_.find(inode);
    if (found != by_inode_.end()) return found->second;
    by_inode_[inode] = files_.size();
    if (!name.empty()) names_[name] = platter_names_[name] = files_.size();
    files_.emplace_back();
    return files_.size() - 1;
}

void Disk::sync_names(const std::string& directory) {
    for (NameChange& change : name_changes_) {
        if (directory_of(change.name) == directory ||
            (change.kind == NameChange::Kind::rename && directory_of(change.to) == directory)) {
            change.synced = true;
        }
    }
}

std::string Disk::replay(const std::string& journal) {
    size_t at = 0;
    while (at < journal.size()) {
        JournalEntry entry;
        if (journal.size() - at < sizeof entry) return "the journal ends within an entry";
        std::memcpy(&entry, journal.data() + at, sizeof entry);
        at += sizeof entry;
        if (journal.size() - at < entry.name_bytes + entry.data_bytes) {
            return "the journal ends within an entry";
        }
        const std::string name = journal.substr(at, entry.name_bytes);
        const std::string data = journal.substr(at + entry.name_bytes, entry.data_bytes);
        at += entry.name_bytes + entry.data_bytes;
        if (entry.op == Op::create || entry.op == Op::rename || entry.op == Op::unlink) {
            change_name(entry, name, data);
        } else if (entry.op == Op::sync_names) {
            sync_names(name);
        } else {
            change_file(entry, name, data);
        }
    }
    return "";
}

void Disk::change_file(const JournalEntry& entry, const std::string& name,
                       const std::string& data) {
    File& file = files_[file_of(entry.inode, name)];
    switch (entry.op) {
        case Op::write:
            file.pending.push_back(
                {Pending::Kind::write, entry.offset, Content(data.begin(), data.end())});
            break;
        case Op::resize:
            file.pending.push_back({Pending::Kind::resize, entry.offset, {}});
            break;
        case Op::allocate:
            file.pending.push_back({Pending::Kind::allocate, entry.offset, {}});
            break;
        case Op::write_durably:
            write_durably(file, entry.offset, Content(data.begin(), data.end()));
            break;
        case Op::sync:
            for (const Pending& pending : file.pending) apply(pending, file.platter);
            file.pending.clear();
            break;
        default:
            break;
    }
}

// The kernel writes whole pages, and the sizes with them; the rest of the file stays as it is.
void Disk::write_durably(File& file, uint64_t offset, const Content& bytes) {
    const uint64_t first = offset / kPageCacheBytes * kPageCacheBytes;
    const uint64_t end = offset + bytes.size() + kPageCacheBytes - 1;
    std::vector<Pending> left;
    for (Pending& pending : file.pending) {
        const bool beside = pending.offset + pending.bytes.size() <= first ||
                            pending.offset >= end / kPageCacheBytes * kPageCacheBytes;
        if (pending.kind == Pending::Kind::write && beside) {
            left.push_back(std::move(pending));
        } else {
            apply(pending, file.platter);
        }
    }
    file.pending = std::move(left);
    put(file.platter, offset, bytes.data(), bytes.size());
}

void Disk::change_name(const JournalEntry& entry, const std::string& name, const std::string& to) {
    if (entry.op == Op::create) {
        by_inode_[entry.inode] = names_[name] = files_.size();
        name_changes_.push_back({NameChange::Kind::create, name, "", files_.size(), false});
        files_.emplace_back();
        return;
    }
    const auto found = names_.find(name);
    if (found == names_.end()) return;
    const size_t file = found->second;
    names_.erase(found);
    if (entry.op == Op::unlink) {
        name_changes_.push_back({NameChange::Kind::unlink, name, "", file, false});
    } else {
        names_[to] = file;
        name_changes_.push_back({NameChange::Kind::rename, name, to, file, false});
    }
}

void Disk::apply(const Pending& pending, Content& content) {
    switch (pending.kind) {
        case Pending::Kind::write:
            put(content, pending.offset, pending.bytes.data(), pending.bytes.size());
            break;
        case Pending::Kind::resize:
            content.resize(pending.offset);
            break;
        case Pending::Kind::allocate:
            if (content.size() < pending.offset) content.resize(pending.offset);
            break;
    }
}

// A third of the files keeps all, a third loses all: those are the cuts that order alone must
// withstand. In the others each sector has a fate of its own.
Content Disk::survivor(const File& file, testing::Dice& dice, Stakes& stakes) {
    Content content = file.platter;
    const uint64_t mood = dice.below(3);
    for (const Pending& pending : file.pending) {
        ++stakes.writes_unsynced;
        if (pending.kind != Pending::Kind::write) {
            if (mood == 0 || (mood == 2 && dice.chance(50))) apply(pending, content);
            continue;
        }
        const uint64_t end = pending.offset + pending.bytes.size();
        for (uint64_t from = pending.offset; from < end;) {
            const uint64_t to = std::min(end, (from / kSectorBytes + 1) * kSectorBytes);
            const uint8_t* bytes = pending.bytes.data() + (from - pending.offset);
            const uint64_t roll = mood == 0 ? 0 : mood == 1 ? 99 : dice.below(100);
            if (roll < 55) {
                put(content, from, bytes, to - from);
                ++stakes.sectors_kept;
            } else if (roll >= 85) {
                ++stakes.sectors_dropped;
            } else {
                Content garbage(to - from);
                for (uint8_t& byte : garbage) byte = static_cast<uint8_t>(dice.next());
                put(content, from, garbage.data(), garbage.size());
                ++stakes.sectors_garbled;
            }
            from = to;
        }
    }
    return content;
}

Image Disk::cut(testing::Dice& dice, Stakes& stakes) const {
    size_t unsynced = 0;
    for (const NameChange& change : name_changes_) unsynced += change.synced ? 0 : 1;
    const uint64_t mood = dice.below(3);
    size_t kept = mood == 0 ? unsynced : mood == 1 ? 0 : dice.below(unsynced + 1);
    stakes.names_undone += unsynced - kept;
    std::map<std::string, size_t> names = platter_names_;
    for (const NameChange& change : name_changes_) {
        if (!change.synced && kept == 0) continue;
        if (!change.synced) --kept;
        if (change.kind == NameChange::Kind::create) {
            names[change.name] = change.file;
        } else {
            const auto found = names.find(change.name);
            if (found != names.end() && found->second == change.file) names.erase(found);
            if (change.kind == NameChange::Kind::rename) names[change.to] = change.file;
        }
    }
    Image image;
    for (const auto& [name, file] : names) image[name] = survivor(files_[file], dice, stakes);
    return image;
}

std::string Disk::write_to(const std::string& root, const Image& image, testing::Dice& dice) {
    std::error_code failed;
    for (const std::string& name : list_files(root)) {
        if (is_outside(name)) continue;
        const fs::path path = root + "/" + name;
        if (!is_mapped(name)) {
            // A file that stays keeps its inode, as on a real disk.
            if (!image.contains(name)) fs::remove(path, failed);
            continue;
        }
        const uint64_t fate = dice.below(3);
        if (fate == 0) fs::remove(path, failed);
        if (fate == 1) write_content(path, Content(fs::file_size(path)));
    }
    for (const auto& [name, content] : image) {
        fs::create_directories((root + "/" + name).substr(0, (root + "/" + name).rfind('/')));
        write_content(root + "/" + name, content);
        if (read_content(root + "/" + name) != content) return "cannot write " + root + "/" + name;
    }
    return "";
}

}  // namespace tanist::crash
