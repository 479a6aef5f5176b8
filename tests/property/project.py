# SPDX-License-Identifier: Apache-2.0
"""A random project: its files, its steps, and the workflow file that states them."""
import json
import os

TREE = ('(cd "$1" && find -L . -type f -exec sha256sum {} + | LC_ALL=C sort && find . -type f -perm -u+x | LC_ALL=C sort'
        ' && find . -type l -printf "%P -> %l\\n" | LC_ALL=C sort && find . -type d -empty | LC_ALL=C sort)')
ODD = ["plain", "two words", "a'b", 'q"q', "$(echo no)", "`id`", "back\\slash", "100%", "*", "-n", "ünï", "semi;colon",
       "a=b", "#hash", "${HOME}", "!x", "~", "", " lead", "tab\there", "trail ", "&& false", "two\nlines", "1.10", "007"]


class Step:
    """One step: what it reads (ops), and what it makes."""

    def __init__(self, name):
        self.name, self.ops, self.matrix = name, [], None
        self.env, self.inputs, self.listed = {}, {}, []
        self.output, self.folder, self.value = "out.txt", False, False
        self.condition, self.space, self.executable, self.version, self.needs = None, 0, False, None, []

    def branches(self, project):
        return self.matrix if self.matrix is not None else [None]

    def title(self, branch):
        if branch is None:
            return self.name
        plain = branch != "" and all(c.isascii() and (c.isalnum() or c in "._/+:@-") for c in branch)
        return "%s[m=%s]" % (self.name, branch if plain else json.dumps(branch, ensure_ascii=False))


class Making:
    """Making the project, and writing its workflow file."""

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
        for i in range(4):
            self.params["p%d" % i] = r.choice(ODD)
        self.params["n"] = 3
        for i in range(3):
            self.params["flag%d" % i] = r.random() < 0.7
        for _ in range(r.randrange(8, 40)):
            self.add_step()

    def add_step(self):
        r, step = self.random, None
        self.counter += 1
        step = Step("s%d" % self.counter)
        earlier = list(self.steps.values())
        kind = r.random()
        if kind < 0.15:
            step.matrix = r.sample(ODD, r.randrange(1, 5))
        step.folder, step.value = r.random() < 0.2, r.random() < 0.4
        step.executable = r.random() < 0.15
        if r.random() < 0.2:
            step.condition = "flag%d" % r.randrange(3)
        if r.random() < 0.3:
            step.env["E1"] = r.choice(ODD).replace("\n", " ")
        for _ in range(r.randrange(1, 6)):
            self.add_op(step, earlier)
        if step.matrix is not None:
            step.ops.append(("matrix",))
        self.steps[step.name] = step

    def add_op(self, step, earlier):
        r = self.random
        name = "i%d" % len(step.inputs)
        mapped = not step.listed
        op = r.choice(["lit", "in", "word", "glob", "listed", "dir", "opt", "param", "env", "x", "abs", "ln", "num"] +
                      ["up"] * 8 + ["val"] * 2 + ["defval", "fold", "envup"])
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
            elif other.value and op == "defval" and not several:
                step.ops.append(("defval", other.name))

    # --- the workflow file ---

    def reference(self, step, other, what):
        return "${{ steps.%s.%s }}" % (other, what)

    def script(self, step):
        lines = ["tell() { for w in \"$@\"; do printf '<%s>\\n' \"$w\"; done; }",
                 "tree() { %s; }" % TREE,
                 "show() { for w in \"$@\"; do if [ -d \"$w\" ]; then tree \"$w\"; else cat \"$w\"; fi; done; }",
                 "echo ran >> \"$TRACE\"", "work() {"]
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
                lines.append("tell ${{ matrix.m }} \"$WF_MATRIX_M\"")
        lines += ["tell end", "}"]
        if step.folder:
            lines += ["mkdir -p ${{ outputs.o }}/sub ${{ outputs.o }}/hollow", "work > ${{ outputs.o }}/main",
                      "echo sub > ${{ outputs.o }}/sub/x", "ln -s sub/x ${{ outputs.o }}/link"]
            target = "${{ outputs.o }}/main"
        else:
            lines.append("work > ${{ outputs.o }}")
            target = "${{ outputs.o }}"
        if step.executable:
            lines.append("chmod +x %s" % target)
        if step.value:
            lines.append("echo \"v=$(sha256sum < %s | cut -c1-16)\" > \"$WF_VALUES\"" % target)
        if self.options.slow:
            lines.append("sleep 0.0%d" % (len(step.name) % 5))
        return "\n".join(lines) + "\n"

    def save(self):
        document = {"name": "p%d" % self.seed, "params": {}, "defaults": {"pass_env": ["TRACE"]}, "steps": {}}
        for name, value in self.params.items():
            document["params"][name] = {"default": value, "type": "boolean" if isinstance(value, bool) else
                                        "integer" if isinstance(value, int) else "string"}
        for step in self.steps.values():
            entry = {"run": self.script(step), "outputs": {"o": step.output}}
            if step.matrix is not None:
                entry["matrix"] = {"m": step.matrix}
            if step.matrix is None:
                entry["publish"] = {"o": "pub/" + step.name}
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
            if step.condition:
                entry["if"] = "params.%s" % step.condition
            if step.version:
                entry["cache"] = {"version": step.version}
            document["steps"][step.name] = entry
        text = json.dumps(document, indent=1, ensure_ascii=False)
        path = self.root + "/w.yaml"
        if not os.path.exists(path) or open(path).read() != text:
            with open(path + ".new", "w") as file:
                file.write(text)
            os.rename(path + ".new", path)
