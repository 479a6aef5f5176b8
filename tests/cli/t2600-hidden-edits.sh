# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Inputs edited in ways that try to hide it, and inputs that only look edited: each edit is seen, and nothing else runs a step.
. "$(dirname "$0")/lib.sh"
# A file system whose clock ticks once a second, and where the time of the last change is told no finer either: the shortest way to two contents within one tick.
cat >tick.c <<'E'
#define _GNU_SOURCE
#include <dlfcn.h>
#include <sys/stat.h>
#define CUT(name, type, params, args)                             \
    int name params                                               \
    {                                                             \
        int rc = ((int(*) params)dlsym(RTLD_NEXT, #name))args;    \
        if (rc == 0) {                                            \
            st->st_mtim.tv_nsec = st->st_ctim.tv_nsec = 0;        \
        }                                                         \
        return rc;                                                \
    }
#define ALL(s)                                                                                        \
    CUT(stat##s, s, (const char *p, struct stat##s *st), (p, st))                                     \
    CUT(lstat##s, s, (const char *p, struct stat##s *st), (p, st))                                    \
    CUT(fstat##s, s, (int fd, struct stat##s *st), (fd, st))                                          \
    CUT(fstatat##s, s, (int fd, const char *p, struct stat##s *st, int flags), (fd, p, st, flags))
ALL()
ALL(64)
E
"${CC:-cc}" -shared -fPIC -o tick.so tick.c -ldl 2>cc.err || skip "no C compiler: $(head -1 cc.err)"
ticking() { ASAN_OPTIONS=${ASAN_OPTIONS:-detect_leaks=0}:verify_asan_link_order=0 LD_PRELOAD="$T/tick.so" "$WF" "$@"; }
at_rest() { sleep 2.1; } # from here on digests are remembered
rest_now() { sleep "0.$(printf %09d $((1000000000 - 10#$(date +%N))))"; }
mkdir w w/data w/one w/two && cd w || exit 1
step() { printf 'steps:\n  a: {inputs: {x: %s}, run: "cat ${{ inputs.x }}%s > ${{ outputs.o }}", outputs: {o: o}}\n' "$1" "${2-}"; }

# --- touched, but not changed ---
echo 1 >data/f; mkdir -p data/d; echo 1 >data/d/g
step data/f >f.yaml; step data/d /g >d.yaml
for young in yes no; do
    try 0 wf run f.yaml -q; try 0 wf run d.yaml -q
    [ $young = yes ] || at_rest
    touch data/f data/d data/d/g; touch -d '3 years ago' data/f; touch -d '1 day' data/d/g; chmod 640 data/f data/d/g; cp data/f data/f.new; mv data/f.new data/f
    for w in f d; do try 0 wf run $w.yaml -q; check_ran ""; done
done

# --- two contents of one size within one tick, each read in that tick ---
same_tick() {
    rest_now
    printf 'one' >data/t; sec=$(stat -c '%Y %Z' data/t)
    ticking run t.yaml -q || return 1
    check_out a.o one >first
    printf 'two' 1<>data/t
    [ "$(stat -c '%Y %Z' data/t)" = "$sec" ]
}
step data/t >t.yaml
check "both contents fall into one second" wait_for 30 same_tick
try 0 ticking run t.yaml -q
check_out a.o two
check_ran a

# --- another inode under the old name: all else is equal ---
same_second() {
    rest_now
    rm -f one/f two/f
    printf 'one' >one/f; printf 'two' >two/f; touch -d '2020-01-01' one/f two/f
    [ "$(stat -c '%s %Y %Z' one/f)" = "$(stat -c '%s %Y %Z' two/f)" ]
}
check "both files are of one second" wait_for 30 same_second
at_rest
step one/f >i.yaml; step one /f >j.yaml
for w in i j; do try 0 ticking run $w.yaml -q; try 0 ticking run $w.yaml -q; check_ran ""; check_out a.o one; done
mv one three; mv two one; mv three two # folders change places: the files' own times stay as they are
for w in i j; do try 0 ticking run $w.yaml -q; check_ran a; check_out a.o two; done
# size and modification time as before, the same inode: the time of the change tells
at_rest
printf 'six' 1<>one/f; touch -d '2020-01-01' one/f
for w in i j; do try 0 wf run $w.yaml -q; check_ran a; check_out a.o six; done

# --- edited while it is hashed ---
head -c 33554432 /dev/zero >data/big
flow big.yaml <<'E'
steps:
  a: {inputs: {x: data/big}, run: '{ head -c 8 ${{ inputs.x }}; tail -c 8 ${{ inputs.x }}; } > ${{ outputs.o }}', outputs: {o: o}}
E
cat >writer.py <<'E'
import os, sys
fd = os.open("data/big", os.O_RDWR)
n = 0
while not os.path.exists("stop"):
    n += 1
    os.pwrite(fd, b"%08d" % n, 0)
    os.pwrite(fd, b"%08d" % n, 33554432 - 8)
    os.utime(fd, (10**9, 10**9))
    if n == 1:
        open("begun", "w").close()
print("%08d%08d" % (n, n), end="")
E
for _ in 1 2 3; do
    rm -f stop begun
    python3 writer.py >last & writer=$!
    check "it is edited" wait_for 10 test -e begun
    for _ in 1 2; do timeout 60 "$WF" run big.yaml -q >"$T/.out" 2>&1; done # may say that it changes all the time
    touch stop; wait $writer
    touch -d '2001-09-09 01:46:40Z' data/big
    try 0 wf run big.yaml -q
    check_out a.o "$(cat last)"
done
at_rest
try 0 wf run big.yaml -q
try 0 wf run big.yaml -q
check_ran ""
check_out a.o "$(cat last)"
# edited by its own step, and put back: what the step read is not known
printf 'steps:\n  a: {inputs: {x: data/f}, run: "echo new > data/f; cat data/f > ${{ outputs.o }}; echo 1 > data/f", outputs: {o: o}}\n' >own.yaml
try 0 wf run own.yaml -q; check_out a.o new
try 0 wf run own.yaml -q; check_ran a

# --- links ---
echo 1 >data/t1; echo 1 >data/t2; echo 2 >data/t3
mkdir data/e1 data/e2; echo 1 >data/e1/f; echo 2 >data/e2/f
ln -s t1 data/ln; ln -s ln data/lnln; ln -s e1 data/lnd
step data/lnln >l.yaml; step data/lnd /f >ld.yaml
try 0 wf run l.yaml -q; try 0 wf run ld.yaml -q
ln -sfn t2 data/ln; try 0 wf run l.yaml -q; check_ran "" # another file, the same content
at_rest
try 0 wf run l.yaml -q
ln -sfn t3 data/ln; try 0 wf run l.yaml -q; check_ran a; check_out a.o 2
echo 3 >data/t3; try 0 wf run l.yaml -q; check_ran a; check_out a.o 3
cp data/t3 data/plain; rm data/ln; mv data/plain data/ln; try 0 wf run l.yaml -q; check_ran "" # a file in the link's place
ln -sfn e2 data/lnd; try 0 wf run ld.yaml -q; check_ran a; check_out a.o 2
echo 4 >data/e2/f; try 0 wf run ld.yaml -q; check_ran a; check_out a.o 4
# in a folder a link is its text, where it stays inside
mkdir data/in; echo 1 >data/in/p; echo 1 >data/in/q; ln -s p data/in/l
step data/in /l >li.yaml
try 0 wf run li.yaml -q
ln -sfn q data/in/l; try 0 wf run li.yaml -q; check_ran a
rm data/in/l; echo 1 >data/in/l; try 0 wf run li.yaml -q; check_ran a
check_store
finish
