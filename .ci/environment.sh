# Makes the virtual environment and installs hash-locked requirements into it. Sourced by ./demo and ./test.
# shellcheck shell=bash

# BESPEAK_VENV names another place for the environment, for instance outside of a read-only checkout.
venv="${BESPEAK_VENV:-$PWD/.venv}"

say() { printf '%s\n' "$*" >&2; }

# Print the first Python that is new enough.
find_python() {
    local name
    for name in python3 python3.14 python3.13 python3.12 python3.11; do
        if command -v "$name" >/dev/null 2>&1 &&
            "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then
            printf '%s\n' "$name"
            return 0
        fi
    done
    say "bespeak needs Python 3.11 or newer, and none was found (looked for python3 and python3.11 to python3.14)."
    say "On Debian 12 or Ubuntu 24.04: apt-get install python3 python3-venv"
    return 1
}

# Install Debian packages when we may; otherwise say which command would.
apt_install() {
    if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null 2>&1; then
        say "Installing $* (apt-get) ..."
        { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@"; } \
            >/dev/null 2>"${TMPDIR:-/tmp}/bespeak-apt.$$" && { rm -f "${TMPDIR:-/tmp}/bespeak-apt.$$"; return 0; }
        cat "${TMPDIR:-/tmp}/bespeak-apt.$$" >&2
        rm -f "${TMPDIR:-/tmp}/bespeak-apt.$$"
    fi
    say "Missing: $*. This brings it: sudo apt-get install $*"
    return 1
}

make_venv() {
    local python version
    [ -x "$venv/bin/python" ] && "$venv/bin/python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' && return 0
    python=$(find_python) || return 1
    if ! "$python" -c 'import ensurepip, venv' >/dev/null 2>&1; then
        version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
        apt_install "python$version-venv" || return 1
    fi
    say "Making ${venv#"$PWD"/} with $("$python" --version) ..."
    "$python" -m venv --clear "$venv"
}

# The hash of what an installation rests on: the named files, the place, and the Python that holds it.
stamp_of() {
    { cat "$@"; pwd; "$venv/bin/python" --version; } | sha256sum | cut -d ' ' -f 1
}

# stamped NAME FILE...: whether exactly these files were installed before; stamp NAME FILE...: remember that they are.
stamped() { [ "$(cat "$venv/.bespeak-$1" 2>/dev/null)" = "$(stamp_of "${@:2}")" ]; }
stamp() { stamp_of "${@:2}" >"$venv/.bespeak-$1"; }

pip_install() {
    "$venv/bin/python" -m pip install -qq --disable-pip-version-check --no-input "$@"
}

# install requirements.txt: into the environment, and the project itself, unless exactly this was installed before.
install() {
    local lock=$1
    make_venv || return 1
    if ! stamped "$lock" "$lock"; then
        say "Installing $lock into ${venv#"$PWD"/} (checked by hash; a minute or two the first time) ..."
        pip_install --require-hashes --requirement "$lock" || return 1
        stamp "$lock" "$lock"
        # The larger lock holds the smaller one, at the same versions.
        if [ "$lock" = requirements-dev.txt ]; then stamp requirements.txt requirements.txt; fi
    fi
    if ! stamped project pyproject.toml; then
        pip_install --no-deps --no-build-isolation --editable . || return 1
        stamp project pyproject.toml
    fi
}
