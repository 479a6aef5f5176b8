#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A shared cache that lies, for tests: liar.py DIR. It keeps what is PUT below DIR/cache, writes its port into DIR/port, and answers as the word in DIR/mode says:
honest, altered (same size, another content), less (a shorter content, said to be whole), cut (the connection ends early), endless, swapped (ac/ of another key), html, garbage, empty,
silent, slow (a byte a second), broken (500), full (PUT: 507), sink (PUT is never answered), moved (301 to itself),
any (each time another one of the first ten)."""
import http.server
import os
import random
import sys
import tempfile
import time

ROOT = os.path.abspath(sys.argv[1])
CACHE = os.path.join(ROOT, "cache")
LIES = ("altered", "less", "cut", "endless", "swapped", "html", "garbage", "empty")


def mode():
    with open(os.path.join(ROOT, "mode"), encoding="ascii") as f:
        return f.read().strip()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, format, *args):
        with open(os.path.join(ROOT, "log"), "a", encoding="utf-8") as f:
            f.write(f"{self.command} {self.path} {args[1] if len(args) > 1 else ''}\n")

    def answer(self, status, body=b"", length=None):
        self.send_response(status)
        if status == 301:
            self.send_header("Location", self.path)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def find(self):
        path = os.path.join(CACHE, self.path.lstrip("/"))
        if not os.path.isfile(path):
            return None
        with open(path, "rb") as f:
            return f.read()

    def forever(self, piece, seconds):
        self.send_response(200)
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        try:
            while True:
                self.wfile.write(piece)
                time.sleep(seconds)
        except OSError:
            pass

    def other_answer(self):
        names = sorted(os.listdir(os.path.join(CACHE, "ac")))
        others = [n for n in names if n != os.path.basename(self.path)]
        with open(os.path.join(CACHE, "ac", others[0]), "rb") as f:
            return f.read()

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        body, how = self.find(), mode()
        if how == "any":
            how = random.choice(("honest",) * 6 + LIES)
        is_cas = self.path.startswith("/cas/")
        if how == "silent":
            time.sleep(60)
        elif how == "slow":
            self.forever(b"x", 1)
        elif how == "broken":
            self.answer(500, b"no")
        elif how == "moved":
            self.answer(301)
        elif how == "html":
            self.answer(200, b"<html><body>Please log in</body></html>")
        elif body is None:
            self.answer(404, b"nothing here")
        elif how == "garbage" and not is_cas:
            self.answer(200, os.urandom(len(body)))
        elif how == "empty":
            self.answer(200)
        elif how == "swapped" and not is_cas:
            self.answer(200, self.other_answer())
        elif how == "altered" and is_cas:
            self.answer(200, body[:-1] + bytes([body[-1] ^ 1]))
        elif how == "less" and is_cas:
            self.answer(200, body[: len(body) // 2])
        elif how == "cut" and is_cas:
            self.answer(200, body[: len(body) // 2], len(body))
            self.close_connection = True
        elif how == "endless" and is_cas:
            self.forever(b"x" * 65536, 0)
        else:
            self.answer(200, body)

    def do_PUT(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if mode() == "sink":
            time.sleep(60)
        if mode() == "full":
            self.answer(507, b"full")
            return
        path = os.path.join(CACHE, self.path.lstrip("/"))
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=ROOT, delete=False) as f:
            f.write(body)
        os.rename(f.name, path)
        self.answer(201)


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        pass


server = Server(("127.0.0.1", 0), Handler)
with open(os.path.join(ROOT, "port.new"), "w", encoding="ascii") as f:
    f.write(str(server.server_address[1]))
os.rename(os.path.join(ROOT, "port.new"), os.path.join(ROOT, "port"))
server.serve_forever()
