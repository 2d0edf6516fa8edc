"""Runs programs, measures them, and prints tables."""

import contextlib
import json
import os
import statistics
import subprocess
import sys
import time
import urllib.request

CACHE = os.environ["BENCH_CACHE"]
BIN = "target/release/"
PEERS = "benches/peers/"
OUT = os.path.join(CACHE, "out")
RUNS = int(os.environ.get("BENCH_RUNS", "3"))


class Result:
    def __init__(self, wall, cpu, rss):
        self.wall, self.cpu, self.rss = wall, cpu, rss


def warm(path):
    """Reads a file once, so that no contestant pays for the disk."""
    with open(path, "rb", buffering=0) as file:
        while file.read(1 << 20):
            pass


def run(command, stdin=None, env=None):
    """Runs a command once, its output into a file as a user's would go.

    /usr/bin/time measures: a child of this process would begin with its memory.
    """
    for path in (stdin, *command):
        if path and path.startswith(CACHE + "/") and path.endswith(".ndjson"):
            warm(path)
    source = open(stdin, "rb") if stdin else subprocess.DEVNULL
    measured = os.path.join(CACHE, "time")
    with open(OUT, "wb") as out, open(os.path.join(CACHE, "err"), "wb") as err:
        begun = time.perf_counter()
        timed = ["/usr/bin/time", "-o", measured, "-f", "%U %S %M", *command]
        status = subprocess.call(timed, stdin=source, stdout=out, stderr=err, env=env)
        wall = time.perf_counter() - begun
    if status != 0:
        sys.exit("%s: %s\n%s" % (command, status, open(os.path.join(CACHE, "err")).read()))
    user, system, rss = open(measured).read().split()
    return Result(wall, float(user) + float(system), int(rss))


def compare(title, unit, contestants, by="wall"):
    """Runs the contestants in turn, several times; the first is ours.

    A contestant is (name, items, before, command, stdin).
    """
    results = {name: [] for name, *_ in contestants}
    for _ in range(RUNS):
        for name, _, before, command, stdin in contestants:
            if before:
                before()
            results[name].append(run(command, stdin))
    print("\n### %s\n" % title)
    per = "CPU second" if by == "cpu" else "second"
    print("| tool | %s a %s | ours is | CPU s | memory |\n|---|---|---|---|---|" % (unit, per))
    ours = None
    for name, items, *_ in contestants:
        result = results[name]
        rate = items / statistics.median(getattr(r, by) for r in result)
        ours = ours or rate
        print(
            "| %s | %s | %s | %.2f | %d MiB |"
            % (
                name,
                "{:,.0f}".format(rate),
                "–" if rate is ours else "%.2f times" % (ours / rate),
                statistics.median(r.cpu for r in result),
                max(r.rss for r in result) // 1024,
            )
        )


def contestant(name, items, command, stdin=None, before=None):
    return (name, items, before, command, stdin)


class Server:
    """A synthetic S3 that knows the bucket `bench`."""

    def __init__(self, process):
        self.process = process
        self.url = process.stdout.readline().strip()

    def counts(self):
        return json.load(urllib.request.urlopen(self.url + "/_counts"))

    def cpu(self):
        """Seconds of work so far."""
        fields = open("/proc/%d/stat" % self.process.pid).read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def peak(self):
        """The most memory so far, in MiB."""
        status = open("/proc/%d/status" % self.process.pid).read()
        return int(status.split("VmHWM:")[1].split()[0]) // 1024


@contextlib.contextmanager
def faulty_s3(*flags):
    process = subprocess.Popen(
        [BIN + "examples/faulty-s3", *map(str, flags), "--until-stdin-closes"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield Server(process)
    finally:
        process.stdin.close()
        process.wait()
