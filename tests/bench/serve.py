#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What serving costs, and what it loses: wrk at steady load through the endpoint of an ensemble while models are promoted, killed, rolled back and reloaded.

  tests/bench/serve.py [--wf build/release/cli/wf] [--dir DIR] [--promotions 20] [--connections 16] [--rounds 5] [--seconds 3] [--start-ms 50] [--json FILE]

Faults      requests that failed (wrk's "Non-2xx" and "Socket errors") across promotions, a killed replica, a rollback, a reload of HAProxy; how long nothing answered after HAProxy was killed.
Promotions  from the end of a training's process to the first answer of its model, beside what the model server's own start takes.
Gateway     median latency with one connection, and throughput, through the gateway and through HAProxy alone to the same replicas, in turns.
Idle        processor time of wf's processes in ten seconds without a request.
Method      The model server (model.c) answers at once, so that what lies before it is measured. For the faults wrk's connections pause a few milliseconds between requests: the load is steady, and does not fill the machine.
Needs       cc, haproxy, wrk. Prints Markdown. Not a test: nothing here passes or fails.
"""
import argparse, http.client, json, os, re, shutil, signal, socket, statistics, subprocess, sys, tempfile, threading, time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
BODY = json.dumps({"inputs": [{"name": "images", "datatype": "UINT8", "shape": [1, 784], "data": [i % 251 for i in range(784)]}]})
WORKFLOW = """\
name: bench
max_parallel: 2
steps:
  train:
    kind: train
    max_parallel: 1
    matrix: {number: [%(numbers)s]}
    run: |
      until [ -e gates/$WF_MATRIX_NUMBER ]; do sleep 0.02; done
      echo "$WF_MATRIX_NUMBER %(start_ms)d" > ${{ outputs.model }}
      echo "{\\"score\\": $WF_MATRIX_NUMBER}" > ${{ outputs.metrics }}
      date +%%s.%%N > ended/$WF_MATRIX_NUMBER
    outputs: {model: model, metrics: metrics.json}
  select: {kind: select, from: train, metric: score, promote: early}
  serve:
    kind: serve
    from: select
    command: ["%(model)s", "${{ model.path }}"]
    replicas: 2
    ready: /v2/health/ready
    balance: least_connections
    listen: 127.0.0.1:%(direct)d
  ensemble: {kind: aggregate, from: serve, method: mean, listen: 127.0.0.1:%(combined)d}
"""
OTHER = """\
name: other
steps:
  file: {run: "echo 7 0 > ${{ outputs.model }}", outputs: {model: model}}
  serve:
    kind: serve
    command: ["%(model)s", "${{ steps.file.outputs.model }}"]
    ready: /v2/health/ready
  ask: {run: "curl -sSf ${{ steps.serve.endpoint }}/v2/health/ready", cache: false}
"""


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def until(what, condition, seconds=60):
    end = time.monotonic() + seconds
    while not (got := condition()):
        if time.monotonic() > end:
            sys.exit(f"serve: waited {seconds} s in vain: {what}")
        time.sleep(0.005)
    return got


class Wrk:
    """One wrk, until stop() or for `seconds`."""

    def __init__(self, b, port, connections, seconds=3600, pause=None, path="/v2/models/ensemble/infer"):
        script = b.dir / f"wrk-{time.monotonic_ns()}.lua"
        script.write_text(f"wrk.method = 'POST'\nwrk.headers['Content-Type'] = 'application/json'\nwrk.body = [[{BODY}]]\n" +
                          (f"function delay() return {pause} end\n" if pause else ""))
        self.process = subprocess.Popen(["wrk", "-t1" if connections < 2 else "-t2", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s", "--latency", "-s",
                                         script, f"http://127.0.0.1:{port}{path}"], stdout=subprocess.PIPE, text=True, start_new_session=True)

    def stop(self):
        self.process.send_signal(signal.SIGINT)
        return self.result()

    def result(self):
        text = self.process.communicate(timeout=60)[0]
        number = lambda pattern: int(m.group(1)) if (m := re.search(pattern, text)) else 0
        errors = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", text)
        latency = re.search(r"50%\s+([\d.]+)(us|ms|s)", text)
        return {"requests": number(r"(\d+) requests in"), "refused": number(r"Non-2xx or 3xx responses: (\d+)"),
                "broken": sum(map(int, errors.groups())) if errors else 0,
                "per_second": float(m.group(1)) if (m := re.search(r"Requests/sec:\s+([\d.]+)", text)) else 0.0,
                "median_ms": float(latency.group(1)) * {"us": 1e-3, "ms": 1, "s": 1e3}[latency.group(2)] if latency else None}


class Watcher(threading.Thread):
    """Asks over one connection, again and again: when did each model first answer?"""

    def __init__(self, port):
        super().__init__(daemon=True)
        self.port, self.first, self.failed, self.ended = port, {}, [], False

    def run(self):
        c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        while not self.ended:
            try:
                c.request("POST", "/v2/models/ensemble/infer", BODY, {"Content-Type": "application/json"})
                answer = c.getresponse()
                text = answer.read()
                if answer.status != 200:
                    raise OSError(f"{answer.status} {text[:100]}")
                self.first.setdefault(int(json.loads(text)["outputs"][0]["data"][0]), time.time())
            except (OSError, http.client.HTTPException) as e:
                self.failed.append(repr(e))
                c.close()
            time.sleep(0.001)


def answers(port, path="/v2/health/ready"):
    try:
        c = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
        c.request("GET", path)
        return c.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False


def programs(path):
    """Processes that run this file: {pid: arguments}."""
    found = {}
    for p in Path("/proc").iterdir():
        try:
            if p.name.isdigit() and os.readlink(p / "exe").removesuffix(" (deleted)") == str(path):
                found[int(p.name)] = (p / "cmdline").read_bytes().decode(errors="replace").rstrip("\0").split("\0")
        except OSError:
            pass
    return found


def cpu_ms(pid):
    """Of a process with all its threads, those that have ended too: clock_getcpuclockid(3)."""
    return time.clock_gettime(~pid << 3 | 2) * 1e3


class Bench:
    def __init__(self, o):
        self.o = o
        self.dir = Path(o.dir or tempfile.mkdtemp(prefix="wf-serve.")).resolve()
        self.dir.mkdir(parents=True, exist_ok=True)
        for name in ("gates", "ended"):
            (self.dir / name).mkdir(exist_ok=True)
        # Copies: processes are recognised by the file they run.
        self.wf = self.dir / "wf"
        shutil.copy2(o.wf, self.wf)
        self.haproxy = self.dir / "haproxy"
        shutil.copy2(shutil.which("haproxy") or shutil.which("haproxy", path="/usr/sbin") or sys.exit("serve: haproxy is not installed"), self.haproxy)
        self.model = self.dir / "model"
        source = ROOT / "examples/fashion-mnist/src"
        subprocess.run(["cc", "-O2", "-D_GNU_SOURCE", f"-I{source}", "-o", self.model, HERE / "model.c", source / "http_server.c", source / "text.c",
                        source / "util.c", "-lm", "-lpthread"], check=True)
        self.direct, self.combined = free_port(), free_port()
        self.env = {**os.environ, "WF_STORE": str(self.dir / "store"), "WF_HAPROXY": str(self.haproxy), "XDG_CONFIG_HOME": str(self.dir), "NO_COLOR": "1"}
        self.numbers = range(1, o.promotions + 3)  # the first to begin with, the last to end the run
        words = {"numbers": ", ".join(map(str, self.numbers)), "start_ms": o.start_ms, "model": self.model, "direct": self.direct, "combined": self.combined}
        (self.dir / "bench.yaml").write_text(WORKFLOW % words)
        (self.dir / "other.yaml").write_text(OTHER % words)
        self.faults, self.result = [], {}

    def call(self, *argv):
        p = subprocess.run([self.wf, *argv], cwd=self.dir, env=self.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if p.returncode:
            sys.exit(f"serve: wf {' '.join(argv)} exited with {p.returncode}:\n{p.stdout[-2000:]}")
        return p.stdout

    def start(self):
        self.log = open(self.dir / "run.log", "wb")
        self.run = subprocess.Popen([self.wf, "run", "bench.yaml", "--keep-serving"], cwd=self.dir, env=self.env, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        (self.dir / f"gates/{self.numbers[0]}").touch()
        until("the first model answers", lambda: self.alive() and answers(self.combined))

    def alive(self):
        if self.run.poll() is not None:
            sys.exit(f"serve: wf run exited with {self.run.returncode}:\n" + (self.dir / "run.log").read_text()[-3000:])
        return True

    def said(self):
        return (self.dir / "run.log").read_text(errors="replace")

    def under_load(self, what, count, work):
        """`work` while wrk asks; notes what failed."""
        load = Wrk(self, self.combined, self.o.connections, pause=self.o.pause)
        try:
            time.sleep(1)
            work()
            time.sleep(1)
        finally:
            r = load.stop()
        self.faults.append((what, count, r))
        print(f"| {what} | {count} | {r['requests']} | {r['refused'] + r['broken']} | {r['median_ms']:.2f} |", flush=True)

    # --- the parts ---

    def promote(self):
        watcher = Watcher(self.combined)
        watcher.start()

        def work():
            for n in self.numbers[1:-1]:
                (self.dir / f"gates/{n}").touch()
                until(f"model {n} answers", lambda: self.alive() and n in watcher.first)
                time.sleep(0.2)
        self.under_load("promotions", self.o.promotions, work)
        watcher.ended = True
        watcher.join()
        ended = {n: float((self.dir / f"ended/{n}").read_text()) for n in self.numbers[1:-1]}
        self.result["switch_ms"] = [(watcher.first[n] - ended[n]) * 1e3 for n in ended]
        self.result["watcher_failed"] = watcher.failed

    def server_start(self):
        """From starting the model server to its first answer, without wf."""
        times, path = [], str(self.dir / "own.sock")
        (self.dir / "own").write_text(f"1 {self.o.start_ms}\n")
        for _ in range(5):
            began = time.monotonic()
            p = subprocess.Popen([self.model, self.dir / "own"], env={**self.env, "WF_SOCKET": path, "WF_MODEL_NAME": "own"})
            while True:
                try:
                    s = socket.socket(socket.AF_UNIX)
                    s.connect(path)
                    s.sendall(b"GET /v2/health/ready HTTP/1.1\r\n\r\n")
                    if s.recv(100).startswith(b"HTTP/1.1 200"):
                        break
                except OSError:
                    time.sleep(0.0005)
            times.append((time.monotonic() - began) * 1e3)
            p.terminate()
            p.wait()
        self.result["server_start_ms"] = statistics.median(times)

    def kill_replica(self):
        before = set(programs(self.model))
        os.kill(min(before), signal.SIGKILL)
        until("the killed replica is replaced", lambda: len(set(programs(self.model)) - before) >= 1 and len(programs(self.model)) == len(before))
        time.sleep(1)

    def end_run(self):
        """The last training, and its promotion: from here on the services are kept."""
        (self.dir / f"gates/{self.numbers[-1]}").touch()
        until("the run ends", lambda: self.alive() and "Ctrl-C" in self.said())

    def roll_back(self):
        watcher = Watcher(self.combined)
        watcher.start()
        self.call("models", "rollback", "bench/select")
        until("the model before answers", lambda: self.numbers[-2] in watcher.first)
        watcher.ended = True
        watcher.join()

    def kill_haproxy(self):
        """How long nothing answers, and whether it is told."""
        pids = programs(self.haproxy)
        if not pids:
            sys.exit("serve: no HAProxy of this store is alive")
        said = len(self.said())
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        began = time.monotonic()
        until("HAProxy is gone", lambda: not answers(self.combined), 5)
        until("HAProxy is back", lambda: answers(self.combined), 30)
        self.result["haproxy_back_ms"] = (time.monotonic() - began) * 1e3
        time.sleep(0.5)
        self.result["haproxy_told"] = [line for line in self.said()[said:].splitlines() if "haproxy" in line.lower()]

    def gateway(self):
        slug = json.loads(urlopen(self.combined, BODY))["parameters"]["members"][0]
        ways = {"HAProxy alone": (self.direct, f"/v2/models/{slug}/infer"), "gateway": (self.combined, "/v2/models/ensemble/infer")}
        latency, speed = {w: [] for w in ways}, {w: [] for w in ways}
        for _ in range(self.o.rounds):
            for way, (port, path) in ways.items():
                latency[way].append(Wrk(self, port, 1, self.o.seconds, path=path).result()["median_ms"])
            for way, (port, path) in ways.items():
                r = Wrk(self, port, 32, self.o.seconds, path=path).result()
                if r["refused"] + r["broken"]:
                    print(f"{way}: {r['refused']} refused, {r['broken']} broken of {r['requests']}")
                speed[way].append(r["per_second"])
        self.result["latency_ms"], self.result["per_second"] = latency, speed

    def idle(self):
        time.sleep(3)
        kinds = {}
        for path in (self.wf, self.haproxy, self.model):
            for pid, argv in programs(path).items():
                word = next((a for a in argv[1:] if not a.startswith("-")), "")
                kinds[pid] = f"wf {word}" if path == self.wf else path.name
        before = {pid: cpu_ms(pid) for pid in kinds}
        time.sleep(10)
        self.result["idle_ms"] = {}
        for pid, kind in kinds.items():
            self.result["idle_ms"][kind] = self.result["idle_ms"].get(kind, 0) + cpu_ms(pid) - before[pid]

    def stop(self):
        self.run.terminate()
        try:
            self.result["exit"] = self.run.wait(60)
        except subprocess.TimeoutExpired:
            self.run.kill()
            self.result["exit"] = "killed after 60 s"
        end = time.monotonic() + 40
        while (left := list(programs(self.wf)) + list(programs(self.model))) and time.monotonic() < end:
            time.sleep(0.1)
        self.result["left_over"] = len(left)
        for pid in left:
            os.kill(pid, signal.SIGKILL)


def urlopen(port, body):
    c = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    c.request("POST", "/v2/models/ensemble/infer", body, {"Content-Type": "application/json"})
    answer = c.getresponse()
    text = answer.read()
    if answer.status != 200:
        sys.exit(f"serve: the ensemble answers {answer.status}: {text[:500]}")
    return text


def report(b):
    r = b.result
    failed = sum(f["refused"] + f["broken"] for _, _, f in b.faults)
    over = [x - r["server_start_ms"] for x in r["switch_ms"]]
    lat = {w: statistics.median(v) for w, v in r["latency_ms"].items()}
    added = statistics.median(g - d for g, d in zip(r["latency_ms"]["gateway"], r["latency_ms"]["HAProxy alone"]))
    rate = {w: statistics.median(v) for w, v in r["per_second"].items()}
    share = statistics.median(g / d for g, d in zip(r["per_second"]["gateway"], r["per_second"]["HAProxy alone"]))
    print("\n| | to reach | |\n|---|--:|--:|")
    print(f"| requests that failed | 0 | {failed} of {sum(f['requests'] for _, _, f in b.faults)} |")
    print(f"| HAProxy killed: nothing answers for | 1000 ms | {r['haproxy_back_ms']:.0f} ms{'' if r['haproxy_told'] else ', not told'} |")
    print(f"| training ended to its model's answer, without the server's start of {r['server_start_ms']:.0f} ms (median / longest) | 300 ms | {statistics.median(over):.0f} / {max(over):.0f} ms |")
    print(f"| median latency the gateway adds | 1 ms | {added:.2f} ms ({lat['HAProxy alone']:.2f} to {lat['gateway']:.2f}) |")
    print(f"| throughput beside HAProxy alone | 0.5 | {share:.2f} ({rate['gateway']:.0f} and {rate['HAProxy alone']:.0f} requests/s) |")
    for kind, ms in sorted(r["idle_ms"].items()):
        print(f"| 10 idle seconds: CPU of {kind} | {'0 ms' if kind.startswith('wf') else ''} | {ms:.1f} ms |")
    for line in r["haproxy_told"][:3]:
        print(f"\nTold: {line}")
    if r["watcher_failed"]:
        print(f"\nThe watcher's own requests that failed: {len(r['watcher_failed'])}, first {r['watcher_failed'][0]}")
    if r["left_over"] or r["exit"] not in (0, 143, -15):
        print(f"\nwf run exited with {r['exit']}; {r['left_over']} processes were left over")


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--wf", default=ROOT / "build/release/cli/wf", type=lambda x: Path(x).resolve())
    p.add_argument("--dir", help="where to work (default: a temporary folder)")
    p.add_argument("--promotions", type=int, default=20)
    p.add_argument("--connections", type=int, default=16, help="wrk's, for the faults")
    p.add_argument("--pause", type=int, default=5, help="milliseconds between the requests of a connection, for the faults")
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--seconds", type=int, default=3, help="of each measurement of speed")
    p.add_argument("--start-ms", type=int, default=50, help="what the model server's start takes")
    p.add_argument("--json", help="also write every single value here")
    b = Bench(p.parse_args())
    print(f"{b.o.wf}, {os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}\n")
    print("| at steady load | times | requests | failed | median ms |\n|---|--:|--:|--:|--:|")
    try:
        b.server_start()
        b.start()
        b.promote()
        b.under_load("a replica killed", 1, b.kill_replica)
        b.kill_haproxy()
        b.end_run()
        b.under_load("a rollback", 1, b.roll_back)
        b.under_load("another service comes and goes (HAProxy reloads)", 2, lambda: b.call("run", "-q", "other.yaml"))
        b.gateway()
        b.idle()
    finally:
        if hasattr(b, "run"):
            b.stop()
    report(b)
    if b.o.json:
        Path(b.o.json).write_text(json.dumps({"faults": b.faults, **b.result}) + "\n")
    if not b.o.dir:
        shutil.rmtree(b.dir, ignore_errors=True)


if __name__ == "__main__":
    main()
