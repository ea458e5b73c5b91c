#!/usr/bin/env bash
# Compile the C core with its unit tests and run them: as they are, under the address and
# undefined-behaviour sanitizers, and under the thread sanitizer. tests/native/core asks the kernel's
# side (rings, probe), tests/native/reactor the engine's (queues, reactor, ports, streams).
#
# The tests of streams run on readiness, and on each kind of io_uring that the kernel has. The thread
# sanitizer is for those that start threads.
#
#   tools/sanitize.sh [NAME ...]       only test_NAME.c of either; CC=... chooses a compiler
#
# What this machine has not is left out with one loud line; a test that fails always fails.
set -uo pipefail
cd "$(dirname "$0")/.." || exit
core=src/proactor/engines/native/core tests=tests/native/core
cc=${CC:-cc}
started=$(date +%s)

left_out() { echo "LEFT OUT: $*"; }

if [ "$(uname -s)" != Linux ]; then left_out "the native core is for Linux" && exit; fi
if ! command -v "$cc" >/dev/null; then left_out "no C compiler ($cc) on this machine" && exit; fi

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

reactor_tests=tests/native/reactor
names=${*:-$(cd $tests && echo test_*.c) $(cd $reactor_tests && echo test_*.c)}
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
    abi | framing | refusals | send_queue | inbox | sockets | connections) true ;;
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

# compile_core FLAGS...: one object for each file of the core, and the harness, as many at once as
# there are cores.
compile_core() {
    local source
    for source in "$core"/*.c "$tests/harness.c"; do
        printf '%s\0' "$source"
    done | xargs -0 -P "$(nproc)" -I{} \
        sh -c 'source=$1 folder=$2; shift 2; exec "$@" -c "$source" -o "$folder/${source##*/}.o"' \
        compile {} "$folder" "$cc" "$@"
}

# run_test PROGRAM NAME TITLE
run_test() {
    $fixed timeout 120 "$1" >"$folder/output" 2>&1
    local status=$?
    if [ -n "$3" ]; then echo "-- $3"; fi
    if [ $status = 0 ] && [ -n "$3" ]; then
        grep -vE '^(ok|  cancelled) ' "$folder/output"
    else
        cat "$folder/output"
    fi
    if ! count "$folder/output" || { [ $status != 0 ] && ! grep -q '^FAIL' "$folder/output"; }; then
        echo "FAILED  test_$2.c ended with status $status"
        failed=$((failed + 1))
    fi
}

# run_under TITLE FLAGS...: everything again, compiled with FLAGS.
run_under() {
    local title=$1 name program driver
    shift
    echo "== $title"
    echo 'int main(void) { return 0; }' >"$folder/empty.c"
    if ! "$cc" "$@" "$folder/empty.c" -o "$folder/empty" 2>/dev/null ||
        ! $fixed "$folder/empty"; then
        left_out "this machine's $cc cannot: $*"
        return
    fi
    local flags=(-std=gnu11 -O2 -g -Wall -Wextra -Werror -I"$core" "$@")
    rm -f "$folder"/*.o
    compile_core "${flags[@]}" || { failed=$((failed + 1)); return; }
    local objects=("$folder"/*.c.o) source_of of_core
    for name in $names; do
        name=${name#test_} name=${name%.c} program=$folder/test_$name
        if [ "$title" = threads ] && is_alone "$name"; then continue; fi
        source_of=$tests/test_$name.c of_core=yes
        # The engine's tests bring a harness of their own, and the kernel as it is.
        if [ ! -e "$source_of" ]; then source_of=$reactor_tests/test_$name.c of_core=; fi
        local with=("${objects[@]}") wrapped
        if [ -z "$of_core" ]; then with=("${objects[@]/*\/harness.c.o/}"); fi
        wrapped=$(wraps_of "$source_of" ${of_core:+$tests/harness.c})
        # shellcheck disable=SC2046,SC2086
        if ! "$cc" "${flags[@]}" "$source_of" $(printf '%s\n' "${with[@]}") $wrapped \
            -pthread -o "$program"; then
            failed=$((failed + 1))
            continue
        fi
        run_test "$program" "$name" "$([ -n "$of_core" ] || echo "test_$name.c")"
        for driver in $(drivers_of "$name"); do
            PA_DRIVER=$driver run_test "$program" "$name" "test_$name.c, $driver"
        done
    done
}

run_under "as it is"
run_under "address and undefined behaviour" -fsanitize=address,undefined -fno-sanitize-recover=all
run_under "threads" -fsanitize=thread

echo "$passed passed, $failed failed, $skipped skipped in $(($(date +%s) - started))s"
[ $failed = 0 ]
