// The pages of consecutive commit records, the last image of each: what one local commit takes
// from the log. Images stay in the log and are read in its order, in large pieces; only their
// places are in memory (16 bytes per distinct page, whatever the size of the records).
#pragma once

#include <unordered_map>
#include <vector>

#include "replicator/apply/wal_writer.h"
#include "replicator/log/log.h"

namespace tanist {

class LogPages : public PageSource {
  public:
    // `log` must outlive this.
    explicit LogPages(LogReader& log) : log_(log) {}
    // Adds the next record. Its payload is read once and compared with its hash. corrupt: it does
    // not fit. Requires: a commit; the page size of the records before.
    Status add(const RecordHeader& record);
    // After the last add: drops pages beyond the database's end and fixes the order.
    void finish();

    size_t pages_added() const { return places_.size(); }  // distinct, before finish()
    bool contains(Pgno pgno) const { return places_.contains(pgno.value); }

    uint32_t page_count() const override { return static_cast<uint32_t>(order_.size()); }
    uint32_t page_bytes() const override { return page_bytes_; }
    uint32_t db_pages() const override { return db_pages_; }
    Result<Pgno> page(uint32_t index, MutableBytes image) override;

  private:
    struct Place {
        uint32_t record = 0;  // index into records_
        uint32_t image = 0;   // index within the record
    };
    struct Entry {
        Place place;
        Pgno pgno;
    };
    struct Record {
        Lsn lsn;
        uint32_t page_count = 0;
    };
    Status fill_from(uint32_t index);

    LogReader& log_;
    std::vector<Record> records_;
    std::unordered_map<uint32_t, Place> places_;
    std::vector<Entry> order_;
    uint32_t page_bytes_ = 0;
    uint32_t db_pages_ = 0;
    // Images [buffered_from_, buffered_from_ + n) of order_, read in one piece.
    Bytes buffer_;
    uint32_t buffered_from_ = 0;
    uint32_t buffered_count_ = 0;
};

}  // namespace tanist
