# SPDX-License-Identifier: Apache-2.0
"""What runs said and did, held against the model."""
import json
import os

from model import FAILED, MAYBE, OK, PERHAPS, SKIPPED, content, executable, listing, sha
from project import SHORT

ENDS = {"succeeded", "cached", "failed", "skipped", "cancelled"}


class Run:
    """One `wf run` and what it told."""

    def __init__(self, which, names, trace, child):
        self.which, self.names, self.trace, self.child = which, names, trace, child
        self.id, self.end, self.starts, self.keys, self.unstored = None, {}, {}, {}, set()
        self.shown = None  # by `wf show`

    def read(self):
        for line in open(self.trace + ".out", encoding="utf-8", errors="surrogateescape"):
            event = json.loads(line)
            kind, step = event["event"], event.get("step")
            self.id = event["run"]
            if kind == "started":
                self.starts[step] = self.starts.get(step, 0) + 1
                if event["data"].get("key"):
                    self.keys[step] = event["data"]["key"]
            elif kind in ENDS:
                self.end[step] = kind
                if kind == "succeeded" and event["data"].get("stored") is False:
                    self.unstored.add(step)
        self.told = sum(self.starts.values())

    def really(self):
        return open(self.trace).read().count("ran") if os.path.exists(self.trace) else 0


