// The pages of consecutive commit records, the last image of each: what one local commit takes
// from the log. The payloads of the first records are kept in memory that the caller lends, so that
// they are read once; the images of the others stay in the log and are read from there in its
// order, in large pieces. Besides, 16 bytes per distinct page, whatever the size of the records.
#pragma once

#include <unordered_map>
#include <vector>

#include "replicator/apply/wal_writer.h"
#include "replicator/log/log.h"

namespace tanist {

class LogPages : public PageSource {
  public:
    // `log` and `kept` must outlive this. Payloads are kept in `kept`, as many as fit.
    LogPages(LogReader& log, MutableBytes kept) : log_(log), kept_(kept) {}
    // Adds the next record. Its payload is read once and compared with its hash. corrupt: it does
    // not fit. Requires: a commit; the page size of the records before.
    Status add(const RecordHeader& record);
    // After the last add: drops pages beyond the database's end and fixes the order.
    void finish();

    size_t pages_added() const { return places_.size(); }  // distinct, before finish()
    size_t room() const { return kept_.size() - kept_bytes_; }
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
        ByteView payload;  // when it is kept
    };
    Result<std::vector<Pgno>> take_payload(const RecordHeader& record, ByteView* kept);
    Result<std::vector<Pgno>> check_payload(const RecordHeader& record);
    Status fill_from(uint32_t index);

    LogReader& log_;
    MutableBytes kept_;
    size_t kept_bytes_ = 0;
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
