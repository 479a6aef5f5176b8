# SPDX-License-Identifier: Apache-2.0
"""A random project: its files, its steps, and the workflow files that state them."""
import itertools
import json
import os

# Names may hold anything: everything ends with a NUL. Files are listed by path, so that equal contents do not hide an order.
TREE = ('(cd "$1" && find -L . -type f -print0 | LC_ALL=C sort -z | xargs -0 -r sha256sum -z && '
        'find . -type f -perm -u+x -print0 | LC_ALL=C sort -z && find . -type l -printf "%P -> %l\\0" | LC_ALL=C sort -z && '
        'find . -type d -empty -print0 | LC_ALL=C sort -z)')
ODD = ["plain", "two words", "a'b", 'q"q', "$(echo no)", "`id`", "back\\slash", "100%", "*", "-n", "ünï", "semi;colon",
       "a=b", "#hash", "${HOME}", "!x", "~", "", " lead", "tab\there", "trail ", "&& false", "two\nlines", "1.10", "007"]
# The same word in two forms of Unicode, twins but for case, bytes that are no text, and what tools stumble over.
NAMES = ["new", "new two", ".dot", "\u00fc", "u\u0308", "case", "CASE", "li\nne", "b\\s", "-n", "\udcff\udcfe", "*", "$x"]
SHORT, LONG = "1ms", "1d"
FOLDERS = 3  # shapes of folders that steps make


def make_folder(path, step, main):
    """The folder that a step's script makes, by other means."""
    def put(rel, data, mode=0o644):
        full = os.path.join(path, rel)
        os.makedirs(os.path.dirname(full), exist_ok=True)
        with open(full, "wb") as file:
            file.write(data)
        os.chmod(full, mode)

    put("main", main, 0o755 if step.executable else 0o644)
    put("sub/x", b"sub\n")
    os.symlink("sub/x", path + "/link")
    os.makedirs(path + "/hollow")
    if step.folder >= 2:
        os.makedirs(path + "/deep/er/hollow")
        put("\u00fc", b"composed\n")
        put("u\u0308", b"decomposed\n")
        put("case", b"lower\n", 0o755)
        put("CASE", b"upper\n")
    if step.folder >= 3:
        put("li\nne", b"", 0o711)
        put("b\\s", b"sub\n", 0o600)
        os.symlink("sub", path + "/down")


FOLDER_SCRIPT = {
    1: "mkdir -p \"$1/sub\" \"$1/hollow\"\necho sub > \"$1/sub/x\"\nln -s sub/x \"$1/link\"",
    2: "mkdir -p \"$1/deep/er/hollow\"\necho composed > \"$1/$(printf '\\303\\274')\"\necho decomposed > \"$1/$(printf 'u\\314\\210')\"\n"
       "echo lower > \"$1/case\"\nchmod 755 \"$1/case\"\necho upper > \"$1/CASE\"",
    3: "name='li\nne'\n: > \"$1/$name\"\nchmod 711 \"$1/$name\"\necho sub > \"$1\"/b\\\\s\nchmod 600 \"$1\"/b\\\\s\nln -s sub \"$1/down\"",
}


