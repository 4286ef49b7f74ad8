// Says in the control block, for the length of a scope, that SQLite's WRITE lock is the engine's
// for a moment (ControlBlock::engine_writes).
#pragma once

#include "replicator/base/event.h"
#include "replicator/control/control_block.h"

namespace tanist {

class EngineWrites {
  public:
    explicit EngineWrites(Control& control) : control_(control) {
        control_->engine_writes.store(1, std::memory_order_seq_cst);
    }
    ~EngineWrites() {
        control_->engine_writes.store(0, std::memory_order_seq_cst);
        futex_wake_all(&control_->engine_writes);
    }
    EngineWrites(const EngineWrites&) = delete;
    EngineWrites& operator=(const EngineWrites&) = delete;

  private:
    Control& control_;
};

}  // namespace tanist
