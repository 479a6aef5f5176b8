#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The store at the size it was designed for: 100,000 new entries a day over 100 days, ten million kept.

  tests/bench/scale.py [--build build/release] [--size 10000000,1000000] [--dir DIR] [--keep] [--only store,files,hash] [--json FILE]

store   a store of each size is filled (or taken from DIR, where --keep left it), then: lookups (hit, miss; the database in the kernel's memory and not), inserts as a run commits them, last uses
        folded in, database bytes an entry; a tenth is cleared by gc, first alone, then a twentieth more beside `wf run` (nothing to do, and one new step) in a loop.
files   200,000 entries whose objects are files: what unlinking them costs gc.
hash    files hashed by all processors and one large one, beside `openssl speed -evp sha256 -multi` (one buffer in the processor's cache, nothing is read) and
        `openssl dgst` on the same files, in turns.
Method  scale.c calls the cache room's own functions; only where its objects lie is made up in `store` (no inode for each of twenty million). Filling is done in memory where there is room.
        CPU time stands beside wall time: on a machine that is busy with other things only the first says something. Not a test: nothing here passes or fails.
"""
import argparse, json, os, re, resource, shutil, statistics, subprocess, sys, tempfile, time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FLOW = """name: beside
params: {n: 1}
steps:
  a: {run: 'echo ${{ params.n }} > ${{ outputs.o }}', outputs: {o: o}}
  b: {run: 'cat ${{ steps.a.outputs.o }} > ${{ outputs.o }}', outputs: {o: o}}
"""


def call(argv, **kw):
    """stdout and CPU seconds of a command."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    p = subprocess.run([str(a) for a in argv], stdout=subprocess.PIPE, text=True, **kw)
    if p.returncode:
        sys.exit(f"scale: {' '.join(map(str, argv))} exited with {p.returncode}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return p.stdout, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


class Scale:
    def __init__(self, o):
        self.o, self.build = o, Path(o.build).resolve()
        self.dir = Path(o.dir or tempfile.mkdtemp(prefix="wf-scale.", dir="/var/tmp"))
        self.dir.mkdir(parents=True, exist_ok=True)
        subprocess.run(["cmake", "--build", self.build, "--target", "wf", "wf_scale", "wf_hash"], check=True, stdout=subprocess.DEVNULL)
        self.wf, self.scale = self.build / "cli/wf", self.build / "tests/bench/wf_scale"
        self.results = {}

    def filled(self, size, files):
        store = self.dir / f"store-{size}{'-files' if files else ''}"
        if not (store / "wf.db").exists():
            room = shutil.disk_usage("/dev/shm").free if not files and os.path.isdir("/dev/shm") else 0
            first = Path(tempfile.mkdtemp(prefix="wf-scale.", dir="/dev/shm")) / "store" if room > size * 1500 + (1 << 30) else store
            call([self.scale, "fill", first, size, int(files)])
            if first != store:
                shutil.copytree(first, store)
                shutil.rmtree(first.parent)
        work = self.dir / "work"
        shutil.rmtree(work, ignore_errors=True)
        subprocess.run(["cp", "-a", "--reflink=auto", store, work], check=True) if self.o.keep else store.rename(work)
        return work

    def beside(self, store, keep):
        """Milliseconds of `wf run` while gc works: nothing to do, and one step with a new param."""
        env = {**os.environ, "WF_STORE": str(store)}
        flow = self.dir / "beside"
        flow.mkdir(exist_ok=True)
        (flow / "w.yaml").write_text(FLOW)

        def run(n):
            t = time.monotonic()
            call([self.wf, "run", flow / "w.yaml", "-q", "-p", f"n={n}"], env=env, cwd=flow)
            return (time.monotonic() - t) * 1000
        run(0)
        alone = [run(0) for _ in range(20)], [run(100000 + i) for i in range(20)]
        gc = subprocess.Popen([self.scale, "gc", store, str(keep)], stdout=subprocess.PIPE, text=True)
        noop, cold, n = [], [], 1
        while gc.poll() is None and n < 400:
            noop.append(run(0))
            cold.append(run(n))
            n += 1
        out = gc.communicate()[0]
        tell = lambda v: {"median": statistics.median(v), "max": max(v), "runs": len(v)} if v else None
        return {"gc": json.loads(out), "noop_ms_alone": tell(alone[0]), "cold_ms_alone": tell(alone[1]),
                "noop_ms": tell(noop), "cold_ms": tell(cold)}

    def store(self, size):
        work = self.filled(size, False)
        out, _ = call([self.scale, "measure", work])
        r = json.loads(out)
        out, cpu = call([self.scale, "gc", work, size - size // 10])
        r["gc"] = json.loads(out)
        r["gc"]["cpu_us_per_entry"] = cpu * 1e6 / max(1, r["gc"]["removed"])
        r["beside"] = self.beside(work, size - size // 10 - size // 20)
        shutil.rmtree(work)
        self.results[f"store {size}"] = r

    def files(self):
        work = self.filled(200000, True)
        out, cpu = call([self.scale, "gc", work, 100000])
        r = json.loads(out)
        r["cpu_us_per_entry"] = cpu * 1e6 / max(1, r["removed"])
        shutil.rmtree(work)
        self.results["files"] = r

    def hash(self):
        cpus = os.cpu_count()
        where = Path("/dev/shm" if os.path.isdir("/dev/shm") else self.dir) / f"wf-scale-hash.{os.getpid()}"
        where.mkdir()
        try:
            small = []
            for i in range(2 * cpus):
                small.append(where / str(i))
                small[-1].write_bytes(os.urandom(1 << 20) * 256)
            rounds = []
            for _ in range(3):
                ours = json.loads(call([self.build / "tests/bench/wf_hash", *small])[0])
                text = subprocess.run(["openssl", "speed", "-evp", "sha256", "-multi", str(cpus), "-bytes", "262144", "-seconds", "2"],
                                      capture_output=True, text=True).stdout
                speed = float(re.findall(r"^(?:evp|sha256)\s+([\d.]+)k", text, re.M | re.I)[-1]) * 1000
                t = time.monotonic()
                subprocess.run(["openssl", "dgst", "-sha256", small[0]], check=True, stdout=subprocess.DEVNULL)
                dgst = small[0].stat().st_size / (time.monotonic() - t)
                t = time.monotonic()
                subprocess.run(["xargs", "-P", str(cpus), "-n1", "openssl", "dgst", "-sha256"], check=True, text=True,
                               input="\n".join(map(str, small)), stdout=subprocess.DEVNULL)
                files = sum(f.stat().st_size for f in small) / (time.monotonic() - t)
                rounds.append({**ours, "openssl_speed_multi": speed, "openssl_dgst_one": dgst, "openssl_dgst_all": files,
                               "all_of_speed": ours["all_files"] / speed, "all_of_dgst": ours["all_files"] / files,
                               "one_of_dgst": ours["one_file"] / dgst})
        finally:
            shutil.rmtree(where)
        self.results["hash"] = {k: statistics.median(r[k] for r in rounds) for k in rounds[0]}

    def main(self):
        parts = self.o.only.split(",")
        if "hash" in parts:
            self.hash()
        if "files" in parts:
            self.files()
        for size in map(int, self.o.size.split(",")) if "store" in parts else []:
            self.store(size)
        text = json.dumps({"load": os.getloadavg()[0], "processors": os.cpu_count(), **self.results}, indent=2)
        print(text)
        if self.o.json:
            Path(self.o.json).write_text(text + "\n")
        if not self.o.dir:
            shutil.rmtree(self.dir)


if __name__ == "__main__":
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("--build", default=ROOT / "build/release")
    p.add_argument("--size", default="10000000,1000000")
    p.add_argument("--dir", help="where the stores lie (default: a new folder below /var/tmp, removed at the end)")
    p.add_argument("--keep", action="store_true", help="filled stores stay in --dir, for the next time")
    p.add_argument("--only", default="hash,files,store")
    p.add_argument("--json")
    Scale(p.parse_args()).main()
