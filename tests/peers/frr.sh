#!/bin/sh
# A real command line of a router for the tests: FRRouting (zebra and staticd, in a network namespace of their
# own, so that no route of this machine changes), its vtysh the login shell of two users, behind three OpenSSH
# servers on free loopback ports.
#
#   frr.sh          starts everything, prints `normal=PORT legacy=PORT keyboard=PORT dir=DIR`, and stops it all
#                   when its standard input ends. Until then each line of its standard input is an order,
#                   answered by one line: `sessions` (how many vtysh run now), `cut` (kills every session).
#
# normal     OpenSSH as it comes
# legacy     takes group14-sha1 and group1-sha1, ssh-rsa, aes128-cbc and 3des-cbc, hmac-sha1 alone
# keyboard   takes keyboard-interactive alone (PAM, whose last round asks nothing), and one session a connection
#
# The users `relay-vty` and `relay-more` have the password `pass-of-a-test`; the second one's output is paged by
# more(1), 10 lines a page. DIR/staticd.log has a line for each configuration line that the daemon was given. Needs root.
# Exit status 3: FRRouting or OpenSSH cannot be had, or this machine makes no namespaces.
set -eu

say() { echo "frr.sh: $*" >&2; }

PATH=$PATH:/usr/sbin:/sbin
if [ "$(id -u)" != 0 ]; then
    say "only root can let another user log in"
    exit 3
fi
if ! command -v vtysh >/dev/null 2>&1 || ! command -v sshd >/dev/null 2>&1 || ! command -v ip >/dev/null 2>&1; then
    if ! command -v apt-get >/dev/null 2>&1; then
        say "frr, openssh-server or iproute2 is not installed"
        exit 3
    fi
    export DEBIAN_FRONTEND=noninteractive
    { apt-get update && apt-get install -y --no-install-recommends frr openssh-server iproute2; } >&2 || exit 3
fi
if ! unshare -n true 2>/dev/null; then
    say "this machine makes no network namespaces"
    exit 3
fi

password=pass-of-a-test
users="relay-vty relay-more"
dir=$(mktemp -d "${TMPDIR:-/tmp}/cmp-relay-frr.XXXXXX")
pids=

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

cut_sessions() {
    for pid in $pids; do
        # shellcheck disable=SC2046 # a list of numbers
        slay $(below "$pid")
    done
}

