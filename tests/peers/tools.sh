#!/usr/bin/env bash
# Independent tools for the tests: an OpenAPI validator, a JSON Schema validator, schemathesis, and the
# YAML language server that editors use. All versions are pinned in tools/.
#
#   tools.sh python    the packages; prints the interpreter that has them
#   tools.sh editor    the language server, too; prints the folder with its node_modules
#
# Exit status 3: they cannot be had.
#
# TOOLS_VENV   the packages, kept between runs (default: ~/.cache/cmp-relay/tools)
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)/tools
venv=${TOOLS_VENV:-${XDG_CACHE_HOME:-$HOME/.cache}/cmp-relay/tools}
python=$venv/bin/python
requirements=$here/requirements.txt

say() { echo "tools: $*" >&2; }

# One at a time: tests ask for them in parallel.
mkdir -p "$(dirname "$venv")"
exec 9>"$venv.lock"
flock 9

packages_are_there() {
    [ -x "$python" ] && "$python" - "$requirements" <<'PY' 2>/dev/null
import sys
from importlib.metadata import version

lines = [line.split("#")[0].strip() for line in open(sys.argv[1])]
wanted = dict(line.split("==") for line in lines if line)
sys.exit(any(version(name) != pinned for name, pinned in wanted.items()))
PY
}

packages() {
    packages_are_there && return
    say "installing tools/requirements.txt into $venv"
    # In place of a half-made one: a marker cannot lie about what pip did, the versions can be asked.
    rm -rf "$venv"
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check --prefer-binary --no-deps \
        -r "$requirements" >&2
    packages_are_there
}

editor() {
    local folder=$venv/editor
    if ! cmp -s "$here/editor/package-lock.json" "$folder/node_modules/lock"; then
        say "installing tools/editor/package-lock.json into $folder"
        rm -rf "$folder"
        mkdir -p "$folder"
        cp "$here/editor/package.json" "$here/editor/package-lock.json" "$folder"
        # npm asks for `node` by its name.
        (cd "$folder" && PATH="$venv/bin:$PATH" npm ci --no-audit --no-fund --ignore-scripts --loglevel=error >&2)
        # Last, and so never beside a half-made one.
        cp "$folder/package-lock.json" "$folder/node_modules/lock"
    fi
    echo "$folder"
}

case ${1:-} in
    python)
        packages || exit 3
        echo "$python"
        ;;
    editor)
        packages && editor || exit 3
        ;;
    *)
        say "usage: tools.sh python | editor"
        exit 2
        ;;
esac
