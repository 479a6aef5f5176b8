# SPDX-License-Identifier: Apache-2.0
# --refresh runs again and stores anew; --no-cache neither asks nor stores.
. "$(dirname "$0")/lib.sh"
mkdir w && cd w || exit 1
flow w.yaml <<E
steps:
  a: {run: 'cat "$T/counter" >\${{ outputs.o }}', outputs: {o: o}}
  b: {run: 'cat \${{ steps.a.outputs.o }} > \${{ outputs.o }}', outputs: {o: o}}
E
echo 1 >../counter
try 0 wf run w.yaml
echo 2 >../counter
try 0 wf run w.yaml --no-cache
check_ran "a b"
check_verdict a disabled
try 0 wf run w.yaml
check_ran ""
check_out b.o 1
try 0 wf run w.yaml --refresh=a
check_ran "a b"
check_verdict a refreshed
check_out b.o 2
try 0 wf run w.yaml
check_ran ""
check_out b.o 2
try 0 wf run w.yaml --refresh=b
check_ran b
try 0 wf run w.yaml --refresh
check_ran "a b"
try 0 wf run w.yaml --refresh=a --refresh=b
check_ran "a b"
check_store
finish
