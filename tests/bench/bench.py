#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""wf, make and ninja side by side: CPU seconds, wall seconds and peak memory of whole commands, as ratios from the same run.

  tests/bench/bench.py [--wf build/release/cli/wf] [--dir DIR] [--rounds 5] [--sizes 1000,10000] [--big] [--only NAME,…] [--json FILE]

Workloads   wide (N independent one-output steps), layers (sqrt N layers of sqrt N, each step reads three of the layer before).
Phases      cold (nothing made), noop (run again), incr (one input changed); start-up; one container step against the engine's own API and `podman run`.
Method      tools take turns within a round, so that a drift of the machine hits all alike; ratios are taken round by round and their median is quoted. CPU is user + system of the command and every descendant it waited for
            (timer.c). Old outputs are moved aside between cold runs, never deleted: ext4 avoids inodes deleted in the last half minute, and would be measured instead of the runner.
Needs       cc, make, ninja; podman for the container row. Prints Markdown. Not a test: nothing here passes or fails.
"""
import argparse, json, os, shutil, statistics, subprocess, sys, tempfile, time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]


class Bench:
    def __init__(self, options):
        self.o = options
        self.dir = Path(options.dir or tempfile.mkdtemp(prefix="wf-bench."))
        self.dir.mkdir(parents=True, exist_ok=True)
        self.step = self.dir / "step"
        subprocess.run(["cc", "-O2", "-static", "-nostdlib", "-ffreestanding", "-fno-stack-protector", "-o", self.step,
                        HERE / "step.c"], check=True)
        self.timer = self.dir / "timer"
        subprocess.run(["cc", "-O2", "-static", "-o", self.timer, HERE / "timer.c"], check=True)
        self.moved = 0
        self.rows = []

    def timed(self, argv, cwd):
        """(cpu seconds, wall seconds, peak MiB) of one command and its waited-for descendants."""
        out = self.dir / "usage"
        with open(self.dir / "log", "wb") as log:
            p = subprocess.run([self.timer, out, *argv], cwd=cwd, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        if p.returncode:
            sys.exit(f"bench: {' '.join(map(str, argv))} exited with {p.returncode}:\n" + (self.dir / "log").read_text()[-2000:])
        cpu_us, wall_us, rss_kib = map(int, out.read_text().split())
        return cpu_us / 1e6, wall_us / 1e6, rss_kib / 1024

    def aside(self, path):
        if path.exists():
            self.moved += 1
            (self.dir / "aside").mkdir(exist_ok=True)
            path.rename(self.dir / "aside" / str(self.moved))

    def add(self, name, tool, phase, value):
        self.rows.append({"workload": name, "tool": tool, "phase": phase, "cpu": value[0], "wall": value[1], "rss": value[2]})

    def values(self, name, tool, phase, key="cpu"):
        return [r[key] for r in self.rows if (r["workload"], r["tool"], r["phase"]) == (name, tool, phase)]

    def ratio(self, name, a, b, phase, key="cpu"):
        x, y = self.values(name, a, phase, key), self.values(name, b, phase, key)
        return statistics.median(p / q for p, q in zip(x, y)) if x and y else None


def graph(shape, n):
    """[(name, source or None, [indices])] in topological order."""
    if shape == "wide":
        return [(f"s{i}", f"in/s{i}", []) for i in range(n)]
    w = round(n ** 0.5)
    nodes = []
    for layer in range(n // w):
        for k in range(w):
            before = (layer - 1) * w
            needs = sorted({before + k, before + (k + 1) % w, before + (k + w // 2) % w}) if layer else []
            nodes.append((f"l{layer}_{k}", None if layer else f"in/l0_{k}", needs))
    return nodes


def reads(nodes, node):
    return ([node[1]] if node[1] else []) + [f"out/{nodes[i][0]}" for i in node[2]]


def emit_make(d, nodes, step):
    with open(d / "Makefile", "w") as f:
        f.write("all: " + " ".join(f"out/{n[0]}" for n in nodes) + "\n")
        for n in nodes:
            f.write(f"out/{n[0]}: {' '.join(reads(nodes, n))}\n\t{step} out/{n[0]} {' '.join(reads(nodes, n))}\n")


def emit_ninja(d, nodes, step):
    with open(d / "build.ninja", "w") as f:
        f.write(f"rule s\n  command = {step} $out $in\n")
        for n in nodes:
            f.write(f"build out/{n[0]}: s {' '.join(reads(nodes, n))}\n")


def emit_wf(d, nodes, step, script):
    with open(d / "bench.yaml", "w") as f:
        f.write("steps:\n")
        for n in nodes:
            words = ["${{ outputs.o }}"] + (["${{ inputs.i }}"] if n[1] else [])
            words += ["${{ steps.%s.outputs.o }}" % nodes[i][0] for i in n[2]]
            f.write(f"  {n[0]}:\n" + (f"    inputs: {{i: {n[1]}}}\n" if n[1] else ""))
            f.write(f"    run: {step} {' '.join(words)}\n" if script else "    command: " + json.dumps([str(step)] + words) + "\n")
            f.write("    outputs: {o: o}\n")


TOOLS = {"make": ["make", "-rRs", "-j2", "all"], "ninja": ["ninja", "-j2"]}


def workload(b, shape, n, tools):
    nodes = graph(shape, n)
    name = f"{shape} {n}"
    source = [x[1] for x in nodes if x[1]]
    touched = source[len(source) // 2]
    for t in tools:
        d = b.dir / f"{shape}-{n}-{t}"
        if d.exists():
            shutil.rmtree(d)
        (d / "in").mkdir(parents=True)
        for x in source:
            (d / x).write_text(x + "\n")
        if t.startswith("wf"):
            emit_wf(d, nodes, b.step, t == "wf-run")
        else:
            (emit_make if t == "make" else emit_ninja)(d, nodes, b.step)
    time.sleep(3)  # files must have been at rest before their digests may be remembered
    for r in range(b.o.rounds):
        for t in tools:
            d = b.dir / f"{shape}-{n}-{t}"
            argv = TOOLS.get(t) or [b.o.wf, "run", "-q", "--store", d / ".wf", "--max-parallel", "2", "--summary", "summary.json", "bench.yaml"]
            for old in ("out", ".wf", ".ninja_log", ".ninja_deps"):
                b.aside(d / old)
            (d / "out").mkdir()
            b.add(name, t, "cold", b.timed(argv, d))
            for _ in range(2):
                noop = b.timed(argv, d)
            b.add(name, t, "noop", noop)
            (d / touched).write_text(f"changed {r}\n")
            b.add(name, t, "incr", b.timed(argv, d))
            if t.startswith("wf"):
                counts = json.loads((d / "summary.json").read_text())["counts"]
                due = 1 if shape == "wide" else None
                if due and counts["succeeded"] != due:
                    sys.exit(f"bench: {name}: {counts} after one changed input, expected {due} to run")
    for t in tools:
        shutil.rmtree(b.dir / f"{shape}-{n}-{t}")
    shutil.rmtree(b.dir / "aside", ignore_errors=True)
    print_workload(b, name, n, tools)


def print_workload(b, name, n, tools):
    print(f"\n**{name}**, medians of {b.o.rounds} rounds\n")
    print("| phase | tool | CPU us a step | wall ms | peak MiB | CPU / make | CPU / ninja |\n|---|---|--:|--:|--:|--:|--:|")
    for phase in ("cold", "noop", "incr"):
        for t in tools:
            med = lambda k: statistics.median(b.values(name, t, phase, k))
            f = lambda x: f"{x:.2f}" if x else "-"
            print(f"| {phase} | {t} | {med('cpu') / n * 1e6:.1f} | {med('wall') * 1e3:.0f} | {med('rss'):.0f} | "
                  f"{f(b.ratio(name, t, 'make', phase))} | {f(b.ratio(name, t, 'ninja', phase))} |", flush=True)


def start_up(b):
    d = b.dir / "start"
    (d / "in").mkdir(parents=True, exist_ok=True)
    (d / "hello.yaml").write_text(f"steps:\n  hello:\n    command: [{b.step}, /dev/null]\n    cache: false\n")
    (d / "Makefile").write_text(f"all:\n\t{b.step} /dev/null\n")
    (d / "build.ninja").write_text(f"rule s\n  command = {b.step} /dev/null\nbuild all: s\n")
    commands = {"wf version": [b.o.wf, "version"], "make --version": ["make", "--version"], "ninja --version": ["ninja", "--version"],
                "wf run, one step": [b.o.wf, "run", "-q", "--store", d / ".wf", "hello.yaml"], "make, one step": ["make", "-rRs"],
                "ninja, one step": ["ninja"], "the step alone": [b.step, "/dev/null"]}
    for argv in commands.values():
        b.timed(argv, d)
    for _ in range(max(b.o.rounds * 3, 9)):
        for label, argv in commands.items():
            b.add("start-up", label, "run", b.timed(argv, d))
    print("\n**Start-up**, medians\n\n| command | CPU ms | wall ms | peak MiB |\n|---|--:|--:|--:|")
    for label in commands:
        med = lambda k: statistics.median(b.values("start-up", label, "run", k))
        print(f"| {label} | {med('cpu') * 1e3:.2f} | {med('wall') * 1e3:.2f} | {med('rss'):.1f} |", flush=True)


def container(b):
    if not shutil.which("podman") or not shutil.which("busybox"):
        print("\nContainer step: skipped, podman or busybox is not installed")
        return
    d = b.dir / "container"
    d.mkdir(exist_ok=True)
    shutil.copy(shutil.which("busybox"), d / "busybox")
    (d / "Containerfile").write_text("FROM scratch\nCOPY busybox /bin/busybox\nCOPY busybox /bin/sh\n")
    image = "localhost/wf-bench:1"
    subprocess.run(["podman", "build", "-q", "--timestamp", "0", "-t", image, d], check=True, stdout=subprocess.DEVNULL)
    steps = 10
    (d / "c.yaml").write_text(f"defaults: {{image: {image}, network: none, cache: false}}\nsteps:\n" +
                              "".join(f"  s{i}:\n    command: [/bin/busybox, 'true']\n" for i in range(steps)))
    podman = ["sh", "-c", f"for i in {' '.join(map(str, range(steps)))}; do podman run --rm --network=none {image} /bin/busybox true; done"]
    alone = "the engine's API alone"
    socket = d / "api.sock"
    service = subprocess.Popen(["podman", "system", "service", "--time=0", f"unix://{socket}"], stdin=subprocess.DEVNULL,
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not socket.exists():
        if service.poll() is not None:
            sys.exit("bench: `podman system service` ended at once")
        time.sleep(0.02)
    api = [sys.executable, HERE / "api.py", socket, image, str(steps), "/bin/busybox", "true"]
    wf = ["env", f"WF_CONTAINER_HOST=unix://{socket}", b.o.wf, "run", "-q", "--store", d / ".wf", "--max-parallel", "1", "c.yaml"]
    try:
        for argv in (wf, api):
            b.timed(argv, d)
        for _ in range(max(3, b.o.rounds)):
            b.add("container", alone, "run", b.timed(api, d))
            b.add("container", "wf", "run", b.timed(wf, d))
            b.add("container", "podman run", "run", b.timed(podman, d))
    finally:
        service.terminate()
        service.wait()
    print(f"\n**One container step** ({steps} in a row, network none, wall: the engine's helpers are not waited for)\n\n| tool | wall ms a step | wall / API alone | wall / podman run |\n|---|--:|--:|--:|")
    for t in (alone, "wf", "podman run"):
        print(f"| {t} | {statistics.median(b.values('container', t, 'run', 'wall')) / steps * 1e3:.0f} | "
              f"{b.ratio('container', t, alone, 'run', 'wall'):.2f} | {b.ratio('container', t, 'podman run', 'run', 'wall'):.2f} |")


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--wf", default=ROOT / "build/release/cli/wf", type=lambda x: Path(x).resolve())
    p.add_argument("--dir", help="where to work (default: a temporary folder); try one on ext4 and one on tmpfs")
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--sizes", default="1000,10000")
    p.add_argument("--big", action="store_true", help="also 100,000 steps, once (minutes)")
    p.add_argument("--only", default="start,wide,run,layers,container")
    p.add_argument("--json", help="also write every single value here")
    o = p.parse_args()
    o.wf = Path(o.wf).resolve()
    b = Bench(o)
    only = o.only.split(",")
    print(f"{o.wf}, {os.cpu_count()} processors, {b.dir}")
    if "start" in only:
        start_up(b)
    for n in map(int, filter(None, o.sizes.split(","))):
        if "wide" in only:
            workload(b, "wide", n, ["make", "ninja", "wf"] + (["wf-run"] if "run" in only else []))
        if "layers" in only:
            workload(b, "layers", n, ["make", "ninja", "wf"])
    if o.big:
        b.o.rounds = 1
        workload(b, "wide", 100000, ["make", "ninja", "wf"])
    if "container" in only:
        container(b)
    if o.json:
        Path(o.json).write_text("\n".join(map(json.dumps, b.rows)) + "\n")
    if not o.dir:
        shutil.rmtree(b.dir)


if __name__ == "__main__":
    main()
