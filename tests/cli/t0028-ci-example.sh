# SPDX-License-Identifier: Apache-2.0
# The CI example: what one job made the next one on a fresh machine reuses, from a carried store and from an archive.
. "$(dirname "$0")/lib.sh"
try 0 wf check --strict "${WF_SOURCE:?}/examples/ci/pipeline.yaml"
WF=${WF:?} try 0 "$WF_SOURCE/examples/ci/run.sh" "$T/ci"
statuses() { WF_STORE=$T/ci/$1/.wf-store wf show --json | jq -r '[.steps[] | .name + " " + .status] | sort | join(", ")'; }
for way in store archive; do
    same "$way: the first job" "$(statuses $way-first)" "build succeeded, lint succeeded, test succeeded"
    same "$way: the second job" "$(statuses $way-second)" "build cached, lint cached, test cached"
    same "$way: the changed one" "$(statuses $way-changed)" "build succeeded, lint succeeded, test cached"
    check "$way: a report" test -s "ci/$way-second/wf.xml"
    check_store "$T/ci/$way-changed/.wf-store"
done
says_not warning
finish
