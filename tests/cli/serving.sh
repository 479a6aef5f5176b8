# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# What the stories of promotions that go wrong share: trainings that end when they are told to, model servers, requests. Sourced after lib.sh.
PATH=$PATH:/usr/sbin
command -v haproxy >/dev/null || skip "haproxy is not installed"
cp "${WF_SOURCE:?}/tests/servers/model.py" .
pid='' url=''
free_port() { python3 -c 'import socket; s=socket.socket(); s.bind(("127.0.0.1",0)); print(s.getsockname()[1])'; }
supervisor() { pgrep -f -- "supervise --store $WF_STORE\$"; }
no_supervisor() { [ -z "$(supervisor)" ]; }
# servers: the processes of this story's model servers, in order
servers() { pgrep -f -- "model\.py $T/" | xargs; }
servers_are() { [ "$(servers | wc -w)" = "$1" ]; }
end_all() {
    local p
    [ -n "$pid" ] && kill "$pid" 2>/dev/null
    for p in $(supervisor) $(servers); do kill -9 "$p" 2>/dev/null; done
    for p in $(pgrep -x haproxy); do case $(readlink "/proc/$p/cwd") in "$T"/*) kill -9 "$p" ;; esac; done
    cleanup
}
trap end_all EXIT
# candidates NAME…: flow.yaml, whose training NAME ends once `give` has told how; keys of the serve step in $serve_keys, of its environment in $serve_env
candidates() {
    local list
    list=$(printf '%s, ' "$@")
    mkdir -p go
    cat >flow.yaml <<EOF
name: flow
max_parallel: $#
steps:
  train:
    kind: train
    matrix: {m: [${list%, }]}
    run: |
      until [ -e "$T/go/\$WF_MATRIX_M" ]; do sleep 0.02; done
      sed -n 1p "$T/go/\$WF_MATRIX_M" >\${{ outputs.model }}
      sed -n 2p "$T/go/\$WF_MATRIX_M" >\${{ outputs.metrics }}
    outputs: {model: model.txt, metrics: metrics.json}
  select: {kind: select, from: train, metric: acc, promote: early}
  serve:
    kind: serve
    from: select
    command: [python3, model.py, "$T/"]
    env: {MODEL_COUNT: "$T/starts"${serve_env-}}
    ready: /v2/health/ready
${serve_keys-}
EOF
}
# give NAME BIAS ACCURACY: that training ends with this model (`bias NUMBER` is a good one)
give() { printf '%s\n{"acc": %s}\n' "$2" "$3" >"go/.$1" && mv "go/.$1" "go/$1"; }
service() { wf services --json --all | jq -r ".[] | select(.step == \"serve\") | $1"; }
is() { [ "$(service "$1")" = "$2" ]; }
endpoint() { service .endpoint; }
# bias: what the model that serves adds
bias() { curl -sS --fail --max-time 20 "$url/v2/models/x" | jq -r .bias; }
bias_is() { [ "$(bias 2>/dev/null)" = "$1" ]; }
over() { ! kill -0 "$pid" 2>/dev/null; }
# load FILE: requests until the file `stop` is there, 4 at a time; each one's status is a line of FILE
load() { while [ ! -e stop ]; do curl -sS --no-progress-meter -Z --parallel-max 4 --max-time 20 -o /dev/null -w '%{http_code}\n' "$url/v2/models/x?[1-40]" 2>>"$1.errors"; done >>"$1"; }
