# SPDX-License-Identifier: Apache-2.0
# Sources over HTTP: asked on condition, taken up where the connection broke, tried again, and never another content under an old key.
HERE=$(cd "$(dirname "$0")" && pwd)
. "$(dirname "$0")/lib.sh"
mkdir site
for f in a b c d e f g h; do seq 1000 >site/$f; done
seq 5 >site/d.new; seq 7 >site/later; seq 8 >site/later.new
touch -d '2020-01-01 00:00:00 UTC' site/c
python3 "$HERE/web.py" & server=$!
trap 'kill $server 2>/dev/null; cleanup' EXIT
check "the server is up" wait_for 10 test -e port.ready
url=http://127.0.0.1:$(cat port.ready)
get() { echo "steps: {get: {kind: ingest, source: '$url/$1'${2-}}}" >w.yaml; : >hits; }
seen() { same "asked: $1" "$(cut -d' ' -f1,3-5 hits | paste -sd,)" "$2"; }

get plain/a
try 0 wf run w.yaml
tag=$(sha1sum <site/a | cut -c1-40)
json '.steps[0].source | [.etag, .bytes, .records, .files]' "[\"\\\"$tag\\\"\",3893,1000,1]" <(wf show --json)
json '.steps[0].source.sha256' "\"sha256:$(sha256sum <site/a | cut -c1-64)\"" <(wf show --json)
: >hits
try 0 wf run w.yaml; check_ran ""
seen "on condition" "GET 304 None \"$tag\""
: >hits; wf plan w.yaml --json >plan.json
json '.steps[0].verdict' '"hit"' plan.json
seen "plan asks for headers only" "HEAD 304 None \"$tag\""
echo more >>site/a
wf plan w.yaml --json >plan.json
json '.steps[0].verdict' '"undecided"' plan.json

# a weak ETag says nothing about bytes; a Last-Modified only when it is old enough
get weak/b
try 0 wf run w.yaml; : >hits; try 0 wf run w.yaml; check_ran ""
seen "no condition" "GET 200 None None"
get date/c
try 0 wf run w.yaml; : >hits; try 0 wf run w.yaml; check_ran ""
seen "by date" "GET 304 None Wed,"
get date/h
try 0 wf run w.yaml; : >hits; try 0 wf run w.yaml; check_ran ""
seen "just modified: no condition" "GET 200 None None"

get plain/j
seq 12 >site/j
try 0 wf run w.yaml
seen "fetched once, looked at again before its use" "GET 200 None None,GET 304 None \"$(sha1sum <site/j | cut -c1-40)\""

# broken connections
get broken/e
try 0 wf run w.yaml
check_out get.data "$(seq 1000)"
seen "went on" "GET broken None None,GET 206 bytes=1946- None"
get swapped/d
try 0 wf run w.yaml
check_out get.data "$(seq 5)"
get odd/f
try 0 wf run w.yaml
check_out get.data "$(seq 1000)"
get busy/g
try 0 wf run w.yaml
seen "tried again" "GET 503 None None,GET 503 None None,GET 200 None None"

# what the key was made of is not what came: used, not stored
get later/later
try 0 wf run w.yaml
sed -i "s|'}}|', run: 'cat \${{ source.path }} > \${{ outputs.o }}', outputs: {o: o}}}|" w.yaml
try 0 wf run w.yaml
check_out get.o "$(seq 8)"
says "changed between"
try 0 wf run w.yaml; check_ran get
try 0 wf run w.yaml; check_ran ""

