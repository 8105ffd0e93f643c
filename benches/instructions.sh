#!/bin/sh
# Tells how many user instructions a server spends on one operation, and how often it asks for memory.
#
# usage: instructions.sh ROUNDS "LOAD OPTIONS" SERVER [ARGUMENT...]
#
# The server runs under callgrind, once with ROUNDS and once with twice as many rounds. What it
# does once (starting, accepting, ending) is in both counts, so the difference belongs to ROUNDS
# rounds alone. An allocation is a call of malloc, calloc, realloc or one of the aligned ones, from
# whatever library, as callgrind counts calls; the server is the same program as without. The server gets `--listen 127.0.0.1:0` and prints `listening on ADDR`. LOAD names
# the load generator, if it is not in target/release.
set -eu

rounds=$1 options=$2
shift 2
load=${LOAD:-$(dirname "$0")/../target/release/load}
files=$(mktemp -d)
server=
trap 'if [ "$server" ]; then kill -9 "$server" 2>/dev/null || true; fi; rm -r "$files"' EXIT

# Sets `instructions` and `allocations` to those of a server that answers $1 rounds and
# `operations` to how many operations these were.
measure() {
    rounds=$1
    shift
    : >"$files/out"
    valgrind --tool=callgrind --callgrind-out-file="$files/callgrind" "$@" \
        --listen 127.0.0.1:0 >"$files/out" 2>"$files/err" &
    server=$!
    address= waited=0
    while [ -z "$address" ]; do
        if [ "$waited" -ge 300 ] || ! kill -0 "$server" 2>/dev/null; then
            cat "$files/err" >&2
            echo "instructions.sh: the server does not listen" >&2
            exit 1
        fi
        sleep 0.1
        waited=$((waited + 1))
        address=$(sed -n 's/^listening on //p' "$files/out")
    done
    # The options are meant to be split.
    # shellcheck disable=SC2086
    operations=$("$load" --connect "$address" --rounds "$rounds" $options --json |
        sed 's/.*"operations":\([0-9]*\).*/\1/')
    # Asked for, because under valgrind a signal does not end a wait in io_uring.
    callgrind_control --dump "$server" >/dev/null 2>&1
    kill -9 "$server"
    wait "$server" 2>/dev/null || true
    server=
    instructions=$(sed -n 's/^totals: //p' "$files/callgrind.1")
    allocations=$(count_allocations "$files/callgrind.1")
    rm "$files"/callgrind*
    echo "$operations operations: $instructions instructions, $allocations allocations"
}

# The calls of functions that allocate, in callgrind's output. A name stands behind its number the
# first time only.
count_allocations() {
    awk '
        /^c?fn=/ {
            number = $1
            sub(/^c?fn=/, "", number)
            if (NF > 1) { sub(/\x27.*/, "", $2); names[number] = $2 }
            if (/^cfn=/) called = names[number]
        }
        /^calls=/ && called ~ /^(malloc|calloc|realloc|aligned_alloc|posix_memalign|memalign)$/ {
            calls = $1
            sub(/^calls=/, "", calls)
            count += calls
        }
        END { print count + 0 }
    ' "$1"
}

measure "$rounds" "$@"
once=$instructions allocations_once=$allocations operations_once=$operations
measure $((2 * rounds)) "$@"
operations=$((operations - operations_once))
echo "allocations an operation:" \
    "$(awk "BEGIN { printf \"%.3f\", ($allocations - $allocations_once) / $operations }")"
echo "instructions an operation:" $(((instructions - once) / operations))
