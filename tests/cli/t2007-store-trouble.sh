# SPDX-License-Identifier: Apache-2.0
# A store that cannot be written, is newer than this wf, damaged, or on a full disk: a clear error or a right run.
. "$(dirname "$0")/lib.sh"
flow w.yaml <<'E'
steps:
  a: {run: 'head -c 100000 /dev/urandom > ${{ outputs.o }}; echo ok', outputs: {o: o}}
  b: {run: 'wc -c < ${{ steps.a.outputs.o }}', values: {n: stdout}}
E
try 0 wf run w.yaml
same "private" "$(stat -c %a store)" 700
# its files are private whatever the folder is, and are made so again
mkdir -m 755 open
umask 022
try 0 wf run --store open w.yaml
others() { find open -mindepth 1 -maxdepth 1 -perm /077; find open/live open/logs open/plans -type f -perm /022; }
same "nothing for others" "$(others)" ""
chmod 644 open/wf.db open/id open/store.lock open/wf.db-writer
try 0 wf run --store open w.yaml
same "nothing for others again" "$(others)" ""
# newer version
cp -r store newer
v=$(sqlite3 newer/wf.db 'PRAGMA user_version')
sqlite3 newer/wf.db "PRAGMA user_version = $((v + 1000))"
sum=$(sqlite3 newer/wf.db .dump | sha256sum)
try 4 wf run --store newer w.yaml
says 'newer|version'
try 4 wf runs --store newer
same "untouched" "$(sqlite3 newer/wf.db .dump | sha256sum)" "$sum"
# not ours, and no database at all
cp -r store strange; printf 'this is no database, %01000d' 0 >strange/wf.db; rm -f strange/wf.db-*
try 4 wf run --store strange w.yaml
same "left as it was" "$(head -c 19 strange/wf.db)" "this is no database"
# not writable, as a normal user
chmod 755 "$T"
mkdir ro; chmod 555 ro
rc=0; as_user env HOME=/nonexistent "$WF" run --store "$T/ro/store" w.yaml >.out 2>.err || rc=$?
same "not writable" $rc 4
says "$T/ro"
cp -r store rostore; chmod -R a+rX,a-w rostore
rc=0; as_user "$WF" run --store "$T/rostore" w.yaml >.out 2>.err || rc=$?
same "a store that cannot be written" $rc 4
says rostore
# a full disk
if [ "$(id -u)" = 0 ] && mkdir full && mount -t tmpfs -o size=4m tmpfs full 2>/dev/null; then
    trap 'umount "$T/full"; cleanup' EXIT
    try 0 wf run --store full/store w.yaml
    dd if=/dev/zero of=full/ballast bs=64k status=none 2>/dev/null
    rc=0; timeout 20 "$WF" run --store full/store w.yaml --refresh >.out 2>.err || rc=$?
    check "a full disk is an error or a run without storing ($rc)" test $rc = 0 -o $rc = 1 -o $rc = 4
    says 'space|full|No space|ENOSPC|written|stored'
    rm full/ballast
    check_store "$T/full/store"
    try 0 wf run --store full/store w.yaml
    check_store "$T/full/store"
else
    echo "# no tmpfs could be mounted: the full disk is not tried"
fi
# results that cannot be stored cost a warning, not the step
try 0 env WF_FAILPOINT=objects.write:enospc "$WF" run w.yaml --refresh
check_store
try 1 env WF_FAILPOINT=objects.rename:enospc "$WF" run w.yaml --refresh
says 'full'
check_store
rc=0; WF_FAILPOINT=writer.full:enospc timeout 20 "$WF" run w.yaml --refresh >.out 2>.err || rc=$?
same "the journal cannot be written" $rc 4
check_store
try 0 wf run w.yaml
# somebody else's database is left alone
mkdir "$T/foreign"
sqlite3 "$T/foreign/wf.db" 'CREATE TABLE mine(x)'
try 4 wf run --store "$T/foreign" w.yaml
checks=$((checks + 1)); tables=$(sqlite3 "$T/foreign/wf.db" .tables)
if [ "$tables" = mine ]; then echo "ok $checks - nothing was added to it"; else fail "tables: $tables"; fi
finish
