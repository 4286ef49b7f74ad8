#include "replicator/base/log_point.h"

namespace tanist {

void encode(const LogPoint& point, ByteWriter& out) {
    out.u64(point.position.epoch.value);
    out.u64(point.position.lsn.value);
    out.from(point.chain.bytes);
}

LogPoint decode_log_point(ByteReader& in) {
    LogPoint point;
    point.position.epoch = Epoch(in.u64());
    point.position.lsn = Lsn(in.u64());
    in.into(point.chain.bytes);
    return point;
}

}  // namespace tanist
