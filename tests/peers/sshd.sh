#!/bin/sh
# A real OpenSSH server for the tests: on a free loopback port, in a folder of its own.
#
#   sshd.sh LINE...   starts it with these lines before its own sshd_config (the first one counts),
#                     prints `port=N dir=DIR`, and stops it with all it started when its standard input
#                     ends. Until then each line of its standard input is an order, answered by one line:
#                     `keys` (makes the user's keys), `rekey` (another ed25519 host key), `cut` (kills every
#                     connection), `stop`, `start`, `processes` (how many its connections have now).
#
# The user `relay-ssh` has the password `pass word'"1`, and the keys DIR/keys/* but `stranger`; `locked*`
# are locked with `pass phrase`. DIR/log is the server's log, DIR/hostkey_*.pub its host keys. Needs root for its user.
# Exit status 3: there is no OpenSSH server to be had.
set -eu

say() { echo "sshd.sh: $*" >&2; }

PATH=$PATH:/usr/sbin:/sbin
if ! command -v sshd >/dev/null 2>&1; then
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; then
        say "sshd is not installed (Debian: apt-get install openssh-server)"
        exit 3
    fi
    export DEBIAN_FRONTEND=noninteractive
    { apt-get update && apt-get install -y --no-install-recommends openssh-server; } >&2 || exit 3
fi
if [ "$(id -u)" != 0 ]; then
    say "only root can let another user log in"
    exit 3
fi

user=relay-ssh
password="pass word'\"1"
dir=$(mktemp -d "${TMPDIR:-/tmp}/cmp-relay-sshd.XXXXXX")
pid=

# Servers are started side by side, and the user is one.
exec 9>/tmp/cmp-relay-sshd.lock
flock 9
id "$user" >/dev/null 2>&1 || useradd --create-home --shell /bin/sh "$user"
echo "$user:$password" | chpasswd
# A prompt that tells the shell apart from a program's `$`; /etc/profile sets another.
home=$(getent passwd "$user" | cut -d: -f6)
printf "PS1='%s@host1:~$ '\n" "$user" >"$home/.profile"
mkdir -p /run/sshd
flock -u 9
exec 9>&-

# Every process below a process, deepest last.
below() {
    ps -e -o pid=,ppid= | awk -v root="$1" '
        { parent[$1] = $2 }
        END {
            for (pid in parent) {
                depth = 0
                for (up = pid; up in parent && up != root; up = parent[up]) depth++
                if (up == root && pid != root) print depth, pid
            }
        }' | sort -n | cut -d " " -f 2
}

# Kills from the top, so that no server is left to tell how its program ended, and awaits the ends: a signal is
# on its way when `kill` returns.
slay() { # PID...
    kill -KILL "$@" 2>/dev/null || true
    for one in "$@"; do
        while ps -o stat= -p "$one" | grep -q '^[^Z]'; do
            sleep 0.01
        done
    done
}

cut_connections() {
    # shellcheck disable=SC2046 # a list of numbers
    slay $(below "$pid")
}

halt() {
    if [ -n "$pid" ]; then
        cut_connections
        kill "$pid" 2>/dev/null || true
        wait "$pid" 2>/dev/null || true
        pid=
    fi
}

finish() {
    halt
    rm -rf "$dir"
}
trap finish EXIT
trap 'exit 1' INT TERM

keygen() { ssh-keygen -q -C test "$@" </dev/null; }

new_host_key() { # TYPE
    rm -f "$dir/hostkey_$1" "$dir/hostkey_$1.pub"
    keygen -t "$@" -N '' -f "$dir/hostkey_$1"
}
new_host_key ed25519
new_host_key rsa -b 2048

new_keys() {
    mkdir "$dir/keys"
    keygen -t ed25519 -N '' -f "$dir/keys/ed25519"
    keygen -t ed25519 -N 'pass phrase' -f "$dir/keys/locked_ed25519"
    keygen -t rsa -b 2048 -N '' -f "$dir/keys/rsa"
    keygen -t rsa -b 2048 -m PEM -N 'pass phrase' -f "$dir/keys/locked_pem_rsa"
    keygen -t ecdsa -m PEM -N '' -f "$dir/keys/pem_ecdsa"
    keygen -t rsa -b 2048 -m PKCS8 -N 'pass phrase' -f "$dir/keys/locked_pkcs8_rsa"
    keygen -t ed25519 -N '' -f "$dir/keys/stranger"
    for key in "$dir"/keys/*.pub; do
        case $key in */stranger.pub) ;; *) cat "$key" ;; esac
    done >"$dir/authorized_keys"
}
chmod 755 "$dir"

launch() {
    cat - >"$dir/sshd_config" <<END
$lines
Port $port
ListenAddress 127.0.0.1
HostKey $dir/hostkey_ed25519
HostKey $dir/hostkey_rsa
AuthorizedKeysFile $dir/authorized_keys
StrictModes no
PidFile none
UsePAM no
UseDNS no
PasswordAuthentication yes
KbdInteractiveAuthentication no
AllowUsers $user
PrintLastLog no
PrintMotd no
LogLevel VERBOSE
MaxStartups 200
Subsystem echo /bin/cat
END
    : >"$dir/log"
    "$(command -v sshd)" -D -e -f "$dir/sshd_config" 2>"$dir/log" </dev/null &
    pid=$!
    while kill -0 "$pid" 2>/dev/null; do
        if grep -q 'Server listening' "$dir/log"; then
            return 0
        fi
        sleep 0.02
    done
    wait "$pid" 2>/dev/null || true
    pid=
    return 1
}

obey() {
    case $1 in
    rekey)
        halt
        new_host_key ed25519
        launch && echo done
        ;;
    keys) new_keys && echo done ;;
    cut) cut_connections && echo done ;;
    stop) halt && echo done ;;
    start) launch && echo done ;;
    processes) below "$pid" | wc -l ;;
    *) say "$1 is no order" ;;
    esac
}

lines=
for line in "$@"; do
    lines="$lines$line
"
done

# A port may be taken between the guess and the bind: then the server ends and the next is tried.
tries=0
while [ "$tries" -lt 10 ]; do
    tries=$((tries + 1))
    port=$(shuf -i 20000-32000 -n 1)
    if launch; then
        echo "port=$port dir=$dir"
        # Whoever started this holds the other end; its exit, however it comes, ends this read.
        while read -r order; do
            obey "$order"
        done
        exit 0
    fi
done
cat "$dir/log" >&2
say "the server did not start"
exit 1
