# SPDX-License-Identifier: Apache-2.0
# The image's content is in the key, not its name, its id or the time it was built.
. "$(dirname "$0")/lib.sh"
need_engine
img=wf-cli-image-$$
trap 'drop_image $img; drop_image $img-other; cleanup' EXIT
flow w.yaml <<E
steps: {a: {image: localhost/$img, run: 'cat /what > \${{ outputs.o }}', outputs: {o: o}}}
E
rc=0; timeout 60 "$WF" run w.yaml >.out 2>.err || rc=$?
check "an image that is not there is an error ($rc)" test $rc = 1 -o $rc = 4
says "$img"
busybox_image $img one || { fail "the image cannot be built"; finish; }
try 0 timeout 60 "$WF" run w.yaml
check_out a.o one
try 0 timeout 60 "$WF" run w.yaml
check_ran ""
busybox_image $img one 'LABEL built=again'
try 0 timeout 60 "$WF" run w.yaml
check_ran ""
busybox_image $img two
try 0 timeout 60 "$WF" run w.yaml
check_ran a
check_out a.o two
try 0 timeout 60 "$WF" plan w.yaml --json
json '.steps[0].verdict' '"hit"'
busybox_image $img two 'ENV EXTRA=1'
try 0 timeout 60 "$WF" run w.yaml
check_ran a
json '.steps[0].cache.why | tostring | test("image")' true <(wf show --json)
busybox_image $img-other two 'ENV EXTRA=1'
sed "s/$img/$img-other/" w.yaml >o.yaml
try 0 timeout 60 "$WF" run o.yaml
check_ran ""
invalid 'steps: {a: {image: "localhost/x", executor: process, run: x}}'
# no engine at all: one clear sentence, and steps of the host still run
flow both.yaml <<E
steps: {h: {run: 'echo x > \${{ outputs.o }}', outputs: {o: o}}, c: {image: localhost/$img, run: 'cat /what; exit 0', cache: {version: 2, policy: content}}}
E
rc=0; WF_CONTAINER_HOST=unix:///nonexistent/socket timeout 60 "$WF" run both.yaml >.out 2>.err || rc=$?
check "an engine that does not answer is an error ($rc)" test $rc = 1 -o $rc = 4
says '/nonexistent/socket'
finish
