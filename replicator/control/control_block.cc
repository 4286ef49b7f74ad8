#include "replicator/control/control_block.h"

#include <algorithm>
#include <utility>

#include "replicator/base/death_notice.h"
#include "replicator/base/event.h"

namespace tanist {
namespace {

// A reader that finds the writer at work tries again this often. The writer's work is some dozen
// stores, so more than this means that it died there.
constexpr int kReadTries = 10'000;

// Sequence words without fences (thread sanitizer does not know them): every field is stored with
// release and loaded with acquire, which keeps it between the two looks at the word.
class SequenceWriter {
  public:
    explicit SequenceWriter(std::atomic<uint32_t>& word)
        : word_(word), odd_(word.load(std::memory_order_relaxed) | 1) {
        word_.store(odd_, std::memory_order_relaxed);
    }
    ~SequenceWriter() { word_.store(odd_ + 1, std::memory_order_release); }
    SequenceWriter(const SequenceWriter&) = delete;
    SequenceWriter& operator=(const SequenceWriter&) = delete;

  private:
    std::atomic<uint32_t>& word_;
    uint32_t odd_;  // also when a dead writer left it odd
};

template <class Read>
bool read_consistently(const std::atomic<uint32_t>& word, Read read) {
    for (int i = 0; i < kReadTries; ++i) {
        const uint32_t before = word.load(std::memory_order_acquire);
        if ((before & 1) != 0) continue;
        read();
        if (word.load(std::memory_order_acquire) == before) return true;
    }
    return false;
}

template <class T>
T get(const std::atomic<T>& field) {
    return field.load(std::memory_order_acquire);
}
template <class T>
void put(std::atomic<T>& field, T value) {
    field.store(value, std::memory_order_release);
}

// What was stored before (SQLite's commit, in its shared memory) becomes visible before what is
// loaded after (the bell's mode). The engine does the same the other way round.
void store_load_barrier(std::atomic<uint32_t>& word) {
#if defined(__SANITIZE_THREAD__)
    word.fetch_add(0, std::memory_order_seq_cst);
#else
    (void)word;
    std::atomic_thread_fence(std::memory_order_seq_cst);
#endif
}

}  // namespace

const char* to_string(Role role) {
    switch (role) {
        case Role::unknown:
            return "unknown";
        case Role::primary:
            return "primary";
        case Role::replica:
            return "replica";
        case Role::fenced:
            return "fenced";
        case Role::witness:
            return "witness";
    }
    return "?";
}

CapturedPoint Control::captured() const {
    CapturedPoint point;
    const bool whole = read_consistently(block_->captured_sequence, [&] {
        point.salt1 = get(block_->captured_salt1);
        point.salt2 = get(block_->captured_salt2);
        point.frame = get(block_->captured_frame);
        point.change = get(block_->captured_change);
        point.position = {Epoch{get(block_->captured_epoch)}, Lsn{get(block_->captured_lsn)}};
    });
    return whole ? point : CapturedPoint{};
}

void Control::set_captured(const CapturedPoint& point) {
    {
        SequenceWriter writer(block_->captured_sequence);
        put(block_->captured_salt1, point.salt1);
        put(block_->captured_salt2, point.salt2);
        put(block_->captured_frame, point.frame);
        put(block_->captured_change, point.change);
        put(block_->captured_epoch, point.position.epoch.value);
        put(block_->captured_lsn, point.position.lsn.value);
    }
    block_->captured_tick.fetch_add(1, std::memory_order_seq_cst);
    if (block_->captured_waiters.load(std::memory_order_seq_cst) != 0) {
        futex_wake_all(&block_->captured_tick);
    }
}

void Control::set_begun(const WalBegun& begun) const {
    SequenceWriter writer(block_->begun_sequence);
    put(block_->begun_salt1, begun.salt1);
    put(block_->begun_salt2, begun.salt2);
    put(block_->begun_after_salt1, begun.after.salt1);
    put(block_->begun_after_salt2, begun.after.salt2);
    put(block_->begun_after_frame, begun.after.frame);
    put(block_->begun_after_change, begun.after.change);
}

WalBegun Control::begun() const {
    WalBegun begun;
    const bool whole = read_consistently(block_->begun_sequence, [&] {
        begun.salt1 = get(block_->begun_salt1);
        begun.salt2 = get(block_->begun_salt2);
        begun.after.salt1 = get(block_->begun_after_salt1);
        begun.after.salt2 = get(block_->begun_after_salt2);
        begun.after.frame = get(block_->begun_after_frame);
        begun.after.change = get(block_->begun_after_change);
    });
    return whole ? begun : WalBegun{};
}

void Control::wait_captured(uint32_t seen_tick, Nanos timeout) const {
    // A waiter killed here leaves the count too high, which costs needless wakes and nothing else.
    block_->captured_waiters.fetch_add(1, std::memory_order_seq_cst);
    futex_wait(&block_->captured_tick, seen_tick, timeout);
    block_->captured_waiters.fetch_sub(1, std::memory_order_seq_cst);
}

void Control::bump_acks(bool durable) const {
    block_->ack_tick.fetch_add(1, std::memory_order_seq_cst);
    const auto& waiters = durable ? block_->ack_waiters : block_->eager_waiters;
    if (waiters.load(std::memory_order_seq_cst) != 0) futex_wake_all(&block_->ack_tick);
}

void Control::wait_acks(uint32_t seen_tick, Nanos timeout, bool for_durable) const {
    // A waiter killed here leaves the counts too high, as in wait_captured().
    const uint32_t eager = for_durable ? 0 : 1;
    block_->ack_waiters.fetch_add(1, std::memory_order_seq_cst);
    block_->eager_waiters.fetch_add(eager, std::memory_order_seq_cst);
    futex_wait(&block_->ack_tick, seen_tick, timeout);
    block_->eager_waiters.fetch_sub(eager, std::memory_order_seq_cst);
    block_->ack_waiters.fetch_sub(1, std::memory_order_seq_cst);
}

void Control::set_ack(size_t index, const AckPoint& point) {
    ControlAck& entry = block_->ack[index];
    put(entry.received_lsn, point.received.value);
    put(entry.durable_lsn, point.durable.value);
    put(entry.applied_lsn, point.applied.value);
}

AckPoints Control::acks() const {
    AckPoints points;
    points.count = std::min<uint32_t>(get(block_->acks), limits::kMembersMax);
    for (uint32_t i = 0; i < points.count; ++i) {
        const ControlAck& entry = block_->ack[i];
        points.point[i] = {Lsn{get(entry.received_lsn)}, Lsn{get(entry.durable_lsn)},
                           Lsn{get(entry.applied_lsn)}};
    }
    return points;
}

void Control::set_commit_lsn(const WalMoment& moment, Lsn lsn) {
    ControlCommitLsn& entry = block_->commit_lsn[moment.change % kCommitLsns];
    SequenceWriter writer(entry.sequence);
    put(entry.change, moment.change);
    put(entry.salt1, moment.salt1);
    put(entry.salt2, moment.salt2);
    put(entry.frame, moment.frame);
    put(entry.lsn, lsn.value);
}

std::optional<Lsn> Control::find_commit_lsn(const WalMoment& moment) const {
    const ControlCommitLsn& entry = block_->commit_lsn[moment.change % kCommitLsns];
    WalMoment found;
    Lsn lsn;
    const bool whole = read_consistently(entry.sequence, [&] {
        found = {get(entry.change), get(entry.salt1), get(entry.salt2), get(entry.frame)};
        lsn = Lsn{get(entry.lsn)};
    });
    if (!whole || lsn.value == 0 || found != moment) return std::nullopt;
    return lsn;
}

bool Control::ring(bool urgent) const {
    store_load_barrier(block_->bell_mode);
    uint32_t mode = block_->bell_mode.load(std::memory_order_seq_cst);
    if (!urgent) {
        const auto asleep = static_cast<uint32_t>(BellMode::asleep);
        if (mode != asleep) return true;
        // Of many commits at once, one wakes it.
        if (!block_->bell_mode.compare_exchange_strong(mode,
                                                       static_cast<uint32_t>(BellMode::awake))) {
            return true;
        }
    } else {
        block_->bell_mode.store(static_cast<uint32_t>(BellMode::awake), std::memory_order_seq_cst);
    }
    block_->bell.fetch_add(1, std::memory_order_seq_cst);
    return futex_wake_all(&block_->bell) > 0;
}

// Either the one who counts sees what the engine has set, or the engine what was counted.
bool Control::count_waiting() const {
    block_->gather.commits.fetch_add(1, std::memory_order_seq_cst);
    if (batch_is_complete()) return true;
    const Instant shipped{block_->gather.shipped_ns.load(std::memory_order_relaxed)};
    return boot_now() - shipped > kGatherLongest;
}

void Control::set_gather(uint32_t complete_at) const {
    block_->gather.complete_at.store(complete_at, std::memory_order_seq_cst);
}

bool Control::batch_is_complete() const {
    const uint32_t commits = block_->gather.commits.load(std::memory_order_seq_cst);
    const uint32_t at = block_->gather.complete_at.load(std::memory_order_seq_cst);
    return static_cast<int32_t>(commits - at) >= 0;
}

void Control::set_problem(const std::string& sentence) {
    SequenceWriter writer(block_->problem_sequence);
    set_text(block_->problem, sizeof(block_->problem), sentence);
}

std::string Control::problem() const {
    std::string sentence;
    const bool whole = read_consistently(block_->problem_sequence, [&] {
        sentence = text(block_->problem, sizeof(block_->problem));
    });
    return whole ? sentence : std::string();
}

void Control::set_notice(const std::string& sentence) {
    SequenceWriter writer(block_->notice_sequence);
    set_text(block_->notice, sizeof(block_->notice), sentence);
}

std::string Control::notice() const {
    std::string sentence;
    const bool whole = read_consistently(
        block_->notice_sequence, [&] { sentence = text(block_->notice, sizeof(block_->notice)); });
    return whole ? sentence : std::string();
}

void Control::set_failover(const std::string& json) {
    SequenceWriter writer(block_->failover_sequence);
    set_text(block_->failover, sizeof(block_->failover), json);
}

std::string Control::failover() const {
    std::string json;
    const bool whole = read_consistently(block_->failover_sequence, [&] {
        json = text(block_->failover, sizeof(block_->failover));
    });
    return whole ? json : std::string();
}

void Control::set_archive(const std::string& json) {
    SequenceWriter writer(block_->archive_sequence);
    set_text(block_->archive, sizeof(block_->archive), json);
}

std::string Control::archive() const {
    std::string json;
    const bool whole = read_consistently(
        block_->archive_sequence, [&] { json = text(block_->archive, sizeof(block_->archive)); });
    return whole ? json : std::string();
}

LeaseGate lease_gate(const ControlBlock& block, Instant now) {
    const int64_t deadline_ns = block.lease_deadline_ns.load(std::memory_order_acquire);
    if (deadline_ns == 0) return LeaseGate::open;
    if (block.writers_wait.load(std::memory_order_acquire) != 0) return LeaseGate::wait;
    if (now.ns < deadline_ns) return LeaseGate::open;
    return now < Instant{deadline_ns} + kWithoutLeaseBusy ? LeaseGate::wait : LeaseGate::closed;
}

// One that drains looks a last time after it has said so; what became visible before is seen by
// that look, or its committer sees the word.
EngineSign engine_sign(const ControlBlock& block) {
    const auto state = static_cast<EngineState>(block.engine_state.load(std::memory_order_seq_cst));
    if (state != EngineState::starting && state != EngineState::running) return EngineSign::gone;
    switch (life_sign(block.engine_life.load(std::memory_order_seq_cst))) {
        case LifeSign::died:
            return EngineSign::gone;
        case LifeSign::lives:
            return EngineSign::at_work;
        case LifeSign::none:
            break;
    }
    return EngineSign::unknown;
}

void Control::set_peer(size_t index, const PeerReport& report) {
    ControlPeer& entry = block_->peer[index];
    SequenceWriter writer(entry.sequence);
    put(entry.state, static_cast<uint32_t>(report.state));
    put(entry.received_lsn, report.received.value);
    put(entry.durable_lsn, report.durable.value);
    put(entry.applied_lsn, report.applied.value);
    put(entry.lag_bytes, report.lag_bytes);
    put(entry.lag_ns, report.lag_ns);
    put(entry.heard_ns, report.heard_ns);
    put(entry.sync_done_bytes, report.sync_done_bytes);
    put(entry.sync_total_bytes, report.sync_total_bytes);
    set_text(entry.endpoint, sizeof(entry.endpoint), report.endpoint);
    set_text(entry.reason, sizeof(entry.reason), report.reason);
}

PeerReport Control::peer(size_t index) const {
    const ControlPeer& entry = block_->peer[index];
    PeerReport report;
    const bool whole = read_consistently(entry.sequence, [&] {
        report.state = static_cast<PeerState>(get(entry.state));
        report.received = Lsn{get(entry.received_lsn)};
        report.durable = Lsn{get(entry.durable_lsn)};
        report.applied = Lsn{get(entry.applied_lsn)};
        report.lag_bytes = get(entry.lag_bytes);
        report.lag_ns = get(entry.lag_ns);
        report.heard_ns = get(entry.heard_ns);
        report.sync_done_bytes = get(entry.sync_done_bytes);
        report.sync_total_bytes = get(entry.sync_total_bytes);
        report.endpoint = text(entry.endpoint, sizeof(entry.endpoint));
        report.reason = text(entry.reason, sizeof(entry.reason));
    });
    return whole ? report : PeerReport{};
}

void Control::set_text(std::atomic<uint8_t>* field, size_t bytes, const std::string& text) {
    const size_t count = std::min(bytes - 1, text.size());
    for (size_t i = 0; i < count; ++i) put(field[i], static_cast<uint8_t>(text[i]));
    put(field[count], uint8_t{0});
}

std::string Control::text(const std::atomic<uint8_t>* field, size_t bytes) {
    std::string out;
    for (size_t i = 0; i < bytes; ++i) {
        const uint8_t byte = get(field[i]);
        if (byte == 0) break;
        out.push_back(static_cast<char>(byte));
    }
    return out;
}

}  // namespace tanist
