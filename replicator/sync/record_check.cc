#include "replicator/sync/record_check.h"

#include "replicator/sync/page_reader.h"

namespace tanist {

Result<bool> may_be_at(SqliteHandle& handle, LogReader& log, const RecordHeader& record) {
    if (record.encoding != Encoding::raw) {
        return Error{Errc::version, "the record's encoding is not known"};
    }
    Result<PageReader> reader = PageReader::open(handle);
    if (!reader) return std::move(reader).error();
    if (reader->page_bytes() != record.page_bytes || reader->db_pages() != record.db_pages) {
        return false;
    }
    Bytes list(size_t{record.page_count} * 4);
    TANIST_TRY(log.read(record.lsn, kRecordHeaderBytes, list));
    Result<std::vector<Pgno>> pages = decode_page_list(record, list);
    if (!pages) return std::move(pages).error();
    Bytes image(record.page_bytes);
    Bytes present(record.page_bytes);
    for (uint32_t i = 0; i < pages->size(); ++i) {
        const uint64_t at = page_image_offset(record.page_count, record.page_bytes, i);
        TANIST_TRY(log.read(record.lsn, kRecordHeaderBytes + at, image));
        TANIST_TRY(reader->read((*pages)[i].value, present));
        if (image != present) return false;
    }
    return true;
}

}  // namespace tanist
