#include "replicator/capture/capture_rule.h"

#include <algorithm>

namespace tanist {

namespace {

constexpr uint32_t kMarkedCommitsMax = 1u << 30;

bool mark_counts_on(uint32_t before, uint32_t now) {
    return is_marked(before) && is_marked(now) && now - before < kMarkedCommitsMax;
}

// No recovery ran between `known` and `now`, so iChange counts every commit between them.
bool counts_on(const CapturePoint& known, const WalIndexHeader& now) {
    if (is_marked(known.wal.change)) return mark_counts_on(known.wal.change, now.change);
    return known.live && now.change >= known.wal.change;
}

WalSalt salt_of(const WalPoint& point) { return {point.salt1, point.salt2}; }

CaptureDecision gap(std::string reason) {
    CaptureDecision decision;
    decision.action = CaptureDecision::Action::gap;
    decision.reason = std::move(reason);
    return decision;
}

CaptureDecision take_restarted(const CapturePoint& known, const WalIndexHeader& now) {
    if (!counts_on(known, now)) {
        return gap("the WAL was restarted while nothing captured it");
    }
    CaptureDecision decision;
    decision.first_frame = 1;
    decision.restarted = true;
    return decision;
}

}  // namespace

CaptureDecision decide_capture(const CapturePoint& known, const WalIndexHeader& now,
                               std::optional<WalChecksum> at_known) {
    if (now.max_frame > 0 && now.page_bytes != known.page_bytes) {
        return gap("the page size changed from " + std::to_string(known.page_bytes) + " to " +
                   std::to_string(now.page_bytes));
    }
    const WalSalt salt = salt_of(known.wal);
    // An empty WAL that was just created has no salts; two of those need not be the same one.
    if (now.salt != salt || salt == WalSalt{}) return take_restarted(known, now);
    if (now.max_frame < known.wal.frame) {
        return gap("the WAL ends at frame " + std::to_string(now.max_frame) + ", before frame " +
                   std::to_string(known.wal.frame) + " which the log has");
    }
    CaptureDecision decision;
    decision.first_frame = known.wal.frame + 1;
    if (known.wal.frame == 0) return decision;
    if (!at_known) {
        decision.action = CaptureDecision::Action::need_checksum;
        return decision;
    }
    const WalChecksum expected{known.wal.checksum_a, known.wal.checksum_b};
    // A commit that was logged before it was visible may have got its checksum only then.
    const bool summed = expected != WalChecksum{};
    if (summed && *at_known != expected) {
        return gap("frame " + std::to_string(known.wal.frame) +
                   " of the WAL is not the one which the log has");
    }
    decision.proved = summed;
    if (!decision.proved && !counts_on(known, now)) {
        return gap("frame " + std::to_string(known.wal.frame) +
                   " has no checksum, so the WAL cannot be compared with the log");
    }
    return decision;
}

std::optional<CapturePoint> begun_point(const CapturePoint& known, const ControlNotes& notes,
                                        const WalIndexHeader& now) {
    const WalSalt salt = salt_of(known.wal);
    const WalPoint& after = notes.begun_after;
    // The beginning of a WAL is one place, whatever a recovery made of iChange there. One that was
    // never written has no salts; two of those need not be the same one.
    const bool beginning = known.wal.frame == 0 && salt != WalSalt{};
    const bool unique = salt != WalSalt{} || is_marked(known.wal.change);
    const bool same_place = salt_of(after) == salt && after.frame == known.wal.frame;
    const bool same_change = after.change == known.wal.change;
    // We saw a restart, and the note has the place before it. A restart leaves iChange as it is,
    // and a marked one is one state, so nothing lies between the two.
    const bool restarted = known.wal.frame == 0 && same_change && is_marked(after.change);
    const bool begun_there = (same_place && (same_change || beginning)) || restarted;
    if (!unique || !begun_there || now.salt != notes.begun || now.salt == WalSalt{}) {
        return std::nullopt;
    }
    CapturePoint begun = known;
    begun.wal = {now.salt.salt1, now.salt.salt2, 0, known.wal.change, 0, 0};
    return begun;
}

CapturePoint resume_point(const CapturePoint& logged, const ControlNotes& notes,
                          const WalIndexHeader& now) {
    const WalSalt salt = salt_of(notes.captured);
    CapturePoint later = logged;
    if (salt == salt_of(logged.wal) && notes.captured.frame == logged.wal.frame) {
        later.wal.change = notes.captured.change;
    } else if (salt != salt_of(logged.wal) && notes.captured.frame == 0) {
        later.wal = notes.captured;
    } else {
        return logged;
    }
    if (const auto begun = begun_point(later, notes, now)) return *begun;
    const bool begins_there = later.wal.frame == 0 && now.salt == salt && salt != WalSalt{};
    return begins_there || mark_counts_on(later.wal.change, now.change) ? later : logged;
}

std::string why_count_is_wrong(const CapturePoint& known, const WalIndexHeader& now,
                               const CaptureDecision& decision, size_t commits) {
    const uint32_t expected = now.change - known.wal.change;
    if (commits == expected) return "";
    // Under the same salts, after a recovery, iChange counts from there; commits of before it are
    // in the range too.
    const bool same_life = is_marked(known.wal.change) == is_marked(now.change);
    const bool recovered =
        !same_life || now.change < known.wal.change || commits >= size_t{now.change};
    const bool prefix_known = decision.proved || known.wal.frame == 0;
    if (!decision.restarted && recovered && prefix_known) return "";
    const std::string counts = std::to_string(commits) +
                               " new commits where the wal-index counts " +
                               std::to_string(expected);
    if (decision.restarted) {
        return "the WAL was restarted while nothing captured it, and has " + counts;
    }
    return "the WAL has " + counts;
}

void select_pages(uint32_t first_frame, const uint32_t* pgnos, size_t count, uint32_t db_pages,
                  std::vector<FrameOfPage>& out) {
    out.clear();
    for (size_t i = 0; i < count; ++i) {
        if (pgnos[i] <= db_pages) {
            out.push_back({pgnos[i], first_frame + static_cast<uint32_t>(i)});
        }
    }
    const auto before = [](const FrameOfPage& a, const FrameOfPage& b) {
        return a.pgno != b.pgno ? a.pgno < b.pgno : a.frame > b.frame;
    };
    if (!std::is_sorted(out.begin(), out.end(), before)) {
        std::sort(out.begin(), out.end(), before);
    }
    const auto same = [](const FrameOfPage& a, const FrameOfPage& b) { return a.pgno == b.pgno; };
    out.erase(std::unique(out.begin(), out.end(), same), out.end());
}

}  // namespace tanist
