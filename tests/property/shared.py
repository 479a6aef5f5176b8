# SPDX-License-Identifier: Apache-2.0
"""A shared cache in the test's own process: a plain keeper of files below /ac and /cas, which lies when told to."""
import http.server
import os
import random
import threading

LIES = ["altered", "less", "cut", "broken", "swapped", "garbage", "empty", "gone", "html"]


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def answer(self, status, body=b"", length=None):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        owner = self.server.owner
        body, lie = owner.kept.get(self.path), owner.lie()
        if lie == "broken":
            self.answer(500, b"no")
        elif lie == "html":
            self.answer(200, b"<html><body>Please log in</body></html>")
        elif body is None or lie == "gone":
            self.answer(404, b"nothing here")
        elif lie == "altered" and body:
            at = owner.random.randrange(len(body))
            self.answer(200, body[:at] + bytes([body[at] ^ 1]) + body[at + 1:])
        elif lie == "less":
            self.answer(200, body[:len(body) // 2])
        elif lie == "cut" and body:
            self.answer(200, body[:len(body) // 2], len(body))
            self.close_connection = True
        elif lie == "swapped":
            self.answer(200, owner.random.choice([b for p, b in list(owner.kept.items()) if p[:4] == self.path[:4]]))
        elif lie == "garbage":
            self.answer(200, os.urandom(len(body)))
        elif lie == "empty":
            self.answer(200)
        else:
            self.answer(200, body)

    def do_PUT(self):
        owner = self.server.owner
        body, lie = self.rfile.read(int(self.headers["Content-Length"])), owner.lie()
        if lie == "broken":
            self.answer(507, b"full")
            return
        if lie in ("altered", "less", "garbage", "cut"):
            body = body[:len(body) // 2]
        if lie != "gone":
            owner.kept[self.path] = body
        self.answer(201)


class Quiet(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 512  # a connection that is not taken while the machine is busy must wait, not be tried again in seconds

    def handle_error(self, request, client_address):
        pass


class Shared:
    """The server; `kept` maps paths to contents."""

    def __init__(self, seed, share_of_lies):
        self.random, self.share, self.kept = random.Random(seed), share_of_lies, {}
        self.server = Quiet(("127.0.0.1", 0), Handler)
        self.server.owner = self
        self.url = "http://127.0.0.1:%d" % self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def lie(self):
        return self.random.choice(LIES) if self.random.random() < self.share else None

    def keys(self):
        return {"sha256:" + path[4:] for path in list(self.kept) if path.startswith("/ac/")}

    def close(self):
        self.server.shutdown()
        self.server.server_close()
