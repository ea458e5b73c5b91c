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

# Environments one after the other, since they build into one tree; then the tests side by side.
# Job control: without it what runs beside would be deaf to Ctrl-C, which some tests send.
set -m
failed="" ready="" runs=$(mktemp -d)
trap 'rm -rf "$runs"' EXIT
for version in $versions; do
    if tools/venv.sh ".venvs/$version" test "$version"; then
        ready="$ready $version"
        ".venvs/$version/bin/python" -m pytest -q -m "not stress and not heavy" -p no:cacheprovider "$@" \
            >"$runs/$version" 2>&1 &
        echo $! >"$runs/$version.id"
    else
        failed="$failed $version"
    fi
done
for version in $ready; do
    wait "$(cat "$runs/$version.id")" || failed="$failed $version"
    echo "== CPython $version"
    cat "$runs/$version"
done
[ -n "$versions" ] || { echo "No CPython from 3.11 to 3.13 was found." >&2 && exit 1; }
[ -z "$failed" ] || { echo "FAILED on$failed" >&2 && exit 1; }
echo "Passed on$versions"
