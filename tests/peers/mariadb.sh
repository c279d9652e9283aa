#!/bin/sh
# A private MariaDB for the tests: on a free loopback port, in a folder of its own, durable commits.
#
#   mariadb.sh [OPTION-FILE]
#                 installs the server where it is missing (as root, on Debian), starts it, with the
#                 options of the file, prints `port=N`, and stops it and removes its folder when its
#                 standard input ends. Until then each line of its standard input is an order,
#                 answered by `done`: `freeze` and `thaw` (SIGSTOP, SIGCONT), `kill` (SIGKILL), `stop`
#                 and `start`.
#
# root may log in over 127.0.0.1 without a password. Exit status 3: there is no MariaDB to be had.
set -eu

say() { echo "mariadb.sh: $*" >&2; }

if ! command -v mariadbd >/dev/null 2>&1; then
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; then
        say "mariadbd is not installed (Debian: apt-get install mariadb-server)"
        exit 3
    fi
    export DEBIAN_FRONTEND=noninteractive
    { apt-get update && apt-get install -y --no-install-recommends mariadb-server; } >&2 || exit 3
fi

defaults=--no-defaults
[ $# -eq 0 ] || defaults=--defaults-file=$1

dir=$(mktemp -d "${TMPDIR:-/tmp}/cmp-relay-mariadb.XXXXXX")
pid=
finish() {
    if [ -n "$pid" ]; then
        kill "$pid" 2>/dev/null || true
        kill -CONT "$pid" 2>/dev/null || true
        wait "$pid" 2>/dev/null || true
    fi
    rm -rf "$dir"
}
trap finish EXIT
trap 'exit 1' INT TERM

# Servers that are made at the same time would meet in one folder for temporary tables.
mkdir "$dir/tmp"
export TMPDIR="$dir/tmp"

mariadb-install-db --no-defaults --user="$(id -un)" --auth-root-authentication-method=normal \
    --skip-test-db --datadir="$dir/data" >"$dir/install.log" 2>&1 || {
    cat "$dir/install.log" >&2
    exit 1
}

launch() {
    : >"$dir/log"
    mariadbd "$defaults" --user="$(id -un)" --datadir="$dir/data" --socket="$dir/socket" \
        --bind-address=127.0.0.1 --port="$port" --pid-file="$dir/pid" \
        --innodb-flush-log-at-trx-commit=1 --innodb-buffer-pool-size=32M \
        --max-connections=500 >"$dir/log" 2>&1 &
    pid=$!
    while kill -0 "$pid" 2>/dev/null; do
        if grep -q 'ready for connections' "$dir/log"; then
            return 0
        fi
        sleep 0.1
    done
    wait "$pid" 2>/dev/null || true
    pid=
    return 1
}

obey() {
    case $1 in
    freeze)
        kill -STOP "$pid"
        # A busy machine stops it a little later, and until then it answers.
        until grep -q '^State:.T' "/proc/$pid/status"; do sleep 0.01; done
        ;;
    thaw) kill -CONT "$pid" ;;
    kill)
        kill -KILL "$pid"
        wait "$pid" 2>/dev/null || true
        pid=
        ;;
    stop)
        kill "$pid"
        wait "$pid" 2>/dev/null || true
        pid=
        ;;
    start) launch ;;
    *)
        say "$1 is no order"
        return 1
        ;;
    esac
}

# A port may be taken between the guess and the bind: then the server ends and the next is tried.
tries=0
while [ "$tries" -lt 10 ]; do
    tries=$((tries + 1))
    port=$(shuf -i 20000-32000 -n 1)
    if launch; then
        echo "port=$port"
        # Whoever started this holds the other end; its exit, however it comes, ends this read.
        while read -r order; do
            obey "$order"
            echo done
        done
        exit 0
    fi
done
cat "$dir/log" >&2
say "the server did not start"
exit 1