class Judge:
    """lenient: something beside the runs may take results away, or two stores work at once: work may be done again."""

    def judge(self, label, expected, runs, lenient=False):
        by_title = {self.steps[n].title(b): (n, b) for n, b in expected}
        ran = {expected[by_title[t]]["key"] for run in runs for t in run.starts if "key" in expected[by_title[t]]}
        for run in runs:
            # One that was cancelled may not have come to its first line.
            doubt = sum(run.end.get(title) == "cancelled" for title in run.starts)
            if not run.told - doubt <= run.really() <= run.told:
                self.problem("%s: %d steps ran, said is %d" % (label, run.really(), run.told))
            inside = {(n, b): x for (n, b), x in expected.items() if n in run.names}
            for title in run.starts:
                if by_title[title] not in inside:
                    self.problem("%s: %s ran, but was not asked for" % (label, title))
            for (name, branch), result in inside.items():
                self.instance(label, run, self.steps[name], self.steps[name].title(branch), result, ran, lenient)
            hard = any(x["status"] in (FAILED, PERHAPS) and not self.steps[n].tolerant for (n, _), x in inside.items())
            if run.child.returncode != hard:
                self.problem("%s: %s exits with %d: %s" % (label, run.which, run.child.returncode,
                             open(run.trace + ".err", errors="replace").read()[-1500:]))
        self.once(label, expected, by_title, runs, lenient)
        for run in runs:
            self.learn(label, expected, by_title, run)
        self.settle(expected, runs)
        for run in runs:
            for (name, branch), result in expected.items():
                if name in run.names and branch is None and result["status"] == OK:
                    path = "%s/pub-%s/%s" % (self.root, run.which, name)
                    self.compare(label, name, self.steps[name], path, result)
            if self.random.random() < 0.4:
                self.compare_outputs(label, expected, run, lenient)

    def instance(self, label, run, step, title, result, ran, lenient):
        end, starts = run.end.get(title), run.starts.get(title, 0)
        wanted = {OK: ("succeeded", "cached"), FAILED: ("failed",), SKIPPED: ("skipped",),
                  MAYBE: ("succeeded", "cached", "cancelled"), PERHAPS: ("failed", "cancelled")}[result["status"]]
        if end not in wanted:
            self.problem("%s: %s is %s, should be %s" % (label, title, end, " or ".join(wanted)))
        elif end == "cached":
            self.hits += 1
            touched = step.name in self.touched
            known = result["key"] in self.seen or result["key"] in self.loose or touched or result["key"] in ran
            if "baseline" in result and not touched:
                known = result["key"] in ran or not result["must_run"]
            if not known and self.key_of(label, run, title) not in self.vague:
                self.problem("%s: a hit from nowhere: %s" % (label, title))
            elif not result["may_hit"] and result["key"] not in ran:
                self.problem("%s: %s is reused, but was not to be" % (label, title))
            elif step.ttl == SHORT and not touched and result["key"] not in ran:
                self.problem("%s: %s is reused after its ttl" % (label, title))
        elif end in ("succeeded", "failed"):
            self.made += 1
            if not result["must_run"] and not lenient:
                self.problem("%s: needless miss: %s ran again" % (label, title))
            elif starts != result["attempts"] and result["must_run"] and result["status"] in (OK, FAILED):
                self.problem("%s: %s took %d attempts, should be %d" % (label, title, starts, result["attempts"]))

    def once(self, label, expected, by_title, runs, lenient):
        """Each key's work is done once, however many want it."""
        done = {}
        for run in runs:
            for title, end in run.end.items():
                at = by_title.get(title)
                result = expected.get(at)
                if end == "succeeded" and result and result.get("may_hit") and self.steps[at[0]].ttl != SHORT:
                    done.setdefault(run.keys[title], []).append(title)
        for titles in done.values():
            self.twice += len(titles) - 1
            if len(titles) > 1 and not lenient:
                self.problem("%s: done %d times at once: %s" % (label, len(titles), sorted(set(titles))))

    def learn(self, label, expected, by_title, run):
        """What is stored now, and that one action has one key, and one key one action."""
        keys = dict(run.keys)
        if self.keeps or self.remote or self.random.random() < 0.4 or run.shown:
            keys.update({title: key for title in run.end for key in [self.key_of(label, run, title)] if key and title not in keys})
        for title, key in keys.items():
            result = expected[by_title[title]]
            if "key" in result and "baseline" not in result and by_title[title][0] in run.names:
                if self.actions.setdefault(key, result["key"]) != result["key"]:
                    self.problem("%s: two actions of %s have one key" % (label, title))
                if self.digests.setdefault(result["key"], key) != key:
                    self.problem("%s: one action of %s has two keys" % (label, title))
        for title, end in run.end.items():
            result, step = expected[by_title[title]], self.steps[by_title[title][0]]
            if end == "succeeded" and title in run.unstored and step.cache and not self.no_cache:
                self.problem("%s: %s was not stored" % (label, title))
            if result["status"] == MAYBE:
                self.loose.add(result["key"])
            if end == "succeeded" and step.cache and not self.no_cache or end == "cached" and step.name in run.names:
                self.seen.add(result["key"])
                self.own.add(result["key"])
                if "baseline" in result and end == "succeeded":
                    self.baselines[result["baseline"]] = dict(source=result["source"], measure=result["measure"], key=run.keys[title])
                    self.unsure.discard(result["baseline"])

    def settle(self, expected, runs):
        """Of what was looked for and is stored now nothing unseen can come up, as long as nothing else is edited."""
        for run in runs:
            for name in {n for n, _ in expected if n in run.names}:
                ends = [run.end.get(self.steps[name].title(b)) for n, b in expected if n == name]
                if self.steps[name].cache and not self.no_cache and set(ends) <= {"succeeded", "cached"}:
                    self.touched.discard(name)

    def compare(self, label, title, step, path, result):
        main = path + "/main" if step.folder else path
        try:
            got, marked = content(main), executable(main)
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

    def key_of(self, label, run, title):
        return (self.shown(label, run).get(title, {}).get("cache") or {}).get("key")

    def shown(self, label, run):
        """What `wf show` tells of the steps."""
        if run.shown is None:
            done = self.wf("show", run.id, "--json") if run.id else None
            if done is None or done.returncode:
                self.problem("%s: wf show: %s" % (label, done.stderr.decode(errors="replace") if done else "there is no run"))
            run.shown = {s["name"]: s for s in json.loads(done.stdout)["steps"]} if done and done.returncode == 0 else {}
        return run.shown

    def compare_outputs(self, label, expected, run, beside):
        shown = self.shown(label, run)
        for (name, branch), result in expected.items():
            step = self.steps[name]
            entry = shown.get(step.title(branch))
            if name not in run.names or result["status"] != OK:
                continue
            if beside and entry and "outputs" not in entry:
                continue  # taken away since
            if entry is None:
                self.problem("%s: wf show lacks %s" % (label, step.title(branch)))
            elif not step.folder and entry["outputs"]["o"]["digest"] != "sha256:" + sha(result["main"]):
                self.problem("%s: wf show: WRONG RESULT of %s" % (label, step.title(branch)))
            elif step.value and entry["values"] != {"v": result["value"]}:
                self.problem("%s: wf show: values %s of %s" % (label, entry["values"], step.title(branch)))
