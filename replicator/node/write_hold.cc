#include "replicator/node/write_hold.h"

#include <atomic>

#include "replicator/apply/wal_writer.h"
#include "replicator/base/event.h"
#include "replicator/base/notes.h"
#include "replicator/sync/page_reader.h"

namespace tanist {
namespace {

using namespace std::chrono_literals;
constexpr Nanos kRetryEvery = 1ms;

// Page 1 as one commit, exactly as given.
class FirstPage final : public PageSource {
  public:
    FirstPage(Bytes image, uint32_t db_pages) : image_(std::move(image)), db_pages_(db_pages) {}
    uint32_t page_count() const override { return 1; }
    uint32_t page_bytes() const override { return static_cast<uint32_t>(image_.size()); }
    uint32_t db_pages() const override { return db_pages_; }
    bool keeps_write_version() const override { return true; }
    Result<Pgno> page(uint32_t, MutableBytes image) override {
        std::copy(image_.begin(), image_.end(), image.begin());
        return Pgno(1);
    }

  private:
    Bytes image_;
    uint32_t db_pages_;
};

}  // namespace

Result<WriteHold> WriteHold::take(const SqliteApi& api, const std::string& db, Nanos patience) {
    WriteHold hold;
    for (auto* handle : {&hold.slots_, &hold.sql_}) {
        auto opened = SqliteHandle::open(api, db, {});
        if (!opened) return std::move(opened).error();
        *handle = std::move(opened).value();
    }
    const Instant deadline = boot_now() + patience;
    for (;;) {
        Status locked = hold.slots_->lock(kLockWrite, 1, true);
        if (locked) {
            auto header = hold.slots_->header();
            if (!header) return std::move(header).error();
            if (header->has_value()) return hold;
            // A killed writer left it; SQLite itself recovers it, which takes the lock.
            hold.slots_->unlock(kLockWrite, 1, true);
            TANIST_TRY(hold.sql_->touch());
        } else if (locked.error().code != Errc::busy) {
            return std::move(locked).error();
        }
        if (boot_now() >= deadline) {
            return Error{Errc::busy, db + ": a process keeps the write lock; end its transaction"};
        }
        const std::atomic<uint32_t> nobody_wakes{0};
        futex_wait(&nobody_wakes, 0, kRetryEvery);
    }
}

WriteHold::~WriteHold() {
    if (slots_) slots_->unlock(kLockWrite, 1, true);
}

Result<bool> WriteHold::set_writable(bool writable) {
    Result<PageReader> reader = PageReader::open(*slots_);
    if (!reader) return std::move(reader).error();
    Bytes image(reader->page_bytes());
    TANIST_TRY(reader->read(1, image));
    set_replica_page_1(image);
    if (!is_replica_page_1(image)) return false;
    if (writable) set_primary_page_1(image);
    WalWriter writer(*slots_, *sql_);
    FirstPage page(std::move(image), reader->db_pages());
    TANIST_TRY(writer.commit_under_lock(page, true));
    return true;
}

Result<bool> WriteHold::is_writable() {
    Result<PageReader> reader = PageReader::open(*slots_);
    if (!reader) return std::move(reader).error();
    Bytes image(reader->page_bytes());
    TANIST_TRY(reader->read(1, image));
    return !is_replica_page_1(image);
}

Result<uint32_t> WriteHold::visible_change() {
    auto header = slots_->header();
    if (!header) return std::move(header).error();
    if (!*header) return Error{Errc::busy, slots_->path() + ": the wal-index does not settle"};
    return (*header)->change;
}

Status WriteHold::sync() {
    TANIST_TRY(slots_->sync_wal());
    return slots_->sync_db();
}

Status mark_read_only(const SqliteApi& api, const std::string& db, Nanos patience) {
    auto hold = WriteHold::take(api, db, patience);
    if (!hold) return std::move(hold).error();
    auto marked = hold->set_writable(false);
    if (!marked) return std::move(marked).error();
    if (!*marked) {
        note(NoteLevel::warning,
             "the database is encrypted: processes without the extension are not fenced",
             {{"database", db}});
    }
    return ok_status();
}

}  // namespace tanist
