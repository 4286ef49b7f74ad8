#include "tests/support/process/engine.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <filesystem>
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
    return {block->commits_captured, block->bytes_captured, block->rebases, block->captured_lsn,
            block->log_first_lsn};
}

std::string read_endpoint(Child& daemon, std::chrono::seconds patience) {
    const auto deadline = std::chrono::steady_clock::now() + patience;
    for (;;) {
        const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
            deadline - std::chrono::steady_clock::now());
        const auto line = daemon.read_line(left);
        if (!line) return "";
        for (const char* scheme : {"tcp://", "ipc://"}) {
            const size_t begin = line->find(scheme);
            if (begin == std::string::npos) continue;
            return line->substr(begin, line->find_first_of(" ?,\"'", begin) - begin);
        }
    }
}

int64_t cpu_ns(pid_t pid) {
    int64_t sum = 0;
    std::error_code error;
    const std::string tasks = "/proc/" + std::to_string(pid) + "/task";
    for (const auto& task : std::filesystem::directory_iterator(tasks, error)) {
        std::ifstream file(task.path() / "schedstat");
        int64_t ns = 0;
        if (file >> ns) sum += ns;
    }
    return sum;
}

int64_t status_kib(pid_t pid, const std::string& name) {
    std::ifstream file("/proc/" + std::to_string(pid) + "/status");
    for (std::string line; std::getline(file, line);) {
        if (line.rfind(name + ":", 0) == 0) return std::stoll(line.substr(name.size() + 1));
    }
    return 0;
}

}  // namespace tanist::testing
