#!/usr/bin/env bash
# Print the path of a Python that can run this project.
#
#   tools/find_python.sh         any Python from 3.11 on; $PYTHON, if set, is the only candidate
#   tools/find_python.sh 3.12    that version exactly; prints nothing and fails where it is not installed
set -u
exact=${1:-}

# Running a candidate is the only reliable question: a version switcher puts commands on the PATH
# that exist but refuse to start, and some systems ship a Python without `venv`.
answer() {
    command -v "$1" >/dev/null && "$1" - "$exact" 2>/dev/null <<'PYTHON'
import ensurepip, sys, venv
exact = sys.argv[1]
running = "{}.{}".format(*sys.version_info[:2])
fits = running == exact if exact else sys.version_info >= (3, 11)
print(sys.executable) if fits else sys.exit(1)
PYTHON
}

if [ -n "${PYTHON:-}" ] && [ -z "$exact" ]; then
    answer "$PYTHON" && exit
    echo "PYTHON=$PYTHON is not a Python 3.11 or newer with the venv module." >&2
    exit 1
fi

if [ -n "$exact" ]; then
    names=python$exact
    pyenv_names=$exact
else
    names="python3.11 python3 python3.12 python3.13 python3.14 python"
    pyenv_names="3.11 3.12 3.13 3.14"
fi
for name in $names; do
    answer "$name" && exit
done
for name in $pyenv_names; do
    for folder in "${PYENV_ROOT:-$HOME/.pyenv}"/versions/"$name".* "$HOME"/.pyenv/versions/"$name".*; do
        answer "$folder/bin/python" && exit
    done
done
[ -n "$exact" ] ||
    echo "proactor needs Python 3.11 or newer with the venv module, and none was found" \
        "on the PATH. Install one, or name it: make PYTHON=/path/to/python3 ..." >&2
exit 1
