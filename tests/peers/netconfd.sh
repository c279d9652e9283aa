#!/bin/sh
# Two private NETCONF devices for the tests: netconfd (yuma123), one that writes through a candidate and one that
# writes running, each behind an OpenSSH server of its own on a free loopback port, in a folder of their own.
#
#   netconfd.sh    installs what is missing (as root, on Debian), starts both, prints `candidate=PORT`,
#                  `running=PORT`, `user=NAME`, `key=FILE`, `host_key=SHA256` and `ready`, and stops all and removes
#                  its folder when its standard input ends. Until then each line of its standard input is an order,
#                  answered by `done`: `cut candidate` or `cut running` ends every connection to that device at once.
#
# One logs in as the user who runs it, by the key alone. Exit status 3: the programs cannot be had.
set -eu

PATH=$PATH:/usr/sbin
say() { echo "netconfd.sh: $*" >&2; }

missing=
command -v netconfd >/dev/null 2>&1 || missing="netconfd"
command -v sshd >/dev/null 2>&1 || missing="$missing openssh-server"
command -v ssh-keygen >/dev/null 2>&1 || missing="$missing openssh-client"
command -v pgrep >/dev/null 2>&1 || missing="$missing procps"
if [ -n "$missing" ]; then
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; then
        say "missing Debian packages: $missing"
        exit 3
    fi
    export DEBIAN_FRONTEND=noninteractive
    # shellcheck disable=SC2086 # a list of names
    { apt-get update && apt-get install -y --no-install-recommends $missing; } >&2 || exit 3
fi
sshd=$(command -v sshd)
subsystem=/usr/sbin/netconf-subsystem
user=$(id -un)
# Where sshd gives up its rights; Debian's service makes it, and nobody has started that.
[ "$(id -u)" != 0 ] || mkdir -p /run/sshd

dir=$(mktemp -d "${TMPDIR:-/tmp}/cmp-relay-netconf.XXXXXX")
pids=
finish() {
    for pid in $pids; do
        children=$(pgrep -P "$pid" || true)
        # shellcheck disable=SC2086 # a list of numbers
        kill "$pid" $children 2>/dev/null || true
        wait "$pid" 2>/dev/null || true
    done
    rm -rf "$dir"
}
trap finish EXIT
trap 'exit 1' INT TERM

ssh-keygen -q -t ed25519 -N '' -f "$dir/key"
ssh-keygen -q -t ed25519 -N '' -f "$dir/host"
cp "$dir/key.pub" "$dir/authorized"

# The device first: it knows a session by the port that its subsystem names, free or not.
launch_device() { # NAME PORT
    rm -f "$dir/$1.socket"
    netconfd --no-startup --target="$1" --superuser="$user" --access-control=off --port="$2" \
        --ncxserver-sockname="$dir/$1.socket" --module=ietf-interfaces --module=iana-if-type --module=ietf-ip \
        --log="$dir/$1.log" --log-level=info >"$dir/$1.out" 2>&1 &
    device=$!
    while kill -0 "$device" 2>/dev/null; do
        if [ -S "$dir/$1.socket" ]; then
            pids="$device $pids"
            return 0
        fi
        sleep 0.1
    done
    cat "$dir/$1.out" "$dir/$1.log" >&2
    return 1
}

launch_sshd() { # NAME PORT
    cat >"$dir/$1.config" <<CONFIG
Port $2
ListenAddress 127.0.0.1
HostKey $dir/host
PidFile none
UsePAM no
StrictModes no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
AuthorizedKeysFile $dir/authorized
MaxStartups 100
Subsystem netconf "$subsystem --ncxserver-sockname=$2@$dir/$1.socket"
CONFIG
    : >"$dir/$1.sshd"
    "$sshd" -D -e -f "$dir/$1.config" >"$dir/$1.sshd" 2>&1 &
    server=$!
    while kill -0 "$server" 2>/dev/null; do
        if grep -q 'Server listening' "$dir/$1.sshd"; then
            pids="$server $pids"
            eval "$1=$server"
            return 0
        fi
        sleep 0.1
    done
    return 1
}

launch() { # NAME
    tries=0
    while [ "$tries" -lt 10 ]; do
        tries=$((tries + 1))
        port=$(shuf -i 20000-32000 -n 1)
        # A port may be taken between the guess and the bind: then the server ends and the next is tried.
        if launch_device "$1" "$port" && launch_sshd "$1" "$port"; then
            echo "$1=$port"
            return 0
        fi
        # The device of the port that was taken.
        kill "$device" 2>/dev/null || true
    done
    cat "$dir/$1.sshd" >&2
    say "$1 did not start"
    exit 1
}

# One connection is a child of the listener, which lives on.
sever() { # PID
    children=$(pgrep -P "$1" || true)
    for child in $children; do
        grandchildren=$(pgrep -P "$child" || true)
        # shellcheck disable=SC2086 # a list of numbers
        kill -KILL "$child" $grandchildren 2>/dev/null || true
    done
    while [ -n "$(pgrep -P "$1" || true)" ]; do
        sleep 0.05
    done
}

launch candidate
launch running
echo "user=$user"
echo "key=$dir/key"
echo "host_key=$(ssh-keygen -lf "$dir/host" | sed 's/.*SHA256:\([^ ]*\).*/\1/')"
echo ready

# Whoever started this holds the other end; its exit, however it comes, ends this read.
while read -r order; do
    case $order in
    "cut candidate") sever "$candidate" ;;
    "cut running") sever "$running" ;;
    *) say "$order is no order" ;;
    esac
    echo done
done
