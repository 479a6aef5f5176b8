#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What a container step made is shared without a word about it, what it made with a secret is not.
# shellcheck disable=SC2317 # functions are called by name, and by the trap
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/lib.sh"
export no_proxy=127.0.0.1 NO_PROXY=127.0.0.1
command -v nginx >/dev/null || [ -x /usr/sbin/nginx ] || skip "nginx is missing (Debian: nginx-light)"
need_engine
img=wf-cli-shared-$$
port=$((26200 + $$ % 3000))
url=http://127.0.0.1:$port
server() { "$WF_SOURCE/tests/servers/nginx.sh" "$T/nginx" "$port" "$@"; }
trap 'server stop; drop_image $img; cleanup' EXIT
try 0 server start
busybox_image "$img" first || { fail "the image cannot be built"; finish; }
flow w.yaml <<EOF
name: boxes
defaults: {image: localhost/$img}
secrets: {key: {env: HIDDEN_KEY}}
steps:
  plain: {run: 'cat /what >"\$WF_OUT/o"', outputs: {o: o}}
  never: {run: 'echo n >"\$WF_OUT/o"', outputs: {o: o}, cache: {shared: false}}
  secret: {run: 'echo s >"\$WF_OUT/o"', outputs: {o: o}, secrets: {KEY: key}}
  host: {image: null, run: 'echo h >"\$WF_OUT/o"', outputs: {o: o}}
EOF
export HIDDEN_KEY=hidden
try 0 wf run w.yaml --remote "$url"
says 'sent 1'
export WF_STORE=$T/other
try 0 wf run w.yaml --remote "$url"
check_ran "host never secret"
check_status plain cached
check_out plain.o first
finish
