#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Results that wf never made, for tests: forge.py cache DIR HOW, or forge.py tar IN OUT HOW (both tars without compression). Each result is altered as HOW says, and all that names it is made to fit, so
that every digest is right: renamed, fewer, twice, moved, value, emptied, leads-out, below-file, heavier, longer, adopted, late (tar: entries before their objects), sparse
and huge (tar: an object that is said to be as large as no disk), shown (tar: names that a terminal would obey)."""
import hashlib
import io
import json
import os
import sys
import tarfile

HUGE = 1 << 62


class Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, n):
        self.at += n
        return self.data[self.at - n:self.at]

    def number(self):
        value = shift = 0
        while True:
            byte = self.take(1)[0]
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    def text(self):
        text = self.take(self.number())
        self.take(1)
        return text


def number(value):
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes(out) + bytes([value])


def text(value):
    return number(len(value)) + value + b"\0"


def decode(data):
    r = Reader(data)
    res = {"version": r.number(), "flags": r.number(), "outputs": [], "values": []}
    for _ in range(r.number()):
        o = {"kind": r.number(), "digest": r.take(32), "bytes": r.number()}
        o["object"] = r.number() if o["kind"] & 1 else None
        res["outputs"].append(o)
    res["log"] = (r.take(32), r.number()) if res["flags"] & 2 else None
    for o in res["outputs"]:
        o["name"], o["path"] = r.text(), r.text()
    res["values"] = [[r.text(), r.text()] for _ in range(r.number())]
    res["times"] = [r.number() for _ in range(4)]
    res["texts"] = data[r.at:]
    return res


def encode(res):
    out = number(res["version"]) + number(res["flags"]) + number(len(res["outputs"]))
    for o in res["outputs"]:
        out += number(o["kind"]) + o["digest"] + number(o["bytes"])
        out += number(o["object"]) if o["object"] is not None else b""
    if res["log"]:
        out += res["log"][0] + number(res["log"][1])
    for o in res["outputs"]:
        out += text(o["name"]) + text(o["path"])
    out += number(len(res["values"])) + b"".join(text(n) + text(v) for n, v in res["values"])
    return out + b"".join(map(number, res["times"])) + res["texts"]


def forge(data, how, put):
    """The result, altered; put(bytes) stores an object and returns its digest."""
    res = decode(data)
    first = res["outputs"][0]
    tree = next((o for o in res["outputs"] if o["kind"] & 1), None)
    if how == "renamed":
        first["name"] = b"other"
    elif how == "fewer":
        res["outputs"].pop()
    elif how == "twice":
        res["outputs"][-1] = dict(first)
    elif how == "moved":
        first["path"] = b"else/where"
    elif how == "value":
        res["values"] = [[b"unknown", b"1"]]
    elif how == "emptied":
        for o in res["outputs"]:
            if not o["kind"] & 1:
                o["digest"], o["bytes"] = put(b""), 0
    elif how in ("leads-out", "below-file") and tree:
        empty = put(b"")
        if how == "leads-out":
            lines = b"wf-tree-1\nl - 0 3 one 8 ../../..\n"
        else:
            lines = b"wf-tree-1\nf %s 0 1 a\nf %s 0 3 a/b\n" % (empty.hex().encode(), empty.hex().encode())
        tree["digest"], tree["bytes"], tree["object"] = put(lines), 0, len(lines)
    elif how == "heavier" and tree:
        tree["bytes"] = HUGE
    elif how == "longer":
        res["times"][1] = HUGE << 1
    elif how == "adopted":
        res["flags"] |= 64
        res["texts"] += text(b"no JSON")
    return encode(res)


# --- a shared cache ---

def fields(data):
    r = Reader(data)
    while r.at < len(data):
        tag = r.number()
        yield tag, r.take(r.number()) if tag & 7 == 2 else r.number()


def message(items):
    return b"".join(number(tag) + (number(len(v)) + v if tag & 7 == 2 else number(v)) for tag, v in items)


def forge_cache(folder, how):
    def put(data):
        digest = hashlib.sha256(data).digest()
        with open(f"{folder}/cas/{digest.hex()}", "wb") as f:
            f.write(data)
        return digest

    for name in os.listdir(folder + "/ac"):
        path = f"{folder}/ac/{name}"
        with open(path, "rb") as f:
            answer = list(fields(f.read()))
        for i, (tag, value) in enumerate(answer):
            parts = dict(fields(value)) if tag == 2 << 3 | 2 else {}
            if parts.get(1 << 3 | 2) != b"wf/result":
                continue
            hex_digest = dict(fields(parts[2 << 3 | 2]))[1 << 3 | 2].decode()
            inlined = parts.get(5 << 3 | 2)
            if inlined is None:
                with open(f"{folder}/cas/{hex_digest}", "rb") as f:
                    inlined = f.read()
            new = forge(inlined, how, put)
            parts[2 << 3 | 2] = message([(1 << 3 | 2, put(new).hex().encode()), (2 << 3, len(new))])
            if 5 << 3 | 2 in parts:
                parts[5 << 3 | 2] = new
            answer[i] = (tag, message(sorted(parts.items())))
        with open(path, "wb") as f:
            f.write(message(answer))


# --- an archive ---

def forge_tar(source, target, how):
    members = []
    with tarfile.open(source) as tar:
        for info in tar:
            members.append((info.name, info.mode, tar.extractfile(info).read()))
    added = []

    def put(data):
        digest = hashlib.sha256(data).digest()
        if not any(name == f"objects/{digest.hex()}" for name, _, _ in members + added):
            added.append((f"objects/{digest.hex()}", 0o444, data))
        return digest

    for i, (name, mode, data) in enumerate(members):
        if name.startswith("entries/"):
            line, _, rest = data.partition(b"\n")
            head = json.loads(line)
            a, r = head["action"], head["result"]
            new = forge(rest[a:a + r], how, put)
            head["result"] = len(new)
            if how == "shown":
                head["step"] = "one\x1b[2J"
            members[i] = (name, mode, json.dumps(head).encode() + b"\n" + rest[:a] + new + rest[a + r:])
    head, end = members[0], members[-1]
    objects = added + [m for m in members if m[0].startswith("objects/")]
    entries = [m for m in members if m[0].startswith("entries/")]
    counts = json.dumps({"entries": len(entries), "objects": len(objects)}).encode()
    ordered = entries + objects if how == "late" else objects + entries
    with tarfile.open(target, "w", format=tarfile.PAX_FORMAT) as tar:
        for name, mode, data in [head] + ordered + [(end[0], end[1], counts + b"\n")]:
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(data), mode
            if how == "sparse" and name.startswith("objects/"):
                info.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0",
                                    "GNU.sparse.name": name, "GNU.sparse.realsize": str(1 << 50)}
                data = b"1\n1125899906842000\n1\n".ljust(512, b"\0") + b"x"
                info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
            if how == "huge" and name.startswith("objects/"):
                size, info.size = info.size, 1 << 60
                tar.fileobj.seek(-((size + 511) // 512 * 512) - 512, os.SEEK_CUR)
                tar.fileobj.write(info.tobuf(tarfile.GNU_FORMAT))
                tar.fileobj.seek(0, os.SEEK_END)


if sys.argv[1] == "cache":
    forge_cache(*sys.argv[2:])
else:
    forge_tar(*sys.argv[2:])
