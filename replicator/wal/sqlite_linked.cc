#include "replicator/wal/sqlite_api.h"

namespace tanist {

const SqliteApi& linked_sqlite() {
    static const SqliteApi api = {
        .open_v2 = sqlite3_open_v2,
        .close = sqlite3_close,
        .exec = sqlite3_exec,
        .free = sqlite3_free,
        .errmsg = sqlite3_errmsg,
        .extended_errcode = sqlite3_extended_errcode,
        .prepare_v2 = sqlite3_prepare_v2,
        .step = sqlite3_step,
        .finalize = sqlite3_finalize,
        .column_int64 = sqlite3_column_int64,
        .column_text = sqlite3_column_text,
        .busy_timeout = sqlite3_busy_timeout,
        .file_control = sqlite3_file_control,
        .wal_checkpoint_v2 = sqlite3_wal_checkpoint_v2,
        .libversion_number = sqlite3_libversion_number,
    };
    return api;
}

}  // namespace tanist
