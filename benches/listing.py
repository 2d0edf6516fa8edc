"""Listing a bucket: beside other listers, and as large as the archive."""

import hashlib
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import time

from measure import BIN, CACHE, OUT, RUNS, faulty_s3, run

MANY, FEW = 1_000_000, 100_000

# Anonymous: no credentials of the caller's, nor what rclone does not understand.
ENV = {key: value for key, value in os.environ.items() if not key.startswith("AWS_")}
ENV.update(AWS_REGION="us-east-1", AWS_DEFAULT_REGION="us-east-1", RCLONE_CONFIG="/dev/null")


def lines(member, cut=""):
    """Keys of an output with a JSON object a line."""

    def keys():
        with open(OUT, "rb") as out:
            for line in out:
                key = json.loads(line).get(member)
                if key is not None:
                    yield key[len(cut) :]

    return keys


def plain():
    with open(OUT, encoding="utf-8", newline="\n") as out:
        for line in out:
            yield line.rstrip("\n")


def document():
    with open(OUT, "rb") as out:
        for item in json.load(out)["Contents"]:
            yield item["Key"]


def listers(url):
    """Name, command, and how its output is read. The first is ours."""
    yield "s3-list", [BIN + "s3-list", "--no-sign-request", "--endpoint-url", url, "s3://bench"], lines("key")
    s3ls = ["s3ls", "-r", "--json", "--no-sort", "--target-no-sign-request", "--target-region", "us-east-1"]
    s3ls += ["--target-force-path-style", "--target-endpoint-url", url, "s3://bench"]
    yield "s3ls --json --no-sort", s3ls, lines("Key")
    s5cmd = ["s5cmd", "--no-sign-request", "--endpoint-url", url, "--json", "ls", "s3://bench/*"]
    yield "s5cmd --json ls", s5cmd, lines("key", "s3://bench/")
    remote = ":s3,provider=Other,list_version=2,endpoint='%s':bench" % url
    yield "rclone lsf -R --fast-list", ["rclone", "lsf", "-R", "--fast-list", "--files-only", remote], plain
    aws = ["aws", "s3api", "list-objects-v2", "--no-sign-request", "--endpoint-url", url]
    yield "aws s3api list-objects-v2", [*aws, "--bucket", "bench", "--output", "json"], document


def digest(keys):
    """Their number, and a digest of them sorted."""
    keys = sorted(key.encode() for key in keys)
    return len(keys), hashlib.md5(b"\n".join(keys)).hexdigest()


def truth(distribution, count):
    flags = ["--synthetic", str(count), "--distribution", distribution, "--keys"]
    listed = subprocess.run([BIN + "examples/faulty-s3", *flags], stdout=subprocess.PIPE, check=True)
    return digest(listed.stdout.decode().split("\n")[:-1])


def slow(name, latency):
    """Lists so slowly that a tenth of the keys has to do."""
    return name.startswith(("aws", "rclone", "s5cmd")) and (latency > 0 or name.startswith("aws"))


def measured(name, latency, distribution, truths):
    """The rates of one lister, from a server of its own."""
    count = FEW if slow(name, latency) else MANY
    results = []
    for _ in range(RUNS):
        flags = ["--synthetic", count, "--distribution", distribution, "--latency-ms", latency]
        with faulty_s3(*flags) as server:
            command, keys = next(found[1:] for found in listers(server.url) if found[0] == name)
            result = run(command, env=ENV)
            result.server = server.cpu()
            result.pages = server.counts()["list"]
        found, expected = digest(keys()), truths[count]
        if found[0] != expected[0]:
            result.complete = "%s of %s keys" % ("{:,}".format(found[0]), "{:,}".format(expected[0]))
        else:
            result.complete = "yes" if found == expected else "other keys"
        results.append(result)
    return count, results


def bench_list():
    for distribution in os.environ.get("BENCH_DISTRIBUTIONS", "archive").split(","):
        truths = {count: truth(distribution, count) for count in (MANY, FEW)}
        for latency in map(int, os.environ.get("BENCH_LATENCIES", "0,20,60").split(",")):
            list_table(distribution, latency, truths)


def list_table(distribution, latency, truths):
    print("\n### List 1,000,000 keys, distribution %s, %d ms a page\n" % (distribution, latency))
    print("| tool | keys a second | ours is | CPU µs a key | memory | requests | complete | server µs a key |")
    print("|---|---|---|---|---|---|---|---|")
    ours = None
    for name, command, _ in listers(""):
        if not shutil.which(command[0]):
            print("| %s | not installed | | | | | | |" % name)
            continue
        try:
            count, results = measured(name, latency, distribution, truths)
        except SystemExit as failure:
            if ours is None:
                raise
            print("| %s | failed: %s | | | | | | |" % (name, str(failure).replace("\n", " ")[:200]))
            continue
        median = lambda value: statistics.median(map(value, results))
        rate = count / median(lambda result: result.wall)
        ours = ours or rate
        print(
            "| %s%s | %s | %s | %.2f | %d MiB | %s | %s | %.2f |"
            % (
                name,
                "" if count == MANY else " (on {:,})".format(count),
                "{:,.0f}".format(rate),
                "–" if rate is ours else "%.1f times" % (ours / rate),
                median(lambda result: result.cpu) / count * 1e6,
                max(result.rss for result in results) // 1024,
                "{:,.0f}".format(median(lambda result: result.pages)),
                ", ".join(sorted({result.complete for result in results})),
                median(lambda result: result.server) / count * 1e6,
            ),
            flush=True,
        )