class Step:
    """One step: what it reads (ops), and what it makes."""

    def __init__(self, name, tag):
        self.name, self.tag, self.ops = name, tag, []
        self.matrix = None  # {"m": […], "k": […]}
        self.exclude, self.include = [], []
        self.env, self.inputs, self.listed, self.needs = {}, {}, [], []
        self.output, self.folder, self.value = "out.txt", 0, False
        self.condition, self.space, self.executable, self.version = None, 0, False, None
        self.cache, self.ttl = True, None
        self.retry, self.tolerant, self.fail_fast, self.limited = 0, False, False, False
        self.source, self.policy = None, None

    def branches(self):
        """Combinations without those excluded; then what is included extends those it agrees with, or stands for itself."""
        if self.matrix is None:
            return [None]
        agrees = lambda branch, some: all(branch.get(k) == v for k, v in some.items())
        found = [dict(zip(self.matrix, values)) for values in itertools.product(*self.matrix.values())]
        found = [b for b in found if not any(agrees(b, e) for e in self.exclude)]
        alone = []
        for extra in self.include:
            axes = {k: v for k, v in extra.items() if k in self.matrix}
            fits = [b for b in found if agrees(b, axes)]
            for branch in fits:
                branch.update(extra)
            if not fits:
                alone.append(dict(extra))
        return [tuple(b.items()) for b in found + alone]

    def title(self, branch):
        if branch is None:
            return self.name
        show = lambda v: v if v != "" and len(v.encode()) <= 64 and all(
            c.isascii() and (c.isalnum() or c in "._/+:@-") for c in v) else json.dumps(v, ensure_ascii=False)
        return "%s[%s]" % (self.name, ",".join("%s=%s" % (k, show(v)) for k, v in branch))

    def required(self):
        """The steps whose success this one asks for."""
        found = {op[1] for op in self.ops if op[0] in ("up", "val")} | set(self.needs)
        found |= {v[1] for v in self.env.values() if isinstance(v, tuple)}
        return found | {v[1] for v in self.inputs.values() if isinstance(v, tuple)}

    def refers(self):
        found = self.required() | {op[1] for op in self.ops if op[0] == "defval"}
        return found | ({self.condition[1]} if self.condition and self.condition[0] == "status" else set())


