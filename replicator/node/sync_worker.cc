#include "replicator/node/sync_worker.h"

namespace tanist {
namespace {

using namespace std::chrono_literals;
constexpr uint64_t kWaitingBytesMax = 4u << 20;
constexpr auto kSourceIdle = 2s;  // then the page source is closed

}  // namespace

SyncWorker::SyncWorker(const SqliteApi& api, std::string db_path)
    : api_(api), db_path_(std::move(db_path)), thread_([this] { run(); }) {}

SyncWorker::~SyncWorker() {
    stopping_.store(true);
    asks_.close();
    room_.notify_all();
    thread_.join();
}

void SyncWorker::cancel(SyncJob job) {
    std::lock_guard lock(mutex_);
    cancelled_[job] = true;
    // Jobs are numbered upward; old entries have no asks left.
    while (cancelled_.size() > 1024) cancelled_.erase(cancelled_.begin());
    room_.notify_all();
}

bool SyncWorker::wanted(SyncJob job) const {
    std::lock_guard lock(mutex_);
    return !stopping_.load() && !cancelled_.contains(job);
}

std::deque<SyncWorkerAnswer> SyncWorker::take() {
    std::deque<SyncWorkerAnswer> taken = answers_.take();
    std::lock_guard lock(mutex_);
    for (const SyncWorkerAnswer& answer : taken) waiting_bytes_ -= answer.body.size();
    room_.notify_all();
    return taken;
}

bool SyncWorker::offer(SyncWorkerAnswer answer) {
    {
        std::unique_lock lock(mutex_);
        room_.wait(lock, [&] {
            return waiting_bytes_ < kWaitingBytesMax || stopping_.load() ||
                   cancelled_.contains(answer.job);
        });
        if (stopping_.load() || cancelled_.contains(answer.job)) return false;
        waiting_bytes_ += answer.body.size();
    }
    answers_.put(std::move(answer));
    return true;
}

void SyncWorker::run() {
    while (!stopping_.load()) {
        std::deque<SyncWorkerAsk> asks = asks_.wait(source_ ? Nanos(kSourceIdle) : Nanos(1h));
        if (asks.empty()) source_.reset();
        for (const SyncWorkerAsk& ask : asks)
            if (wanted(ask.job)) serve(ask);
    }
}

Status SyncWorker::open_source() {
    if (source_) return ok_status();
    auto handle = SqliteHandle::open(api_, db_path_, {});
    if (!handle) return std::move(handle).error();
    auto source = SyncPageSource::open(std::move(handle).value());
    if (!source) return std::move(source).error();
    source_ = std::move(source).value();
    return ok_status();
}

void SyncWorker::fail(SyncJob job, const Error& error) {
    source_.reset();
    SyncWorkerAnswer answer;
    answer.job = job;
    answer.failure = error.message;
    offer(std::move(answer));
}

// The size is read after the base was fixed: what changed it since then is in a record after the
// base, which says the size anew. A size from before the base would have no such record.
void SyncWorker::begin(const SyncWorkerAsk& ask) {
    auto db_pages = source_->db_pages();
    if (!db_pages) return fail(ask.job, db_pages.error());
    SyncWorkerAnswer answer;
    answer.job = ask.job;
    answer.begin = SyncBegin{.base = ask.base.position,
                             .base_chain = ask.base.chain,
                             .page_bytes = source_->page_bytes(),
                             .db_pages = *db_pages};
    offer(std::move(answer));
}

void SyncWorker::serve(const SyncWorkerAsk& ask) {
    if (auto opened = open_source(); !opened) return fail(ask.job, opened.error());
    if (!ask.ask) return begin(ask);
    Status answered = source_->answer(
        *ask.ask,
        [&](uint32_t number, bool last, std::span<const uint32_t> pages, ByteView images) {
            SyncWorkerAnswer answer;
            answer.job = ask.job;
            encode_sync_pages(ask.envelope,
                              {.ask = number,
                               .last = last,
                               .page_bytes = source_->page_bytes(),
                               .pages = {pages.begin(), pages.end()},
                               .images = images},
                              answer.envelope, answer.body);
            return offer(std::move(answer));
        });
    if (!answered && wanted(ask.job)) fail(ask.job, answered.error());
}

}  // namespace tanist
