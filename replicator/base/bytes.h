// Little-endian fields in and out of byte ranges, bounds always checked: no packed structs and no
// memcpy of structs touch a format. A reader that ran over its end stays failed and yields zeros,
// so a decoder checks ok() once, at the end.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "replicator/base/ids.h"

namespace tanist {

using Bytes = std::vector<uint8_t>;
using ByteView = std::span<const uint8_t>;
using MutableBytes = std::span<uint8_t>;

inline ByteView view_of(std::string_view text) {
    return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

class ByteReader {
  public:
    explicit ByteReader(ByteView bytes) : bytes_(bytes) {}
    uint8_t u8() { return static_cast<uint8_t>(integer(1)); }
    uint16_t u16() { return static_cast<uint16_t>(integer(2)); }
    uint32_t u32() { return static_cast<uint32_t>(integer(4)); }
    uint64_t u64() { return integer(8); }
    int64_t i64() { return static_cast<int64_t>(integer(8)); }
    // The view points into the bytes given to the constructor.
    ByteView raw(size_t count);
    template <size_t N>
    void into(std::array<uint8_t, N>& out) {
        ByteView got = raw(N);
        if (got.size() == N) std::memcpy(out.data(), got.data(), N);
    }
    // A u16 length, then that many bytes.
    std::string text(size_t bytes_max);
    bool ok() const { return ok_; }
    size_t left() const { return bytes_.size() - at_; }
    size_t at() const { return at_; }

  private:
    uint64_t integer(size_t count);
    ByteView bytes_;
    size_t at_ = 0;
    bool ok_ = true;
};

class ByteWriter {
  public:
    explicit ByteWriter(Bytes& out) : out_(out) {}
    void u8(uint8_t v) { integer(v, 1); }
    void u16(uint16_t v) { integer(v, 2); }
    void u32(uint32_t v) { integer(v, 4); }
    void u64(uint64_t v) { integer(v, 8); }
    void i64(int64_t v) { integer(static_cast<uint64_t>(v), 8); }
    void raw(ByteView bytes) { out_.insert(out_.end(), bytes.begin(), bytes.end()); }
    template <size_t N>
    void from(const std::array<uint8_t, N>& bytes) {
        raw(bytes);
    }
    // Cuts at 65535 bytes.
    void text(std::string_view text);
    size_t size() const { return out_.size(); }

  private:
    void integer(uint64_t v, size_t count);
    Bytes& out_;
};

uint32_t load_be32(const uint8_t* at);
void store_be32(uint8_t* at, uint32_t v);
uint16_t load_be16(const uint8_t* at);

}  // namespace tanist
