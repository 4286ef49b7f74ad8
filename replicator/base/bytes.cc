#include "replicator/base/bytes.h"

#include <algorithm>

namespace tanist {

uint64_t ByteReader::integer(size_t count) {
    ByteView got = raw(count);
    uint64_t v = 0;
    for (size_t i = got.size(); i-- > 0;) v = (v << 8) | got[i];
    return v;
}

ByteView ByteReader::raw(size_t count) {
    if (!ok_ || count > bytes_.size() - at_) {
        ok_ = false;
        return {};
    }
    ByteView got = bytes_.subspan(at_, count);
    at_ += count;
    return got;
}

std::string ByteReader::text(size_t bytes_max) {
    size_t count = u16();
    if (count > bytes_max) ok_ = false;
    ByteView got = raw(count);
    return {reinterpret_cast<const char*>(got.data()), got.size()};
}

void ByteWriter::integer(uint64_t v, size_t count) {
    for (size_t i = 0; i < count; ++i) out_.push_back(static_cast<uint8_t>(v >> (8 * i)));
}

void ByteWriter::text(std::string_view text) {
    text = text.substr(0, 65535);
    u16(static_cast<uint16_t>(text.size()));
    raw(view_of(text));
}

uint32_t load_be32(const uint8_t* at) {
    return uint32_t{at[0]} << 24 | uint32_t{at[1]} << 16 | uint32_t{at[2]} << 8 | uint32_t{at[3]};
}

void store_be32(uint8_t* at, uint32_t v) {
    at[0] = static_cast<uint8_t>(v >> 24);
    at[1] = static_cast<uint8_t>(v >> 16);
    at[2] = static_cast<uint8_t>(v >> 8);
    at[3] = static_cast<uint8_t>(v);
}

uint16_t load_be16(const uint8_t* at) {
    return static_cast<uint16_t>(uint16_t{at[0]} << 8 | uint16_t{at[1]});
}

}  // namespace tanist