class Half:
    """One program of a pipeline, measured."""

    def __init__(self, name, command, stdin, stdout):
        self.name = name
        self.report, self.errors = (os.path.join(CACHE, "sixty-%s.%s" % (name, kind)) for kind in ("time", "err"))
        with open(self.errors, "wb") as errors:
            timed = ["/usr/bin/time", "-o", self.report, "-f", "%U %S %M", *command]
            self.process = subprocess.Popen(timed, stdin=stdin, stdout=stdout, stderr=errors)

    def program(self):
        """The process that time started."""
        children = "/proc/%d/task/%d/children" % (self.process.pid, self.process.pid)
        while True:
            found = open(children).read().split()
            if found:
                return int(found[0])
            time.sleep(0.01)

    def wait(self):
        self.status = self.process.wait()
        user, system, rss = open(self.report).read().split("\n")[-2].split()
        self.cpu, self.rss = float(user) + float(system), int(rss) / 1024
        said = open(self.errors).read()
        found = re.search(r"(\d+) in = (\d+) out", said)
        self.read, self.written = map(int, found.groups()) if found else (None, None)
        return self


def list_and_filter(server, keys, out, *flags, kill_at=None):
    """The pipeline; `kill_at` requests kill s3-list without warning."""
    access = ["--no-sign-request", "--endpoint-url", server.url]
    begun = time.perf_counter()
    lister = Half("s3-list", [BIN + "s3-list", *access, *flags, "s3://bench"], None, subprocess.PIPE)
    wanted = [BIN + "bh-filter", "--suffix", "buildhub.json", "--known", "none"]
    chooser = Half("bh-filter", wanted, lister.process.stdout, out)
    lister.process.stdout.close()
    if kill_at:
        program = lister.program()
        while server.counts()["list"] < kill_at and lister.process.poll() is None:
            time.sleep(0.05)
        os.kill(program, 9)
    halves = lister.wait(), chooser.wait()
    wall = time.perf_counter() - begun
    for half in halves:
        print(
            "| %s | %s | %s | %.1f | %.1f | %.1f | %.0f MiB |"
            % (half.name, half.status, half.read, wall, (half.read or 0) / wall / 1000, half.cpu, half.rss),
            flush=True,
        )
    return halves


def bench_sixty():
    keys = int(os.environ.get("BENCH_KEYS", "60000000"))
    latency = int(os.environ.get("BENCH_LATENCY", "60"))
    state = os.path.join(CACHE, "sixty.json")
    parts = [os.path.join(CACHE, "sixty-%d.ndjson" % part) for part in (1, 2)]
    flags = ["--synthetic", keys, "--distribution", "archive", "--latency-ms", latency]
    print("\n### {:,} keys, {} ms a page: s3-list | bh-filter\n".format(keys, latency))
    print("| program | exit | records read | seconds | thousand a second | CPU s | memory |")
    print("|---|---|---|---|---|---|---|", flush=True)
    with faulty_s3(*flags) as server:
        whole = list_and_filter(server, keys, subprocess.DEVNULL)
        cost = server.cpu(), server.counts()["list"], server.peak()
    for leftover in (state, state + ".lock"):
        if os.path.exists(leftover):
            os.remove(leftover)
    with faulty_s3(*flags) as server:
        resumable = ["--resume-file", state, "--resume"]
        with open(parts[0], "wb") as out:
            killed = list_and_filter(server, keys, out, *resumable, kill_at=keys // 2000)
        before = server.counts()["list"]
        with open(parts[1], "wb") as out:
            resumed = list_and_filter(server, keys, out, *resumable)
        after = server.counts()["list"]
    print("\nserver: %.1f CPU s, %d MiB; %d requests, resumed run: %d and %d" % (*cost[::2], cost[1], before, after - before))
    unique, listed = set(), 0
    for part in parts:
        with open(part, "rb") as wanted:
            for line in wanted:
                if not line.startswith(b'{"mark"'):
                    listed += 1
                    unique.add(hashlib.md5(line).digest())
    print("builds: %s undisturbed, %s resumed, of which %s twice" % (whole[1].written, len(unique), listed - len(unique)))
    problems = [
        (whole[0].read != keys or whole[1].read != keys, "the undisturbed run is not whole"),
        (len(unique) != whole[1].written, "the resumed run has other builds"),
        (any(half.status for half in (*whole, *resumed)), "a program failed"),
        (killed[0].status != 137 and killed[0].status != -9, "s3-list was not killed in time"),
    ]
    for wrong, what in problems:
        if wrong:
            sys.exit("scripts/bench: sixty: " + what)
