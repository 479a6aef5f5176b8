# SPDX-License-Identifier: Apache-2.0
# ingest: local files and folders, http with conditional requests, sha256, unpacking.
. "$(dirname "$0")/lib.sh"
mkdir -p src/sub site; printf '1\n2\n3\n' >src/data.csv; echo s >src/sub/x
flow w.yaml <<E
params: {from: src/data.csv}
steps:
  plain: {kind: ingest, source: '\${{ params.from }}'}
  folder: {kind: ingest, source: src}
  abs: {kind: ingest, source: $T/src/data.csv, run: 'sort -r \${{ source.path }} > \${{ outputs.o }}', outputs: {o: o}}
  after: {run: 'cat \${{ steps.plain.outputs.data }} > \${{ outputs.o }}; cat \${{ steps.folder.outputs.data }}/sub/x >> \${{ outputs.o }}', outputs: {o: o}}
E
try 0 wf run w.yaml
check_out plain.data $'1\n2\n3'
check_out abs.o $'3\n2\n1'
check_out after.o $'1\n2\n3\ns'
try 0 wf run w.yaml
check_ran ""
printf '1\n2\n' >src/data.csv
try 0 wf run w.yaml
check_ran "abs after folder plain"
rc=0; wf run w.yaml -p from=nosuch >.out 2>.err || rc=$?
check "a source that is not there fails ($rc)" test $rc = 1 -o $rc = 3
says nosuch
printf 'one\ntwo\n' >site/data.txt
sum=$(sha256sum <site/data.txt | cut -c1-64)
cat >serve.py <<'P'
import http.server, os, sys
class H(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *a): pass
    def send_head(self):
        open("../hits", "a").write(self.path + " " + str(self.headers.get("If-None-Match")) + "\n")
        p = self.translate_path(self.path)
        if os.path.isfile(p):
            tag = '"%x"' % hash(open(p, "rb").read())
            if self.headers.get("If-None-Match") == tag:
                self.send_response(304); self.send_header("ETag", tag); self.end_headers(); return None
            f = open(p, "rb")
            self.send_response(200); self.send_header("ETag", tag)
            self.send_header("Content-Length", str(os.path.getsize(p))); self.end_headers(); return f
        self.send_error(404)
os.chdir("site")
s = http.server.ThreadingHTTPServer(("127.0.0.1", 0), H)
open("../port", "w").write(str(s.server_address[1])); os.rename("../port", "../port.ready")
s.serve_forever()
P
PYTHONHASHSEED=0 python3 serve.py & server=$!
trap 'kill $server 2>/dev/null; cleanup' EXIT
check "the server is up" wait_for 5 test -e port.ready
url=http://127.0.0.1:$(cat port.ready)
flow h.yaml <<E
steps:
  get: {kind: ingest, source: $url/data.txt, run: 'wc -l < \${{ source.path }} > \${{ outputs.n }}', outputs: {n: n}}
  raw: {kind: ingest, source: $url/data.txt}
E
try 0 wf run h.yaml
check_out get.n 2
check_out raw.data $'one\ntwo'
try 0 wf run h.yaml
check_ran ""
check "asked on condition" grep -q '^/data.txt "' hits
echo three >>site/data.txt
try 0 wf run h.yaml
check_ran "get raw"
check_out get.n 3
flow s.yaml <<E
steps: {get: {kind: ingest, source: $url/data.txt, sha256: $sum}}
E
try 1 wf run s.yaml
printf 'one\ntwo\n' >site/data.txt
try 0 wf run s.yaml
invalid "steps: {get: {kind: ingest, source: $url/a.tar.gz, unpack: true}}"
says "not supported yet"
flow n.yaml <<E
steps: {get: {kind: ingest, source: $url/nosuch}}
E
try 1 wf run n.yaml
says 404
kill $server; wait $server 2>/dev/null
try 1 timeout 30 "$WF" run h.yaml --refresh
invalid 'steps: {a: {kind: ingest, run: x}}'
invalid 'steps: {a: {kind: ingest, source: "gs://bucket/x"}}'
invalid 'steps: {a: {kind: ingest, source: "git://example.org/x@main:y"}}'
check_store
finish
