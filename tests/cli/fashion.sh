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
# serve_fashion [options of wf run]: runs serve.yaml on the small dataset at a free port, which is then $port, and checks what came of it.
# shellcheck disable=SC2034 # the caller uses port
serve_fashion() {
    port=$(python3 -c 'import socket; s=socket.socket(); s.bind(("127.0.0.1",0)); print(s.getsockname()[1])')
    try 0 wf run "${WF_SOURCE:?}/examples/fashion-mnist/serve.yaml" -p "dataset=$T/raw" -p trees=5 -p epochs=3 -p "listen=127.0.0.1:$port" "$@"
    wf show --json >"$T/run.json"
    json '.status' '"succeeded"' "$T/run.json"
    wf models --json >"$T/models.json"
    json '.[0].models | length' 2 "$T/models.json"
    out evaluate.evaluation >"$T/evaluation.json"
    json '[.test_images, .requests, .batch]' '[230,3,100]' "$T/evaluation.json"
    json '[.members[] | .answers]' '[3,3]' "$T/evaluation.json"
    same "those who answered are those chosen" "$(jq -c '[.members[].model] | sort' "$T/evaluation.json")" "$(jq -c '[.[0].models[].slug] | sort' "$T/models.json")"
    check "the ensemble is good" jq -e '.accuracy > 0.8' "$T/evaluation.json"
    check "the table has it" grep -q 'asked at its endpoint' "$(wf outputs latest report.table)"
}
