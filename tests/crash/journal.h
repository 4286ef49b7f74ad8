// What the processes of one simulated machine share with the test that will cut its power: a
// journal of everything they did to their files, and the order to die at the n-th step.
//
// The machine is a directory. Its files are ordinary files, so a process that is killed leaves them
// as the kernel would. crash_layer.so, preloaded into each process, writes the journal; disk.h
// makes of it what could be on the disk after a power cut. docs/testing.md, "crash", has the model.
//
// Both sides are built together, so the layout is plain structs: nothing of it outlives a test.
#pragma once

#include <pthread.h>

#include <atomic>
#include <cstdint>

namespace tanist::crash {

// In the environment of each process of a machine.
constexpr const char* kRootVariable = "TANIST_CRASH_ROOT";      // files below it are the disk
constexpr const char* kMemoryVariable = "TANIST_CRASH_MEMORY";  // the directory of what is below
constexpr const char* kRoleVariable = "TANIST_CRASH_ROLE";
constexpr const char* kMemoryName = "/memory";
constexpr const char* kJournalName = "/journal";
constexpr const char* kBootName = "/boot_id";  // stands for /proc/sys/kernel/random/boot_id

enum class Role : uint32_t { none = 0, writer = 1, engine = 2, replica = 3 };

// What counts as a step; a set.
enum Step : uint32_t {
    kStepFile = 1,  // anything that changes or syncs a file or a name
    kStepVfs = 2,   // a call of SQLite to its VFS (writer)
    kStepWake = 4,  // a futex call: a process waits for another, or wakes it
    kStepSend = 8,  // a message handed to ZeroMQ
};

enum class Blow : uint32_t { none = 0, kill = 1, cut_power = 2 };

struct MachineMemory {
    pthread_mutex_t lock;  // robust, shared; around each journal entry and what it describes
    std::atomic<uint64_t> journal_bytes;
    std::atomic<uint32_t> keeps_journal;
    std::atomic<uint32_t> powered_off;  // who notices dies; nothing is written any more
    // The blow: falls on the victim when it begins its strike_at-th step of these classes.
    std::atomic<uint32_t> victim;
    std::atomic<uint32_t> classes;
    std::atomic<uint32_t> blow;
    std::atomic<uint64_t> strike_at;  // 0: never
    std::atomic<uint64_t> steps;
    std::atomic<uint32_t> struck;
    char struck_at[200];  // the step, for people
};

enum class Op : uint32_t {
    open = 1,            // name, inode: an existing file
    create = 2,          // name, inode
    write = 3,           // inode, offset, data
    resize = 4,          // inode, offset = the new size
    allocate = 5,        // inode, offset = the least size
    sync = 6,            // inode
    sync_names = 7,      // name of a directory
    rename = 8,          // name, data = the new name
    unlink = 9,          // name
    write_durably = 10,  // inode, offset, data: on the platter when the call returns
};

// Followed by the name and the data. Names are relative to the root.
struct JournalEntry {
    Op op;
    uint32_t name_bytes;
    uint64_t inode;
    uint64_t offset;
    uint64_t data_bytes;
};

}  // namespace tanist::crash
