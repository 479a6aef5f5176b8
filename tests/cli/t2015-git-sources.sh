# SPDX-License-Identifier: Apache-2.0
# Sources in git: the commit of this machine's and other machines' repositories, what is recorded, when nothing is fetched, what a dirty work tree means.
HERE=$(cd "$(dirname "$0")" && pwd)
. "$(dirname "$0")/lib.sh"
# libgit2 1.5 leaks what it matches URLs by
printf 'leak:libpcre2\n' >"$T/suppressions"
export LSAN_OPTIONS="${LSAN_OPTIONS:+$LSAN_OPTIONS:}suppressions=$T/suppressions:print_suppressions=0"
export GIT_CONFIG_GLOBAL=/dev/null GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@x GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@x
G() { git -C repo "$@" >/dev/null 2>&1; }
git init -q -b main repo
mkdir -p repo/data/deep repo/other
printf '1\n2\n3\n' >repo/data/a.csv; printf 'x\r\n' >repo/data/deep/crlf; printf '#!/bin/sh\necho hi\n' >repo/data/run.sh; chmod +x repo/data/run.sh
ln -s deep/crlf repo/data/link; echo o >repo/other/o
echo '* text=auto' >repo/.gitattributes
G add -A; G -c core.safecrlf=false commit -qm one; G tag -a v1 -m v1
first=$(git -C repo rev-parse HEAD)
tree=$(git -C repo rev-parse HEAD:data)

# a repository of this machine
flow local.yaml <<'E1'
steps:
  get: {kind: ingest, source: "git+file://repo@:data"}
  one: {kind: ingest, source: "git+file://repo@v1:data/a.csv", run: 'wc -l < ${{ source.path }} > ${{ outputs.n }}', outputs: {n: n}}
  use: {run: 'cd ${{ steps.get.outputs.data }}; cat a.csv > ${{ outputs.o }}; ./run.sh >> ${{ outputs.o }}; readlink link >> ${{ outputs.o }}', outputs: {o: o}}
E1
try 0 wf run local.yaml
check_ran "get one use"
check_out use.o $'1\n2\n3\nhi\ndeep/crlf'
check_out one.n 3
json '.steps[0].source | [.commit, .tree, .dirty]' "[\"$first\",\"$tree\",false]" <(wf show --json)
json '.steps[0].source | [.files, .records]' '[3,6]' <(wf show --json)
try 0 wf run local.yaml
check_ran ""
# another commit that leaves the folder as it was
echo p >repo/other/o; G commit -qam two
try 0 wf run local.yaml
check_ran ""
# edits that are not committed are no part of it, and are told
printf '9\n' >>repo/data/a.csv
try 0 wf run local.yaml
check_ran ""
says "not committed"
G commit -qam three
try 0 wf run local.yaml
check_ran "get use"
says_not "not committed"
check_out use.o $'1\n2\n3\n9\nhi\ndeep/crlf'
# going back is a hit
G reset -q --hard "$first"
try 0 wf run local.yaml
check_ran ""

# over HTTP
git clone -q --bare repo served/r.git; mkdir served/private; cp -r served/r.git served/private/p.git
git -C served/r.git config uploadpack.allowAnySHA1InWant true
python3 "$HERE/git-http.py" served & server=$!
trap 'kill $server 2>/dev/null; cleanup' EXIT
check "the server is up" wait_for 10 test -e port.ready
url=http://127.0.0.1:$(cat port.ready)
flow http.yaml <<E1
steps:
  get: {kind: ingest, source: "git+$url/r.git@main:data", run: 'cat \${{ source.path }}/a.csv > \${{ outputs.o }}', outputs: {o: o}}
