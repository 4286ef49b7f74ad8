#include "replicator/sync/page_source.h"

#include <algorithm>

#include "replicator/base/hash.h"
#include "replicator/sync/page_reader.h"

namespace tanist {
namespace {

constexpr size_t kReadBytes = 1u << 20;

}  // namespace

struct SyncPageSource::State {
    State(std::unique_ptr<SqliteHandle> own, PageReader page_reader)
        : handle(std::move(own)), reader(std::move(page_reader)) {}
    std::unique_ptr<SqliteHandle> handle;
    PageReader reader;
    Bytes read;
    // The chunk being filled.
    std::vector<uint32_t> pages;
    Bytes images;
};

SyncPageSource::SyncPageSource(std::unique_ptr<State> state) : state_(std::move(state)) {}
SyncPageSource::~SyncPageSource() = default;

Result<std::unique_ptr<SyncPageSource>> SyncPageSource::open(std::unique_ptr<SqliteHandle> handle) {
    Result<PageReader> reader = PageReader::open(*handle);
    if (!reader) return std::move(reader).error();
    return std::unique_ptr<SyncPageSource>(
        new SyncPageSource(std::make_unique<State>(std::move(handle), std::move(reader).value())));
}

uint32_t SyncPageSource::page_bytes() const { return state_->reader.page_bytes(); }

Result<uint32_t> SyncPageSource::db_pages() {
    TANIST_TRY(state_->reader.refresh());
    return state_->reader.db_pages();
}

Status SyncPageSource::answer(
    const SyncAsk& ask,
    const std::function<bool(uint32_t ask, bool last, std::span<const uint32_t> pages,
                             ByteView images)>& send) {
    State& state = *state_;
    const size_t page_bytes = state.reader.page_bytes();
    const size_t chunk_pages = limits::kBodyBytesMax / page_bytes;
    if (ask.first == 0 || ask.count > limits::kSyncAskPagesMax ||
        ask.first > UINT32_MAX - ask.count) {
        return Error{Errc::invalid, "a sync asks for pages that cannot be"};
    }
    state.pages.clear();
    state.images.clear();
    for (uint32_t done = 0; done < ask.count;) {
        const uint32_t part =
            std::min(ask.count - done, static_cast<uint32_t>(kReadBytes / page_bytes));
        state.read.resize(part * page_bytes);
        TANIST_TRY(state.reader.read(ask.first + done, state.read));
        for (uint32_t i = 0; i < part; ++i) {
            const uint32_t pgno = ask.first + done + i;
            if (pgno > state.reader.db_pages() || pgno == state.reader.lock_page()) continue;
            const ByteView image = ByteView(state.read).subspan(i * page_bytes, page_bytes);
            if (done + i < ask.hashes.size() && hash128(image) == ask.hashes[done + i]) continue;
            if (state.pages.size() == chunk_pages) {
                if (!send(ask.ask, false, state.pages, state.images)) return ok_status();
                state.pages.clear();
                state.images.clear();
            }
            state.pages.push_back(pgno);
            state.images.insert(state.images.end(), image.begin(), image.end());
        }
        done += part;
    }
    send(ask.ask, true, state.pages, state.images);
    return ok_status();
}

}  // namespace tanist
