#include "replicator/wal/sqlite_host.h"

// The header turns every sqlite3_x into a member of one named pointer; only the struct is wanted.
#define SQLITE_CORE 1
#include <sqlite3ext.h>

namespace tanist {

SqliteApi host_sqlite(const sqlite3_api_routines* routines) {
    return {.open_v2 = routines->open_v2,
            .close = routines->close,
            .exec = routines->exec,
            .free = routines->free,
            .errmsg = routines->errmsg,
            .extended_errcode = routines->extended_errcode,
            .prepare_v2 = routines->prepare_v2,
            .step = routines->step,
            .finalize = routines->finalize,
            .column_int64 = routines->column_int64,
            .column_text = routines->column_text,
            .busy_timeout = routines->busy_timeout,
            .file_control = routines->file_control,
            .wal_checkpoint_v2 = routines->wal_checkpoint_v2,
            .libversion_number = routines->libversion_number};
}

}  // namespace tanist
