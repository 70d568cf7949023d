# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=bash
# Sourced by tests/all and tests/demo: makes a virtual environment outside the tree, and sets `python` to its Python.

_USABLE='import sys, venv
try:
    import ensurepip
except ImportError:
    import pip
sys.exit(sys.version_info < (3, 10))'

find_python() {
    local candidate
    # Distributions let Python's compiler learn from a run, and who builds it alone often does not: the tests take a fifth longer.
    for candidate in "${OPENTALK_TEST_PYTHON:-}" /usr/bin/python3 python3 python3.13 python3.12 python3.11 python3.10; do
        if [ -n "$candidate" ] && "$candidate" -c "$_USABLE" 2>/dev/null; then
            command -v "$candidate"
            return
        fi
    done
    echo "Python 3.10 or newer with its module venv is needed (Debian: python3-venv); name it with OPENTALK_TEST_PYTHON." >&2
    return 1
}

# Usage: make_environment REQUIREMENTS_FILE
make_environment() {
    local base stamp directory
    base=$(find_python) || return 1
    # A new Python or other requirements make a new environment.
    stamp=$( ("$base" -c 'import sys; print(sys.version, sys.prefix)'; cat "$1") | cksum | cut -d ' ' -f 1)
    directory=${XDG_CACHE_HOME:-$HOME/.cache}/opentalk-maintenance/venv-$stamp
    if [ ! -e "$directory/complete" ]; then
        echo "Installing Python packages into a virtual environment ..."
        rm -rf "$directory"
        mkdir -p "$directory"
        if ! "$base" -m venv "$directory" 2>/dev/null; then
            # Distributions that split Python come without ensurepip.
            rm -rf "$directory"
            "$base" -m pip install --quiet --target "$directory/bootstrap" virtualenv
            PYTHONPATH="$directory/bootstrap" "$base" -m virtualenv --quiet "$directory"
        fi
        "$directory/bin/python" -m pip install --quiet --disable-pip-version-check -r "$1" || return 1
        touch "$directory/complete"
    fi
    export python=$directory/bin/python
    PATH=$directory/bin:$PATH
    export PATH
}
