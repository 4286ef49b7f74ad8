#include <unistd.h>

#include <cstdio>

#include "replicator/base/notes.h"
#include "replicator/node/progress.h"

namespace tanist {
namespace {

using namespace std::chrono_literals;

std::string megabytes(double bytes) {
    char text[32];
    std::snprintf(text, sizeof text, "%.1f MB", bytes / 1e6);
    return text;
}

std::string clock_text(double seconds) {
    char text[32];
    int whole = static_cast<int>(seconds + 0.5);
    std::snprintf(text, sizeof text, "%d:%02d", whole / 60, whole % 60);
    return text;
}

}  // namespace

void Progress::begin(const std::string& what) {
    what_ = what;
    began_ = boot_now();
    shown_ = Instant{0};
    moved_bytes_ = 0;
    running_ = true;
    note(NoteLevel::info, what_ + " begins");
}

void Progress::update(uint64_t done_bytes, uint64_t total_bytes, uint64_t moved_bytes) {
    moved_bytes_ = moved_bytes;
    Instant now = boot_now();
    bool terminal = ::isatty(STDERR_FILENO) == 1;
    if (!running_ || now - shown_ < (terminal ? Nanos(100ms) : Nanos(5s))) return;
    if (!terminal && shown_ == Instant{0}) {
        shown_ = now;
        return;
    }
    shown_ = now;
    // What was done may be more than there is now: the database can shrink meanwhile.
    double part = total_bytes <= done_bytes ? 1.0 : double(done_bytes) / double(total_bytes);
    double took = std::chrono::duration<double>(now - began_).count();
    double left = part > 0.001 ? took * (1 - part) / part : 0;
    std::string rate = megabytes(took > 0 ? double(done_bytes) / took : 0) + "/s";
    std::string facts = megabytes(double(done_bytes)) + " of " + megabytes(double(total_bytes)) +
                        ", " + rate + ", " + clock_text(left) + " left";
    if (!terminal) {
        note(NoteLevel::info, what_, {{"progress", facts}});
        return;
    }
    int filled = static_cast<int>(part * 30);
    std::string bar = std::string(size_t(filled), '#') + std::string(size_t(30 - filled), '.');
    std::fprintf(stderr, "\r[%s] %3d%%  %s\033[K", bar.c_str(), int(part * 100), facts.c_str());
}

void Progress::end(const std::string& how) {
    if (!running_) return;
    running_ = false;
    if (::isatty(STDERR_FILENO) == 1) std::fprintf(stderr, "\r\033[K");
    double took = std::chrono::duration<double>(boot_now() - began_).count();
    note(NoteLevel::info, what_ + " " + how,
         {{"received", megabytes(double(moved_bytes_))}, {"took", clock_text(took)}});
}

}  // namespace tanist
