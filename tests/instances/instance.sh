# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# A recorded real workflow: every leaf right, then all cached, then only what depends on a changed input.
. "$(dirname "$0")/../cli/lib.sh"
data=$WF_SOURCE/../shared/instances
[ -f "$data/$1.json" ] || skip "the recorded workflows are not beside the repository ($data)"
command -v python3 >/dev/null || skip "python3 is missing"
python3 "$data/wfinstances.py" "$data/$1.json" "$T/flow" >"$T/.out" || fail "the converter"
expected() { python3 "$WF_SOURCE/tests/instances/expected.py" "$@"; }
steps=$(grep -Ec '^  [A-Za-z_][A-Za-z0-9_-]*:$' flow/pipeline.yaml)
try 0 wf run flow/pipeline.yaml -q
same "leaves that differ" "$(expected leaves flow)" ""
check_counts "{\"succeeded\":$steps}"
check_store
try 0 wf run flow/pipeline.yaml -q
same "leaves that differ" "$(expected leaves flow)" ""
rm -rf flow/out
try 0 wf run flow/pipeline.yaml -q
same "all published again" "$(expected leaves flow)" ""
memoized=$(wf show --json | jq '[.steps[] | select(.cache.verdict != "uncacheable")] | length')
same "all cached that has an output" "$(wf show --json | jq .counts.cached)" "$memoized"
mapfile -t inputs < <(expected inputs flow)
always=$(wf show --json | jq -r '[.steps[] | select(.cache.verdict == "uncacheable") | .name] | join(" ")')
for file in "${inputs[0]}" "${inputs[-1]}"; do
    echo changed >>"flow/$file"
    try 0 wf run flow/pipeline.yaml -q
    # shellcheck disable=SC2086
    check_ran "$(printf '%s\n' $(expected dependants flow "$file") $always | LC_ALL=C sort -u | paste -sd' ')"
done
check_store
finish
