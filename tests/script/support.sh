# For the scripts of this folder: a directory of their own, a replica, and waiting for it.
# Sourced with the build directory as $1.
set -euo pipefail
build=$(cd "$1" && pwd)
work=$(mktemp -d "${TMPDIR:-/tmp}/tanist-script-XXXXXX")
replica_pid=''

fail() { printf '%s: %s\n' "${0##*/}" "$*" >&2; exit 1; }
skip() { printf '%s: SKIPPED: %s\n' "${0##*/}" "$*"; exit 77; }

# The engines that the extension started in this directory; they are no children of ours.
engine_pids() {
    local lock
    for lock in "$work"/*-tanist/ship.lock; do
        [ -f "$lock" ] && tr -dc 0-9 <"$lock" && echo
    done
}
clean_up() {
    local pid pids
    set +e
    pids="$(engine_pids) $replica_pid"
    for pid in $pids; do
        tr '\0' ' ' 2>/dev/null <"/proc/$pid/cmdline" | grep -q tanistd && kill "$pid" 2>/dev/null
    done
    [ -z "$replica_pid" ] || wait "$replica_pid" 2>/dev/null
    # An engine is no child of ours, and writes until it has ended.
    for pid in $pids; do
        for _ in $(seq 100); do [ -d "/proc/$pid" ] || break; sleep 0.1; done
    done
    rm -rf "$work"
}
trap clean_up EXIT

# start_replica TANISTD NAME: NAME.db, served; its endpoint is in $endpoint.
start_replica() {
    "$1" --db "$work/$2.db" --listen 'tcp://127.0.0.1:*' >"$work/$2.ready" 2>"$work/$2.log" &
    replica_pid=$!
    for _ in $(seq 600); do grep -q ready "$work/$2.ready" && break; sleep 0.1; done
    endpoint=$(sed -n 's/.* ready on //p' "$work/$2.ready")
    [ -n "$endpoint" ] || { cat "$work/$2.log" >&2; fail "the replica did not become ready"; }
}
stop_replica() {
    kill "$replica_pid"
    wait "$replica_pid" || fail "the replica ended with $?"
    replica_pid=''
}
# replica_shows NAME SQL WANTED
replica_shows() {
    local got=''
    for _ in $(seq 600); do
        got=$(sqlite3 "file:$work/$1.db?mode=ro" "$2" 2>&1) || true
        [ "$got" = "$3" ] && return
        sleep 0.1
    done
    fail "the replica answered '$got' to $2, not '$3'"
}
