#!/usr/bin/env bash
# Run the tests on each supported CPython that this machine has, each in its own environment.
#
#   tools/test_all.sh [--other] [PYTEST ARGS]
#
# --other leaves out the version that .venv has, unless it is the only one.
set -uo pipefail
cd "$(dirname "$0")/.." || exit
# What was chosen for .venv must not choose here.
unset PYTHON

versions=""
for version in 3.11 3.12 3.13; do
    if tools/find_python.sh "$version" >/dev/null; then
        versions="$versions $version"
    else
        echo "CPython $version is not installed: left out"
    fi
done
if [ "${1:-}" = --other ]; then
    shift
    has=$(.venv/bin/python -c 'import sys; print("{}.{}".format(*sys.version_info))' 2>/dev/null)
    others=${versions/ $has/}
    versions=${others:-$versions}
fi

failed=""
for version in $versions; do
    echo "== CPython $version"
    tools/venv.sh ".venvs/$version" test "$version" &&
        ".venvs/$version/bin/python" -m pytest -q -n "${WORKERS:-4}" --dist worksteal \
            -m "not stress and not heavy" -p no:cacheprovider "$@" || failed="$failed $version"
done
[ -n "$versions" ] || { echo "No CPython from 3.11 to 3.13 was found." >&2 && exit 1; }
[ -z "$failed" ] || { echo "FAILED on$failed" >&2 && exit 1; }
echo "Passed on$versions"
