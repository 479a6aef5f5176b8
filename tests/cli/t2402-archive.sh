# SPDX-License-Identifier: Apache-2.0
# wf cache export and import: what one store made, another reuses; what is cut off, altered or foreign is refused and harms nothing.
. "$(dirname "$0")/lib.sh"
command -v zstd >/dev/null || skip "zstd is missing (Debian: zstd)"
flow w.yaml <<'E'
name: house
params: {n: 1}
steps:
  a: {run: 'd=${{ outputs.d }}; mkdir -p $d/empty; seq ${{ params.n }} 2000 > $d/f; ln -s f $d/g; cp $d/f $d/x; echo x >> $d/x; chmod +x $d/x; echo v=7 >> $WF_VALUES', outputs: {d: d}, values: [v]}
  b: {run: 'head -c 3000000 /dev/zero > ${{ outputs.o }}; cat ${{ steps.a.outputs.d }}/g >> ${{ outputs.o }}; echo a log', outputs: {o: o}}
  c: {run: 'echo ${{ steps.a.values.v }} > ${{ outputs.o }}', outputs: {o: o}}
E
try 0 wf run w.yaml
sum=$(out b.o | sha256sum)
try 0 wf cache export c.tar.zst --json
json '[.entries, .entries_gone, .entries_broken, .entries_of_this_machine]' '[3,0,0,0]'
check "nothing beside it" test "$(find . -maxdepth 1 -name '*c.tar*' | wc -l)" = 1
try 0 wf cache export again.tar.zst
check "equal entries, equal archives" cmp c.tar.zst again.tar.zst
# another store runs nothing
import() { WF_STORE=$T/$1 wf cache import "${@:2}"; }
try 0 import two c.tar.zst --json
json '[.entries, .entries_known, .entries_broken]' '[3,0,0]'
( WF_STORE=$T/two wf run w.yaml >.out 2>.err )
same "all is reused there" "$(WF_STORE=$T/two wf show --json | jq -c '.counts | with_entries(select(.value > 0))')" '{"cached":3}'
same "an output" "$(sha256sum <"$(WF_STORE=$T/two wf outputs latest b.o)")" "$sum"
# no run here is called as the one that made it
WF_STORE=$T/two try 0 wf explain --run latest a
says 'a: cached, nothing it depends on had changed since it was made in another store'
WF_STORE=$T/two try 0 wf explain --run latest a --json
json '.[0] | [.made_by, .made_in]' "[null,\"$(cat "$WF_STORE/id")\"]"
WF_STORE=$T/two try 0 wf show
says 'b +cached .*made in another store'
WF_STORE=$T/two wf outputs latest a.d --to there >/dev/null
there=$(dirname "$(find there -name empty)")
check "the folder as it was" test -d "$there/empty" -a -L "$there/g" -a -x "$there/x" -a ! -x "$there/f"
check_store "$T/two"
# again: nothing new
try 0 import two c.tar.zst --json
json '[.entries, .entries_known, .objects, .bytes]' '[0,3,0,0]'
# standard output and input; housekeeping does not take at once what came just now
try 0 sh -c '"$WF" cache export - 2>/dev/null | WF_STORE=$PWD/three "$WF" cache import - --json'
json '.entries' 3
WF_STORE=$T/three wf cache gc --unused-for 1h >/dev/null
same "three stay" "$(WF_STORE=$T/three wf cache ls --json | jq length)" 3
check_store "$T/three"
# by run and by workflow
first=$(wf show --json | jq -r .run)
try 0 wf run w.yaml -p n=2
try 0 wf cache export latest.tar.zst --json
json .entries 3
try 0 wf cache export first.tar.zst --run "$first" --json
json .entries 3
try 0 wf cache export all.tar.zst -w house --json
json '.entries >= 5' true
# what holds for this machine only stays here
mkdir src; echo 1 >src/data
flow t.yaml <<'E'
name: fresh
steps: {i: {kind: ingest, source: src/data, outputs: {data: data}, cache: {policy: time, ttl: 1h}}}
E
try 0 wf run t.yaml
try 0 wf cache export t.tar.zst --json
json '[.entries, .entries_of_this_machine]' '[0,1]'
says 'warning: t.tar.zst is empty: what the run made holds for this machine only'
try 0 import empty t.tar.zst
says 'imported 0 entries'
flow none.yaml <<'E'
name: none
steps: {a: {run: 'true'}}
E
try 0 wf run none.yaml
try 0 wf cache export none.tar.zst
says 'warning: none.tar.zst is empty: the run used or made no result that is kept.*--run'
# bad input
try 2 wf cache export
try 2 wf cache import
try 2 wf cache import nosuch.tar.zst
try 2 wf cache export x.tar.zst --run nosuch
try 2 wf cache export x.tar.zst -w nosuch
try 2 wf cache export x.tar.zst -w house --run latest
try 4 wf cache export nosuch/x.tar.zst
try 4 wf cache import src
check "nothing was left" test ! -e x.tar.zst
# garbage, cut off, altered: one clear error, and the store is whole
echo garbage >garbage; : >nothing; tar cf foreign.tar src
for f in garbage nothing foreign.tar w.yaml; do
    try 4 import four $f
    says 'not an archive that `wf cache export` wrote'
    same "one line" "$(wc -l <.err)" 1
