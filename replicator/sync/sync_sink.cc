#include "replicator/sync/sync_sink.h"

#include <algorithm>
#include <unordered_map>

#include "replicator/apply/log_pages.h"
#include "replicator/base/hash.h"
#include "replicator/sync/install_plan.h"
#include "replicator/sync/page_reader.h"
#include "replicator/sync/staging.h"

namespace tanist {
namespace {

constexpr size_t kAskBytes = 4u << 20;
constexpr uint32_t kAskPages = 1024;
constexpr size_t kReadBytes = 1u << 20;
constexpr auto kLockPatience = std::chrono::seconds(10);
constexpr size_t kReadVersionAt = 19;
constexpr uint8_t kReadVersionWal = 2;

// One local commit of a sync: staged pages that no record overrides, then the records' pages.
class InstalledPages : public PageSource {
  public:
    InstalledPages(const Staging& staging, LogPages& records, uint32_t page_bytes,
                   uint32_t db_pages)
        : staging_(staging), records_(records), page_bytes_(page_bytes), db_pages_(db_pages) {
        staged_ = staging.list(db_pages);
        std::erase_if(staged_, [&](uint32_t pgno) { return records.contains(Pgno(pgno)); });
    }
    uint32_t page_count() const override {
        return static_cast<uint32_t>(staged_.size()) + records_.page_count();
    }
    uint32_t page_bytes() const override { return page_bytes_; }
    uint32_t db_pages() const override { return db_pages_; }

    Result<Pgno> page(uint32_t index, MutableBytes image) override {
        if (index >= staged_.size()) {
            return records_.page(index - static_cast<uint32_t>(staged_.size()), image);
        }
        if (index < buffered_from_ || index - buffered_from_ >= buffered_count_) {
            TANIST_TRY(fill_from(index));
        }
        const size_t at = size_t{index - buffered_from_} * page_bytes_;
        std::copy_n(buffer_.begin() + static_cast<std::ptrdiff_t>(at), page_bytes_, image.begin());
        return Pgno(staged_[index]);
    }

  private:
    Status fill_from(uint32_t index) {
        const size_t most = std::max<size_t>(1, kReadBytes / page_bytes_);
        uint32_t count = 1;
        while (count < most && index + count < staged_.size() &&
               staged_[index + count] == staged_[index] + count) {
            count += 1;
        }
        buffer_.resize(size_t{count} * page_bytes_);
        buffered_from_ = index;
        buffered_count_ = 0;
        TANIST_TRY(staging_.read(staged_[index], buffer_));
        buffered_count_ = count;
        return ok_status();
    }

    const Staging& staging_;
    LogPages& records_;
    uint32_t page_bytes_;
    uint32_t db_pages_;
    std::vector<uint32_t> staged_;
    Bytes buffer_;
    uint32_t buffered_from_ = 0;
    uint32_t buffered_count_ = 0;
};

}  // namespace

struct SyncSink::State {
    State(const SqliteApi& sqlite, std::string db, std::string base, StagedForm form)
        : api(sqlite),
          db_path(std::move(db)),
          directory(std::move(base)),
          staging(directory, db_path, std::move(form)) {}

    void open_old_copy();
    Status hash_range(SyncAsk& ask);
    Result<LogPoint> gather(LogReader& log, Lsn up_to, LogPages& records) const;
    Status stage_rest(LogPages& records);
    Status write_plan(const LogPoint& end, uint32_t db_pages, SqliteHandle* database);
    Status end_install();
    Status update_database(PageSource& pages, const LogPoint& end, IntentFile& intent,
                           Applier* applier);
    Status replace_database(uint32_t db_pages, const LogPoint& end, IntentFile& intent);

