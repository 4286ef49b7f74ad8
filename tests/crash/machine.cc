#include "tests/crash/machine.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <new>
#include <stdexcept>

namespace tanist::crash {
namespace {

const char* name_of(Role role) {
    switch (role) {
        case Role::writer:
            return "writer";
        case Role::engine:
            return "engine";
        case Role::replica:
            return "replica";
        case Role::none:
            break;
    }
    return "none";
}

int open_new(const std::string& path) {
    const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0) throw std::runtime_error("cannot make " + path);
    return fd;
}

}  // namespace

Machine::Machine(std::string root, std::string directory, std::string layer)
    : root_(std::move(root)), directory_(std::move(directory)), layer_(std::move(layer)) {
    std::filesystem::create_directories(root_);
    std::filesystem::create_directories(directory_);
    journal_ = open_new(directory_ + kJournalName);
    const int fd = open_new(directory_ + kMemoryName);
    if (::ftruncate(fd, sizeof(MachineMemory)) != 0) throw std::runtime_error("ftruncate");
    void* at = ::mmap(nullptr, sizeof(MachineMemory), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    ::close(fd);
    if (at == MAP_FAILED) throw std::runtime_error("mmap");
    memory_ = new (at) MachineMemory{};
    pthread_mutexattr_t attributes;
    ::pthread_mutexattr_init(&attributes);
    ::pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
    ::pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
    ::pthread_mutex_init(&memory_->lock, &attributes);
    ::pthread_mutexattr_destroy(&attributes);
}

Machine::~Machine() {
    ::munmap(memory_, sizeof(MachineMemory));
    ::close(journal_);
}

void Machine::boot(bool keeps_journal) {
    keeps_journal_ = keeps_journal;
    if (keeps_journal) disk_ = Disk::power_on(root_);
    char id[40];
    std::snprintf(id, sizeof id, "%08x-0000-4000-8000-%012x\n", static_cast<unsigned>(::getpid()),
                  static_cast<unsigned>(++boots_));
    std::ofstream(directory_ + kBootName) << id;
    memory_->journal_bytes.store(0);
    memory_->keeps_journal.store(keeps_journal ? 1 : 0);
    memory_->powered_off.store(0);
    memory_->strike_at.store(0);
    memory_->struck.store(0);
}

std::vector<std::string> Machine::environment(Role role) const {
    return {std::string("LD_PRELOAD=") + layer_, std::string(kRootVariable) + "=" + root_,
            std::string(kMemoryVariable) + "=" + directory_,
            std::string(kRoleVariable) + "=" + name_of(role)};
}

void Machine::arm(const Strike& strike) {
    memory_->struck.store(0);
    memory_->struck_at[0] = 0;
    memory_->steps.store(0);
    memory_->victim.store(static_cast<uint32_t>(strike.victim));
    memory_->blow.store(static_cast<uint32_t>(strike.blow));
    memory_->classes.store(strike.classes);
    memory_->strike_at.store(strike.at);
}

void Machine::lock() {
    if (::pthread_mutex_lock(&memory_->lock) == EOWNERDEAD) {
        ::pthread_mutex_consistent(&memory_->lock);
    }
}

void Machine::between_entries(const std::function<void()>& action) {
    lock();
    action();
    ::pthread_mutex_unlock(&memory_->lock);
}

std::string Machine::take_journal() {
    if (!keeps_journal_) return "";
    lock();
    std::string journal(memory_->journal_bytes.load(), '\0');
    size_t done = 0;
    while (done < journal.size()) {
        const ssize_t got = ::pread(journal_, journal.data() + done, journal.size() - done,
                                    static_cast<off_t>(done));
        if (got <= 0) break;
        done += static_cast<size_t>(got);
    }
    memory_->journal_bytes.store(0);
    ::pthread_mutex_unlock(&memory_->lock);
    if (done < journal.size()) return "the journal cannot be read";
    return disk_.replay(journal);
}

std::string Machine::lose_power(testing::Dice& dice, Stakes& stakes) {
    std::string trouble = take_journal();
    if (!trouble.empty()) return trouble;
    trouble = Disk::write_to(root_, disk_.cut(dice, stakes), dice);
    if (trouble.empty()) boot(true);
    return trouble;
}

}  // namespace tanist::crash