done
size=$(stat -c %s c.tar.zst)
for part in 1 2 3 4 5 6 7; do
    head -c $((size * part / 8)) c.tar.zst >cut
    try 4 import four cut
    same "one line" "$(wc -l <.err)" 1
    check_store "$T/four"
done
# bad.py NAME…: a copy of the archive with one thing wrong
zstd -dqf c.tar.zst -o c.tar
cat >bad.py <<'P'
import io, sys, tarfile, hashlib, json
what = sys.argv[1]
members = [(m, t.extractfile(m).read()) for t in [tarfile.open("c.tar")] for m in t]
def add(out, name, data, kind=tarfile.REGTYPE, link=""):
    m = tarfile.TarInfo(name); m.size = len(data) if kind == tarfile.REGTYPE else 0; m.type = kind; m.linkname = link; m.mode = 0o444
    out.addfile(m, io.BytesIO(data))
def manifest(lines): return b"wf-tree-1\n" + b"".join(lines)
out = tarfile.open("bad.tar", "w")
for m, data in members:
    name = m.name
    if what == "object" and name.startswith("objects/"): data = data[:-1] + b"!"
    if what == "key" and name.startswith("entries/"): name = "entries/" + "0" * 64
    if what == "action" and name.startswith("entries/"): data = data.replace(b'"work"', b'"wurk"', 1)
    if what == "work" and name.startswith("entries/"): data = data[:-2] + b" }"
    if what == "result" and name.startswith("entries/"):
        line, rest = data.split(b"\n", 1); h = json.loads(line); n = h["action"]; data = line + b"\n" + rest[:n] + b"\xff" * h["result"] + rest[n + h["result"]:]
    if what == "lengths" and name.startswith("entries/"): data = data + b"x"
    if what == "line" and name.startswith("entries/"): data = b"{" + data
    if what == "path" and name.startswith("objects/"): name = "../../" + name
    if what == "format" and name == "wf-cache": data = data.replace(b'"format":1', b'"format":99')
    if what == "noend" and name == "wf-end": continue
    if what == "fewer" and name.startswith("objects/"): what = "fewer!"; continue
    if what == "extra" and name == "wf-end": add(out, "passwd", b"root")
    if what == "link" and name.startswith("objects/"): add(out, name, b"", tarfile.SYMTYPE, "/etc/passwd"); continue
    if what == "hard" and name.startswith("objects/"): add(out, name, b"", tarfile.LNKTYPE, "wf-cache"); continue
    add(out, name, data)
    if what == "after" and name == "wf-end": add(out, "objects/" + hashlib.sha256(b"x").hexdigest(), b"x")
out.close()
P
for what in object key action work result lengths line path noend extra link hard after; do
    python3 bad.py $what
    try 4 import five bad.tar
    same "$what: one line" "$(wc -l <.err)" 1
    check_store "$T/five"
done
python3 bad.py format
try 4 import five bad.tar
says 'newer'
# an object that is missing costs the entries that name it, and the end tells
python3 bad.py fewer
try 4 import six bad.tar
check_store "$T/six"
try 0 import five c.tar.zst
same "the good one is taken after all" "$(WF_STORE=$T/five wf cache ls --json | jq length)" 3
python3 bad.py none
try 0 import seven bad.tar
same "without zstd too" "$(WF_STORE=$T/seven wf cache ls --json | jq length)" 3
# the disk is full
try 0 wf run w.yaml
WF_FAILPOINT=archive.write:enospc:3 try 4 wf cache export full.tar.zst
says full
check "nothing appears" test ! -e full.tar.zst -a -z "$(find . -maxdepth 1 -name '*full*')"
WF_FAILPOINT=archive.content:enospc:2 try 4 import eight c.tar.zst
says full
check_store "$T/eight"
# removed while it is read: the files stay until it ends
flow many.yaml <<'EOF'
name: many
steps:
  m: {run: 'mkdir -p "$WF_OUT/d"; for i in 1 2 3 4 5 6 7 8; do head -c 300000 /dev/urandom >"$WF_OUT/d/$i"; done', outputs: {d: d/}}
