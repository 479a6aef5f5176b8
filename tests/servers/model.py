#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A model server for tests: Open Inference Protocol v2 (REST) over $WF_SOCKET or $PORT, with faults by environment.

$WF_MODEL is a text file whose first line is `bias N`; anything else is a corrupt model, and the server ends with 3 at once. /infer answers the inputs plus the bias.
MODEL_FAULT: silent      it listens and never answers
             error       readiness is answered with 500
             hang        after /hang was asked for, nothing is answered any more
             late        it does not listen before MODEL_LATE seconds (default 2)
             deaf        it ends only by KILL
MODEL_SLOW: seconds each inference takes. MODEL_COUNT: a file that gets a line with the process's id for each start. /die ends it (exit code 9), /fail answers 500.
"""
import json
import os
import signal
import socket
import socketserver
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler

FAULT = os.environ.get("MODEL_FAULT", "")
NAME = os.environ.get("WF_MODEL_NAME", "model")
hanging = threading.Event()


def read_model():
    path = os.environ.get("WF_MODEL")
    if not path:
        return 0.0
    with open(path, encoding="utf-8") as f:
        words = f.readline().split()
    if len(words) != 2 or words[0] != "bias":
        print("model.py: the model file is corrupt", file=sys.stderr, flush=True)
        sys.exit(3)
    return float(words[1])


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    bias = 0.0

    def log_message(self, format, *args):  # noqa: A002
        pass

    def address_string(self):
        return "unix"

    def say(self, status, document):
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def stall(self):
        if FAULT == "silent" or hanging.is_set():
            time.sleep(3600)

    def do_GET(self):
        self.stall()
        if self.path == "/hang":
            hanging.set()
            self.say(200, {"hangs": True})
        elif self.path == "/die":
            os._exit(9)
        elif self.path == "/fail":
            self.say(500, {"error": "as wished"})
        elif self.path in ("/v2/health/ready", "/v2/health/live") or self.path.endswith("/ready"):
            self.say(500 if FAULT == "error" else 200, {"name": NAME, "ready": FAULT != "error"})
        elif self.path.startswith("/v2/models/"):
            self.say(200, {"name": NAME, "versions": ["1"], "platform": "test", "inputs": [], "outputs": [], "pid": os.getpid(), "bias": self.bias})
        else:
            self.say(404, {"error": "no such path"})

    def do_POST(self):
        self.stall()
        length = int(self.headers.get("Content-Length", 0))
        try:
            asked = json.loads(self.rfile.read(length))
            values = asked["inputs"][0]["data"]
            if os.environ.get("MODEL_SLOW"):
                time.sleep(float(os.environ["MODEL_SLOW"]))
            data = [v + self.bias for v in values]
        except (ValueError, KeyError, TypeError, IndexError) as e:
            self.say(400, {"error": str(e)})
            return
        self.say(200, {"model_name": NAME, "outputs": [{"name": "out", "datatype": "FP64", "shape": [len(data)], "data": data}]})


class UnixServer(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    request_queue_size = 128


class TcpServer(socketserver.ThreadingMixIn, socketserver.TCPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 128


def main():
    if os.environ.get("MODEL_COUNT"):
        with open(os.environ["MODEL_COUNT"], "a", encoding="utf-8") as f:
            f.write(f"{os.getpid()}\n")
    if FAULT == "deaf":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    else:
        signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    Handler.bias = read_model()
    if FAULT == "late":
        time.sleep(float(os.environ.get("MODEL_LATE", "2")))
    if os.environ.get("WF_SOCKET"):
        server = UnixServer(os.environ["WF_SOCKET"], Handler)
    else:
        server = TcpServer(("127.0.0.1", int(os.environ["PORT"])), Handler)
        server.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    print(f"model.py: {NAME} is ready", flush=True)
    server.serve_forever()


main()
