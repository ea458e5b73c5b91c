#!/usr/bin/env bash
# Compile the C core with its unit tests and run them: as they are, under the address and
# undefined-behaviour sanitizers, and under the thread sanitizer. tests/native/core asks the kernel's
# side (rings, probe), tests/native/reactor the engine's (queues, reactor, ports).
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
# The calls that reach the kernel go through the harness, which can make it refuse.
wraps=$(grep -oE '\b__wrap_\w+' $tests/harness.c | sort -u | sed 's/__wrap_/-Wl,--wrap=/')
# The thread sanitizer of older compilers cannot live with much randomness of addresses.
fixed=""
if setarch "$(uname -m)" -R true 2>/dev/null; then fixed="setarch $(uname -m) -R"; fi

passed=0 failed=0 skipped=0

count() {
    local words
    words=$(grep -E '^(test_\w+\.c: )?[0-9]+ passed' "$1" | tail -1) || return
    [ -n "$words" ] || return
    words=${words#*: }
    read -r p _ f _ s _ <<<"$words"
    passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + ${s:-0}))
}

# run_under TITLE FLAGS...: everything again, compiled with FLAGS.
run_under() {
    local title=$1 name file program source
    shift
    echo "== $title"
    echo 'int main(void) { return 0; }' >"$folder/empty.c"
    if ! "$cc" "$@" "$folder/empty.c" -o "$folder/empty" 2>/dev/null ||
        ! $fixed "$folder/empty"; then
        left_out "this machine's $cc cannot: $*"
        return
    fi
    local flags=(-std=gnu11 -O2 -g -Wall -Wextra -Werror -I"$core" "$@")
    local objects=() harness=("$folder/harness.c.o")
    for source in "$core"/*.c "$tests/harness.c"; do
        file=$folder/$(basename "$source").o
        "$cc" "${flags[@]}" -c "$source" -o "$file" || { failed=$((failed + 1)); return; }
        if [ "$source" != "$tests/harness.c" ]; then objects+=("$file"); fi
    done
    for name in $names; do
        name=${name#test_} name=${name%.c} program=$folder/test_$name
        local source_of=$tests/test_$name.c with=("${objects[@]}" "${harness[@]}")
        # The engine's tests bring a harness of their own, and the kernel as it is.
        if [ ! -e "$source_of" ]; then
            source_of=$reactor_tests/test_$name.c with=("${objects[@]}")
        fi
        # shellcheck disable=SC2046
        if ! "$cc" "${flags[@]}" "$source_of" "${with[@]}" \
            $([ "$source_of" = "$tests/test_$name.c" ] && echo "$wraps") -pthread -o "$program"
        then
            failed=$((failed + 1))
            continue
        fi
        if [ ! -e "$tests/test_$name.c" ]; then echo "-- test_$name.c"; fi
        $fixed timeout 120 "$program" >"$folder/output" 2>&1
        local status=$?
        cat "$folder/output"
        if ! count "$folder/output" || { [ $status != 0 ] && ! grep -q '^FAILED' "$folder/output"; }
        then
            echo "FAILED  test_$name.c ended with status $status"
            failed=$((failed + 1))
        fi
    done
}

run_under "as it is"
run_under "address and undefined behaviour" -fsanitize=address,undefined -fno-sanitize-recover=all
run_under "threads" -fsanitize=thread

echo "$passed passed, $failed failed, $skipped skipped in $(($(date +%s) - started))s"
[ $failed = 0 ]
