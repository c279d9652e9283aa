"""A program under valgrind's callgrind: started, zeroed, dumped; what its functions cost, and whose they are."""

import collections
import ctypes
import os
import re
import struct
import subprocess

# A string of repeated moves counts as one instruction a byte: let libc move 32 bytes with one, as it does below these bounds.
TUNABLES = "glibc.cpu.x86_rep_movsb_threshold=1000000000:glibc.cpu.x86_rep_stosb_threshold=1000000000"

# Crates, and the layer that they are counted to.
CRATES = {
    "hyper": "hyper httparse",
    "hyper-util": "hyper_util tower_service",
    "http, bytes": "http http_body http_body_util bytes",
    "axum, tower, matchit": "axum axum_core tower tower_layer matchit",
    "tokio, futures": "tokio tokio_util mio futures_core futures_util futures_channel futures_executor parking_lot parking_lot_core socket2 slab atomic_waker arc_swap",
    "serde_json": "serde_json serde serde_core itoa ryu zmij memchr",
    "handlebars": "handlebars pest",
    "jsonpath": "jsonpath_rust",
    "jsonschema": "jsonschema referencing regex regex_automata fancy_regex aho_corasick",
    "sqlx": "sqlx sqlx_core sqlx_sqlite sqlx_mysql flume libsqlite3_sys",
    "tracing": "tracing tracing_core tracing_subscriber tracing_log log",
    "metrics": "metrics metrics_exporter_prometheus metrics_util sketches_ddsketch quanta",
    "ring": "ring",
    "TLS": "rustls tokio_rustls openssl openssl_sys hyper_openssl webpki",
    "allocator": "mimalloc libmimalloc_sys tikv_jemallocator",
    "maps, hashing": "indexmap hashbrown foldhash ahash fnv siphasher",
}
LAYER = {crate: layer for layer, crates in CRATES.items() for crate in crates.split()}

ALLOCATES = re.compile(r"^(_int_)?(malloc|free|realloc|calloc|memalign)\b|^(malloc_consolidate|unlink_chunk|sysmalloc|systrim|_mid_memalign|tcache)|^_?_?mi_|^_rjem|^__?rust_|^__libc_(malloc|free)|posix_memalign|aligned_alloc|^(alloc_perturb|arena_get)")
COPIES = re.compile(r"^_*(mem(cpy|move|set|cmp|chr|rchr)|bcmp|str(len|cmp|chr|ncmp))")
CRYPTO = re.compile(r"^(SSL|EVP|OSSL|ossl|OPENSSL|CRYPTO|BIO|ERR|X509|ASN1|BN|EC|RSA|RAND|tls|ssl|evp|sha\d|aes|gcm|bn)_")


def layer(function, where):
    """Whose work a function is, by its name and by the object that it lies in."""
    name = function.split("'")[0]
    if ALLOCATES.search(name):
        return "allocator"
    if COPIES.search(name):
        return "memcpy, memset, memcmp"
    if "relay" not in where:
        return "libc"
    if name.startswith("ring_core_"):
        return "ring"
    if "::" not in name:
        return "TLS" if CRYPTO.search(name) else "libsqlite3"
    # A generic one is named after the first crate in it that is not the standard library.
    crates = re.findall(r"(?<![\w:])([a-z_]\w*)::(\w+)?", name)
    for crate, module in crates:
        if crate == "cmp_relay":
            return f"cmp_relay::{module}"
        if crate not in ("core", "alloc", "std"):
            return LAYER.get(crate, "other crates")
    if "::hash::" in name or "::collections::hash" in name:
        return "maps, hashing"
    return "core, alloc, std"


def hide_auxv():
    """Fails PR_GET_AUXV from here on, as before Linux 6.4: it gives the kernel's own vector, with a vDSO that valgrind has hidden."""
    prctl, allow, refuse = 157, 0x7FFF0000, 0x00050016
    steps = [(0x20, 0, 0, 0), (0x15, 0, 3, prctl), (0x20, 0, 0, 16), (0x15, 0, 1, 0x41555856), (6, 0, 0, refuse), (6, 0, 0, allow)]
    code = b"".join(struct.pack("HBBI", *step) for step in steps)
    kept = ctypes.create_string_buffer(code, len(code))
    program = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(steps), ctypes.addressof(kept)))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(38, 1, 0, 0, 0) or libc.prctl(22, 2, program, 0, 0):
        raise OSError(ctypes.get_errno(), "no filter of system calls could be set")


def under_callgrind(argv, out):
    """The command line that runs `argv` under callgrind; dumps are `out`.1 and so on."""
    options = [f"--callgrind-out-file={out}", "--compress-strings=no", "--compress-pos=no", "--dump-line=no"]
    return ["env", f"GLIBC_TUNABLES={TUNABLES}", "python3", os.path.abspath(__file__), "valgrind", "--tool=callgrind", *options, *argv]


def control(pid, word):
    done = subprocess.run(["callgrind_control", word, str(pid)], capture_output=True, text=True)
    if "OK." not in done.stdout:
        raise RuntimeError(f"callgrind_control {word}: {done.stdout}{done.stderr}")


class Costs:
    """A dump: what each function costs itself and with what it calls, and what calls from one to another cost."""

    def __init__(self, path):
        self.own, self.whole, self.calls = (collections.Counter() for _ in range(3))
        where = function = called = None
        with open(path, encoding="utf-8", errors="replace") as dump:
            for line in dump:
                key, _, value = line.rstrip("\n").partition("=")
                if key == "ob":
                    where = value
                elif key == "fn":
                    function = value
                elif key == "cfn":
                    called = value
                elif line[0].isdigit():
                    cost = int(line.split()[1])
                    self.whole[function] += cost
                    if called is None:
                        self.own[function, where] += cost
                    else:
                        self.calls[function, called] += cost
                        called = None
        self.total = sum(self.own.values())

    def layers(self):
        found = collections.Counter()
        for (function, where), cost in self.own.items():
            found[layer(function, where)] += cost
        return found


if __name__ == "__main__":
    import sys

    hide_auxv()
    os.execvp(sys.argv[1], sys.argv[1:])
