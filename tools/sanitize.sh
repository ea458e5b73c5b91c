#!/usr/bin/env bash
# Compile the C code with its unit tests and run them: as they are, under the address and
# undefined-behaviour sanitizers, and under the thread sanitizer. tests/native/core asks the kernel's
# side (rings, probe), tests/native/reactor the engine's (queues, reactor, ports, streams), and
# tests/native/load the load generator.
#
# The tests of streams run on readiness, and on each kind of io_uring that the kernel has. The thread
# sanitizer is for those that start threads.
#
#   tools/sanitize.sh [NAME ...]       only test_NAME.c of any; CC=... chooses a compiler
#   JOBS=N                             how many programs run at once; they wait more than they compute
#
# What this machine has not is left out with one loud line; a test that fails always fails.
set -uo pipefail
cd "$(dirname "$0")/.." || exit
core=src/proactor/engines/native/core load=src/proactor/load/core tests=tests/native
cc=${CC:-cc} jobs=${JOBS:-4}
started=$(date +%s)

left_out() { echo "LEFT OUT: $*"; }

if [ "$(uname -s)" != Linux ]; then left_out "the native core is for Linux" && exit; fi
if ! command -v "$cc" >/dev/null; then left_out "no C compiler ($cc) on this machine" && exit; fi

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

names=${*:-$(cd $tests && ls core/test_*.c reactor/test_*.c load/test_*.c)}
# The calls that a test can make fail go through functions of its own, or of its harness.
wraps_of() { grep -ohE '\b__wrap_\w+' "$@" | sort -u | sed 's/__wrap_/-Wl,--wrap=/'; }
# The thread sanitizer of older compilers cannot live with much randomness of addresses.
fixed=""
if setarch "$(uname -m)" -R true 2>/dev/null; then fixed="setarch $(uname -m) -R"; fi

# On what else than readiness a test of the engine runs; and which need no thread sanitizer.
drivers_of() {
    case $1 in
    streams | stream_in_turns | stream_sends | stream_ring | stream_races | stream_memory | groups | hands) echo "multishot classic basic" ;;
    esac
}
is_alone() {
    case $1 in
    abi | framing | refusals | send_queue | inbox | sockets | connections | load) true ;;
    *) false ;;
    esac
}

passed=0 failed=0 skipped=0

count() {
    local words
    words=$(grep -E '^(test_\w+\.c: )?[0-9]+ passed' "$1" | tail -1) || return
    [ -n "$words" ] || return
    words=${words#*: }
    read -r p _ f _ s _ <<<"$words"
    passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + ${s:-0}))
}

# compile_all SOURCES FLAGS...: one object for each source, named after it, as many at once as there
# are cores.
compile_all() {
    local sources=$1
    shift
    # shellcheck disable=SC2086
    printf '%s\0' $sources | xargs -0 -P "$(nproc)" -I{} \
        sh -c 'source=$1 folder=$2; shift 2
               exec "$@" -c "$source" -o "$folder/$(echo "$source" | tr / .).o"' \
        compile {} "$folder" "$cc" "$@"
}

# run_program PROGRAM OUTPUT: its words and its status go to files.
run_program() {
    $fixed timeout 120 "$1" >"$2" 2>&1
    echo $? >"$2.status"
}

# tell NAME TITLE OUTPUT: show what a program said, and count it. Of the tests that print a line each,
# only those that did not pass are shown.
tell() {
    local status
    status=$(cat "$3.status")
    if [ -n "$2" ]; then echo "-- $2"; fi
    if [ "$status" = 0 ] && [ -n "$2" ]; then
        grep -vE '^(ok|  cancelled) ' "$3"
    else
        cat "$3"
    fi
    if ! count "$3" || { [ "$status" != 0 ] && ! grep -q '^FAIL' "$3"; }; then
        echo "FAILED  test_$1.c ended with status $status"
        failed=$((failed + 1))
    fi
}

# link_test FAMILY NAME FLAGS...: the program of a test, from its source and the objects that it needs.
link_test() {
    local family=$1 name=$2 source=$tests/$1/test_$2.c objects wraps
    shift 2
    case $family in
    load) objects=("$folder/${load//\//.}".*.o) wraps=$(wraps_of "$source") ;;
    core)
        objects=("$folder/${core//\//.}".*.o "$folder/${tests//\//.}.core.harness.c.o")
        wraps=$(wraps_of "$source" "$tests/core/harness.c")
        ;;
    # The engine's tests bring a harness of their own, and the kernel as it is.
    reactor) objects=("$folder/${core//\//.}".*.o) wraps=$(wraps_of "$source") ;;
    esac
    # shellcheck disable=SC2086
    "$cc" "$@" "$source" "${objects[@]}" $wraps -pthread -o "$folder/test_$name"
}

# run_under TITLE FLAGS...: everything again, compiled with FLAGS.
run_under() {
    local title=$1 name family driver source includes told=()
    shift
    echo "== $title"
    echo 'int main(void) { return 0; }' >"$folder/empty.c"
    if ! "$cc" "$@" "$folder/empty.c" -o "$folder/empty" 2>/dev/null ||
        ! $fixed "$folder/empty"; then
        left_out "this machine's $cc cannot: $*"
        return
    fi
    local flags=(-std=gnu11 -O2 -g -Wall -Wextra -Werror "$@")
    rm -f "$folder"/*.o "$folder"/output.*
    compile_all "$(echo $core/*.c $tests/core/harness.c)" "${flags[@]}" -I"$core" &&
        compile_all "$(echo $load/*.c)" "${flags[@]}" -I"$load" ||
        { failed=$((failed + 1)); return; }
    for name in $names; do
        name=${name##*/} name=${name#test_} name=${name%.c}
        if [ "$title" = threads ] && is_alone "$name"; then continue; fi
        source=$(echo $tests/*/"test_$name.c")
        family=$(basename "$(dirname "$source")") includes=$core
        if [ "$family" = load ]; then includes=$load; fi
        if ! link_test "$family" "$name" "${flags[@]}" -I"$includes"; then
            failed=$((failed + 1))
            continue
        fi
        # The core's own harness begins its lines with the name.
        local words="test_$name.c"
        if [ "$family" = core ]; then words=""; fi
        told+=("$name|$words|$folder/output.$name")
        start "" "$folder/test_$name" "$folder/output.$name"
        for driver in $(drivers_of "$name"); do
            told+=("$name|$words, $driver|$folder/output.$name.$driver")
            start "$driver" "$folder/test_$name" "$folder/output.$name.$driver"
        done
    done
    wait
    local one parts
    for one in "${told[@]}"; do
        IFS='|' read -r -a parts <<<"$one"
        tell "${parts[0]}" "${parts[1]}" "${parts[2]}"
    done
}

# start DRIVER PROGRAM OUTPUT: in the background, once less than `jobs` run.
start() {
    while [ "$(jobs -rp | wc -l)" -ge "$jobs" ]; do wait -n; done
    if [ -n "$1" ]; then
        PA_DRIVER=$1 run_program "$2" "$3" &
    else
        run_program "$2" "$3" &
    fi
}

run_under "as it is"
run_under "address and undefined behaviour" -fsanitize=address,undefined -fno-sanitize-recover=all
run_under "threads" -fsanitize=thread

echo "$passed passed, $failed failed, $skipped skipped in $(($(date +%s) - started))s"
[ $failed = 0 ]
