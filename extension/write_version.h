// On a replica and on a fenced node byte 18 of page 1, the write version, is 3: stock SQLite then
// opens the database read-only, and looks at the byte once only, so such a connection never writes
// again. Connections through this VFS are gated by the role instead, at each transaction; they are
// shown the ordinary 2, so that a connection that was opened on a replica writes after its
// promotion. What a checkpoint carries from the WAL into the database must not be changed by that:
// the true byte is put back on its way.
#pragma once

#include <cstdint>
#include <vector>

namespace tanist {

class WriteVersion {
  public:
    // After a read from the WAL that begins at `out`, which may be page 1 (or not: then nothing is
    // changed). Whole frames, as recovery reads them, never are.
    void show_from_wal(void* out, int count);
    // After a read of the database file.
    static void show_from_database(void* out, int count, int64_t offset);
    // Before a write to the database file: `in`, or a copy with the true byte, which lives until
    // the next call.
    const void* restore(const void* in, int count, int64_t offset);
    // A memory map would show the byte as it is.
    static bool may_map(int64_t offset) { return offset != 0; }

  private:
    bool hidden_ = false;  // page 1 was last read from the WAL, and shown as 2
    std::vector<uint8_t> copy_;
};

}  // namespace tanist
