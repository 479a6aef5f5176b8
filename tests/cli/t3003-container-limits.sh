# SPDX-License-Identifier: Apache-2.0
# Memory, network, user, timeout, signals and log of container steps; none is left behind.
. "$(dirname "$0")/lib.sh"
need_engine
img=wf-cli-limits-$$
busybox_image $img x || { fail "the image cannot be built"; finish; }
busybox_image $img-user x 'USER 1000:1000' || { fail "the image cannot be built"; finish; }
trap 'drop_image $img; drop_image $img-user; cleanup' EXIT
flow w.yaml <<E
defaults: {image: localhost/$img}
steps:
  hog: {resources: {memory: 32MiB}, run: 'dd if=/dev/zero of=/dev/null bs=200M count=1 2>/dev/null; echo survived', continue_on_error: true}
  fits: {resources: {memory: 64MiB, cpu: 500m}, run: 'echo ok > \${{ outputs.o }}', outputs: {o: o}}
  nonet: {network: none, run: 'cat /proc/net/dev | grep -c : > \${{ outputs.o }}', outputs: {o: o}}
  slow: {timeout: 1s, grace: 300ms, run: 'trap "" TERM; sleep 60', continue_on_error: true}
  user: {image: localhost/$img-user, run: 'id -u > \${{ outputs.o }}; mkdir \${{ outputs.d }}; echo x > \${{ outputs.d }}/f; echo v=1 > "\$WF_VALUES"; echo said', outputs: {o: a/b/o, d: d}, values: [v]}
  after: {image: localhost/$img-user, run: 'cat \${{ steps.user.outputs.o }} \${{ steps.user.outputs.d }}/f > \${{ outputs.o }}', outputs: {o: o}}
  big: {run: 'head -c 20000000 /dev/zero | tr "\\000" x; echo; echo end'}
  background: {run: 'sleep 60 & echo x > \${{ outputs.o }}', outputs: {o: o}}
E
try 0 timeout 100 "$WF" run w.yaml
check_out fits.o ok
check_status slow failed
check_out nonet.o 1
check_out user.o 1000
check_out after.o $'1000\nx'
check_status user succeeded
same "its log" "$(wf logs latest user)" said
same "20 MB of log" "$(wf logs latest big | wc -c)" 20000005
check_status background succeeded
if [ "$(id -u)" = 0 ]; then
    check_status hog failed
    json '.steps[] | select(.name == "hog") | .error | test("memory"; "i")' true <(wf show --json)
fi
check "no container is left" no_containers
flow s.yaml <<E
steps: {s: {image: localhost/$img, grace: 300ms, run: 'touch \${{ outputs.o }}; sleep 60', outputs: {o: o}}}
E
background run s.yaml
up() { [ "$(containers)" = 1 ]; }
check "it started" wait_for 20 up
kill -INT $pid; sleep 0.2; kill -INT $pid
wait $pid; same "exit code" $? 130
check_status s cancelled
check "no container is left" no_containers
# killed: what it left is found by the next run
background run s.yaml
check "it started" wait_for 20 up
kill -KILL $pid; wait $pid 2>/dev/null
sed -i 's/sleep 60/sleep 0/' s.yaml
try 0 timeout 60 "$WF" run s.yaml
check "the next run has removed it" wait_for 10 no_containers
check_store
finish
