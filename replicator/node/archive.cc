#include "replicator/node/archive.h"

#include <algorithm>
#include <utility>

#include "replicator/base/hash.h"
#include "replicator/base/log_point.h"

namespace tanist {
namespace {

constexpr uint32_t kMagic = 0x5241'4E54;  // "TNAR"
constexpr uint32_t kVersion = 1;

std::string say_records(Lsn first, Lsn last) {
    return "records " + std::to_string(first.value) + " to " + std::to_string(last.value);
}

// What no shell gives a meaning, outside of quotes and within double ones.
bool is_plain(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           static_cast<unsigned char>(c) >= 0x80 ||
           std::string_view("/._-+:@,=%").find(c) != std::string_view::npos;
}

}  // namespace

Instant Archive::deadline() const { return phase_ == Phase::resting ? wake_ : Instant{INT64_MAX}; }

Lsn Archive::needs() const { return kept_ ? kept_->position.lsn.next() : Lsn(1); }

std::vector<ArchiveAction> Archive::step(const ArchiveEvent& event, Instant now) {
    Actions out;
    std::visit([&](const auto& e) { on(e, now, out); }, event);
    return out;
}

void Archive::look(Actions& out) {
    phase_ = Phase::looking;
    out.emplace_back(archive_action::Look{kept_ ? kept_->position.lsn : Lsn(0)});
}

void Archive::on(const archive_event::Tick&, Instant now, Actions& out) {
    if (phase_ == Phase::idle) return look(out);
    if (phase_ != Phase::resting || now < wake_) return;
    if (!taken_) return look(out);
    keep(LogPoint(*taken_), out);
}

void Archive::on(const archive_event::Looked& event, Instant, Actions& out) {
    if (phase_ != Phase::looking) return;
    if (!event.next) {
        phase_ = Phase::idle;
        return;
    }
    // What is dropped from here on is a gap, also after a restart.
    if (!kept_) return keep(event.next->previous, out);
    const Lsn before = event.next->previous.position.lsn;
    if (before > kept_->position.lsn) {
        const Lsn first_lost = kept_->position.lsn.next();
        view_.lost += before.value - kept_->position.lsn.value;
        out.emplace_back(archive_action::Say{
            NoteLevel::error, "the archive has a gap",
            say_records(first_lost, before) + " left the log before they were archived"});
        // Said and counted once.
        kept_ = event.next->previous;
    }
    phase_ = Phase::running;
    handed_ = event.next->last;
    out.emplace_back(archive_action::Run{*event.next});
}

void Archive::on(const archive_event::Ended& event, Instant now, Actions& out) {
    if (phase_ != Phase::running) return;
    if (!event.failure.empty()) {
        view_.failures += 1;
        return fail(event.failure, now, out);
    }
    view_.segments += 1;
    keep(handed_, out);
}

void Archive::keep(const LogPoint& position, Actions& out) {
    phase_ = Phase::keeping;
    taken_ = position;
    out.emplace_back(archive_action::Keep{position});
}

void Archive::on(const archive_event::Kept& event, Instant now, Actions& out) {
    if (phase_ != Phase::keeping) return;
    if (!event.failure.empty()) return fail(event.failure, now, out);
    kept_ = std::exchange(taken_, std::nullopt);
    rest_ = kArchiveRetryFirst;
    if (!std::exchange(view_.failing, "").empty()) {
        out.push_back(
            archive_action::Say{NoteLevel::info, "the log is archived again",
                                "through record " + std::to_string(kept_->position.lsn.value)});
    }
    look(out);
}

// One line for as long as it fails, however often and for whatever reasons.
void Archive::fail(const std::string& why, Instant now, Actions& out) {
    if (view_.failing.empty()) {
        out.emplace_back(archive_action::Say{
            NoteLevel::warning, "the log is not archived; it is tried again and again", why});
    }
    view_.failing = why;
    phase_ = Phase::resting;
    wake_ = now + rest_;
    rest_ = std::min(rest_ * 2, kArchiveRetryLast);
}

std::optional<LogPoint> begin_archive_at(const std::optional<LogPoint>& kept,
                                         const ArchivePlace& place) {
    if (!kept || kept->position.lsn > place.end.position.lsn) return std::nullopt;
    if (kept->position.lsn < place.base.position.lsn) return kept;
    if (!place.same_lsn || *place.same_lsn != *kept) return std::nullopt;
    return kept;
}

Bytes encode_archived(const LogPoint& position) {
    Bytes bytes;
    ByteWriter out(bytes);
    out.u32(kMagic);
    out.u32(kVersion);
    encode(position, out);
    out.u64(hash64(bytes));
    return bytes;
}

std::optional<LogPoint> decode_archived(ByteView bytes) {
    ByteReader in(bytes);
    if (in.u32() != kMagic || in.u32() != kVersion) return std::nullopt;
    const LogPoint position = decode_log_point(in);
    const size_t hashed = in.at();
    const uint64_t hash = in.u64();
    if (!in.ok() || in.left() != 0 || hash != hash64(bytes.first(hashed))) return std::nullopt;
    return position;
}

Result<std::string> archive_command_text(const std::string& command, const ArchiveFacts& facts) {
    std::string text;
    for (size_t i = 0; i < command.size(); ++i) {
        const char next = command[i] == '%' && i + 1 < command.size() ? command[i + 1] : '\0';
        if (next == 'p' && !std::all_of(facts.path.begin(), facts.path.end(), is_plain)) {
            return Error{Errc::refused,
                         "a shell would not take " + facts.path +
                             " as it stands; write \"$TANIST_PATH\" for %p in archive_command"};
        }
        switch (next) {
            case 'p':
                text += facts.path;
                break;
            case 'n':
                text += facts.name;
                break;
            case 'e':
                text += std::to_string(facts.epoch.value);
                break;
            case '%':
                text.push_back('%');
                break;
            default:
                text.push_back(command[i]);
                continue;
        }
        ++i;
    }
    return text;
}

std::vector<std::string> environment_of(const ArchiveFacts& facts) {
    return {"TANIST_DATABASE=" + facts.database,
            "TANIST_PATH=" + facts.path,
            "TANIST_NAME=" + facts.name,
            "TANIST_EPOCH=" + std::to_string(facts.epoch.value),
            "TANIST_FIRST_LSN=" + std::to_string(facts.first.value),
            "TANIST_LAST_LSN=" + std::to_string(facts.last.value)};
}

}  // namespace tanist
