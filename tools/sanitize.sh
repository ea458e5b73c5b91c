#!/usr/bin/env bash
# Compile the C core with its unit tests (tests/native/core) and run them: as they are, under the
# address and undefined-behaviour sanitizers, and under the thread sanitizer.
#
#   tools/sanitize.sh [NAME ...]       only tests/native/core/test_NAME.c; CC=... chooses a compiler
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

names=${*:-$(cd $tests && echo test_*.c)}
# The calls that reach the kernel go through the harness, which can make it refuse.
wraps=$(grep -oE '\b__wrap_\w+' $tests/harness.c | sort -u | sed 's/__wrap_/-Wl,--wrap=/')
# The thread sanitizer of older compilers cannot live with much randomness of addresses.
fixed=""
if setarch "$(uname -m)" -R true 2>/dev/null; then fixed="setarch $(uname -m) -R"; fi

passed=0 failed=0 skipped=0

count() {
    local words
    words=$(grep -E '^test_\w+\.c: [0-9]+ passed' "$1") || return
    read -r _ p _ f _ s _ <<<"$words"
    passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
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
    local objects=()
    for source in "$core"/*.c "$tests/harness.c"; do
        file=$folder/$(basename "$source").o
        "$cc" "${flags[@]}" -c "$source" -o "$file" || { failed=$((failed + 1)); return; }
        objects+=("$file")
    done
    for name in $names; do
        name=${name#test_} name=${name%.c} program=$folder/test_$name
        # shellcheck disable=SC2086
        if ! "$cc" "${flags[@]}" "$tests/test_$name.c" "${objects[@]}" $wraps -pthread -o "$program"
        then
            failed=$((failed + 1))
            continue
        fi
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
