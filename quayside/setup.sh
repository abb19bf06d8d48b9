#!/bin/sh
# Makes .venv with exactly the packages of the requirements files given, and only when they have changed since.
# Installs python3-venv first where Debian's Python comes without it. Touches nothing else.
set -eu

fail() {
    printf '%s\n' "$1" >&2
    exit 1
}

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif command -v sudo >/dev/null 2>&1; then
        sudo "$@"
    else
        fail "this needs root: $*"
    fi
}

find_python() {
    for candidate in python3.11 python3.12 python3.13 python3.14 python3; do
        if command -v "$candidate" >/dev/null 2>&1 &&
            "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then
            printf '%s\n' "$candidate"
            return 0
        fi
    done
    return 1
}

install_python() {
    command -v apt-get >/dev/null 2>&1 || fail "Python 3.11 or newer with its venv module is needed: install it, then run this again"
    echo "installing python3-venv from Debian's packages"
    as_root apt-get update -qq
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends python3 python3-venv ca-certificates >/dev/null
}

cd "$(dirname "$0")/.."
# One stamp a file: `make up` needs fewer packages than `make test`, and neither undoes the other.
stamp_of() { printf '.venv/%s.sum' "${1##*/}"; }
sum_of() { cat "$1" quayside/setup.sh | cksum; }

for file in "$@"; do
    if ! [ -x .venv/bin/python ] || [ "$(cat "$(stamp_of "$file")" 2>/dev/null)" != "$(sum_of "$file")" ]; then
        set -- "$@" "$file"
    fi
    shift
done
[ $# -gt 0 ] || exit 0

python=$(find_python) || { install_python && python=$(find_python); } ||
    fail "Python 3.11 or newer is needed, and this system's is older"
"$python" -c 'import ensurepip, venv' >/dev/null 2>&1 || { install_python && python=$(find_python); }

echo "installing into .venv"
.venv/bin/python -m pip --version >/dev/null 2>&1 || "$python" -m venv --clear .venv
for file in "$@"; do
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-input --require-hashes -r "$file"
    sum_of "$file" >"$(stamp_of "$file")"
done
printf '#!/bin/sh\nPYTHONPATH="%s" exec "%s/.venv/bin/python" -m quayside "$@"\n' "$PWD" "$PWD" >.venv/bin/quayside
chmod +x .venv/bin/quayside
