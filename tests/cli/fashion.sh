# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# For stories about the main example: its programs, built once per build folder and on PATH, and a small dataset in ./raw.
# shellcheck disable=SC2154 # of lib.sh, which has been sourced
fashion_programs() {
    local build
    build=$(dirname "$WF")/fashion-mnist
    [ -n "$(find /usr/lib /usr/local/lib /opt -name libopenblas.a -print -quit 2>/dev/null)" ] ||
        skip "the example's programs cannot be built: libopenblas.a is missing (Debian: libopenblas-pthread-dev)"
    mkdir -p "$build"
    (
        flock 9
        { [ -f "$build/CMakeCache.txt" ] || cmake -S "${WF_SOURCE:?}/examples/fashion-mnist" -B "$build" -G Ninja -DCMAKE_C_FLAGS=-Werror; } &&
            cmake --build "$build" -j 2
    ) >"$T/fashion.log" 2>&1 9>"$build/.lock" || { cat "$T/fashion.log" >&2; exit 1; }
    export PATH="$build/bin:$PATH"
}
fashion_dataset() { python3 "${WF_SOURCE:?}/tests/cli/fashion-data.py" "$T/raw" "$@"; }
