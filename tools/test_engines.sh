#!/usr/bin/env bash
# Run the suites that judge an engine on each engine that this machine has, but for the one that is
# chosen by itself, which every other run takes (--all: on that one too), and those in $EXCEPT.
#
#   PARTS="suites stress"   which of the two; both, if not said
set -uo pipefail
cd "$(dirname "$0")/.." || exit
tools/venv.sh .venv test
python=.venv/bin/python
# shellcheck disable=SC2086
names=$($python - "${1:-}" ${EXCEPT:-} <<'PYTHON'
import sys

from proactor.engines import choose

chosen = choose.current()
refused = chosen.describe().refused.items()
others = [name for name, why in refused if "asks for it" in why and name not in sys.argv[2:]]
print(*([chosen.name] if sys.argv[1] == "--all" else []), *others)
PYTHON
) || exit
run_suites() {
    echo "== the engine $1"
    PROACTOR_ENGINE=$1 $python -m pytest -q -n "${WORKERS:-4}" --dist worksteal -m "not stress" \
        -p no:cacheprovider \
        tests/conformance tests/models tests/native tests/port tests/scenarios tests/server \
        tests/streams tests/differential/test_regressions.py tests/faults/test_descriptors.py \
        tests/faults/test_races.py
}
run_stress() {
    echo "== the engine $1 under stress"
    PROACTOR_ENGINE=$1 $python -m pytest -q -m stress --timeout 300 \
        -o faulthandler_timeout=290 tests/stress
}
status=0
for name in $names; do
    for part in ${PARTS:-suites stress}; do
        "run_$part" "$name" || status=1
    done
done
if [ -z "$names" ]; then echo "LEFT OUT: no other engine runs on this machine"; fi
exit $status
