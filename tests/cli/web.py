# SPDX-License-Identifier: Apache-2.0
# web.py: a server with moods, on a port of its own that it writes to port.ready. It serves ./site; the first part of the path says how:
#   /plain/F      ETag, Range, If-None-Match, If-Range       /weak/F       only a weak ETag       /date/F    only Last-Modified, Range
#   /broken/F     as plain, but the connection breaks half way the first two times; /swapped/F: and the content becomes F.new after the first
#   /odd/F        as broken, but a Range is answered with another one                            /busy/F    503 with Retry-After: 0 twice
#   /status/N     that status        /round/F     a redirect to itself
#   /to/URL       a redirect        /private/F   wants Authorization: Bearer sesame              /later/F   as plain, but becomes F.new after three 304s
# Each request is a line in ./hits: method, path, status, Range, If-None-Match or If-Modified-Since, Authorization.
import email.utils, hashlib, http.server, os, threading

lock, counts = threading.Lock(), {}

class H(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def log_message(self, *a): pass

    def note(self, status):
        h = self.headers
        with lock:
            open("hits", "a").write(" ".join(str(x) for x in (self.command, self.path.split("?")[0], status, h.get("Range"),
                h.get("If-None-Match") or h.get("If-Modified-Since"), h.get("Authorization"))) + "\n")

    def say(self, status, body=b"", **headers):
        self.note(status)
        self.send_response(status)
        for k, v in headers.items(): self.send_header(k.replace("_", "-"), v)
        if status != 304: self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD" and status != 304: self.wfile.write(body)

    def do_GET(self):
        mood, _, rest = self.path[1:].partition("/")
        name = rest.split("?")[0]
        with lock: n = counts[self.path, self.command] = counts.get((self.path, self.command), 0) + 1
        if mood == "to": return self.say(302, Location=rest)
        if mood == "round": return self.say(302, Location=self.path)
        if mood == "status": return self.say(int(rest), b"no")
        if mood == "private" and self.headers.get("Authorization") != "Bearer sesame": return self.say(401)
        if mood == "busy" and n <= 2: return self.say(503, b"busy", Retry_After="0")
        path = "site/" + name
        if (mood == "swapped" and n > 1) or (mood == "later" and os.path.exists("changed")): path += ".new"
        if not os.path.isfile(path): return self.say(404)
        data = open(path, "rb").read()
        tag = '"' + hashlib.sha1(data).hexdigest() + '"'
        if mood == "weak": tag = "W/" + tag
        date = email.utils.formatdate(os.path.getmtime(path), usegmt=True)
        marks = {"Last_Modified": date} if mood == "date" else {"ETag": tag}
        if self.headers.get("If-None-Match") == tag or (mood == "date" and self.headers.get("If-Modified-Since") == date):
            with lock: counts[mood] = counts.get(mood, 0) + 1
            if mood == "later" and counts[mood] == 3: open("changed", "w")
            return self.say(304, **marks)
        want = self.headers.get("Range")
        if want and self.headers.get("If-Range") in (None, tag, date):
            start = int(want.split("=")[1].split("-")[0])
            if mood == "odd": start += 1
            return self.say(206, data[start:], Content_Range="bytes %d-%d/%d" % (start, len(data) - 1, len(data)), **marks)
        if mood in ("broken", "odd", "swapped") and n <= (1 if mood == "swapped" else 2) and self.command == "GET":
            self.note("broken")
            self.send_response(200)
            for k, v in marks.items(): self.send_header(k.replace("_", "-"), v)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data[:len(data) // 2]); self.wfile.flush()
            self.close_connection = True
            return
        self.say(200, data, **marks)

    do_HEAD = do_GET

s = http.server.ThreadingHTTPServer(("127.0.0.1", 0), H)
open("port", "w").write(str(s.server_address[1]))
os.rename("port", "port.ready")
s.serve_forever()
