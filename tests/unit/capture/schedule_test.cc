// Commits that are held back, under schedules drawn from seeds: writers, the engine, stock writers,
// checkpoints and crashes take turns in any order. The slot, the capturer and the log are the
// product's; the writer is HeldBack, which decides by the same prepare_slot.h as the extension.
#include <algorithm>
#include <cstdlib>
#include <optional>
#include <random>
#include <set>

#include "tests/unit/capture/held_back.h"

using namespace tanist;

namespace {

constexpr int kSteps = 60;
constexpr Pgno kHeldPage(3);  // of a table that nobody reads: its content is the attempt's number

uint32_t schedules() {
    const char* wanted = std::getenv("TANIST_SCHEDULES");
    return wanted == nullptr ? 100 : static_cast<uint32_t>(std::atoi(wanted));
}

class Schedule : Primary {
  public:
    explicit Schedule(uint32_t seed) : random_(seed) {
        Stock(path).run("CREATE TABLE held(x)");
        start();
        note_gaps();
    }
    void run() {
        for (int i = 0; i < kSteps; ++i) step();
        come_to_rest();
        check_outcomes();
    }

  private:
    enum class Stage { posted, granted, headed, visible };

    uint32_t roll(uint32_t sides) { return static_cast<uint32_t>(random_() % sides); }

    void step() {
        switch (roll(14)) {
            case 0:
                return post();
            case 1:
                return refuse();
            case 2:
                return kill_writer();
            case 3:
                return stock_commit();
            case 4:
                return checkpoint();
            case 5:
                return kill_or_start_engine();
            case 6:
                return recover();
            case 7:
            case 8:
                return go_on();
            default:
                return look();
        }
    }

    // -- the writer, alone under WRITE

    void post() {
        if (writer_ || !write_is_free()) return;
        clear_leftover();
        if (phase_of(control->prepare.word.load()) != PreparePhase::settled) return;
        writer_.emplace(static_cast<Primary&>(*this),
                        static_cast<uint8_t>(attempt_ = attempt_ % 250 + 1), kHeldPage);
        stage_ = Stage::posted;
        lsn_.reset();
    }
    void go_on() {
        if (!writer_) return;
        if (stage_ == Stage::posted) {
            if (!writer_->is_logged()) return;
            lsn_ = Lsn(control->prepare.lsn.load());
            if (!writer_->decide(PreparePhase::granted)) return end_refused();
            stage_ = Stage::granted;
        } else if (stage_ == Stage::granted) {
            writer_->write_header();
            stage_ = Stage::headed;
        } else if (stage_ == Stage::headed) {
            writer_->write_index();
            stage_ = Stage::visible;
        } else {
            writer_->publish();
            confirmed_.insert(*lsn_);
            writer_.reset();
        }
    }
    void refuse() {
        if (!writer_ || stage_ == Stage::visible) return;
        if (stage_ == Stage::posted) {
            if (writer_->is_logged()) lsn_ = Lsn(control->prepare.lsn.load());
            writer_->decide(PreparePhase::refused);
        } else {
            writer_->withdraw();
        }
        end_refused();
    }
    void end_refused() {
        if (lsn_) refused_.insert(*lsn_);
        writer_.reset();
    }
    void kill_writer() { writer_.reset(); }
    // What the extension's next writer does, before anything of its own.
    void clear_leftover() {
        ControlPrepare& slot = control->prepare;
        const uint32_t word = slot.word.load();
        const std::unique_ptr<SqliteHandle> next = open_handle();
        const auto now = next->header();
        if (!now.ok() || !now->has_value()) return;
        REQUIRE(next->lock(kLockWrite, 1, true).ok());
        const WalMoment visible{(*now)->change, (*now)->salt.salt1, (*now)->salt.salt2,
                                (*now)->max_frame};
        const Leftover leftover = leftover_of(slot, word, visible);
        if (leftover == Leftover::take_header_back_and_refuse) {
            const uint64_t at = wal_frame_offset(slot.last_frame.load(), slot.page_bytes.load());
            REQUIRE(next->write_wal(at, std::array<uint8_t, kWalFrameHeaderBytes>{}).ok());
        }
        if (leftover != Leftover::nothing) refuse_leftover(slot, word);
        next->unlock(kLockWrite, 1, true);
    }
    bool write_is_free() {
        const std::unique_ptr<SqliteHandle> any = open_handle();
        const bool is_free = any->lock(kLockWrite, 1, true).ok();
        if (is_free) any->unlock(kLockWrite, 1, true);
        return is_free;
    }