finish() {
    cut_sessions
    for pid in $pids; do
        kill "$pid" 2>/dev/null || true
    done
    for file in "$dir"/run/*.pid; do
        [ -f "$file" ] && kill "$(cat "$file")" 2>/dev/null || true
    done
    rm -rf "$dir"
}
trap finish EXIT
trap 'exit 1' INT TERM

# --- the router -----------------------------------------------------------------------------------

mkdir -p "$dir/run" "$dir/etc" "$dir/saved" /run/sshd
chmod 755 "$dir"
chown frr:frrvty "$dir/run"
chmod 775 "$dir/run"
# Where `write memory` writes.
chown frr:frr "$dir/saved"
printf 'no service integrated-vtysh-config\nhostname sw1\n' >"$dir/etc/vtysh.conf"
: >"$dir/etc/frr.conf"
chown -R frr:frrvty "$dir/etc"
chmod 750 "$dir/etc"
chmod 660 "$dir"/etc/*.conf

for daemon in zebra staticd; do
    : >"$dir/$daemon.log"
    printf 'hostname sw1\nlog file %s/%s.log\nlog commands\n' "$dir" "$daemon" >"$dir/saved/$daemon.conf"
    chown frr:frr "$dir/saved/$daemon.conf" "$dir/$daemon.log"
done
# One namespace for both daemons.
unshare -n sh -e -c '
    dir=$1
    ip link set lo up
    for daemon in zebra staticd; do
        /usr/lib/frr/$daemon -d -f "$dir/saved/$daemon.conf" -i "$dir/run/$daemon.pid" \
            -z "$dir/run/zserv.api" --vty_socket "$dir/run" -P 0
    done
' sh "$dir" >&2

# --- the users ------------------------------------------------------------------------------------

# sshd runs a login shell, and a program as `shell -c PROGRAM`.
cat >"$dir/shell" <<END
#!/bin/sh
vtysh="/usr/bin/vtysh --config_dir $dir/etc --vty_socket $dir/run"
[ "\${1:-}" = -c ] && exec \$vtysh -c "\$2"
if [ "\$(id -un)" = relay-more ]; then
    stty rows 10
    export VTYSH_PAGER=/bin/more
fi
exec \$vtysh
END
chmod 755 "$dir/shell"

# Routers are started side by side, and the users are the same: their shell goes where the server says.
exec 9>/tmp/cmp-relay-frr.lock
flock 9
for user in $users; do
    id "$user" >/dev/null 2>&1 || useradd --create-home --home-dir "/home/$user" -G frrvty "$user"
    printf '#!/bin/sh\nexec "$CMP_RELAY_ROUTER/shell" "$@"\n' >"/home/$user/shell"
    chmod 755 "/home/$user/shell"
    usermod -s "/home/$user/shell" -aG frrvty "$user"
    echo "$user:$password" | chpasswd
done
flock -u 9
exec 9>&-

# --- the servers ----------------------------------------------------------------------------------

for type in ed25519 rsa; do
    ssh-keygen -q -t "$type" -N '' -f "$dir/hostkey_$type" </dev/null
done

launch() { # NAME PORT, further lines of sshd_config
    cat >"$dir/$1.conf" <<END
$3
Port $2
ListenAddress 127.0.0.1
HostKey $dir/hostkey_rsa
PidFile none
UsePAM no
UseDNS no
PasswordAuthentication yes
KbdInteractiveAuthentication no
AllowUsers $users
SetEnv CMP_RELAY_ROUTER=$dir
PrintLastLog no
PrintMotd no
LogLevel VERBOSE
MaxStartups 200
END
    : >"$dir/$1.log"
    "$(command -v sshd)" -D -e -f "$dir/$1.conf" 2>"$dir/$1.log" </dev/null &
    server=$!
    while kill -0 "$server" 2>/dev/null; do
        if grep -q 'Server listening' "$dir/$1.log"; then
            pids="$pids $server"
            return 0
        fi
        sleep 0.02
    done
    wait "$server" 2>/dev/null || true
    return 1
}

# A port may be taken between the guess and the bind: then the server ends and the next is tried.
serve() { # NAME LINES
    tries=0
    while [ "$tries" -lt 10 ]; do
        tries=$((tries + 1))
        port=$(shuf -i 20000-32000 -n 1)
        if launch "$1" "$port" "$2"; then
            return 0
        fi
    done
    cat "$dir/$1.log" >&2
    say "the server $1 did not start"
    exit 1
}

serve normal "HostKey $dir/hostkey_ed25519"
normal=$port
serve legacy "KexAlgorithms diffie-hellman-group14-sha1,diffie-hellman-group1-sha1
HostKeyAlgorithms ssh-rsa
Ciphers aes128-cbc,3des-cbc
MACs hmac-sha1"
legacy=$port
serve keyboard "HostKey $dir/hostkey_ed25519
UsePAM yes
PasswordAuthentication no
PubkeyAuthentication no
KbdInteractiveAuthentication yes
MaxSessions 1"
keyboard=$port

echo "normal=$normal legacy=$legacy keyboard=$keyboard dir=$dir"
# Whoever started this holds the other end; its exit, however it comes, ends this read.
while read -r order; do
    case $order in
    sessions)
        count=0
        for pid in $pids; do
            for session in $(below "$pid"); do
                [ "$(cat "/proc/$session/comm" 2>/dev/null)" = vtysh ] && count=$((count + 1))
            done
        done
        echo "$count"
        ;;
    cut) cut_sessions && echo done ;;
    *) say "$order is no order" ;;
    esac
done
