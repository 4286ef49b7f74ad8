#!/bin/sh
# tanist.so exports exactly one symbol, its entry point, and takes no SQLite function by name: the
# host's SQLite is reached through sqlite3_api, a second copy would break its POSIX locks.
set -eu
library=$1
exported=$(nm -D --defined-only "$library" | awk '{print $NF}')
if [ "$exported" != sqlite3_tanist_init ]; then
    echo "$library exports, instead of sqlite3_tanist_init alone: $exported" >&2
    exit 1
fi
undefined=$(nm -D --undefined-only "$library" | awk '{print $NF}' | grep '^sqlite3_' || true)
if [ -n "$undefined" ]; then
    echo "$library wants of SQLite by name: $undefined" >&2
    exit 1
fi
