# SPDX-License-Identifier: Apache-2.0
"""Housekeeping at random moments beside runs: never a wrong result, never a pinned entry lost, and a clean store afterwards."""
import json
import os
import signal
import sqlite3
import subprocess
import time

from model import sha


def store_problems(store):
    """Every object must be what its name says, and the database whole."""
    bad = []
    if not os.path.exists(store + "/wf.db"):
        return bad
    for base, _, names in os.walk(store + "/objects"):
        for name in names:
            path = os.path.join(base, name)
            digest = (os.path.basename(base) + name) if len(name) == 62 else name
            with open(path, "rb") as file:
                if len(digest) == 64 and sha(file.read()) != digest:
                    bad.append("object %s holds something else" % path)
    db = sqlite3.connect("file:%s/wf.db?mode=ro" % store, uri=True)
    said = db.execute("PRAGMA integrity_check").fetchall()
    db.close()
    return bad + ([] if said == [("ok",)] else ["integrity_check: %s" % said])


class Keeping:
    """Commands of `wf cache` beside runs."""

    def listed(self, *words):
        done = self.wf("cache", "ls", "--json", "-n", "100000", *words)
        if done.returncode:
            raise RuntimeError("wf cache ls: %s" % done.stderr.decode(errors="replace"))
        return {entry["key"] for entry in json.loads(done.stdout or b"[]")}

    def command(self):
        r = self.random
        step = r.choice(list(self.steps))
        return r.choice([
            ["gc", "--max-entries", str(r.choice([1, 5, 20]))], ["gc", "--max-entries", "3"], ["gc", "--unused-for", "1ms"],
            ["gc", "--max-size", r.choice(["1kB", "50kB"])], ["gc"], ["rm", "-s", step], ["rm", "--older-than", "1s"],
            ["rm", "-w", "p%sw" % self.label], ["verify"], ["verify", "--repair"], ["stats"], ["gc", "--max-entries", "2", "--dry-run"]])

    def storm(self):
        """Some commands, two at once, one of them killed now and then."""
        r = self.random
        env = dict(os.environ, WF_STORE=self.store, NO_COLOR="1", CI="1", HOME=self.root)
        for _ in range(r.randrange(1, 5)):
            live = []
            for words in [self.command() for _ in range(r.choice([1, 1, 2]))]:
                words = words + (["--yes"] if words[0] == "rm" else [])
                child = subprocess.Popen([self.options.wf, "cache", *words], cwd=self.root, env=env, stdin=subprocess.DEVNULL,
                                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
                self.log("wf cache " + " ".join(words))
                live.append((words, child, r.random() < 0.15))
            for words, child, kill in live:
                if kill:
                    time.sleep(r.random() * 0.02)
                    self.log("kill wf cache " + " ".join(words))
                    child.send_signal(signal.SIGKILL)
                    self.killed = True
                try:
                    said = child.communicate(timeout=60)[0].decode(errors="replace")
                except subprocess.TimeoutExpired:
                    child.kill()
                    self.problem("wf cache %s hangs" % " ".join(words))
                    return
                if "another `wf cache gc` is at work" in said or "another `wf cache verify --repair` is at work" in said:
                    continue
                if child.returncode not in ((0, -9) if kill else (0,)):
                    self.problem("beside a run, wf cache %s: exit %d: %s" % (" ".join(words), child.returncode, said[-800:]))
            time.sleep(r.random() * 0.01)

    def keep_house(self, label):
        r = self.random
        self.killed = False
        there = sorted(self.listed())
        for key in r.sample(there, min(len(there), r.choice([0, 2, 5]))):
            done = self.wf("cache", "pin", key.removeprefix("sha256:"))
            self.log("pin %s: %d" % (key, done.returncode))
            if done.returncode == 0:
                self.pinned.add(key)
        for key in r.sample(sorted(self.pinned), min(len(self.pinned), r.choice([0, 0, 3]))):
            done = self.wf("cache", "unpin", key.removeprefix("sha256:"))
            self.log("unpin %s: %d" % (key, done.returncode))
            if done.returncode == 0:
                self.pinned.discard(key)
        if r.random() < 0.7:
            self.set_faults({})  # what would not run may have to
            self.quiet("beside housekeeping, " + label, r.choice([1, 1, 2, 3]), self.storm)
        else:
            self.storm()
        if self.problems:
            return
        left = self.listed()
        for key in self.pinned - left:
            self.problem("a pinned entry is gone: %s" % key)
        pinned = self.listed("--pinned")
        if pinned != self.pinned:
            self.problem("pinned, but should not be: %s; should be, but are not: %s" % (pinned - self.pinned, self.pinned - pinned))
        # Reused by a run, but gone before anybody could ask for its key: it may or may not be there.
        unknown = {action for action in self.seen if action not in self.digests}
        self.loose |= unknown
        self.seen -= unknown | {action for action, key in self.digests.items() if key not in left}
        for name, old in self.baselines.items():
            if old["key"] not in left:
                self.unsure.add(name)
        done = self.wf("cache", "verify", "--json")
        if done.returncode:
            said = done.stdout + done.stderr
            self.problem("after housekeeping%s, verify finds: %s" % (" that was killed" * self.killed, said.decode(errors="replace")[-800:]))
