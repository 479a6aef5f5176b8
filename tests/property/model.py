# SPDX-License-Identifier: Apache-2.0
"""What a run must give, computed from the files as they are, without a look at wf."""
import hashlib
import os


def sha(data):
    return hashlib.sha256(data).hexdigest()


class Skipped(Exception):
    """A step that reads what is not there."""


def executable(path):
    return bool(os.stat(path).st_mode & 0o100)


def manifest(path):
    """What a folder holds, as a key: kinds, digests, execute bits, links."""
    found = []
    for base, dirs, files in os.walk(path):
        for name in list(dirs) + files:
            full = os.path.join(base, name)
            rel = os.path.relpath(full, path)
            if os.path.islink(full):
                found.append((rel, "link", os.readlink(full)))
            elif os.path.isdir(full):
                if not os.listdir(full):
                    found.append((rel, "empty"))
            else:
                found.append((rel, "file", sha(open(full, "rb").read()), executable(full)))
    return tuple(sorted(found))


def identity(path):
    """An input as it stands in an action."""
    if os.path.isdir(path):
        return ("folder", manifest(path))
    return ("file", sha(open(path, "rb").read()), executable(path))


def listing(path):
    """What TREE prints for a folder on disk."""
    files, marked, links, empty = [], [], [], []
    for base, dirs, names in os.walk(path):
        rel = os.path.relpath(base, path)
        rel = "." if rel == "." else "./" + rel
        if not dirs and not names:
            empty.append(rel)
        for name in names + dirs:
            full, shown = os.path.join(base, name), rel + "/" + name
            if os.path.islink(full):
                links.append("%s -> %s" % (shown[2:], os.readlink(full)))
                if os.path.isdir(full):
                    inner = [os.path.join(b, n) for b, _, ns in os.walk(full) for n in ns]
                    files += ["%s  %s%s" % (sha(open(f, "rb").read()), shown, f[len(full):]) for f in inner]
            if os.path.isfile(full):
                files.append("%s  %s" % (sha(open(full, "rb").read()), shown))
                if not os.path.islink(full) and executable(full):
                    marked.append(shown)
    out = sorted(files, key=str.encode) + sorted(marked, key=str.encode)
    out += sorted(links, key=str.encode) + sorted(empty, key=str.encode)
    return "".join(line + "\n" for line in out).encode()


class Model:
    """The results that a project's steps must have."""

    def model(self):
        """{(step, branch): (key, content, value) or None where skipped}"""
        results = {}
        for step in self.steps.values():
            for branch in step.branches(self):
                try:
                    results[step.name, branch] = self.compute(step, branch, results)
                except Skipped:
                    results[step.name, branch] = None
        return results

    def upstream(self, step, other, branch, results):
        """The results that a reference gives: a list."""
        other = self.steps[other]
        if other.matrix is None:
            if results[other.name, None] is None:
                raise Skipped()
            return [results[other.name, None]]
        found = [results[other.name, b] for b in other.branches(self)]
        if found and all(f is None for f in found):
            raise Skipped()
        return [f for f in found if f is not None]

    def shown(self, result):
        """What `show` prints of an output."""
        return result["tree"] if result["folder"] else result["main"]

    def compute(self, step, branch, results):
        out, key = b"", [step.space, step.folder, step.output, step.value, step.executable, step.version]
        tell = lambda *words: b"".join(b"<" + w.encode() + b">\n" for w in words)
        needs = {op[1] for op in step.ops if op[0] in ("up", "val", "defval")}
        needs |= {v[1] for v in step.env.values() if isinstance(v, tuple)}
        needs |= {v[1] for v in step.inputs.values() if isinstance(v, tuple)}
        gone = [n for n in needs if all(results[n, b] is None for b in self.steps[n].branches(self))]
        if needs and len(gone) == len(needs) and not all(op[0] == "defval" for op in step.ops if op[0] in ("up", "val", "defval")):
            raise Skipped()
        if step.condition and not self.params[step.condition]:
            raise Skipped()
        env = {}
        for name, value in step.env.items():
            env[name] = value if isinstance(value, str) else self.upstream(step, value[1], branch, results)[0]["value"]
        key.append(tuple(sorted(env.items())))
        key.append(branch)
        place = lambda path: path if os.path.isabs(path) else os.path.join(self.root, path)
        for name, value in sorted(step.inputs.items()):
            if isinstance(value, tuple):
                key.append((name, tuple(f["identity"] for f in self.upstream(step, value[1], branch, results))))
            elif isinstance(value, dict):
                path = place(value["path"])
                key.append((name, identity(path) if os.path.exists(path) else "missing"))
            elif "*" in value:
                key.append((name, tuple((p, identity(place(p))) for p in self.matches(value))))
            else:
                key.append((name, identity(place(value))))
        for path in step.listed:
            key.append((path, identity(place(path))))
        for op in step.ops:
            key.append(op)
            if op[0] == "lit":
                out += tell(op[1])
            elif op[0] in ("in", "dir"):
                path = place(step.inputs[op[1]])
                out += listing(path) if os.path.isdir(path) else open(path, "rb").read()
            elif op[0] == "glob":
                out += b"".join(open(place(p), "rb").read() for p in self.matches(step.inputs[op[1]]))
            elif op[0] == "fold":
                lines = b""
                for result in self.upstream(step, step.inputs[op[1]][1], branch, results):
                    lines += result["main"] + (b"sub\nsub\n" if result["folder"] else b"")
                out += b"".join(sorted(lines.splitlines(keepends=True)))
            elif op[0] == "x":
                path = place(step.inputs[op[1]])
                out += tell("x" if os.path.isdir(path) or executable(path) else "-")
            elif op[0] == "opt":
                path = place(op[1])
                key.append(identity(path) if os.path.exists(path) else None)
                out += open(path, "rb").read() if os.path.exists(path) else tell("none")
            elif op[0] in ("word", "shown"):
                path = place(op[1])
                key.append(identity(path))
                out += listing(path) if os.path.isdir(path) else open(path, "rb").read()
            elif op[0] == "param":
                value = self.params[op[1]]
                key.append(value)
                out += tell(str(value))
            elif op[0] == "env":
                out += tell(env[op[1]])
            elif op[0] == "up":
                for result in self.upstream(step, op[1], branch, results):
                    key.append(result["identity"])
                    out += self.shown(result)
            elif op[0] == "val":
                values = [f["value"] for f in self.upstream(step, op[1], branch, results)]
                key.append(tuple(values))
                out += tell(*values)
            elif op[0] == "defval":
                result = results[op[1], None]
                value = result["value"] if result else "none"
                key.append(value)
                out += tell(value)
            elif op[0] == "matrix":
                out += tell(branch, branch)
        out += tell("end")
        result = {"key": sha(repr(key).encode()), "main": out, "folder": step.folder, "value": sha(out)[:16]}
        if step.folder:
            one, two = sha(out), sha(b"sub\n")
            lines = sorted(["%s  ./main" % one, "%s  ./sub/x" % two, "%s  ./link" % two])
            marked = ["./main"] if step.executable else []
            result["tree"] = "".join(x + "\n" for x in lines + marked + ["link -> sub/x", "./hollow"]).encode()
        result["identity"] = (step.output, step.folder, step.executable, sha(out))
        return result

    def matches(self, pattern):
        base = os.path.join(self.root, os.path.dirname(pattern))
        return [os.path.dirname(pattern) + "/" + n for n in sorted(os.listdir(base)) if n.endswith(".csv")]