class Making:
    """Making the project, and writing its workflow files."""

    # --- making the project ---

    def text(self, size=None):
        self.counter += 1
        base = "%d-%d-%x " % (self.seed, self.counter, self.random.getrandbits(64))
        size = size if size is not None else self.random.choice([20, 40, 4000, 70000])
        return (base * (size // len(base) + 1))[:size - 1] + "\n" if size else ""

    def write(self, rel, text):
        path = os.path.join(self.root, rel)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w") as file:
            file.write(text)

    def build(self):
        r = self.random
        for i in range(6):
            self.write("data/f%d.txt" % i, self.text())
        for i in range(3):
            for j in range(r.randrange(1, 6)):
                self.write("data/d%d/s%d/g%d" % (i, j % 2, j), self.text(40))
            os.makedirs(self.root + "/data/d%d/hollow" % i)
            os.symlink("s0/g0", self.root + "/data/d%d/link" % i)
        for i in range(3):
            self.write("data/glob/h%d.csv" % i, self.text(40))
        for i in range(2):
            self.write("far/abs%d" % i, self.text())
            self.write("far/t%d" % i, self.text())
            os.symlink("../far/t%d" % i, self.root + "/data/ln%d" % i)
            self.write("sources/s%d" % i, "".join(self.text(40) for _ in range(r.randrange(10, 30))))
        self.write("word0", "one")
        for i in range(4):
            self.params["p%d" % i] = r.choice(ODD)
        self.params["n"] = 3
        for i in range(3):
            self.params["flag%d" % i] = r.random() < 0.7
        for _ in range(r.randrange(8, 36)):
            self.add_step()

    def add_step(self):
        r = self.random
        self.counter += 1
        earlier = list(self.steps.values())
        step = Step("s%d" % self.counter, self.counter)
        plain = [s for s in earlier if s.matrix is None and not s.source]
        kind = r.random()
        if kind < 0.08 and plain:  # the same work under another name
            other = r.choice(plain)
            for name in ("tag", "folder", "value", "output", "executable", "space", "version", "cache"):
                setattr(step, name, getattr(other, name))
            step.ops, step.env, step.inputs = list(other.ops), dict(other.env), dict(other.inputs)
            step.listed, step.needs, step.condition = list(other.listed), list(other.needs), other.condition
            self.steps[step.name] = step
            return
        if kind < 0.28:
            self.add_axes(step)
        elif kind < 0.38 and not self.remote:
            step.source, step.policy = "sources/s%d" % r.randrange(2), "content" if self.keeps else r.choice(["content", "time", "bytes", "records", "word"])
            step.ttl = LONG if step.policy == "time" else None
        step.folder, step.value = r.choice([0, 0, 0, 0, 1, 2, 3]), r.random() < 0.4
        step.executable = r.random() < 0.15
        step.retry, step.tolerant = r.choice([0, 0, 0, 1, 2]), r.random() < 0.15
        step.fail_fast = step.matrix is not None and not step.tolerant and r.random() < 0.4
        step.limited = step.matrix is not None and r.random() < 0.3
        step.cache = r.random() > 0.05
        if r.random() < 0.1 and not step.ttl:
            step.ttl = r.choice([SHORT, LONG])
        self.add_condition(step, earlier)
        if r.random() < 0.3:
            step.env["E1"] = r.choice(ODD).replace("\n", " ")
        for _ in range(r.randrange(1, 6)):
            self.add_op(step, earlier)
        if step.matrix is not None:
            step.ops.append(("matrix",))
        self.steps[step.name] = step

    def add_condition(self, step, earlier):
        r, kind = self.random, self.random.random()
        if kind < 0.15:
            step.condition = ("flag", "flag%d" % r.randrange(3))
        elif kind < 0.2 and step.matrix is not None and len(step.branches()) > 1:
            step.condition = ("branch", r.choice(["plain", "100%", "007"]))
        elif kind < 0.27 and earlier:
            step.needs, step.condition = [r.choice(earlier).name], ("always",)
        elif kind < 0.32:
            single = [s.name for s in earlier if s.matrix is None]
            step.condition = ("status", r.choice(single)) if single else None
        elif kind < 0.37 and earlier:
            step.needs = [r.choice(earlier).name]

    def add_axes(self, step):
        r = self.random
        step.matrix = {"m": r.sample(ODD, r.randrange(1, 5))}
        if r.random() < 0.4:
            step.matrix["k"] = [str(i) for i in range(r.randrange(1, 4))]
        self.vary(step)

    def vary(self, step):
        """Other exclusions and inclusions; at least one branch stays, and no two are the same."""
        r, axes = self.random, step.matrix
        step.exclude, step.include = [], []
        if r.random() < 0.4:
            step.exclude = [{a: r.choice(v) for a, v in axes.items() if a == "m" or r.random() < 0.5}]
        if r.random() < 0.3:
            step.include.append({"m": r.choice(axes["m"]), "extra": r.choice(ODD).replace("\n", " ")})
        if r.random() < 0.3:
            step.include.append({a: r.choice(ODD) for a in axes})
        if r.random() < 0.1:
            step.include.append({"extra": "all"})
        found = step.branches()
        if not found or len({step.title(b) for b in found}) < len(found) or not all("m" in dict(b) for b in found):
            step.exclude, step.include = [], []

    def add_op(self, step, earlier):
        r = self.random
        name = "i%d" % len(step.inputs)
        mapped = not step.listed
        if step.condition and step.condition[0] in ("always", "status"):
            earlier = []  # what reads nothing of others does not hang on their success
        op = r.choice(["lit", "in", "word", "glob", "listed", "dir", "dir", "opt", "param", "env", "x", "abs", "ln", "num"] +
                      ["up"] * 8 + ["val"] * 2 + ["defval", "fold", "envup"])
        if step.source and op not in ("lit", "param", "num", "env"):
            op = "lit"
        if op == "lit":
            step.ops.append(("lit", r.choice(["a", "b"])))
        elif op == "in" and mapped:
            step.inputs[name] = "data/f%d.txt" % r.randrange(6)
            step.ops.append(("in", name))
        elif op == "ln" and mapped:
            step.inputs[name] = "data/ln%d" % r.randrange(2)
            step.ops.append(("in", name))
        elif op == "abs" and mapped:
            step.inputs[name] = "%s/far/abs%d" % (self.root, r.randrange(2))
            step.ops.append(("in", name))
        elif op == "x" and mapped:
            step.inputs[name] = "data/f%d.txt" % r.randrange(6)
            step.ops.append(("x", name))
        elif op == "opt" and mapped:
            path = "data/opt%d" % r.randrange(2)
            step.inputs[name] = {"path": path, "optional": True}
            step.ops.append(("opt", path))
        elif op == "dir" and mapped:
            step.inputs[name] = "data/d%d" % r.randrange(3)
            step.ops.append(("dir", name))
        elif op == "glob" and mapped:
            step.inputs[name] = "data/glob/*.csv"
            step.ops.append(("glob", name))
        elif op == "listed" and not step.inputs:
            path = r.choice(["data/f%d.txt" % r.randrange(6), "data/d%d" % r.randrange(3)])
            step.listed.append(path)
            step.ops.append(("shown", path))
        elif op == "word":
            step.ops.append(("word", "data/f%d.txt" % r.randrange(3)))  # never a folder: those must be declared
        elif op == "param":
            step.ops.append(("param", "p%d" % r.randrange(4)))
        elif op == "num":
            step.ops.append(("param", "n"))
        elif op == "env" and "E1" in step.env:
            step.ops.append(("env", "E1"))
        elif op == "envup" and earlier:
            other = r.choice(earlier)
            if other.value and other.matrix is None and "E2" not in step.env:
                step.env["E2"] = ("val", other.name)
                step.ops.append(("env", "E2"))
        elif op in ("up", "fold", "val", "defval") and earlier:
            other = r.choice(earlier)
            several = other.matrix is not None
            if op == "fold" and several and mapped:
                step.inputs[name] = ("up", other.name)
                step.ops.append(("fold", name))
            elif op == "up":
                step.ops.append(("up", other.name))
            elif other.value and op == "val":
                step.ops.append(("val", other.name))
            elif other.value and op == "defval" and not several and not step.needs:
                step.ops.append(("defval", other.name))

    # --- the workflow files ---

    def reference(self, step, other, what):
        return "${{ steps.%s.%s }}" % (other, what)

    def script(self, step):
        lines = ["tell() { for w in \"$@\"; do printf '<%s>\\n' \"$w\"; done; }",
                 "tree() { %s; }" % TREE,
                 "show() { for w in \"$@\"; do if [ -d \"$w\" ]; then tree \"$w\"; else cat \"$w\"; fi; done; }",
                 # what is not in any key: whether the step fails, how, and how often
                 "fault() {",
                 "  read -r times how < \"$FAULTS/$1\"",
                 "  mine=$TRACE.$1.$(printf '%s\\n' \"${WF_MATRIX_M-}\" \"${WF_MATRIX_K-}\" \"${WF_MATRIX_EXTRA-}\" | cksum | tr ' ' .)",
                 "  echo x >> \"$mine\"",
                 "  [ \"$(wc -l < \"$mine\")\" -le \"$times\" ] || return 0",
                 "  case $how in exit) exit 5 ;; kill) kill -KILL $$ ;; late) late=1 ;; nothing) exit 0 ;; esac",
                 "}",
                 "late=", "echo ran >> \"$TRACE\"",
                 "[ ! -e \"$FAULTS/%s-%d\" ] || fault %s-%d" % (self.label, step.tag, self.label, step.tag), "work() {"]
        if step.space:
            lines.append(" " * step.space + ": ")
        for op in step.ops:
            if op[0] == "lit":
                lines.append("tell %s" % op[1])
            elif op[0] in ("in", "dir", "glob"):
                lines.append("show ${{ inputs.%s }}" % op[1])
            elif op[0] == "fold":
                lines.append("find -L ${{ inputs.%s }} -type f -exec cat {} + | LC_ALL=C sort" % op[1])
            elif op[0] == "x":
                lines.append("if [ -x ${{ inputs.%s }} ]; then tell x; else tell -; fi" % op[1])
            elif op[0] == "opt":
                lines.append("if [ -e %s ]; then show %s; else tell none; fi" % (op[1], op[1]))
            elif op[0] in ("word", "shown"):
                lines.append("show %s" % op[1])
            elif op[0] == "param":
                lines.append("tell ${{ params.%s }}" % op[1])
            elif op[0] == "env":
                lines.append("tell \"$%s\"" % op[1])
            elif op[0] == "up":
                lines.append("show %s" % self.reference(step, op[1], "outputs.o"))
            elif op[0] == "val":
                lines.append("tell %s" % self.reference(step, op[1], "values.v"))
            elif op[0] == "defval":
                lines.append("tell ${{ default(steps.%s.values.v, 'none') }}" % op[1])
            elif op[0] == "matrix":
                lines.append("tell ${{ matrix.m }} \"$WF_MATRIX_M\" \"${WF_MATRIX_K-none}\" \"${WF_MATRIX_EXTRA-none}\"")
        if step.source:
            lines.append("cat ${{ source.path }}")
        lines += ["tell end", "}"]
        target = "${{ outputs.o }}/main" if step.folder else "${{ outputs.o }}"
        if step.folder:
            lines += ["fill() {"] + [FOLDER_SCRIPT[i] for i in range(1, step.folder + 1)] + ["}", "fill ${{ outputs.o }}"]
        lines.append("work > %s" % target)
        if step.executable:
            lines.append("chmod +x %s" % target)
        if step.value:
            lines.append("echo \"v=$(sha256sum < %s | cut -c1-16)\" > \"$WF_VALUES\"" % target)
        lines.append("[ -z \"$late\" ] || exit 7")
        if self.options.slow:
            lines.append("sleep 0.0%d" % (len(step.name) % 5))
        return "\n".join(lines) + "\n"

    def entry(self, step, published):
        entry = {"run": self.script(step), "outputs": {"o": step.output}}
        if step.matrix is not None:
            entry["matrix"] = dict(step.matrix)
            for name, value in (("exclude", step.exclude), ("include", step.include)):
                if value:
                    entry["matrix"][name] = value
        else:
            entry["publish"] = {"o": published + step.name}
        if step.env:
            entry["env"] = {k: v if isinstance(v, str) else self.reference(step, v[1], "values.v")
                            for k, v in step.env.items()}
        if step.listed:
            entry["inputs"] = step.listed
        elif step.inputs:
            entry["inputs"] = {k: self.reference(step, v[1], "outputs.o") if isinstance(v, tuple) else v
                               for k, v in step.inputs.items()}
        if step.value:
            entry["values"] = ["v"]
        if step.needs:
            entry["needs"] = step.needs
        if step.condition:
            kind, *what = step.condition
            entry["if"] = {"flag": "params.%s", "always": "always()", "branch": "matrix.m != '%s'",
                           "status": "steps.%s.status == 'failed'"}[kind] % tuple(what)
        for name, value in (("continue_on_error", step.tolerant), ("fail_fast", step.fail_fast), ("max_parallel", int(step.limited))):
            if value:
                entry[name] = value
        if step.retry:
            entry["retry"] = {"limit": step.retry, "delay": "1ms", "max_delay": "2ms"}
        if step.source:
            entry["kind"], entry["source"] = "ingest", step.source
        cache = {"version": step.version} if step.version else {}
        if step.ttl:
            cache["ttl"] = step.ttl
        if step.policy == "time":
            cache["policy"] = "time"
        elif step.policy in ("bytes", "records", "word"):
            cache.update(policy="change", measure="cat word0" if step.policy == "word" else step.policy)
            if step.policy != "word":
                cache["threshold"] = "20%"
        if self.remote:
            cache["shared"] = True
        if cache or not step.cache:
            entry["cache"] = cache if step.cache else False
        return entry

    def above(self, name):
        """A step and all that it needs, in the order of the file."""
        found, queue = set(), [name]
        while queue:
            one = queue.pop()
            if one not in found:
                found.add(one)
                queue += self.steps[one].refers()
        return [n for n in self.steps if n in found]

    def save(self, which="w", names=None):
        """Writes w.yaml with all steps, or another file, which is another workflow, with some."""
        document = {"name": "p%s%s" % (self.label, which), "params": {}, "defaults": {"pass_env": ["TRACE", "FAULTS"]}, "steps": {}}
        for name, value in self.params.items():
            document["params"][name] = {"default": value, "type": "boolean" if isinstance(value, bool) else
                                        "integer" if isinstance(value, int) else "string"}
        for step in self.steps.values():
            if names is None or step.name in names:
                document["steps"][step.name] = self.entry(step, "pub-%s/" % which)
        text = json.dumps(document, indent=1, ensure_ascii=False)
        path = "%s/%s.yaml" % (self.root, which)
        if not os.path.exists(path) or open(path).read() != text:
            with open(path + ".new", "w") as file:
                file.write(text)
            os.rename(path + ".new", path)