    // -- others

    void stock_commit() {
        if (writer_) return;
        Stock(path).try_run("INSERT INTO t(v) VALUES(randomblob(" + std::to_string(roll(9000)) +
                            "))");
    }
    void checkpoint() {
        static const char* const kModes[] = {"PASSIVE", "FULL", "RESTART", "TRUNCATE"};
        Stock(path).try_run(std::string("PRAGMA wal_checkpoint(") + kModes[roll(4)] + ")");
    }
    // Somebody died between the two copies of the header: whoever comes next recovers the WAL.
    void recover() {
        if (writer_) return;
        break_header();
        Stock(path).number("SELECT count(*) FROM t");
    }

    // -- the engine

    void kill_or_start_engine() {
        if (capturer) return crash();
        // A new epoch waits for a writer that was granted its commit (prepare_test).
        const bool granted = writer_ && stage_ != Stage::posted;
        if (!granted && roll(3) == 0) options.epoch = Epoch(options.epoch.value + 1);
        start();
        note_gaps();
    }
    void look() {
        if (!capturer) return;
        (void)poll();
        note_gaps();
        if (roll(2) == 0) tend();
        note_gaps();
        // Only the last record may wait for its end.
        CHECK(capturer->captured().value - capturer->committed().value <= 1);
    }
    // After a gap the log begins anew: with what is visible.
    void note_gaps() {
        const size_t now = count(RecordKind::rebase);
        if (now == gaps_) return;
        gaps_ = now;
        base = file_content();
        for (const RecordHeader& record : records()) {
            if (record.kind == RecordKind::rebase) base_lsn_ = record.lsn;
        }
    }

    void come_to_rest() {
        writer_.reset();
        if (!capturer) kill_or_start_engine();
        for (int i = 0; i < 100'000; ++i) {
            look();
            tend();
            note_gaps();
            const bool settled = phase_of(control->prepare.word.load()) == PreparePhase::settled;
            if (settled && capturer->took_all() && capturer->committed() == capturer->captured()) {
                return;
            }
        }
        FAIL("a commit that was held back is not settled");
    }
    void check_outcomes() {
        std::set<Lsn> taken_back;
        const std::vector<RecordHeader> all = records();
        for (const RecordHeader& record : all) {
            if (record.kind == RecordKind::abort) taken_back.insert(record.subject);
        }
        for (const Lsn lsn : confirmed_) CHECK_FALSE(taken_back.contains(lsn));
        for (const Lsn lsn : refused_) {
            INFO("refused " << lsn.value);
            CHECK((taken_back.contains(lsn) || lsn < base_lsn_));
        }
        Replay replayed;
        replayed.image = base;
        const std::unique_ptr<LogReader> reader = log->reader();
        for (const RecordHeader& record : all) {
            if (record.lsn <= base_lsn_ || taken_back.contains(record.lsn)) continue;
            replayed.apply(record, *reader->payload(record));
        }
        CHECK(replayed.image == file_content());
    }

    std::mt19937 random_;
    std::optional<HeldBack> writer_;
    Stage stage_ = Stage::posted;
    uint32_t attempt_ = 0;
    std::optional<Lsn> lsn_;  // of the present attempt, once it is known
    std::set<Lsn> confirmed_, refused_;
    size_t gaps_ = 0;
    Lsn base_lsn_;
};

}  // namespace

TEST_CASE("schedule: held-back commits end as their writers were told, whoever dies") {
    for (uint32_t seed = 1; seed <= schedules(); ++seed) {
        INFO("seed " << seed);
        Schedule(seed).run();
    }
}
