// The disk of a simulated machine, from its journal: what is on the platter for certain, and what
// a power cut may have left of the rest.
//
// The model. A write, a change of size and a reservation are on the platter once their file was
// synced afterwards, or as it returned when it was made with RWF_DSYNC. Until then each 512-byte
// sector of each write may have come, or not, or hold garbage where the write would have put its
// bytes (never beside them: SQLite's "powersafe overwrite"); sizes may have changed or not. A name
// (made, renamed, removed) is on the platter once its directory was synced; of the others a file
// system with a journal keeps some first part, in order. Directories themselves always exist. Of
// files that are mapped (-shm, control) a cut leaves what they held, or zeros, or nothing.
//
// One thread. Requires for power_on and write_to: no process of the machine lives.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "tests/crash/journal.h"
#include "tests/support/process/dice.h"

namespace tanist::crash {

using Content = std::vector<uint8_t>;
// By name relative to the root.
using Image = std::map<std::string, Content>;

// What cuts did, over a whole run; a run in which nothing was at stake proves nothing.
struct Stakes {
    uint64_t writes_unsynced = 0;
    uint64_t sectors_kept = 0;
    uint64_t sectors_dropped = 0;
    uint64_t sectors_garbled = 0;
    uint64_t names_undone = 0;
};

class Disk {
  public:
    // Everything that is below `root` now is on the platter.
    static Disk power_on(const std::string& root);
    // Takes what a journal holds; "" or why it cannot be read.
    std::string replay(const std::string& journal);
    // One of the images that the cut may leave; the same dice give the same one.
    Image cut(testing::Dice& dice, Stakes& stakes) const;
    // Makes the files below `root` those of the image. "" or what went wrong.
    static std::string write_to(const std::string& root, const Image& image, testing::Dice& dice);

  private:
    struct Pending {
        enum class Kind { write, resize, allocate } kind;
        uint64_t offset;  // or the size
        Content bytes;
    };
    struct File {
        Content platter;
        std::vector<Pending> pending;
    };
    struct NameChange {
        enum class Kind { create, rename, unlink } kind;
        std::string name;
        std::string to;
        size_t file;
        bool synced;
    };

    size_t file_of(uint64_t inode, const std::string& name);
    void change_file(const JournalEntry& entry, const std::string& name, const std::string& data);
    void change_name(const JournalEntry& entry, const std::string& name, const std::string& to);
    void sync_names(const std::string& directory);
    static void write_durably(File& file, uint64_t offset, const Content& bytes);
    static void apply(const Pending& pending, Content& content);
    static Content survivor(const File& file, testing::Dice& dice, Stakes& stakes);

    std::vector<File> files_;
    std::map<uint64_t, size_t> by_inode_;
    std::map<std::string, size_t> names_;          // as the processes see them
    std::map<std::string, size_t> platter_names_;  // before the first of name_changes_
    std::vector<NameChange> name_changes_;
};

}  // namespace tanist::crash
