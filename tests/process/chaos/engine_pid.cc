#include "tests/process/chaos/engine_pid.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <fstream>
#include <sstream>

#include "replicator/control/control_block.h"

namespace tanist::testing {
namespace {

// A read-only view of <db>-tanist/control.
class ControlView {
  public:
    explicit ControlView(const std::string& database) {
        const int fd = ::open((database + "-tanist/control").c_str(), O_RDONLY | O_CLOEXEC);
        if (fd < 0) return;
        if (::lseek(fd, 0, SEEK_END) >= static_cast<off_t>(sizeof(ControlBlock))) {
            memory_ = ::mmap(nullptr, sizeof(ControlBlock), PROT_READ, MAP_SHARED, fd, 0);
        }
        ::close(fd);
    }
    ~ControlView() {
        if (memory_ != MAP_FAILED) ::munmap(memory_, sizeof(ControlBlock));
    }
    ControlView(const ControlView&) = delete;
    ControlView& operator=(const ControlView&) = delete;
    const ControlBlock* block() const {
        if (memory_ == MAP_FAILED) return nullptr;
        const auto* block = static_cast<const ControlBlock*>(memory_);
        return block->magic == kControlMagic && block->version == kControlVersion ? block : nullptr;
    }

  private:
    void* memory_ = MAP_FAILED;
};

bool serves(pid_t pid, const std::string& database) {
    std::ifstream file("/proc/" + std::to_string(pid) + "/cmdline");
    std::stringstream words;
    words << file.rdbuf();
    const std::string text = words.str();
    return text.find("tanistd") != std::string::npos && text.find(database) != std::string::npos;
}

}  // namespace

pid_t find_engine(const std::string& database) {
    const ControlView view(database);
    const ControlBlock* block = view.block();
    const pid_t pid = block ? static_cast<pid_t>(block->engine_pid.load()) : 0;
    return pid > 1 && serves(pid, database) ? pid : 0;
}

EngineTotals read_engine_totals(const std::string& database) {
    const ControlView view(database);
    const ControlBlock* block = view.block();
    if (!block) return {};
    return {block->commits_captured, block->bytes_captured, block->rebases};
}

}  // namespace tanist::testing
