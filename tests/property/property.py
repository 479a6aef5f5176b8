# SPDX-License-Identifier: Apache-2.0
"""Random workflows, random edits between their runs, and an independent model of what must come out.

Each project is a folder with files and a DAG of host steps whose outputs hold everything the steps read: files, folders with
odd names, links, other steps' outputs and values, params, matrix axes. Steps fail, and are tried again, as a file says that is
in no key. Between runs the files, the parameters and the workflow are edited, also in ways that try to hide the edit: same
size, the same modification time, another inode under the old name, within one tick of the clock. After each quiet run

  * what is published, and what `wf show` tells, must be what the model computes (else: a false hit, a lost or mixed-up result);
  * each step must have ended as the model says: succeeded, failed after so many attempts, skipped;
  * no step may run whose action the model has seen stored before (a needless miss);
  * no step may be reused whose action the model has never seen stored (a hit from nowhere);
  * of several runs at once, of the same and of another workflow, each key's work is done by one alone;
  * one action of the model has one key of wf, and one key one action;
  * what the steps themselves say they did must agree with the events of `wf run --json`.

Other rounds make trouble on purpose (edits while steps run, kill -9, TERM); the quiet run after them must be right again.
Some seeds keep house in a store of their own, at random moments beside runs; some share a cache between two stores, over a
server that is honest or lies. `property.py --wf WF --seeds 1-2000 --rounds 12`; a seed that fails is named, its folder kept.
"""
import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback

from edits import Edits
from judge import Judge, Run
from keeping import Keeping, store_problems
from model import FAILED, OK, PERHAPS, Model
from project import Making
from shared import Shared


