#!/usr/bin/env bash
# Run the suites on a CPython without a GIL, on every engine of this machine.
#
#   tools/test_free.sh [PYTEST ARGS]
#
#   PROACTOR_FREE_PYTHON=...   which interpreter, if it is neither python3.1Xt nor one of pyenv's
#
# Where there is none the run is left out with one loud line; a test that fails always fails.
set -uo pipefail
cd "$(dirname "$0")/.." || exit

is_free() { "$1" -c 'import sysconfig; raise SystemExit(not sysconfig.get_config_var("Py_GIL_DISABLED"))' 2>/dev/null; }

find_free() {
    local candidate
    for candidate in "${PROACTOR_FREE_PYTHON:-}" python3.15t python3.14t python3.13t \
        "${PYENV_ROOT:-$HOME/.pyenv}"/versions/*t/bin/python3; do
        if [ -n "$candidate" ] && command -v "$candidate" >/dev/null && is_free "$candidate"; then
            command -v "$candidate"
            return
        fi
    done
    return 1
}

python=$(find_free) || {
    echo "LEFT OUT: no CPython without a GIL on this machine (PROACTOR_FREE_PYTHON names one)"
    exit 0
}
# The newest of these are partly in Rust, and have no wheel for every such interpreter: older ones do.
PIP_ONLY_BINARY=hypothesis,psutil,pydantic,pydantic-core PYTHON=$python \
    tools/venv.sh .venvs/free test || exit
python=.venvs/free/bin/python
status=0
engines=$($python -c '
import sys
from proactor.engines import choose
chosen = choose.current()
refused = chosen.describe().refused.items()
assert not sys._is_gil_enabled(), "importing proactor has switched the GIL on"
print(chosen.name, *(name for name, why in refused if "asks for it" in why))
') || exit
# What the tests import may not be made for this, and must not switch the GIL on.
export PYTHON_GIL=0
for name in $engines; do
    echo "== without a GIL, the engine $name"
    PROACTOR_ENGINE=$name $python -m pytest -q -n "${WORKERS:-4}" --dist worksteal \
        -m "not stress and not heavy" -p no:cacheprovider "$@" || status=1
    echo "== without a GIL, the engine $name under stress"
    PROACTOR_ENGINE=$name $python -m pytest -q -m stress --timeout 300 \
        -o faulthandler_timeout=290 -p no:cacheprovider tests/stress || status=1
done
exit $status
