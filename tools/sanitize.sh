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

# The folder that a test is in says what it needs.
family_of() { basename "$(dirname "$tests"/*/"test_$1.c")"; }

# run_program NAME [DRIVER]: its words and its status go to files.
run_program() {
    local output=$folder/output.$1.${2:-}
    # shellcheck disable=SC2086
    $fixed ${2:+env PA_DRIVER=$2} timeout 120 "$folder/test_$1" >"$output" 2>&1
    echo $? >"$output.status"
}

# tell NAME [DRIVER]: show what a program said, and count it. Of the tests that print a line each, only
# those that did not pass are shown.
tell() {
    local output=$folder/output.$1.${2:-} status
    status=$(cat "$output.status")
    # The core's own harness begins its lines with the name, and is silent of what passed.
    if [ "$(family_of "$1")" != core ]; then echo "-- test_$1.c${2:+, $2}"; fi
    if [ "$status" = 0 ]; then grep -vE "^(ok|  cancelled) " "$output"; else cat "$output"; fi
    if ! count "$output" || { [ "$status" != 0 ] && ! grep -q '^FAIL' "$output"; }; then
        echo "FAILED  test_$1.c ended with status $status"
        failed=$((failed + 1))
    fi
}

# link_test NAME FLAGS...: its program, from its source and the objects that it needs.
link_test() {
    local name=$1 source includes=$core harness=""
    source=$(echo "$tests"/*/"test_$1.c")
    shift
    # The engine's tests bring a harness of their own, and the kernel as it is.
    case $(family_of "$name") in
    load) includes=$load ;;
    core) harness=$tests/core/harness.c ;;
    esac
    # shellcheck disable=SC2046,SC2086
    "$cc" "$@" -I"$includes" "$source" "$folder/${includes//\//.}".*.o \
        ${harness:+"$folder/${harness//\//.}.o"} $(wraps_of "$source" $harness) \
        -pthread -o "$folder/test_$name"
}

# run_under TITLE FLAGS...: everything again, compiled with FLAGS.
run_under() {
    local title=$1 name driver one told=()
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
        if ! link_test "$name" "${flags[@]}"; then
            failed=$((failed + 1))
            continue
        fi
        for driver in "" $(drivers_of "$name"); do
            while [ "$(jobs -rp | wc -l)" -ge "$jobs" ]; do wait -n; done
            run_program "$name" "$driver" &
            told+=("$name $driver")
        done
    done
    wait
    # shellcheck disable=SC2086
    for one in "${told[@]}"; do tell $one; done
}

run_under "as it is"
run_under "address and undefined behaviour" -fsanitize=address,undefined -fno-sanitize-recover=all
run_under "threads" -fsanitize=thread

echo "$passed passed, $failed failed, $skipped skipped in $(($(date +%s) - started))s"
[ $failed = 0 ]
