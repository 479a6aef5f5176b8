# SPDX-License-Identifier: Apache-2.0
"""What a run must give, computed from the files as they are and from what earlier runs made, without a look at wf."""
import hashlib
import os
import shutil
import tempfile

from project import SHORT, make_folder

# MAYBE, PERHAPS: would succeed, would fail, but may be cancelled before.
OK, FAILED, SKIPPED, MAYBE, PERHAPS = "ok", "failed", "skipped", "maybe", "perhaps"


def sha(data):
    return hashlib.sha256(data).hexdigest()


class Skipped(Exception):
    """A step that reads what is not there."""


def executable(path):
    return bool(os.stat(path).st_mode & 0o100)


def content(path):
    with open(path, "rb") as file:
        return file.read()


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
                found.append((rel, "file", sha(content(full)), executable(full)))
    return tuple(sorted(found))


def identity(path):
    """An input as it stands in an action."""
    if os.path.isdir(path):
        return ("folder", manifest(path))
    return ("file", sha(content(path)), executable(path))


def walk_following(path):
    """All files below a folder, links followed, by the paths that find -L prints."""
    found = []
    for base, dirs, names in os.walk(path, followlinks=True):
        rel = "." + base[len(path):]
        found += [(rel + "/" + name, os.path.join(base, name)) for name in names]
        dirs.sort()
    return found


def listing(path):
    """What TREE prints for a folder on disk."""
    marked, links, empty = [], [], []
    files = ["%s  %s" % (sha(content(full)), shown) for shown, full in walk_following(path)]
    for base, dirs, names in os.walk(path):
        rel = "." + base[len(path):]
        if not dirs and not names:
            empty.append(rel)
        for name in names + dirs:
            full, shown = os.path.join(base, name), rel + "/" + name
            if os.path.islink(full):
                links.append("%s -> %s" % (shown[2:], os.readlink(full)))
            elif os.path.isfile(full) and executable(full):
                marked.append(shown)
    # Files are sorted by their paths, all else by itself.
    files = sorted(files, key=lambda line: os.fsencode(line[66:]))
    out = files + sum((sorted(part, key=os.fsencode) for part in (marked, links, empty)), [])
    return b"".join(os.fsencode(line) + b"\0" for line in out)


