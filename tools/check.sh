#!/usr/bin/env bash
# Run the named checks one after another: format, lint, types, layers, cover.
# All of them run, also after a failure, so that one run shows everything that is wrong.
set -uo pipefail
cd "$(dirname "$0")/.." || exit
tools/venv.sh .venv dev || exit
bin=.venv/bin

check_format() { $bin/ruff format --check --quiet --diff .; }
check_lint() { $bin/ruff check --quiet .; }
# The engines of other systems are checked too, as mypy would see them there.
check_types() {
    local platform failed=0
    for platform in linux win32; do
        echo "as on $platform:"
        $bin/mypy --platform "$platform" --cache-dir ".mypy_cache/$platform" || failed=1
    done
    return $failed
}
check_layers() { $bin/python -m tools.layers; }
# On the engine in Python, which is the reference: what runs in C is not seen by this tool.
check_cover() {
    local -x PROACTOR_ENGINE=${PROACTOR_ENGINE:-$($bin/python -c "import sys
print('iocp' if sys.platform == 'win32' else 'selectors')")}
    $bin/coverage erase
    $bin/coverage run -m pytest -q -m "not stress and not heavy" || return
    $bin/coverage combine -q && $bin/coverage report
}

failed=""
for name in "$@"; do
    echo "== $name"
    "check_$name" || failed="$failed $name"
done
[ -z "$failed" ] || { echo "FAILED:$failed" >&2 && exit 1; }
