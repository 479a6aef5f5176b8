# SPDX-License-Identifier: Apache-2.0
"""Edits of a project between its runs, also such as try to hide."""
import os
import shutil
import time

from project import LONG, NAMES, ODD, SHORT


class Edits:
    """Ways to change files, folders and the workflow."""

    def files(self):
        found = []
        for top in ("data", "far"):
            for base, _, names in os.walk(os.path.join(self.root, top)):
                found += [os.path.join(base, n) for n in names if not os.path.islink(os.path.join(base, n))]
        return sorted(found)

    def edit_file(self, under_way=False):
        r, path = self.random, self.random.choice(self.files())
        old = os.stat(path)
        if under_way:
            # No content may come back that was there before: that a file was changed and changed back while a step ran is
            # not seen, since a file that was only touched counts as unchanged.
            kinds = ["same-size", "rename", "touch", "past", "rename-mtime"]
            how = r.choice(kinds if old.st_size >= 2 else ["rename", "touch"])
        else:
            how = r.choice(["content", "same-size", "same-mtime", "touch", "past", "future", "rename", "rename-mtime",
                            "swap", "mode", "rights", "hardlink", "truncate", "append", "twice", "noop-rewrite",
                            "same-tick", "back", "inode"])
        if how in ("content", "append", "truncate"):
            with open(path, "a" if how == "append" else "w") as file:
                file.write("" if how == "truncate" else self.text())
        elif how in ("same-size", "same-mtime", "rename-mtime", "twice"):
            size = old.st_size
            target = path + ".tmp" if how == "rename-mtime" else path
            for _ in range(2 if how == "twice" else 1):
                with open(target, "r+" if how == "same-size" else "w") as file:
                    file.write(self.text(size) if size >= 2 else "")
            if how in ("same-mtime", "rename-mtime"):
                os.utime(target, ns=(old.st_atime_ns, old.st_mtime_ns))
            if how == "rename-mtime":
                os.rename(target, path)
        elif how == "same-tick":
            # Two contents of one size within one tick of the file system's clock, more often than not.
            for _ in range(3):
                with open(path, "r+") as file:
                    file.write(self.text(old.st_size) if old.st_size >= 2 else "")
        elif how == "back" and old.st_size >= 2:
            text = open(path).read()
            with open(path, "r+") as file:
                file.write(self.text(old.st_size))
            with open(path, "r+") as file:
                file.write(text)
            os.utime(path, ns=(old.st_atime_ns, old.st_mtime_ns))
        elif how == "inode":  # the old inode under another name, a copy with all its times under its own
            shutil.copy2(path, path + ".tmp")
            os.rename(path + ".tmp", path)
        elif how == "rights":
            os.chmod(path, (old.st_mode & 0o100) | r.choice([0o600, 0o640, 0o644, 0o444]))
        elif how == "touch":
            os.utime(path)
        elif how == "past":
            os.utime(path, (r.randrange(0, 10**9), r.randrange(0, 10**9)))
        elif how == "future":
            os.utime(path, (time.time() + 10**6, time.time() + 10**6))
        elif how in ("rename", "noop-rewrite"):
            text = open(path).read() if how == "noop-rewrite" else self.text()
            with open(path + ".tmp", "w") as file:
                file.write(text)
            os.rename(path + ".tmp", path)
        elif how == "swap":
            other = r.choice(self.files())
            if other != path:
                os.rename(path, path + ".tmp")
                os.rename(other, path)
                os.rename(path + ".tmp", other)
        elif how == "mode":
            os.chmod(path, 0o644 if old.st_mode & 0o100 else 0o755)
        elif how == "hardlink":
            other = r.choice(self.files())
            if other != path:
                os.unlink(path)
                os.link(other, path)
        return how + " " + os.path.relpath(path, self.root)

    def edit_tree(self):
        r = self.random
        base = self.root + "/data/d%d" % r.randrange(3)
        how = r.choice(["add", "remove", "link", "hollow", "optional", "glob", "retarget", "kind", "leave",
                        "form", "case", "move", "bits"])
        if how == "add":
            os.makedirs(base + "/s0", exist_ok=True)
            open(base + "/s0/" + r.choice(NAMES), "w").write(self.text(40))
        elif how == "remove":
            victims = [f for f in self.files() if f.startswith(base + "/")]
            if victims:
                os.unlink(r.choice(victims))
        elif how == "link":
            os.path.lexists(base + "/link") and os.unlink(base + "/link")
            if r.random() < 0.7:
                os.symlink(r.choice(["s0/g0", "s0", "hollow"]), base + "/link")
                if not os.path.exists(base + "/link"):
                    os.unlink(base + "/link")
        elif how in ("form", "case", "move"):
            # One name turns into its twin, with the same content: other names, so another folder.
            one, other = {"form": ("\u00fc", "u\u0308"), "case": ("case", "CASE"), "move": ("li\nne", "b\\s")}[how]
            one, other = base + "/s0/" + one, base + "/s0/" + other
            if os.path.exists(other):
                one, other = other, one
            os.makedirs(base + "/s0", exist_ok=True)
            os.path.exists(one) or open(one, "w").write(self.text(40))
            os.rename(one, other)
        elif how == "bits":
            for name in [f for f in self.files() if f.startswith(base + "/")][:3]:
                os.chmod(name, r.choice([0o600, 0o644, 0o755, 0o711, 0o700]))
        elif how == "hollow":
            path = base + "/hollow" + str(r.randrange(2))
            os.rmdir(path) if os.path.isdir(path) else os.makedirs(path)
        elif how == "optional":
            path = self.root + "/data/opt%d" % r.randrange(2)
            os.unlink(path) if os.path.exists(path) else open(path, "w").write(self.text(40))
        elif how == "glob":
            path = self.root + "/data/glob/h%d.csv" % r.randrange(1, 5)
            os.unlink(path) if os.path.exists(path) else open(path, "w").write(self.text(40))
        elif how == "retarget":
            path = self.root + "/data/ln%d" % r.randrange(2)
            os.unlink(path)
            os.symlink(r.choice(["../far/t0", "../far/t1", self.root + "/far/abs0"]), path)
        elif how == "kind":
            path = self.root + "/data/f%d.txt" % r.randrange(3, 6)
            if os.path.isdir(path):
                shutil.rmtree(path)
                open(path, "w").write(self.text(40))
            else:
                os.unlink(path)
                os.makedirs(path + "/in")
                open(path + "/in/side", "w").write(self.text(40))
        for i in range(3):  # links that lost their target would be refused
            link = self.root + "/data/d%d/link" % i
            if os.path.lexists(link) and not os.path.exists(link):
                os.unlink(link)
        return how

    def edit_source(self):
        """A source grows by a little or a lot, shrinks, or its word changes."""
        r = self.random
        path = self.root + "/sources/s%d" % r.randrange(2)
        how = r.choice(["more", "more", "much", "less", "word", "same-size"])
        if how == "word":
            self.write("word0", r.choice(["one", "two", "three"]))
            return how
        with open(path) as file:
            lines = file.readlines()
        if how == "more":
            lines += [self.text(40) for _ in range(r.randrange(1, 4))]
        elif how == "much":
            lines += [self.text(40) for _ in range(len(lines))][:200]
        elif how == "same-size" and lines:
            lines[0] = self.text(len(lines[0]))
        else:
            del lines[:r.randrange(1, 1 + max(1, len(lines) // 2))]
        with open(path, "w") as file:
            file.write("".join(lines) or self.text(40))
        return "source " + how

    def edit_faults(self):
        """Which steps fail when they run, how often and how. Twins share a tag: what they do would depend on who comes first."""
        r = self.random
        tags = [s.tag for s in self.steps.values()]
        alone = [t for t in tags if tags.count(t) == 1]
        chosen = r.sample(alone, min(len(alone), r.choice([0, 0, 1, 2, 5])))
        self.set_faults({t: (r.choice([1, 1, 2, 99]), r.choice(["exit", "exit", "kill", "late", "nothing"])) for t in chosen})
        return "faults"

    def set_faults(self, faults):
        shutil.rmtree(self.root + "/faults", ignore_errors=True)
        os.makedirs(self.root + "/faults")
        self.faults = faults
        for tag, fault in faults.items():
            self.write("faults/%s-%d" % (self.label, tag), "%d %s\n" % fault)

    def edit_flow(self):
        r = self.random
        step = r.choice(list(self.steps.values()))
        how = r.choice(["param", "param", "flag", "env", "space", "rename", "add", "op", "version", "published",
                        "published", "executable", "number", "matrix", "vary", "axis", "retry", "tolerant", "ttl", "cache",
                        "condition", "shape"])
        if how == "param":
            self.params["p%d" % r.randrange(4)] = r.choice(ODD)
        elif how == "number":
            self.params["n"] += r.choice([-1, 1])
        elif how == "flag":
            name = "flag%d" % r.randrange(3)
            self.params[name] = not self.params[name]
        elif how == "env" and isinstance(step.env.get("E1"), str):
            step.env["E1"] = r.choice(ODD).replace("\n", " ")
        elif how == "space":
            step.space = r.randrange(4)
        elif how == "rename":
            step.output = r.choice(["out.txt", "deep/er/out.txt", "two words", "o'quote", "\u00fc", "u\u0308", "OUT.txt"])
        elif how == "add" and len(self.steps) < 60:
            self.add_step()
        elif how == "op":
            names = list(self.steps)
            self.add_op(step, [self.steps[n] for n in names[:names.index(step.name)]])
        elif how == "version":
            step.version = r.choice([None, "1", "2"])
        elif how == "executable":
            step.executable = not step.executable
        elif how == "shape":
            step.folder = r.choice([0, 1, 2, 3])
        elif how == "matrix" and step.matrix is not None:
            step.matrix["m"] = r.sample(ODD, r.randrange(1, 5))
            self.vary(step)
        elif how == "vary" and step.matrix is not None:
            self.vary(step)
        elif how == "axis" and step.matrix is not None:
            if step.matrix.pop("k", None) is None:
                step.matrix["k"] = ["0", "1"]
            self.vary(step)
        elif how == "retry":
            step.retry = r.choice([0, 1, 2])
        elif how == "tolerant" and not step.fail_fast:
            step.tolerant = not step.tolerant
        elif how == "ttl" and step.policy != "time":
            step.ttl = r.choice([None, SHORT, LONG])
        elif how == "cache":
            step.cache = not step.cache
        elif how == "condition" and not step.needs and (step.condition or ("flag",))[0] == "flag":
            step.condition = r.choice([None, ("flag", "flag%d" % r.randrange(3))])
        elif how == "published":
            for base, _, names in os.walk(self.root + "/pub-w"):
                for name in names:
                    if r.random() < 0.3:
                        path = os.path.join(base, name)
                        if r.random() < 0.4 or os.path.islink(path):
                            os.unlink(path)
                        elif r.random() < 0.3:
                            os.chmod(path, os.stat(path).st_mode ^ 0o111)
                        elif r.random() < 0.3 and base != self.root + "/pub-w":
                            open(base + "/stray", "w").write("stray")
                        else:
                            open(path, "w").write("vandal")
        return how

    def edit(self):
        return self.random.choice([self.edit_file] * 4 + [self.edit_tree] * 3 + [self.edit_flow] * 5 +
                                  [self.edit_faults] * 2 + [self.edit_source])()
