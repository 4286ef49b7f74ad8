#include "replicator/control/alarm.h"

#include "replicator/base/bytes.h"
#include "replicator/base/file.h"
#include "replicator/base/notes.h"
#include "replicator/control/audit.h"

namespace tanist {
namespace {

constexpr size_t kAlarmBytesMax = 4096;

}  // namespace

void raise_alarm(const Layout& layout, const std::string& who, const std::string& sentence) {
    note(NoteLevel::error, "security", {{"who", who}, {"what", sentence}});
    const std::string line = sentence.substr(0, kAlarmBytesMax - 1) + "\n";
    Status kept = replace_file(layout.alarm(), view_of(line));
    if (kept) {
        kept = audit(layout, {.who = who, .what = "alarm", .target = "", .result = sentence});
    }
    if (!kept) note(NoteLevel::error, "the alarm was not kept", {{"reason", kept.error().message}});
}

std::string read_alarm(const Layout& layout) {
    if (!path_exists(layout.alarm())) return "";
    Result<Bytes> bytes = read_file(layout.alarm(), kAlarmBytesMax);
    if (!bytes) return bytes.error().message;
    std::string text(bytes->begin(), bytes->end());
    if (text.ends_with('\n')) text.pop_back();
    return text;
}

Status clear_alarm(const Layout& layout) { return remove_path(layout.alarm()); }

}  // namespace tanist