E1
wf plan http.yaml --json >plan.json
json '.steps[0].verdict' '"undecided"' plan.json
check "plan left nothing" test ! -e "$WF_STORE/sources"
try 0 wf run http.yaml
check_out get.o $'1\n2\n3'
json ".steps[0].source.commit == \"$first\"" true <(wf show --json)
: >git-hits
try 0 wf run http.yaml
check_ran ""
same "one question, nothing fetched" "$(grep -c . git-hits) $(grep -c POST git-hits)" "1 0"
wf plan http.yaml --json >plan.json
json '.steps[0].verdict' '"hit"' plan.json
printf '4\n' >>repo/data/a.csv; G commit -qam four; git -C repo push -q "$T/served/r.git" main
second=$(git -C repo rev-parse HEAD)
wf plan http.yaml --json >plan.json
json '.steps[0].verdict' '"undecided"' plan.json
try 0 wf run http.yaml
check_ran get
check_out get.o $'1\n2\n3\n4'
# by tag, by commit: the old content is a hit
sed "s|@main|@v1|" http.yaml >tag.yaml
sed "s|@main|@$first|" http.yaml >pinned.yaml
try 0 wf run tag.yaml; check_ran ""
try 0 wf run pinned.yaml; check_ran ""
: >git-hits
try 0 wf run pinned.yaml
same "a pinned commit asks nobody" "$(grep -c . git-hits)" 0
# a commit that no branch has any more
G reset -q --hard "$first"; git -C repo push -qf "$T/served/r.git" main
sed "s|@main|@$second|" http.yaml >lost.yaml
try 0 wf run lost.yaml; check_ran ""
WF_STORE=$T/fresh try 0 wf run lost.yaml
# the copies are counted, and go when nobody used them for long; not one that is worked with
try 0 wf cache stats --json
json '[.sources, .source_bytes > 0]' '[1,true]'
try 0 wf cache gc --unused-for 30d --json
json .sources_removed 0
touch -d '40 days ago' "$WF_STORE"/sources/*.lock
try 0 wf cache gc --unused-for 30d --dry-run --json
json .sources_removed 1
flock "$WF_STORE"/sources/*.lock "${WF:?}" cache gc --unused-for 30d --json >gc.json
json .sources_removed 0 gc.json
touch -d '40 days ago' "$WF_STORE"/sources/*.lock
try 0 wf cache gc --unused-for 30d --json
json '[.sources_removed, .source_bytes_removed > 0]' '[1,true]'
same "nothing is left, no lock either" "$(ls "$WF_STORE/sources")" ""
try 0 wf run http.yaml --refresh
check_ran get
# measure git
flow measure.yaml <<E1
steps:
  get: {kind: ingest, source: "git+$url/r.git@main:data", cache: {policy: change, measure: git}, run: 'date +%s%N > \${{ outputs.o }}', outputs: {o: o}}
E1
try 0 wf run measure.yaml; check_ran get
try 0 wf run measure.yaml; check_ran ""
echo q >repo/other/o; G commit -qam five; git -C repo push -q "$T/served/r.git" main
try 0 wf run measure.yaml; check_ran ""
echo 5 >>repo/data/a.csv; G commit -qam six; git -C repo push -q "$T/served/r.git" main
try 0 wf run measure.yaml; check_ran get
# who asks
flow private.yaml <<E1
secrets: {pw: {env: MY_PASSWORD}, user: {env: MY_USER}}
steps:
  get: {kind: ingest, source: "git+$url/private/p.git@main", secrets: {SOURCE_USER: user, SOURCE_PASSWORD: pw}}
E1
MY_USER=me MY_PASSWORD=secret try 0 wf run private.yaml
MY_USER=me MY_PASSWORD=wrong try 1 wf run private.yaml --refresh
says "SOURCE_TOKEN"
inurl="steps: {get: {kind: ingest, source: 'git+http://me:secret@${url#http://}/private/p.git'}}"
echo "$inurl" >inurl.yaml
try 0 wf run inurl.yaml
wf show --json >shown; wf plan -v inurl.yaml >>shown; wf plan --json inurl.yaml >>shown
check "no password is shown" test "$(grep -c me:secret shown)" = 0
check "no password is kept" test "$(sqlite3 "$WF_STORE/wf.db" .dump | grep -v '^INSERT INTO.*workflow_text' | grep -c 'me:secret')" = 0
# what is not there
for what in nosuch "main:nosuch"; do
    echo "steps: {get: {kind: ingest, source: 'git+$url/r.git@$what'}}" >gone.yaml
    try 1 timeout 60 "$WF" run gone.yaml
    says nosuch
done
# Git LFS holds no data here
printf '*.bin filter=lfs diff=lfs merge=lfs -text\n' >>repo/.gitattributes
printf 'version https://git-lfs.github.com/spec/v1\noid sha256:%064d\nsize 12\n' 1 >repo/data/big.bin
G -c filter.lfs.clean=cat add -A; G commit -qm lfs
try 1 wf run local.yaml
says 'data/big.bin.*LFS'

# the run's own commit, and whether its work tree had changes
G reset -q --hard "$first"
echo 'steps: {a: {run: "echo hi > $WF_OUT/o", outputs: {o: o}}}' >repo/w.yaml
G add w.yaml; G commit -qm flow
try 0 wf run repo/w.yaml
json .git "{\"commit\":\"$(git -C repo rev-parse HEAD)\",\"dirty\":false}" <(wf show --json)
echo changed >repo/other/o
try 0 wf run repo/w.yaml --refresh
json .git.dirty true <(wf show --json)
try 0 wf run repo/w.yaml
json .git.dirty null <(wf show --json) # nothing ran: nobody looked

# measure git of a path in a work tree; untracked files and edits make it run
G reset -q --hard "$first"
flow path.yaml <<'E1'
steps:
  get: {kind: ingest, source: repo/data, cache: {policy: change, measure: git}, run: 'date +%s%N > ${{ outputs.o }}', outputs: {o: o}}
E1
try 0 wf run path.yaml; check_ran get
json '.steps[0].source | [.commit, .tree, .dirty]' "[\"$first\",\"$tree\",false]" <(wf show --json)
touch repo/data/a.csv
try 0 wf run path.yaml; check_ran ""
echo p >repo/other/o
try 0 wf run path.yaml; check_ran ""
echo new >repo/data/untracked
try 0 wf run path.yaml; check_ran get
rm repo/data/untracked
try 0 wf run path.yaml
echo 7 >>repo/data/a.csv
try 0 wf run path.yaml; check_ran get
try 0 wf run path.yaml; check_ran get
check_store
finish
