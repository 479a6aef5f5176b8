#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Containers in a row by the engine's own API and nothing else, in the sequence that is fastest: create, attach, start, read to the end, wait, delete.

  tests/bench/api.py SOCKET IMAGE COUNT COMMAND…

What remains of a container step's time when the runner costs nothing. Podman's API (its `wait` with an interval)."""
import json, socket, sys


class Conn:
    def __init__(self, path):
        self.s = socket.socket(socket.AF_UNIX)
        self.s.connect(path)
        self.f = self.s.makefile("rb")

    def call(self, method, path, body=None, upgrade=False):
        data = json.dumps(body).encode() if body is not None else b""
        head = f"{method} {path} HTTP/1.1\r\nHost: d\r\nContent-Type: application/json\r\nContent-Length: {len(data)}\r\n"
        self.s.sendall((head + ("Connection: Upgrade\r\nUpgrade: tcp\r\n" if upgrade else "") + "\r\n").encode() + data)
        status = int(self.f.readline().split()[1])
        fields = {}
        while line := self.f.readline().strip():
            key, value = line.split(b":", 1)
            fields[key.lower()] = value.strip()
        if status == 101:
            return b""
        if fields.get(b"transfer-encoding") == b"chunked":
            out = b""
            while size := int(self.f.readline(), 16):
                out += self.f.read(size)
                self.f.readline()
            self.f.readline()
        else:
            out = self.f.read(int(fields.get(b"content-length", 0))) if status not in (204, 304) else b""
        if status >= 300:
            sys.exit(f"api: {method} {path}: {status} {out.decode(errors='replace')}")
        return out


def main():
    path, image, count, command = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4:]
    c = Conn(path)
    for _ in range(count):
        made = json.loads(c.call("POST", "/v1.41/containers/create", {"Image": image, "Cmd": command, "HostConfig": {"NetworkMode": "none"}}))["Id"]
        log = Conn(path)
        log.call("POST", f"/v1.41/containers/{made}/attach?stream=1&stdout=1&stderr=1", upgrade=True)
        c.call("POST", f"/v1.41/containers/{made}/start")
        while log.f.read(65536):
            pass
        log.s.close()
        code = int(c.call("POST", f"/v4.0.0/libpod/containers/{made}/wait?interval=10ms"))
        if code:
            sys.exit(f"api: the container exited with {code}")
        c.call("DELETE", f"/v1.41/containers/{made}?force=1&v=1")


main()
