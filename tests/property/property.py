# SPDX-License-Identifier: Apache-2.0
"""Random workflows, random edits between their runs, and an independent model of what must come out.

Each project is a folder with files and a DAG of host steps whose outputs hold everything the steps read. Between runs the
files, the parameters and the workflow are edited, also in ways that try to hide the edit: same size, the same modification
time, another inode under the old name, within one tick of the clock. After each quiet run

  * what is published must be what the model computes (anything else is a false hit, or a lost or mixed-up result);
  * no step may run whose action the model has seen stored before (a needless miss);
  * no step may be reused whose action the model has never seen (a hit from nowhere);
  * what the steps themselves say they did must agree with the events of `wf run --json`.

Other rounds make trouble on purpose (edits while steps run, kill -9, several `wf` at once); the quiet run after them must
be right again. `property.py --wf WF --seeds 1-8 --rounds 12`; a seed that fails is named, with its folder kept.
"""
import argparse
import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import traceback

from edits import Edits
from model import Model, executable, listing, sha
from project import Making


class Project(Making, Model, Edits):
    """A project and its runs."""

    def __init__(self, seed, root, store, options):
        self.random = random.Random(seed)
        self.seed, self.root, self.store, self.options = seed, root, store, options
        self.wf, self.counter = options.wf, 0
        self.steps, self.params, self.seen, self.touched = {}, {}, set(), True
        self.problems, self.runs, self.hits, self.made, self.twice = [], 0, 0, 0, 0
        os.makedirs(root + "/data")
        os.makedirs(root + "/far")
        self.build()

    def start(self, trace, *more):
        env = dict(os.environ, WF_STORE=self.store, TRACE=trace, NO_COLOR="1", CI="1", HOME=self.root)
        command = [self.wf, "run", "w.yaml", "--json", *more]
        out, err = open(trace + ".out", "wb"), open(trace + ".err", "wb")
        return subprocess.Popen(command, cwd=self.root, env=env, stdout=out, stderr=err, start_new_session=True)

    def problem(self, text):
        self.problems.append("seed %d run %d: %s" % (self.seed, self.runs, text))

    def sanitized(self, trace):
        err = open(trace + ".err", errors="replace").read()
        for word in ("Sanitizer", "runtime error:", "assert"):
            if word in err:
                self.problem("%s\n%s" % (word, err[-3000:]))

    def quiet(self, label, processes=1):
        """A run that nothing disturbs: its results are checked."""
        self.save()
        expected = self.model()
        live = []
        for i in range(processes):
            trace = "%s/trace%d" % (self.root, i)
            for name in (trace, trace + ".out", trace + ".err"):
                if os.path.exists(name):
                    os.unlink(name)
            live.append((trace, self.start(trace)))
        for trace, child in live:
            try:
                code = child.wait(120)
            except subprocess.TimeoutExpired:
                child.kill()
                self.problem("%s: a run hangs" % label)
                return
            self.runs += 1
            self.sanitized(trace)
            if code != 0:
                self.problem("%s: exit %d: %s" % (label, code, open(trace + ".err", errors="replace").read()[-1500:]))
                return
        self.judge(label, expected, [t for t, _ in live])

    def judge(self, label, expected, traces):
        started, cached, skipped = {}, set(), set()
        for trace in traces:
            told = []
            for line in open(trace + ".out"):
                event = json.loads(line)
                if event["event"] == "started":
                    told.append(event["step"])
                    started[event["step"]] = started.get(event["step"], 0) + 1
                elif event["event"] == "cached":
                    cached.add(event["step"])
                elif event["event"] == "skipped":
                    skipped.add(event["step"])
            really = open(trace).read().count("ran") if os.path.exists(trace) else 0
            if really != len(told):
                self.problem("%s: %d steps ran, said is %d" % (label, really, len(told)))
        keys, fresh = {}, set()
        for (name, branch), result in expected.items():
            step = self.steps[name]
            title = step.title(branch)
            if result is None:
                if title not in skipped:
                    self.problem("%s: %s should be skipped" % (label, title))
                continue
            if title in skipped:
                self.problem("%s: %s is skipped, but should not be" % (label, title))
                continue
            keys.setdefault(result["key"], []).append(title)
            if title in started:
                self.made += 1
                if result["key"] in self.seen:
                    self.problem("%s: needless miss: %s ran again" % (label, title))
                self.twice += started[title] - 1
            elif title in cached:
                self.hits += 1
                fresh.add(result["key"])
            else:
                self.problem("%s: nothing is said of %s" % (label, title))
            if branch is None:
                self.compare(label, title, step, os.path.join(self.root, "pub", name), result)
        if self.random.random() < 0.3:
            self.compare_outputs(label, expected)
        if not self.touched:
            ran = {expected[n, b]["key"] for (n, b), x in expected.items() if x and self.steps[n].title(b) in started}
            for key in fresh - self.seen - ran:
                self.problem("%s: a hit from nowhere: %s" % (label, keys[key]))
        self.seen |= set(keys)

    def compare(self, label, title, step, path, result):
        main = path + "/main" if step.folder else path
        try:
            got = open(main, "rb").read()
            marked = executable(main)
        except OSError as error:
            self.problem("%s: %s: %s" % (label, title, error))
            return
        if got != result["main"]:
            lines = zip(got.split(b"\n"), result["main"].split(b"\n"))
            self.problem("%s: WRONG RESULT of %s: %s" % (label, title, [x for x in lines if x[0] != x[1]][:2]))
        if marked != step.executable:
            self.problem("%s: %s: execute bit %s" % (label, title, marked))
        if step.folder and listing(path) != result["tree"]:
            self.problem("%s: WRONG TREE of %s:\n%r\n%r" % (label, title, listing(path), result["tree"]))

    def compare_outputs(self, label, expected):
        env = dict(os.environ, WF_STORE=self.store, NO_COLOR="1", CI="1", HOME=self.root)
        done = subprocess.run([self.wf, "show", "--json"], cwd=self.root, env=env, capture_output=True)
        if done.returncode:
            self.problem("%s: wf show: %s" % (label, done.stderr.decode(errors="replace")))
            return
        shown = json.loads(done.stdout)
        if shown["workflow"] != "p%d" % self.seed:
            return  # another project of this store ended later
        shown = {s["name"]: s for s in shown["steps"]}
        for (name, branch), result in expected.items():
            step = self.steps[name]
            entry = shown.get(step.title(branch))
            if entry is None:
                self.problem("%s: wf show lacks %s" % (label, step.title(branch)))
            elif result and not step.folder and entry["outputs"]["o"]["digest"] != "sha256:" + sha(result["main"]):
                self.problem("%s: wf show: another digest for %s" % (label, step.title(branch)))
            elif result and step.value and entry["values"] != {"v": result["value"]}:
                self.problem("%s: wf show: values %s of %s" % (label, entry["values"], step.title(branch)))

    def disturbed(self, how):
        """A run with edits, or kills, under way: only the next quiet run is checked."""
        self.save()
        self.touched = True
        traces = ["%s/trouble%d" % (self.root, i) for i in range(self.random.choice([1, 1, 2]))]
        children = [self.start(t) for t in traces]
        deadline = time.time() + self.random.random() * 0.25
        if how == "kill":
            while time.time() < deadline and any(c.poll() is None for c in children):
                time.sleep(0.002)
            self.random.choice(children).send_signal(signal.SIGKILL)
        elif how == "term":
            time.sleep(self.random.random() * 0.1)
            child = self.random.choice(children)
            child.poll() is None and child.send_signal(self.random.choice([signal.SIGTERM, signal.SIGINT]))
        else:
            while any(c.poll() is None for c in children):
                self.edit_file(under_way=True)
                time.sleep(self.random.random() * 0.01)
        for trace, child in zip(traces, children):
            try:
                child.wait(120)
            except subprocess.TimeoutExpired:
                child.kill()
                self.problem("a disturbed run hangs")
            self.runs += 1
            self.sanitized(trace)

    def round(self):
        r = self.random
        edits = [self.edit() for _ in range(r.choice([0, 1, 1, 1, 2, 5]))]
        label = "after " + ", ".join(edits)
        kind = r.random()
        if kind < 0.12:
            self.disturbed("edits")
            label = "after edits under way"
        elif kind < 0.2:
            self.disturbed("kill")
            label = "after kill -9 and " + label
        elif kind < 0.24:
            self.disturbed("term")
            label = "after TERM and " + label
        elif kind < 0.34:
            time.sleep(2.2)  # at rest: digests are remembered from here on
        self.quiet(label, r.choice([1, 1, 1, 1, 2, 3]))
        if r.random() < 0.3:
            self.quiet("again " + label)


