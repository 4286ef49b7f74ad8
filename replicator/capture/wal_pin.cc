#include "replicator/capture/wal_pin.h"

namespace tanist {

Status WalPin::take() {
    if (held()) return ok_status();
    // SQLite's readers look for a slot from 1 upwards: the last one is missed least.
    for (int mark = kReadMarks - 1; mark >= 1; --mark) {
        Status status = take_slot(mark);
        if (status.ok() || status.error().code != Errc::busy) return status;
    }
    return Error{Errc::busy, "all reader slots of the WAL are in use"};
}

Status WalPin::take_slot(int mark) {
    Result<volatile void*> region = handle_.region(0, false);
    if (!region) return std::move(region).error();
    TANIST_TRY(handle_.lock(lock_read(mark), 1, true));
    store_read_mark(*region, mark, kReadMarkNotUsed);
    handle_.unlock(lock_read(mark), 1, true);
    TANIST_TRY(handle_.lock(lock_read(mark), 1, false));
    // Between the two locks a reader may have made the slot its own.
    handle_.barrier();
    if (read_checkpoint_info(*region).read_mark[mark] != kReadMarkNotUsed) {
        handle_.unlock(lock_read(mark), 1, false);
        return Error{Errc::busy, "a reader took the slot"};
    }
    slot_ = mark;
    return ok_status();
}

Status WalPin::leave_slot_1() {
    if (slot_ != 1) return ok_status();
    for (int mark = kReadMarks - 1; mark > 1; --mark) {
        Status status = take_slot(mark);
        if (status.ok()) handle_.unlock(lock_read(1), 1, false);
        if (status.ok() || status.error().code != Errc::busy) return status;
    }
    return Error{Errc::busy, "all reader slots of the WAL are in use"};
}

void WalPin::let_go() {
    if (!held()) return;
    handle_.unlock(lock_read(slot_), 1, false);
    slot_ = 0;
}

}  // namespace tanist
