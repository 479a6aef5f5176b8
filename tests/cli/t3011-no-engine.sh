# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Without a container engine: one clear sentence, exit code 4, steps that need none still run.
. "$(dirname "$0")/lib.sh"
cat >mixed.yaml <<'Y'
steps:
  boxed: {image: localhost/none, command: [/bin/true], network: none}
  plain: {run: "echo hi"}
Y
export WF_CONTAINER_HOST="unix://$T/none.sock"
try 4 wf run mixed.yaml
says 'WF_CONTAINER_HOST'
check_status plain succeeded
check_status boxed failed
try 0 wf plan mixed.yaml --json
json '.steps[] | select(.name == "plain") | .verdict' '"run"'
try 4 wf doctor
finish
