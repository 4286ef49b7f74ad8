#include "replicator/apply/log_pages.h"

#include <algorithm>
#include <tuple>

#include "replicator/base/hash.h"

namespace tanist {
namespace {

constexpr size_t kReadBytes = 1u << 20;

Error wrong_payload(const RecordHeader& record) {
    return {Errc::corrupt,
            "the payload of record " + to_string(record.position()) + " does not have its hash"};
}

}  // namespace

// Reads the payload into the lent memory.
Result<std::vector<Pgno>> LogPages::take_payload(const RecordHeader& record, ByteView* kept) {
    const MutableBytes payload =
        kept_.subspan(kept_bytes_, static_cast<size_t>(record.payload_bytes));
    TANIST_TRY(log_.read(record.lsn, kRecordHeaderBytes, payload));
    if (hash128(payload) != record.payload_hash) return wrong_payload(record);
    kept_bytes_ += payload.size();
    *kept = payload;
    return decode_page_list(record, payload.first(size_t{record.page_count} * 4));
}

// Reads the payload piece by piece.
Result<std::vector<Pgno>> LogPages::check_payload(const RecordHeader& record) {
    Hasher128 hasher;
    Bytes piece(std::min<uint64_t>(kReadBytes, record.payload_bytes));
    for (uint64_t at = 0; at < record.payload_bytes;) {
        const size_t bytes = std::min<uint64_t>(piece.size(), record.payload_bytes - at);
        const MutableBytes part = MutableBytes(piece).first(bytes);
        TANIST_TRY(log_.read(record.lsn, kRecordHeaderBytes + at, part));
        hasher.update(part);
        at += bytes;
    }
    if (hasher.digest() != record.payload_hash) return wrong_payload(record);
    Bytes list(size_t{record.page_count} * 4);
    TANIST_TRY(log_.read(record.lsn, kRecordHeaderBytes, list));
    return decode_page_list(record, list);
}

Status LogPages::add(const RecordHeader& record) {
    if (record.encoding != Encoding::raw) {
        return Error{Errc::version, "the record's encoding is not known"};
    }
    ByteView kept;
    Result<std::vector<Pgno>> pages =
        record.payload_bytes <= room() ? take_payload(record, &kept) : check_payload(record);
    if (!pages) return std::move(pages).error();

    const uint32_t number = static_cast<uint32_t>(records_.size());
    records_.push_back({record.lsn, record.page_count, kept});
    for (uint32_t i = 0; i < pages->size(); ++i) places_[(*pages)[i].value] = {number, i};
    page_bytes_ = record.page_bytes;
    db_pages_ = record.db_pages;
    return ok_status();
}

void LogPages::finish() {
    std::erase_if(places_, [this](const auto& entry) { return entry.first > db_pages_; });
    order_.clear();
    order_.reserve(places_.size());
    for (const auto& [pgno, place] : places_) order_.push_back({place, Pgno(pgno)});
    std::sort(order_.begin(), order_.end(), [](const Entry& a, const Entry& b) {
        return std::tie(a.place.record, a.place.image) < std::tie(b.place.record, b.place.image);
    });
    buffered_count_ = 0;
}

// Reads the entry and those after it that lie beside it in the same record.
Status LogPages::fill_from(uint32_t index) {
    const Place first = order_[index].place;
    const size_t most = std::max<size_t>(1, kReadBytes / page_bytes_);
    uint32_t count = 1;
    while (count < most && index + count < order_.size() &&
           order_[index + count].place.record == first.record &&
           order_[index + count].place.image == first.image + count) {
        count += 1;
    }
    const Record& record = records_[first.record];
    buffer_.resize(size_t{count} * page_bytes_);
    buffered_count_ = 0;
    TANIST_TRY(log_.read(
        record.lsn,
        kRecordHeaderBytes + page_image_offset(record.page_count, page_bytes_, first.image),
        buffer_));
    buffered_from_ = index;
    buffered_count_ = count;
    return ok_status();
}

Result<Pgno> LogPages::page(uint32_t index, MutableBytes image) {
    const Place place = order_[index].place;
    const Record& record = records_[place.record];
    if (!record.payload.empty()) {
        const size_t at =
            static_cast<size_t>(page_image_offset(record.page_count, page_bytes_, place.image));
        std::memcpy(image.data(), record.payload.data() + at, page_bytes_);
        return order_[index].pgno;
    }
    if (index < buffered_from_ || index - buffered_from_ >= buffered_count_) {
        TANIST_TRY(fill_from(index));
    }
    const size_t at = size_t{index - buffered_from_} * page_bytes_;
    std::copy_n(buffer_.begin() + static_cast<std::ptrdiff_t>(at), page_bytes_, image.begin());
    return order_[index].pgno;
}

}  // namespace tanist
