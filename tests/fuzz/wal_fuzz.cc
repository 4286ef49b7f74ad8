// Any bytes as a WAL header, a frame and a wal-index region: decoders stay inside them, and what
// they accept encodes to the same bytes again.
#include <cstdlib>
#include <vector>

#include "replicator/wal/wal_format.h"
#include "replicator/wal/wal_index.h"

using namespace tanist;

namespace {

void check(bool fact) {
    if (!fact) abort();
}

void fuzz_wal_header(ByteView bytes) {
    Result<WalHeader> header = decode_wal_header(bytes);
    if (!header.ok()) return;
    Bytes again(kWalHeaderBytes);
    check(encode_wal_header(*header, again) == header->checksum);
    check(std::equal(again.begin(), again.end(), bytes.begin()));
}

void fuzz_frame(ByteView bytes) {
    const WalFrameHeader frame = decode_wal_frame_header(bytes);
    if (bytes.size() < kWalFrameHeaderBytes + 8) return;
    const ByteView page =
        bytes.subspan(kWalFrameHeaderBytes, (bytes.size() - kWalFrameHeaderBytes) / 8 * 8);
    WalChecksum running = frame.checksum;
    Bytes again(kWalFrameHeaderBytes);
    encode_wal_frame_header(frame.pgno, frame.db_pages, frame.salt, false, page, running, again);
    const WalFrameHeader back = decode_wal_frame_header(again);
    check(back.pgno == frame.pgno && back.db_pages == frame.db_pages && back.salt == frame.salt);
    check(back.checksum == running);
}

void fuzz_wal_index(ByteView bytes) {
    std::vector<uint32_t> region(kWalIndexRegionBytes / 4);
    for (size_t at = 0; at + 4 <= bytes.size() && at + 4 <= kWalIndexRegionBytes; at += 4) {
        std::memcpy(&region[at / 4], bytes.data() + at, 4);
    }
    std::optional<WalIndexHeader> header = read_wal_index_header(region.data());
    read_checkpoint_info(region.data());
    const uint32_t frame = bytes.empty() ? 1 : 1 + bytes[0] * 15u;
    frame_page(region.data(), frame);
    // Damaged memory must not keep a writer for ever.
    append_frame_page(region.data(), frame, Pgno(frame));
    if (!header) return;
    write_wal_index_header(region.data(), *header);
    std::optional<WalIndexHeader> back = read_wal_index_header(region.data());
    check(back.has_value() && back->max_frame == header->max_frame && back->salt == header->salt);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    const ByteView bytes(data, size);
    fuzz_wal_header(bytes);
    fuzz_frame(bytes);
    fuzz_wal_index(bytes);
    return 0;
}