class Project(Making, Model, Edits, Judge, Keeping):
    """A project and its runs."""

    def __init__(self, seed, root, store, options):
        self.random = random.Random(seed)
        self.seed, self.label, self.root, self.options = seed, "%d" % seed, root, options
        self.counter, self.steps, self.params, self.faults = 0, {}, {}, {}
        self.problems, self.runs, self.hits, self.made, self.twice = [], 0, 0, 0, 0
        os.makedirs(root + "/faults")
        kind = seed % 6
        self.keeps, self.remote = kind == 1, None
        self.stores = [store]
        if kind == 1:
            self.stores = [root + "/store"]
        elif kind in (3, 5):
            self.stores = [root + "/store", root + "/store2"]
            self.remote = Shared(seed, 0 if kind == 3 else 0.25)
        # Of each store: the actions it holds, those of them that are its own and no shared cache's, those it may hold, the steps
        # of which something unseen may have been stored.
        self.known = [{"seen": set(), "own": set(), "loose": set(), "touched": set()} for _ in self.stores]
        self.vague = set()  # keys of wf that were stored while nobody looked
        self.actions, self.digests, self.baselines, self.unsure, self.pinned = {}, {}, {}, set(), set()
        self.use(0)
        self.build()

    def use(self, which):
        self.store, known = self.stores[which], self.known[which]
        self.at, self.loose, self.touched = which, known["loose"], known["touched"]
        self.seen, self.own = known["seen"], known["own"]
        if self.remote and not self.remote.share:
            there = self.remote.keys()
            self.seen |= {action for action, key in self.digests.items() if key in there}
        elif self.remote:
            self.loose |= self.known[1 - which]["seen"] | self.known[1 - which]["loose"]

    def touch(self):
        """Something was stored that nobody looked at."""
        for known in self.known:
            known["touched"] |= set(self.steps)
        self.vague |= self.listed("-w", "p%sw" % self.label) | self.listed("-w", "p%sv" % self.label)
        if self.remote:
            self.vague |= self.remote.keys()

    def wf(self, *words, timeout=120):
        env = dict(os.environ, WF_STORE=self.store, NO_COLOR="1", CI="1", HOME=self.root)
        return subprocess.run([self.options.wf, *words], cwd=self.root, env=env, capture_output=True, timeout=timeout, check=False)

    def start(self, trace, which="w", names=None, more=()):
        for name in os.listdir(self.root):
            if name == trace or name.startswith(trace + "."):
                os.unlink(self.root + "/" + name)
        trace = self.root + "/" + trace
        env = dict(os.environ, WF_STORE=self.store, TRACE=trace, FAULTS=self.root + "/faults", NO_COLOR="1", CI="1", HOME=self.root)
        command = [self.options.wf, "run", which + ".yaml", "--json", *more]
        self.log(" ".join(command[2:]))
        if self.remote:
            command += ["--remote", self.remote.url]
        with open(trace + ".out", "wb") as out, open(trace + ".err", "wb") as err:
            child = subprocess.Popen(command, cwd=self.root, env=env, stdout=out, stderr=err, start_new_session=True)
        return Run(which, list(self.steps) if names is None else names, trace, child)

    def log(self, text):
        with open(self.root + "/log", "a") as file:
            file.write("%.3f %s\n" % (time.time(), text))

    def problem(self, text):
        self.log("PROBLEM " + text)
        self.problems.append("seed %d run %d: %s" % (self.seed, self.runs, text))

    def ended(self, label, runs):
        """Waits for runs; false where the test cannot go on."""
        for run in runs:
            try:
                run.child.wait(120)
            except subprocess.TimeoutExpired:
                run.child.kill()
                self.problem("%s: a run hangs" % label)
                return False
            self.runs += 1
            err = open(run.trace + ".err", errors="replace").read()
            for word in ("Sanitizer", "runtime error:", "assert"):
                if word in err:
                    self.problem("%s\n%s" % (word, err[-3000:]))
        return True

    def quiet(self, label, processes=1, beside=None):
        """Runs that nothing disturbs, unless it be the keeping of the house: their results are checked."""
        r = self.random
        self.save()
        expected, forced, more, names, lenient = self.model(), set(), [], None, beside is not None or bool(self.remote and self.remote.share)
        only = lambda x: x["status"] == OK and not x["must_run"] and x["key"] in self.own
        unsure = {n for (n, _), x in expected.items() if x.get("baseline") in self.unsure}
        how = r.random()
        if unsure:
            forced, more, processes = unsure, ["--refresh=" + n for n in unsure], 1
        elif how < 0.05:
            forced, more = True, ["--refresh"]
        elif how < 0.1:
            forced = {r.choice(list(self.steps))}
            more = ["--refresh=" + n for n in forced]
        elif how < 0.15:
            more = ["--no-cache"]
        elif how < 0.2:
            last = r.choice(list(self.steps))
            more, names = ["--until", last], self.above(last)
        elif how < 0.24 and not beside:  # housekeeping may take what it needs
            last = r.choice(list(self.steps))
            if all(only(x) for (n, _), x in expected.items() if n in self.above(last) and n != last):
                more, names = ["--only", last], [last]
        label += " " + " ".join(more)
        expected = self.model(forced, "--no-cache" in more)
        while self.spare_doubtful(expected):
            expected = self.model(forced, "--no-cache" in more)
        runs = [self.start("trace%d" % i, "w", names, more) for i in range(processes)]
        if processes > 1 and not more:
            others = self.choose()
            self.save("v", others)
            runs.append(self.start("trace-v", "v", others))
        beside and beside()
        if not self.ended(label, runs):
            return
        for run in runs:
            try:
                run.read()
            except (ValueError, KeyError) as error:
                self.problem("%s: events: %s\n%s" % (label, error, open(run.trace + ".err", errors="replace").read()[-1500:]))
                return
        self.judge(label, expected, runs, lenient)

    def spare_doubtful(self, expected):
        """No step is to fail of which nobody can tell whether it runs. True: one was."""
        tags = {self.steps[n].tag for (n, _), x in expected.items() if x["status"] in (FAILED, PERHAPS) and self.in_doubt(self.steps[n], x)}
        if tags:
            self.log("no faults of %s" % sorted(tags))
            self.set_faults({t: f for t, f in self.faults.items() if t not in tags})
        return bool(tags)

    def choose(self):
        """Some steps with all they need: another workflow with the same work in it."""
        names = set()
        for name in self.random.sample(list(self.steps), min(3, len(self.steps))):
            names |= set(self.above(name))
        return [n for n in self.steps if n in names]

    def disturbed(self, how):
        """A run with edits, or kills, under way: only the next quiet run is checked."""
        r = self.random
        self.save()
        for result in self.model().values():
            "baseline" in result and self.unsure.add(result["baseline"])
            "key" in result and result["status"] != FAILED and self.loose.add(result["key"])
        runs = [self.start("trouble%d" % i) for i in range(r.choice([1, 1, 2, 3]))]
        deadline = time.time() + r.random() * 0.25
        if how == "kill":
            while time.time() < deadline and any(x.child.poll() is None for x in runs):
                time.sleep(0.002)
            for run in r.sample(runs, r.randrange(1, len(runs) + 1)):
                run.child.poll() is None and run.child.send_signal(signal.SIGKILL)
        elif how == "term":
            time.sleep(r.random() * 0.1)
            child = r.choice(runs).child
            child.poll() is None and child.send_signal(r.choice([signal.SIGTERM, signal.SIGINT]))
        else:
            while any(x.child.poll() is None for x in runs):
                self.edit_file(under_way=True)
                time.sleep(r.random() * 0.01)
        self.ended("a disturbed run", runs)
        self.touch()

    def round(self):
        r = self.random
        edits = self.edits = [self.edit() for _ in range(r.choice([0, 1, 1, 1, 2, 5]))]
        label = "after " + ", ".join(edits)
        if len(self.stores) > 1:
            self.use(r.randrange(2))
        kind = r.random()
        if kind < 0.12:
            self.disturbed("edits")
            label = "after edits under way and " + label
        elif kind < 0.2:
            self.disturbed("kill")
            label = "after kill -9 and " + label
        elif kind < 0.24:
            self.disturbed("term")
            label = "after TERM and " + label
        elif kind < 0.3:
            time.sleep(2.2)  # at rest: digests are remembered from here on
        if self.keeps and r.random() < 0.6:
            self.keep_house(label)
        self.problems or self.quiet(label, r.choice([1, 1, 1, 2, 3, 4]))
        if r.random() < 0.3 and not self.problems:
            len(self.stores) > 1 and self.use(r.randrange(2))
            self.quiet("again " + label, r.choice([1, 1, 2]))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--wf", default=os.environ.get("WF", "wf"))
    parser.add_argument("--seeds", default="1-6")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=1e9, help="start no further round after this time")
    parser.add_argument("--jobs", type=int, default=3, help="projects at once; most of them over one store")
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
                for store in set(project.stores) - {top + "/store"}:
                    for text in store_problems(store):
                        project.problem(text)
            except Exception as error:  # the model itself
                project.problem("the test: %s\n%s" % (error, traceback.format_exc()))
            project.remote and project.remote.close()
            with lock:
                done.append(project)
                for text in project.problems[:5]:
                    print("not ok - " + text, flush=True)
            if not project.problems and not options.folder:
                shutil.rmtree(project.root, ignore_errors=True)

    threads = [threading.Thread(target=work) for _ in range(options.jobs)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    problems = [p for project in done for p in project.problems]
    for text in store_problems(top + "/store"):
        problems.append(text)
        print("not ok - " + text)
    count = lambda name: sum(getattr(p, name) for p in done)
    print("%d projects, %d runs, %d steps made (%d by several runs at once), %d reused, %d problems, %.1f s" % (
        len(done), count("runs"), count("made"), count("twice"), count("hits"), len(problems), time.time() - begin))
    if problems or options.folder:
        print("kept: " + top)
    else:
        shutil.rmtree(top)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