# who asks; redirects keep that to themselves
get "to/$url/plain/b" ; try 0 wf run w.yaml
check_out get.data "$(seq 1000)"
get private/b
try 1 wf run w.yaml; says 401; says SOURCE_TOKEN; says_not sesame
{ echo 'secrets: {t: {env: TOKEN}}'; echo "steps: {get: {kind: ingest, source: '$url/private/b', secrets: {SOURCE_TOKEN: t}}}"; } >w.yaml
TOKEN=sesame try 0 wf run w.yaml
wf plan w.yaml --json >plan.json
json '.steps[0].verdict' '"undecided"' plan.json
elsewhere=http://localhost:$(cat port.ready)
{ echo 'secrets: {t: {env: TOKEN}}'; echo "steps: {get: {kind: ingest, source: '$url/to/$elsewhere/plain/b', secrets: {SOURCE_TOKEN: t}}}"; } >w.yaml
: >hits
TOKEN=sesame try 0 wf run w.yaml
same "the token went to one host" "$(cut -d' ' -f6- hits | paste -sd,)" "Bearer sesame,None"
seq 11 >site/i
get "plain/i?x=1&X-Amz-Signature=topsecret&token=hushhush"
try 0 wf run w.yaml
{ wf show --json; wf plan -v w.yaml; wf plan --json w.yaml; wf explain w.yaml get; } >shown 2>&1
check "no secret is shown" test "$(grep -c 'topsecret\|hushhush' shown)" = 0
json '.steps[0].source.url | test("x=1&token=sha256-[0-9a-f]{12}$")' true <(wf show --json)

# a password in a param that is a URL: steps get it, nobody sees it
site=${url#http://}
flow w.yaml <<'Y'
params: {from: none}
steps:
  get: {kind: ingest, source: '${{ params.from }}'}
  use: {run: 'printf %s ${{ params.from }} > ${{ outputs.o }}', outputs: {o: o}}
Y
try 0 wf run -v w.yaml -p "from=http://me:sesamepw@$site/plain/a" --json; says_not sesamepw
check_out use.o "http://me:sesamepw@$site/plain/a"
try 0 wf run -v w.yaml -p "from=http://me:sesampw2@$site/plain/a"; says_not sesam; says 'another user or password'
json .params.from "\"http://***@$site/plain/a\"" <(wf show --json)
key=$(wf cache ls --json -s use | jq -r '.[0].key')
for c in show "show --json" "explain --run latest use" "explain --run latest use --json" diff "diff --json" \
    "plan -v w.yaml -p from=http://me:sesampw3@$site/plain/a" "plan --json w.yaml -p from=http://me:sesampw3@$site/plain/b" \
    "cache show ${key#sha256:}" "cache show ${key#sha256:} --json"; do
    # shellcheck disable=SC2086 # words
    try 0 wf $c; says_not sesam
done
same "nor is it in the history" "$(sqlite3 "$WF_STORE/wf.db" 'SELECT * FROM runs, events' | grep -ac sesam)" 0

# evidence
get plain/b ", cache: {policy: time, ttl: 14d}"
try 0 wf run w.yaml
: >hits
try 0 wf run -v w.yaml; check_ran ""
says '[0-9]+s old, fresh for 14d'
json '.steps[0].cache.note | test("old, fresh for 14d")' true <(wf show --json)
seen "nobody is asked" ""
get plain/b ", cache: {policy: change, measure: bytes, threshold: 20%}"
try 0 wf run w.yaml; check_ran get
seq 1020 >site/b
: >hits
try 0 wf run w.yaml --json; check_ran ""
json 'select(.event == "cached") | .data.note' '"reused: bytes 3,993 vs 3,893, 2.569% < 20%"'
seen "headers only" "HEAD 200 None None"
wf plan w.yaml --json >plan.json
json '.steps[0].why' '"reused: bytes 3,993 vs 3,893, 2.569% < 20%"' plan.json
seq 1500 >site/b
try 0 wf run -v w.yaml; check_ran get
says 'because bytes 6,393 vs 3,893, 64.22% > 20%'
get plain/b ", cache: {policy: change, measure: etag}"
try 0 wf run w.yaml; check_ran get
try 0 wf run w.yaml; check_ran ""
echo 1 >>site/b
try 0 wf run w.yaml; check_ran get
get weak/nosuch
try 1 wf run w.yaml; says 404
check_store
finish