    struct Range {
        uint32_t first = 0;
        uint32_t count = 0;
    };
    const SqliteApi& api;
    std::string db_path;
    std::string directory;
    Staging staging;
    SyncBegin began;
    std::unique_ptr<SqliteHandle> old_copy;  // a database that no applier has open
    std::optional<PageReader> current;       // of the database to bring up to date
    bool replaced = false;
    uint32_t next_page = 1;
    uint32_t next_ask = 1;
    std::unordered_map<uint32_t, Range> open_asks;
    SyncProgress progress;
};

SyncSink::SyncSink(std::unique_ptr<State> state) : state_(std::move(state)) {}
SyncSink::~SyncSink() = default;
SyncProgress SyncSink::progress() const { return state_->progress; }
bool SyncSink::replaced_database() const { return state_->replaced; }

Result<std::unique_ptr<SyncSink>> SyncSink::open(const SqliteApi& api, const std::string& db_path,
                                                 const std::string& staging_directory,
                                                 StagedForm form) {
    return std::unique_ptr<SyncSink>(
        new SyncSink(std::make_unique<State>(api, db_path, staging_directory, std::move(form))));
}

// What cannot be opened is replaced, so the reason does not matter.
void SyncSink::State::open_old_copy() {
    SqliteHandle::Options options;
    options.switch_to_wal = true;
    Result<std::unique_ptr<SqliteHandle>> handle = SqliteHandle::open(api, db_path, options);
    if (handle.ok()) old_copy = std::move(handle).value();
}

Status SyncSink::begin(const SyncBegin& begin, SqliteHandle* current) {
    State& state = *state_;
    state.began = begin;
    state.current.reset();
    state.old_copy.reset();
    state.next_page = 1;
    state.open_asks.clear();
    state.progress = {.bytes_total = uint64_t{begin.page_bytes} * begin.db_pages};
    if (begin.db_pages == 0 || begin.page_bytes < limits::kPageBytesMin ||
        begin.page_bytes > limits::kPageBytesMax) {
        return Error{Errc::invalid, "a sync of a database without pages"};
    }
    if (current == nullptr) state.open_old_copy();
    SqliteHandle* readable = current != nullptr ? current : state.old_copy.get();
    if (readable != nullptr) {
        Result<PageReader> reader = PageReader::open(*readable);
        if (!reader && current != nullptr) return std::move(reader).error();
        if (reader.ok() && reader->page_bytes() == begin.page_bytes) {
            state.current = std::move(reader).value();
        }
    }
    if (!state.current) state.old_copy.reset();
    return state.staging.begin(begin.page_bytes, begin.db_pages);
}

// The hash of what we have of each page: staged, or in the present database. A page that we lack
// has hash zero, which fits no content.
Status SyncSink::State::hash_range(SyncAsk& ask) {
    if (!current && staging.empty()) return ok_status();
    const size_t page_bytes = began.page_bytes;
    ask.hashes.resize(ask.count);
    Bytes present(std::min<size_t>(kReadBytes, size_t{ask.count} * page_bytes));
    Bytes staged(present.size());
    for (uint32_t done = 0; done < ask.count;) {
        const uint32_t part =
            std::min(ask.count - done, static_cast<uint32_t>(present.size() / page_bytes));
        const uint32_t first = ask.first + done;
        if (current) {
            TANIST_TRY(current->read(first, MutableBytes(present).first(part * page_bytes)));
        }
        const bool any_staged = staging.has_any(first, part);
        if (!current && !any_staged) {
            done += part;
            continue;
        }
        if (any_staged) {
            TANIST_TRY(
                staging.read_or_forget(first, MutableBytes(staged).first(part * page_bytes)));
        }
        for (uint32_t i = 0; i < part; ++i) {
            const bool is_staged = staging.has(first + i);
            const bool is_present = current && first + i <= current->db_pages();
            if (!is_staged && !is_present) continue;
            const Bytes& from = is_staged ? staged : present;
            ask.hashes[done + i] = hash128(ByteView(from).subspan(i * page_bytes, page_bytes));
        }
        done += part;
    }
    // The install must write page 1, which makes the database refuse stock writers.
    if (ask.first == 1 && !staging.has(1)) ask.hashes[0] = Hash128{};
    while (!ask.hashes.empty() && ask.hashes.back().is_zero()) ask.hashes.pop_back();
    return ok_status();
}

Result<std::optional<SyncAsk>> SyncSink::next_ask() {
    State& state = *state_;
    if (state.next_page > state.began.db_pages) return std::optional<SyncAsk>{};
    SyncAsk ask;
    ask.first = state.next_page;
    ask.count = std::min<uint32_t>({state.began.db_pages - state.next_page + 1, kAskPages,
                                    static_cast<uint32_t>(kAskBytes / state.began.page_bytes)});
    TANIST_TRY(state.hash_range(ask));
    ask.ask = state.next_ask++;
    state.next_page += ask.count;
    state.open_asks[ask.ask] = {ask.first, ask.count};
    return std::optional<SyncAsk>(std::move(ask));
}

Status SyncSink::got(const SyncPages& pages) {
    State& state = *state_;
    const auto found = state.open_asks.find(pages.ask);
    if (found == state.open_asks.end()) {
        return Error{Errc::invalid, "sync pages for a range that was not asked for"};
    }
    const State::Range range = found->second;
    if (pages.images.size() != pages.pages.size() * size_t{state.began.page_bytes}) {
        return Error{Errc::corrupt, "sync pages of another page size"};
    }
    for (uint32_t pgno : pages.pages) {
        if (pgno < range.first || pgno - range.first >= range.count) {
            return Error{Errc::corrupt, "a sync page outside the range asked for"};
        }
    }
    TANIST_TRY(state.staging.put(pages.pages, pages.images));
    state.progress.bytes_received += pages.images.size();
    if (pages.last) {
        state.progress.bytes_done += uint64_t{range.count} * state.began.page_bytes;
        state.open_asks.erase(found);
    }
    return ok_status();
}

bool SyncSink::complete() const {
    return state_->open_asks.empty() && state_->next_page > state_->began.db_pages;
}

// Takes the records after the base and returns the point that they lead to.
Result<LogPoint> SyncSink::State::gather(LogReader& log, Lsn up_to, LogPages& records) const {
    LogPoint end{began.base, began.base_chain};
    while (end.position.lsn < up_to) {
        Result<RecordHeader> record = log.header_of(end.position.lsn.next());
        if (!record) return std::move(record).error();
        const std::string name = "record " + to_string(record->position());
        if (record->previous != end.chain) {
            return Error{Errc::corrupt, name + " does not continue the sync's base"};
        }
        const bool is_commit = record->kind == RecordKind::commit;
        if (record->kind == RecordKind::rebase ||
            (is_commit && record->page_bytes != began.page_bytes)) {
            return Error{Errc::refused, name + ": the database moved during the sync; sync anew"};
        }
        Result<bool> taken_back = false;
        if (is_commit) {
            taken_back = log.is_taken_back(*record);
            if (!taken_back) return std::move(taken_back).error();
        }
        if (is_commit && !*taken_back) TANIST_TRY(records.add(*record));
        end = {record->position(), record->chain};
    }
    records.finish();
    return end;
}

Result<LogPoint> SyncSink::install(LogReader& log, Lsn up_to, IntentFile& intent,
                                   Applier* applier) {
    State& state = *state_;
    if (!complete()) return Error{Errc::invalid, "the sync is not complete"};
    LogPages records(log, {});
    Result<LogPoint> end = state.gather(log, up_to, records);
    if (!end) return std::move(end).error();
    const bool replace = !state.current;
    const uint32_t db_pages = records.db_pages() != 0 ? records.db_pages() : state.began.db_pages;
    if (replace) TANIST_TRY(state.stage_rest(records));
    SqliteHandle* database = applier != nullptr ? &applier->handle() : state.old_copy.get();
    TANIST_TRY(state.write_plan(*end, db_pages, replace ? nullptr : database));
    if (replace) {
        TANIST_TRY(state.replace_database(db_pages, *end, intent));
    } else {
        InstalledPages pages(state.staging, records, state.began.page_bytes, db_pages);
        TANIST_TRY(state.update_database(pages, *end, intent, applier));
    }
    TANIST_TRY(state.end_install());
    state.replaced = replace;
    return *end;
}

// From here on a crash does not undo the install: a start finishes it. For that all must be on the
// disk that it builds on, also the pages of the database that the sync found in place, and nothing
// of it may be written again, which a power cut could tear.
Status SyncSink::State::write_plan(const LogPoint& end, uint32_t db_pages, SqliteHandle* database) {
    TANIST_TRY(staging.sync());
    if (database != nullptr) {
        TANIST_TRY(database->sync_wal());
        TANIST_TRY(database->sync_db());
    }
    return write_install_plan(directory, {.base = {began.base, began.base_chain},
                                          .end = end,
                                          .page_bytes = began.page_bytes,
                                          .db_pages = db_pages,
                                          .replaces = database == nullptr});
}

Status SyncSink::State::end_install() {
    current.reset();
    old_copy.reset();
    return staging.remove();
}

// Page images are whole, so what was done before the crash is done again.
Result<LogPoint> SyncSink::finish_install(const SqliteApi& api, const std::string& db_path,
                                          const std::string& staging_directory, StagedForm form,
                                          LogReader& log, IntentFile& intent) {
    Result<InstallPlan> plan = read_install_plan(staging_directory);
    if (!plan) return std::move(plan).error();
    State state(api, db_path, staging_directory, std::move(form));
    const bool staged = state.staging.is_whole(plan->page_bytes);
    if (plan->replaces && !staged) {
        // It became the database, or it would still be there.
        TANIST_TRY(
            intent.write({.done = plan->end, .target = plan->end, .durable = plan->end}, true));
        return plan->end;
    }
    if (!staged) return Error{Errc::corrupt, "the pages of a sync are gone"};
    state.began = {.base = plan->base.position,
                   .base_chain = plan->base.chain,
                   .page_bytes = plan->page_bytes,
                   .db_pages = plan->db_pages};
    TANIST_TRY(state.staging.begin(plan->page_bytes, plan->db_pages));
    if (plan->replaces) {
        TANIST_TRY(state.replace_database(plan->db_pages, plan->end, intent));
        TANIST_TRY(state.end_install());
        return plan->end;
    }
    state.open_old_copy();
    if (!state.old_copy) return Error{Errc::io, "cannot open " + db_path};
    LogPages records(log, {});
    Result<LogPoint> end = state.gather(log, plan->end.position.lsn, records);
    if (!end) return std::move(end).error();
    if (*end != plan->end) return Error{Errc::corrupt, "the log of a sync is another one"};
    InstalledPages pages(state.staging, records, plan->page_bytes, plan->db_pages);
    TANIST_TRY(state.update_database(pages, *end, intent, nullptr));
    TANIST_TRY(state.end_install());
    return *end;
}

Status SyncSink::State::update_database(PageSource& pages, const LogPoint& end, IntentFile& intent,
                                        Applier* applier) {
    if (applier != nullptr) return applier->install(pages, end);
    Result<std::unique_ptr<SqliteHandle>> checkpoints = SqliteHandle::open(api, db_path, {});
    if (!checkpoints) return std::move(checkpoints).error();
    WalWriter writer(*old_copy, **checkpoints);
    TANIST_TRY(intent.write({.target = end, .syncing = true}, true));
    TANIST_TRY(writer.commit(pages, true, kLockPatience));
    // Pages that the sync found in place may have come there without a sync.
    TANIST_TRY(old_copy->sync_db());
    return intent.write({.done = end, .target = end, .durable = end}, true);
}

// What becomes the database has the records' pages, and a replica's page 1.
Status SyncSink::State::stage_rest(LogPages& records) {
    Bytes image(began.page_bytes);
    for (uint32_t i = 0; i < records.page_count(); ++i) {
        Result<Pgno> pgno = records.page(i, image);
        if (!pgno) return std::move(pgno).error();
        TANIST_TRY(staging.put({&pgno->value, 1}, image));
    }
    TANIST_TRY(staging.read(1, image));
    set_replica_page_1(image);
    if (!is_replica_page_1(image)) {
        return Error{Errc::invalid, "the primary's database has no plain SQLite header"};
    }
    image[kReadVersionAt] = kReadVersionWal;
    const uint32_t page_1 = 1;
    return staging.put({&page_1, 1}, image);
}

Status SyncSink::State::replace_database(uint32_t db_pages, const LogPoint& end,
                                         IntentFile& intent) {
    TANIST_TRY(intent.write({.target = end, .syncing = true}, true));
    TANIST_TRY(staging.become_database(db_pages));
    return intent.write({.done = end, .target = end, .durable = end}, true);
}

}  // namespace tanist
