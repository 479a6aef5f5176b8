# SPDX-License-Identifier: Apache-2.0
# wf plan, explain, diff, graph, check, show and runs change nothing: no name, size, time, inode or byte of the store, the workflow's folder and the inputs, also on a store that may only be read, and beside a run.
. "$(dirname "$0")/lib.sh"
mkdir -p flow/data outside
echo one >flow/a.csv
echo far >outside/far.csv
for i in 1 2 3; do echo "$i" >"flow/data/$i.csv"; done
flow flow/w.yaml <<E
params: {lr: '0.1'}
steps:
  ingest: {inputs: {x: a.csv, far: {path: $T/outside/far.csv}}, run: 'cat \${{ inputs.x }} \${{ inputs.far }} > \${{ outputs.o }}', outputs: {o: o}}
  fold: {inputs: {d: data}, run: 'cat \${{ inputs.d }}/*.csv > \${{ outputs.s }}', outputs: {s: s}}
  train: {run: 'cat \${{ steps.ingest.outputs.o }} > \${{ outputs.m }}; echo \${{ params.lr }} >> \${{ outputs.m }}', outputs: {m: m}}
  fresh: {kind: ingest, source: a.csv, cache: {policy: change, measure: records, threshold: 20%}}
E
# Everything that can be told of a file; the access time only where the mount never changes it.
format='%y %p %s %i %n %T@ %C@ %l'
case $(findmnt -n -o OPTIONS -T "$T" 2>/dev/null) in *noatime*) format="$format %A@" ;; esac
snapshot() {
    find "$WF_STORE" flow outside -printf "$format\n" | sort
    find "$WF_STORE" flow outside -type f -print0 | sort -z | xargs -0 sha256sum
}
look() { # LABEL: every command that only looks; each must work
    try 0 wf plan flow/w.yaml
    try 0 wf plan flow/w.yaml -p lr=0.7 --json
    try 0 wf plan flow/w.yaml --refresh -v
    try 0 wf explain flow/w.yaml train -p lr=0.9
    try 0 wf explain flow/w.yaml fold --json
    try 0 wf graph flow/w.yaml
    try 0 wf check flow/w.yaml
    [ "$1" = empty ] && return
    [ "$1" = live ] || try 0 wf explain --run latest train
    try 0 wf runs
    try 0 wf show
    try 0 wf graph flow/w.yaml --run latest
}
unchanged() { # LABEL COMMAND…: the snapshot is the same before and after
    local label=$1
    shift
    snapshot >before
    "$@"
    snapshot >after
    checks=$((checks + 1))
    if cmp -s before after; then echo "ok $checks - $label: nothing changed"; else
        diff before after | head -10 >"$T/.out"
        fail "$label: something changed"
    fi
}
# A store that is not there is not made.
look empty
check "no store is made" test ! -e "$WF_STORE"
try 0 wf run flow/w.yaml
# Files are at rest, so that their digests may be remembered: a temptation.
touch -d '1 hour ago' flow/a.csv flow/data/*.csv outside/far.csv
unchanged "all as it was" look rested
echo two >flow/a.csv
echo new >flow/data/4.csv
unchanged "inputs changed" look changed
try 0 wf run flow/w.yaml
unchanged "two runs" try 0 wf diff
unchanged "two runs, JSON" try 0 wf diff latest~1 latest --json
# An object that is damaged is told, and left as it is.
object=$(find "$WF_STORE/objects" -type f | head -1)
chmod u+w "$object"
echo damage >>"$object"
unchanged "a damaged object" look damaged
# A store that may only be read: its owner is asked not to write, root by a mount.
read_only() {
    if [ "$(id -u)" = 0 ]; then
        unshare -m sh -c 'mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" && shift && exec "$@"' - "$WF_STORE" "$@"
    else
        "$@"
    fi
}
if [ "$(id -u)" != 0 ] || unshare -m true 2>/dev/null; then
    find "$WF_STORE" -type f -perm -u+w -printf '%m %p\n' >modes
    [ "$(id -u)" = 0 ] || chmod -R a-w "$WF_STORE"
    ro() { try 0 read_only "$WF" plan flow/w.yaml; try 0 read_only "$WF" explain flow/w.yaml train; try 0 read_only "$WF" diff; try 0 read_only "$WF" explain --run latest train; }
    unchanged "a store that may only be read" ro
    chmod -R u+w "$WF_STORE"
else
    echo "# no mount namespaces here: the read-only store is left out"
fi
# Beside a run: what the run itself does not touch stays, and all of it works.
flow slow.yaml <<'E'
steps:
  slow: {run: 'echo up; while [ ! -e "$GO" ]; do sleep 0.05; done; echo done > ${{ outputs.o }}', env: {GO: '${{ params.go }}'}, outputs: {o: o}}
params: {go: /nowhere}
E
pid=
background run slow.yaml -p "go=$T/go"
running() { wf show --json | jq -e '.steps[] | select(.name == "slow") | .status == "running"'; }
check "the run is under way" wait_for 20 running
unchanged "beside a run" look live
touch go
check "the run ends well" wait "$pid"
finish
