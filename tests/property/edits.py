# SPDX-License-Identifier: Apache-2.0
"""Edits of a project between its runs, also such as try to hide."""
import os
import shutil
import time

from project import ODD


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
                            "swap", "mode", "hardlink", "truncate", "append", "twice", "noop-rewrite"])
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
        how = r.choice(["add", "remove", "link", "hollow", "optional", "glob", "retarget", "kind", "leave"])
        if how == "add":
            os.makedirs(base + "/s0", exist_ok=True)
            open(base + "/s0/" + r.choice(["new", "new two", ".dot", "ü"]), "w").write(self.text(40))
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

    def edit_flow(self):
        r = self.random
        step = r.choice(list(self.steps.values()))
        how = r.choice(["param", "param", "flag", "env", "space", "rename", "add", "op", "version", "published",
                        "published", "executable", "number", "matrix"])
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
            step.output = r.choice(["out.txt", "deep/er/out.txt", "two words", "o'quote"])
        elif how == "add" and len(self.steps) < 60:
            self.add_step()
        elif how == "op":
            names = list(self.steps)
            self.add_op(step, [self.steps[n] for n in names[:names.index(step.name)]])
        elif how == "version":
            step.version = r.choice([None, "1", "2"])
        elif how == "executable":
            step.executable = not step.executable
        elif how == "matrix" and step.matrix is not None:
            step.matrix = r.sample(ODD, r.randrange(1, 5))
        elif how == "published":
            for base, _, names in os.walk(self.root + "/pub"):
                for name in names:
                    if r.random() < 0.3:
                        path = os.path.join(base, name)
                        if r.random() < 0.5 or os.path.islink(path):
                            os.unlink(path)
                        else:
                            open(path, "w").write("vandal")
        return how

    def edit(self):
        return self.random.choice([self.edit_file, self.edit_file, self.edit_tree, self.edit_flow, self.edit_flow])()