class Model:
    """The results that a project's steps must have."""

    def model(self, forced=(), no_cache=False):
        """{(step, branch): result}: its status, key and content. `forced`: the steps of --refresh, or True for all."""
        self.forced, self.no_cache = forced, no_cache
        self.folders = tempfile.mkdtemp(prefix="model.", dir=self.root)
        results = {}
        self.bad = {}  # steps below which something failed untolerated
        for step in self.steps.values():
            above = {n for n in step.refers() if self.bad[n]}
            for branch in step.branches():
                try:
                    results[step.name, branch] = self.compute(step, branch, results, bool(above))
                except Skipped:
                    results[step.name, branch] = {"status": SKIPPED}
            mine = [results[step.name, b] for b in step.branches()]
            failed = any(r["status"] == FAILED for r in mine) and not step.tolerant
            self.bad[step.name] = bool(above) or failed
            if failed and step.fail_fast:  # how far the others had come is a matter of time
                several = sum(r["status"] == FAILED for r in mine) > 1
                for result in mine:
                    if result["status"] == OK or several and result["status"] == FAILED:
                        result["status"] = MAYBE if result["status"] == OK else PERHAPS
        shutil.rmtree(self.folders)
        return results

    def upstream(self, other, results):
        """The results that a reference gives: a list."""
        found = [results[other, b] for b in self.steps[other].branches()]
        there = [f for f in found if f["status"] in (OK, MAYBE)]
        if not there:
            raise Skipped()
        return there

    def allow(self, step, branch, results, above):
        """Raises Skipped where the step's needs or its condition keep it from running."""
        kind = step.condition and step.condition[0]
        if kind == "status":
            if results[step.condition[1], None]["status"] != FAILED:
                raise Skipped()
            return
        if kind != "always":
            required = step.required()
            gone = [n for n in required if all(results[n, b]["status"] == SKIPPED for b in self.steps[n].branches())]
            if above or (required and len(gone) == len(required)):
                raise Skipped()
        if kind == "flag" and not self.params[step.condition[1]]:
            raise Skipped()
        if kind == "branch" and dict(branch)["m"] == step.condition[1]:
            raise Skipped()

    def compute(self, step, branch, results, above):
        self.allow(step, branch, results, above)
        out, key = b"", [step.tag, step.space, step.folder, step.output, step.value, step.executable, step.version, branch]
        tell = lambda *words: b"".join(b"<" + w.encode() + b">\n" for w in words)
        env = {}
        for name, value in step.env.items():
            env[name] = value if isinstance(value, str) else self.upstream(value[1], results)[0]["value"]
        key.append(tuple(sorted(env.items())))
        place = lambda path: path if os.path.isabs(path) else os.path.join(self.root, path)
        for name, value in sorted(step.inputs.items()):
            if isinstance(value, tuple):  # a folder with an item for each branch, under the branch's name
                found = self.upstream(value[1], results)
                key.append((name, tuple(sorted((f["label"], f["identity"][1:]) for f in found))))
            elif isinstance(value, dict):
                path = place(value["path"])
                key.append((name, identity(path) if os.path.exists(path) else "missing"))
            elif "*" in value:
                key.append((name, tuple((p, identity(place(p))) for p in self.matches(value))))
            else:
                key.append((name, identity(place(value))))
        for path in step.listed:
            key.append((path, identity(place(path))))
        if step.source:
            key.append((step.source, step.policy))
        for op in step.ops:
            key.append(op)
            if op[0] == "lit":
                out += tell(op[1])
            elif op[0] in ("in", "dir"):
                path = place(step.inputs[op[1]])
                out += listing(path) if os.path.isdir(path) else content(path)
            elif op[0] == "glob":
                out += b"".join(content(place(p)) for p in self.matches(step.inputs[op[1]]))
            elif op[0] == "fold":
                lines = b"".join(r["flat"] for r in self.upstream(step.inputs[op[1]][1], results))
                out += b"".join(sorted(lines.splitlines(keepends=True)))
            elif op[0] == "x":
                path = place(step.inputs[op[1]])
                out += tell("x" if os.path.isdir(path) or executable(path) else "-")
            elif op[0] == "opt":
                path = place(op[1])
                key.append(identity(path) if os.path.exists(path) else None)
                out += content(path) if os.path.exists(path) else tell("none")
            elif op[0] in ("word", "shown"):
                path = place(op[1])
                key.append(identity(path))
                out += listing(path) if os.path.isdir(path) else content(path)
            elif op[0] == "param":
                key.append(self.params[op[1]])
                out += tell(str(self.params[op[1]]))
            elif op[0] == "env":
                out += tell(env[op[1]])
            elif op[0] == "up":
                for result in self.upstream(op[1], results):
                    key.append(result["identity"])
                    out += result["tree"] if result["folder"] else result["main"]
            elif op[0] == "val":
                values = [f["value"] for f in self.upstream(op[1], results)]
                key.append(tuple(values))
                out += tell(*values)
            elif op[0] == "defval":
                result = results[op[1], None]
                value = result["value"] if result["status"] == OK else "none"
                key.append(value)
                out += tell(value)
            elif op[0] == "matrix":
                axes = dict(branch)
                out += tell(axes["m"], *(axes.get(a, "none") for a in ("m", "k", "extra")))
        result = {"status": OK, "label": step.title(branch)[len(step.name):], "folder": step.folder, "measure": None}
        if step.source:
            self.source(step, place(step.source), key, result)
            out += result["source"]
        result["key"] = sha(repr(key).encode())
        self.finish(step, result, out + tell("end"))
        result["may_hit"] = self.asks(step)
        result["must_run"] = not result["may_hit"] or result.pop("moved", result["key"] not in self.seen or step.ttl == SHORT)
        tries, _ = self.faults.get(step.tag, (0, ""))
        result["attempts"] = min(tries, step.retry) + 1 if result["must_run"] else 0
        if result["must_run"] and tries > step.retry:
            result["status"] = FAILED
        return result

    def in_doubt(self, step, result):
        """Whether something that was not looked at may have stored what the step is expected to make."""
        return "key" in result and result["may_hit"] and result["must_run"] and (
            step.name in self.touched or result["key"] in self.loose)

    def asks(self, step):
        """Whether this run looks for an earlier result of the step."""
        return step.cache and not (self.forced is True or step.name in self.forced or self.no_cache)

    def source(self, step, path, key, result):
        """A source under a policy: an earlier result of the same identity may stand for it, with other content."""
        now = content(path)
        result["source"], result["measure"] = now, self.measure(step, now)
        if step.policy == "content":
            key.append(identity(path))
            return
        name = sha(repr(key).encode())
        old = self.baselines.get(name)
        result["baseline"] = name
        moved = old is None or step.ttl == SHORT
        if not moved and step.policy != "time":
            was = old["measure"]
            if isinstance(was, int):
                moved = was == 0 or abs(result["measure"] - was) * 5 >= was  # a fifth
            else:
                moved = result["measure"] != was
        if not moved and self.asks(step):
            result["source"] = old["source"]
        result["moved"] = moved

    def measure(self, step, data):
        if step.policy == "bytes":
            return len(data)
        if step.policy == "records":
            return data.count(b"\n") + (data[-1:] not in (b"", b"\n"))
        return content(self.root + "/word0").decode() if step.policy == "word" else None

    def finish(self, step, result, out):
        """The content that comes of what a step printed."""
        result.update(main=out, value=sha(out)[:16], flat=out)
        result["identity"] = (step.output, step.folder, step.executable, sha(out))
        if step.folder:
            path = tempfile.mkdtemp(dir=self.folders)
            make_folder(path, step, out)
            result["tree"] = listing(path)
            result["flat"] = b"".join(content(full) for _, full in walk_following(path))

    def matches(self, pattern):
        base = os.path.join(self.root, os.path.dirname(pattern))
        return [os.path.dirname(pattern) + "/" + n for n in sorted(os.listdir(base)) if n.endswith(".csv")]
