#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Installs what the tests need, makes containers work, builds everything and runs all tests.
#
# Usage: tests/run.sh [options of ctest]
#   WF_TEST_ASAN=0   not a second time with clang and the address and undefined-behaviour sanitizers
set -eu

top=$(cd "$(dirname "$0")/.." && pwd)
say() { printf 'tests: %s\n' "$*"; }

# run_preset NAME [CTEST OPTIONS]
run_preset() {
    preset=$1
    shift
    say "building with the preset $preset"
    [ -f "build/$preset/CMakeCache.txt" ] || cmake --preset "$preset" -G Ninja >"build/$preset.log"
    cmake --build "build/$preset" -j "$(nproc)" >>"build/$preset.log" 2>&1 || {
        grep -E -A 8 'error:|warning:|FAILED' "build/$preset.log" | head -n 80 >&2
        say "building failed; all of it: build/$preset.log" >&2
        exit 1
    }
    say "running the tests"
    # On a busy machine a bounded wait may run out; what fails is tried once more, and both are shown.
    ctest --test-dir "build/$preset" -j 2 --output-on-failure --repeat until-pass:2 "$@"
}

cd "$top"
scripts/setup-build.sh --tests --example
scripts/setup-containers.sh
mkdir -p build
if [ "${WF_TEST_ASAN:-1}" = 1 ]; then
    # Stories, crashes and lint run once, below: what they add here is the time of the processes they start.
    run_preset asan -E '^(crash|lint|instances|property)[.]' "$@"
fi
run_preset dev "$@"
