// The control block's file: opening, making, mapping, and the locks on it.
#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "replicator/control/control_block.h"

namespace tanist {
namespace {

// Makers exclude each other by an open-file-description lock on the first byte: it is independent
// of the flock, which says who is present, and goes with its holder. Never waits for a stopped
// maker for longer than this.
constexpr int kMakerTries = 1000;
constexpr unsigned kMakerTryMicros = 1000;

class MakerLock {
  public:
    static Result<MakerLock> take(const File& file) {
        struct flock lock = {};
        lock.l_type = F_WRLCK;
        lock.l_whence = SEEK_SET;
        lock.l_len = 1;
        for (int i = 0; i < kMakerTries; ++i) {
            if (::fcntl(file.fd(), F_OFD_SETLK, &lock) == 0) return MakerLock(file.fd());
            if (errno != EAGAIN && errno != EACCES && errno != EINTR) {
                return Error{Errc::io, file.path() + ": cannot be locked: " + std::strerror(errno)};
            }
            ::usleep(kMakerTryMicros);
        }
        return Error{Errc::busy, file.path() +
                                     " is being made by another process that does not "
                                     "go on; try again"};
    }
    MakerLock(MakerLock&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
    MakerLock& operator=(MakerLock&&) = delete;
    ~MakerLock() {
        if (fd_ < 0) return;
        struct flock lock = {};
        lock.l_type = F_UNLCK;
        lock.l_whence = SEEK_SET;
        lock.l_len = 1;
        ::fcntl(fd_, F_OFD_SETLK, &lock);
    }

  private:
    explicit MakerLock(int fd) : fd_(fd) {}
    int fd_;
};

Result<ControlBlock*> map(const File& file) {
    void* at = ::mmap(nullptr, kControlBytes, PROT_READ | PROT_WRITE, MAP_SHARED, file.fd(), 0);
    if (at == MAP_FAILED) {
        return Error{Errc::io, file.path() + ": cannot be mapped: " + std::strerror(errno)};
    }
    return static_cast<ControlBlock*>(at);
}

enum class Fitness { fits, other_version, unmade };

Fitness fitness(const ControlBlock& block, const Id128<struct BootTag>& boot) {
    if (block.magic.load(std::memory_order_acquire) != kControlMagic) return Fitness::unmade;
    for (size_t i = 0; i < boot.bytes.size(); ++i) {
        if (block.boot[i].load(std::memory_order_relaxed) != boot.bytes[i]) return Fitness::unmade;
    }
    return block.version.load(std::memory_order_relaxed) == kControlVersion
               ? Fitness::fits
               : Fitness::other_version;
}

// Requires: the maker's lock. The magic is taken away first and set last, so that a maker killed
// in between leaves a block that the next one makes again.
void make_block(ControlBlock& block, const Id128<struct BootTag>& boot) {
    block.magic.store(0, std::memory_order_release);
    auto* bytes = reinterpret_cast<std::atomic<uint8_t>*>(&block);
    for (size_t i = sizeof(block.magic); i < sizeof(block); ++i) {
        bytes[i].store(0, std::memory_order_relaxed);
    }
    for (size_t i = 0; i < boot.bytes.size(); ++i) {
        block.boot[i].store(boot.bytes[i], std::memory_order_relaxed);
    }
    block.version.store(kControlVersion, std::memory_order_relaxed);
    block.magic.store(kControlMagic, std::memory_order_release);
}

Result<bool> long_enough(const File& file) {
    auto stat = file.stat();
    if (!stat.ok()) return std::move(stat).error();
    return stat->bytes >= kControlBytes;
}

}  // namespace

Result<Control> Control::open(const std::string& path, bool make, bool presence) {
    auto file = File::open(path, make ? File::Mode::create : File::Mode::write);
    if (!file.ok()) return std::move(file).error();
    Control control;
    control.file_ = std::move(*file);
    const auto boot = boot_id();
    auto whole = long_enough(control.file_);
    if (!whole.ok()) return std::move(whole).error();
    if (!*whole) {
        if (!make) return Error{Errc::not_found, path + " has not been made yet"};
        // Blocks are reserved before they are mapped: a store into a hole of a full disk would
        // kill the application.
        TANIST_TRY(control.file_.allocate(kControlBytes));
    }
    auto block = map(control.file_);
    if (!block.ok()) return std::move(block).error();
    control.block_ = *block;

    if (fitness(*control.block_, boot) != Fitness::fits) {
        if (!make) return Error{Errc::not_found, path + " is of another boot or version"};
        auto lock = MakerLock::take(control.file_);
        if (!lock.ok()) return std::move(lock).error();
        const Fitness now = fitness(*control.block_, boot);
        if (now == Fitness::other_version && !control.nobody_present()) {
            return Error{Errc::version,
                         path +
                             " is in use by another version of Tanist; restart every program "
                             "that has this database open"};
        }
        if (now != Fitness::fits) make_block(*control.block_, boot);
    }
    if (presence) {
        auto taken = control.file_.try_lock(false);
        // The engine's look at who is present takes it for an instant; the next commit's ring
        // finds that out soon enough, so one more try is all.
        for (int i = 0; taken.ok() && !*taken && i < 100; ++i) {
            ::usleep(1000);
            taken = control.file_.try_lock(false);
        }
        if (!taken.ok()) return std::move(taken).error();
        if (!*taken) return Error{Errc::busy, path + " is locked by another program"};
    }
    return control;
}

Control::Control(Control&& other) noexcept
    : block_(std::exchange(other.block_, nullptr)), file_(std::move(other.file_)) {}

Control& Control::operator=(Control&& other) noexcept {
    if (this != &other) {
        unmap();
        block_ = std::exchange(other.block_, nullptr);
        file_ = std::move(other.file_);
    }
    return *this;
}

Control::~Control() { unmap(); }

void Control::unmap() {
    if (block_ != nullptr) ::munmap(block_, kControlBytes);
    block_ = nullptr;
}

bool Control::nobody_present() {
    auto alone = file_.try_lock(true);
    const bool yes = alone.ok() && *alone;
    if (yes) file_.unlock();
    return yes;
}

bool engine_lives(const std::string& ship_lock_path) {
    auto file = File::open(ship_lock_path, File::Mode::read);
    if (!file.ok()) return false;
    auto free = file->try_lock(false);
    return free.ok() && !*free;
}

bool engine_is_in_line(const std::string& ship_lock_path) {
    auto file = File::open(ship_lock_path, File::Mode::read);
    if (!file.ok()) return false;
    struct flock place = {};
    place.l_type = F_WRLCK;
    place.l_whence = SEEK_SET;
    place.l_len = 1;
    return ::fcntl(file->fd(), F_OFD_GETLK, &place) == 0 && place.l_type != F_UNLCK;
}

}  // namespace tanist