EOF
try 0 wf run many.yaml
mkfifo pipe
"$WF" cache export - >pipe 2>.export & exporting=$!
exec 9<pipe
dd bs=1 count=1 <&9 >read.tar.zst 2>/dev/null
try 0 wf cache gc --unused-for 0s
cat <&9 >>read.tar.zst
exec 9<&-
check "the export is whole" wait $exporting
try 0 import read read.tar.zst
same "with its entry" "$(WF_STORE=$T/read wf cache ls --json | jq length)" 1
try 0 wf run w.yaml
# killed: nothing half, and the next one succeeds; nothing is left where the file system has files without a name
no_tmpfile=$(python3 -c 'import os; os.close(os.open(".", os.O_WRONLY | os.O_TMPFILE))' 2>&1)
for point in archive.object archive.rename; do
    ( WF_FAILPOINT=$point:kill "$WF" cache export killed.tar.zst ) >.out 2>.err; same "killed at $point" $? 137
    check "nothing under its name" test ! -e killed.tar.zst
    if [ -z "$no_tmpfile" ]; then check "nor under another" test -z "$(find . -maxdepth 1 -name '.wf-tmp*')"; fi
done
for point in archive.sealed:kill objects.renamed:kill:2 archive.entry:kill:2; do
    store=$T/killed-${point%%:*}
    ( WF_FAILPOINT=$point WF_STORE=$store "$WF" cache import c.tar.zst ) >.out 2>.err; same "killed at $point" $? 137
    check_store "$store"
    same "no entry counts yet" "$(WF_STORE=$store wf cache ls --json | jq length)" 0
    check "it counted as a live run" [ "$(find "$store/live" -type f | wc -l)" = 1 ]
    (WF_STORE=$store wf cache gc) >.out 2>.err
    same "gc clears that" "$(find "$store/live" -type f | wc -l)" 0
    ( WF_STORE=$store wf cache import c.tar.zst && WF_STORE=$store wf run w.yaml -q ) >.out 2>.err
    same "the next one succeeds" "$(WF_STORE=$store wf show --json | jq -c '.counts | with_entries(select(.value > 0))')" '{"cached":3}'
done
# interrupted: says so, exit code 130; what came before is kept
mkfifo pipe
env --default-signal=INT WF_STORE="$T/ten" "$WF" cache import pipe >.out 2>.err & pid=$!
exec 9>pipe
head -c 2000 c.tar >&9
waits() { grep -q ':' <(ls -l "/proc/$pid/fd" | grep pipe) && grep -q SigCgt:.*2 "/proc/$pid/status"; }
wait_for 5 waits
kill -INT "$pid"
tail -c +2001 c.tar >&9 2>/dev/null
exec 9>&-
wait "$pid"; same "interrupted" $? 130
check_store "$T/ten"
# two at once, beside a run
WF_STORE=$T/both "$WF" cache import c.tar.zst >/dev/null & one=$!
WF_STORE=$T/both "$WF" cache import c.tar.zst >/dev/null & two=$!
WF_STORE=$T/both wf run w.yaml -q >/dev/null 2>&1; three=$?
wait $one; one=$?; wait $two; two=$?
same "all end well" "$one $two $three" "0 0 0"
check_store "$T/both"
try 0 import both c.tar.zst --json
json '[.entries, .entries_known]' '[0,3]'
# a damaged object is not exported
o=$(wf outputs latest i.data 2>/dev/null || true)
try 0 wf run w.yaml
o=$(wf outputs latest b.o)
chmod u+w "$o"; printf x | dd of="$o" conv=notrunc status=none; touch -d '2000-01-01 00:00:00 UTC' "$o"; chmod 444 "$o"
try 4 wf cache export damaged.tar.zst
says 'damaged'
check "nothing appears" test ! -e damaged.tar.zst
rm -f "$o"
try 0 wf cache export less.tar.zst --json
json '[.entries, .entries_broken]' '[2,1]'
finish
