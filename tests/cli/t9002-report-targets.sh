# SPDX-License-Identifier: Apache-2.0
# --junit and --summary to a link, a FIFO, a device or the standard output: written to, never replaced by a file.
. "$(dirname "$0")/lib.sh"
flow w.yaml <<'E'
steps: {a: {run: 'echo x > ${{ outputs.o }}', outputs: {o: o}}}
E
mkdir elsewhere; echo "old and longer than the report, $(seq 2000)" >elsewhere/real; ln -s elsewhere/real link; ln -s elsewhere/new dangling
ln -s /proc/self/fd/1 stdout.md; mkfifo fifo
try 0 wf run w.yaml --junit link --summary dangling
check "the link is still one" test -L link -a -L dangling
check "the report is behind it" python3 -c 'import xml.dom.minidom; xml.dom.minidom.parse("elsewhere/real")'
check "also where nothing was" test -s elsewhere/new
wf run w.yaml --summary stdout.md >log 2>&1
check "still a link" test -L stdout.md
check "the lines before the report stay" grep -q '^succeeded in' log
same "the report" "$(grep -c '^| a |' log)" 1
same "through a pipe" "$(wf run w.yaml --summary stdout.md 2>&1 | grep -c '^| a |')" 1
cat fifo >read & reader=$!
try 0 timeout 20 "$WF" run w.yaml --junit fifo
wait $reader
check "a FIFO is written to" grep -q '<testcase' read
rc=0; timeout 20 "$WF" run w.yaml --junit fifo >.out 2>.err || rc=$?
check "a FIFO that nobody reads is an error ($rc)" test $rc = 2 -o $rc = 4
check "still a FIFO" test -p fifo
if mknod full c 1 7 2>/dev/null && sh -c ': >full' 2>/dev/null; then
    rc=0; wf run w.yaml --junit full >.out 2>.err || rc=$?
    same "a full device is an error" $rc 4
    check "still a device" test -c full
fi
same "nothing left lying about" "$(find . -name '.wf-tmp*' -not -path './store/*' | wc -l)" 0
finish