def store_problems(store):
    """Every object must be what its name says."""
    bad = []
    for base, _, names in os.walk(store + "/objects"):
        for name in names:
            path = os.path.join(base, name)
            digest = (os.path.basename(base) + name) if len(name) == 62 else name
            if len(digest) == 64 and sha(open(path, "rb").read()) != digest:
                bad.append("object %s holds something else" % path)
    said = sqlite3.connect("file:%s/wf.db?mode=ro" % store, uri=True).execute("PRAGMA integrity_check").fetchall()
    return bad + ([] if said == [("ok",)] else ["integrity_check: %s" % said])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--wf", default=os.environ.get("WF", "wf"))
    parser.add_argument("--seeds", default="1-6")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=1e9, help="start no further round after this time")
    parser.add_argument("--jobs", type=int, default=3, help="projects at once, all over one store")
    parser.add_argument("--slow", action="store_true", help="steps that take a few milliseconds more")
    parser.add_argument("--folder", help="work here, and keep it")
    options = parser.parse_args()
    options.wf = shutil.which(options.wf) or os.path.abspath(options.wf)
    first, _, last = options.seeds.partition("-")
    seeds = list(range(int(first), int(last or first) + 1))
    top = os.path.realpath(options.folder or tempfile.mkdtemp(prefix="wf-property."))
    os.makedirs(top, exist_ok=True)
    begin, lock, done, queue = time.time(), threading.Lock(), [], list(seeds)
    os.umask(0o022)

    def work():
        while True:
            with lock:
                if not queue or time.time() - begin > options.seconds:
                    return
                seed = queue.pop(0)
            project = Project(seed, "%s/p%d" % (top, seed), top + "/store", options)
            try:
                for _ in range(options.rounds):
                    if project.problems or time.time() - begin > options.seconds:
                        break
                    project.round()
            except Exception as error:  # the model itself
                project.problem("the test: %s\n%s" % (error, traceback.format_exc()))
            with lock:
                done.append(project)
                for text in project.problems[:5]:
                    print("not ok - " + text, flush=True)

    threads = [threading.Thread(target=work) for _ in range(options.jobs)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    problems = [p for project in done for p in project.problems]
    if os.path.exists(top + "/store/wf.db"):
        for text in store_problems(top + "/store"):
            problems.append(text)
            print("not ok - " + text)
    print("%d projects, %d runs, %d steps made (%d by several runs at once), %d reused, %d problems, %.1f s" % (
        len(done), sum(p.runs for p in done), sum(p.made for p in done), sum(p.twice for p in done), sum(p.hits for p in done), len(problems),
        time.time() - begin))
    if problems or options.folder:
        print("kept: " + top)
    else:
        shutil.rmtree(top)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
