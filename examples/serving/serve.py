#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""serve.py MODEL: answers for one model on the unix socket $WF_SOCKET, in the Open Inference Protocol, as the model $WF_MODEL_NAME."""
import http.server, json, os, signal, socketserver, sys

model = json.load(open(sys.argv[1]))
name = os.environ["WF_MODEL_NAME"]


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # connections stay open

    def answer(self, status, body):
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def do_GET(self):
        known = ["/v2/health/live", "/v2/health/ready", f"/v2/models/{name}/ready"]
        self.answer(200 if self.path in known else 404, {"name": name, "ready": True})

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path != f"/v2/models/{name}/infer":
            return self.answer(404, {"error": f"the model here is {name}"})
        try:
            xs = [float(x) for x in json.loads(body)["inputs"][0]["data"]]
        except (ValueError, KeyError, IndexError, TypeError):
            return self.answer(400, {"error": "expected one input with numbers"})
        ys = [model["slope"] * x + model["offset"] for x in xs]
        self.answer(200, {"model_name": name, "outputs": [{"name": "y", "datatype": "FP64", "shape": [len(ys)], "data": ys}]})

    def log_message(self, *_):
        pass


class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request, address):
        if not isinstance(sys.exc_info()[1], ConnectionError):  # a caller that went away is none
            super().handle_error(request, address)


signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # comes when nothing is asked any more
Server(os.environ["WF_SOCKET"], Handler).serve_forever()
