#!/usr/bin/env bash
# Makes .venv hold exactly what infra/lock/<kind>.txt pins, with Nightmill itself installed for editing.
# Usage: infra/setup.sh [cpu|gpu]; infra/setup.sh renew [--upgrade] writes the lock files anew from pyproject.toml.
# PYTHON names the interpreter, TORCH_INDEX a mirror of PyTorch's CPU index.
set -euo pipefail
cd "$(dirname "$0")/.."

kind=${1:-cpu}
lock=infra/lock/$kind.txt
stamp=.venv/.nightmill-setup
needed_gib=6
quiet=()
[ -t 2 ] || quiet=(--quiet)
torch_index=${TORCH_INDEX:-https://download.pytorch.org/whl/cpu}

fail() {
    echo "setup: $*" >&2
    exit 1
}

require_java() {
    local java=${JAVA_HOME:+$JAVA_HOME/bin/}java major
    major=$("$java" -version 2>&1 | sed -nE '1,3s/.* version "(1\.)?([0-9]+).*/\2/p' || true)
    [ "${major:-0}" -ge 17 ] && return
    fail "Spark needs Java 17 or newer${JAVA_HOME:+ (JAVA_HOME is $JAVA_HOME)}; on Debian/Ubuntu install it with:" \
        "apt-get install openjdk-17-jre-headless"
}

# A version manager's shim answers to a name without having the interpreter: only one that runs counts.
supported_python() {
    "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null
}

# The oldest version first: the locks are made and tested on it.
find_python() {
    local candidate
    if [ -n "${PYTHON:-}" ]; then
        supported_python "$PYTHON" || fail "PYTHON=$PYTHON is not a working Python 3.11 to 3.13; name one or unset PYTHON"
        echo "$PYTHON"
        return
    fi
    for candidate in python3.11 python3.12 python3.13 python3; do
        supported_python "$candidate" && echo "$candidate" && return
    done
    fail "no Python 3.11 to 3.13 was found; install one (Debian/Ubuntu: apt-get install python3 python3-venv)" \
        "or name it: make setup PYTHON=/path/to/python3.11"
}

make_venv() {
    if ! supported_python .venv/bin/python; then
        "$python" -m venv --clear .venv >/dev/null 2>&1 || uv venv --quiet --clear --python "$python" .venv ||
            fail "$python cannot make a virtual environment; on Debian/Ubuntu: apt-get install python3-venv"
    fi
    uv=$(command -v uv) && return
    [ -x .venv/bin/uv ] || .venv/bin/python -m pip install --quiet "$(grep '^uv==' "$lock")" ||
        fail "uv could not be installed with pip; see pip's message above"
    uv=.venv/bin/uv
}

# The lines of `pip config list` look like global.find-links='/a /b', with \n between values on several lines.
pip_setting() {
    sed -nE "s/^global\.$1='(.*)'$/\1/p" <<<"$pip_config" | sed 's/\\n/ /g'
}

web_addresses() {
    tr -s '[:space:]' '\n' | grep -E '^https?://' | paste -sd' ' - || true
}

# uv does not read pip's configuration; a mirror or a folder of wheels named there has to be passed on.
adopt_pip_settings() {
    local place index extra cert pip_config
    pip_config=$("$python" -m pip config list 2>/dev/null || .venv/bin/python -m pip config list 2>/dev/null || true)
    sources=()
    for place in ${PIP_FIND_LINKS:-$(pip_setting find-links)}; do
        sources+=(--find-links "$place")
    done
    index=$(web_addresses <<<"${PIP_INDEX_URL:-$(pip_setting index-url)}")
    extra=$(web_addresses <<<"${PIP_EXTRA_INDEX_URL:-$(pip_setting extra-index-url)}")
    cert=${PIP_CERT:-$(pip_setting cert)}
    [ -z "$index" ] || export UV_DEFAULT_INDEX=${UV_DEFAULT_INDEX:-$index}
    # pip takes the best match of all its indexes, uv by default only looks at the first that has the name
    [ -z "$extra" ] || export UV_INDEX=${UV_INDEX:-$extra} UV_INDEX_STRATEGY=${UV_INDEX_STRATEGY:-unsafe-best-match}
    [ -z "$cert" ] || export SSL_CERT_FILE=${SSL_CERT_FILE:-$cert}
}

# The CPU build of torch is on no general registry: taken from the configured sources where they have it, so that
# PyTorch's index is only asked when it has to be. `sync` then finds the pin satisfied.
install_torch() {
    local pin
    pin=$(grep -oE '^torch==[^ ;]+\+cpu' "$lock") || return 0
    "$uv" pip install --quiet --python .venv --no-deps "${sources[@]}" "$pin" 2>/dev/null ||
        "$uv" pip install "${quiet[@]}" --python .venv --no-deps --default-index "$torch_index" "$pin" ||
        fail "$pin could not be fetched from $torch_index; name a mirror with TORCH_INDEX, or a folder that has" \
            "the wheel with PIP_FIND_LINKS"
}

install() {
    local free_gib
    free_gib=$(($(df -Pk . | awk 'NR == 2 {print $4}') / 1024 / 1024))
    [ -d .venv/bin ] || [ "$free_gib" -ge "$needed_gib" ] ||
        fail "$PWD has $free_gib GiB free and the environment needs $needed_gib; free some space"
    echo "setup: installing $lock into .venv (about 5 GB, once)"
    python=$(find_python)
    make_venv
    adopt_pip_settings
    install_torch
    # `sync` installs the lock and nothing else; `install -r` would resolve again and add torchvision and others
    # Compiled once here: where PYTHONDONTWRITEBYTECODE is set, every command would compile it all anew.
    "$uv" pip sync "${quiet[@]}" --python .venv --compile-bytecode "${sources[@]}" "$lock"
    "$uv" pip install --quiet --python .venv --no-deps --no-build-isolation --editable .
    .venv/bin/python -c 'import ctypes; ctypes.CDLL("libgomp.so.1")' 2>/dev/null ||
        fail "LightGBM needs the OpenMP library libgomp; install it with: apt-get install libgomp1"
}

renew() {
    local kind
    local compile=(.venv/bin/uv pip compile --quiet --universal --python-version 3.11 --no-annotate
        --custom-compile-command "make lock" "$@")
    python=.venv/bin/python
    adopt_pip_settings
    compile+=("${sources[@]}")
    "${compile[@]}" --group feast -o infra/lock/feast.txt
    "${compile[@]}" --group rectools -o infra/lock/rectools.txt
    compile+=(pyproject.toml --extra dev)
    "${compile[@]}" --extra cpu -o infra/lock/cpu.txt 2>/dev/null ||
        "${compile[@]}" --extra cpu -o infra/lock/cpu.txt --index "$torch_index" --index-strategy unsafe-best-match
    "${compile[@]}" --extra gpu -o infra/lock/gpu.txt
}

if [ "$kind" = renew ]; then
    renew "${@:2}"
    exit
fi
[ -f "$lock" ] || fail "there is no $lock; use one of: $(cd infra/lock && ls ./*pu.txt | sed 's|\./||; s|\.txt||' | paste -sd' ' -)"
case $(uname -sm) in
    "Linux x86_64" | "Linux aarch64") ;;
    *) fail "Nightmill runs on Linux x86_64 and aarch64, and this is $(uname -sm); use a Linux machine or container" ;;
esac
require_java

exec 9>.setup.lock
flock 9
wanted=$(cat "$lock" pyproject.toml infra/setup.sh | sha256sum)
if [ "$(cat "$stamp" 2>/dev/null)" != "$wanted" ] || ! supported_python .venv/bin/python; then
    rm -f "$stamp"
    install
    echo "$wanted" >"$stamp"
    echo "setup: done"
    [ "$kind" = gpu ] || ! nvidia-smi -L >/dev/null 2>&1 || echo "setup: this machine has a GPU; make setup LOCK=gpu uses it"
fi
