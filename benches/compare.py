"""Each step beside the tools that do it today, in one run, as ratios."""

import json
import os
import subprocess
import sys

import data
from kinto import bench_kinto
from listing import bench_list, bench_sixty
from measure import BIN, CACHE, OUT, PEERS, compare, contestant, faulty_s3, run
from pipeline import bench_pipeline


def bench_filter():
    lines, few = 5_000_000, 200_000
    big, small = data.file(CACHE, data.listing, lines), data.file(CACHE, data.listing, few)
    compare(
        "Filter 5,000,000 listing lines by suffix",
        "lines",
        [
            contestant("bh-filter --no-known", lines, [BIN + "bh-filter", "--no-known"], big),
            contestant("grep -F", lines, ["grep", "-F", 'buildhub.json"'], big),
            contestant(
                "jq (on 200,000)", few, ["jq", "-c", 'select(.key|endswith("buildhub.json"))'], small
            ),
        ],
    )


def bench_inventory():
    rows = 1_000_000
    files = [data.inventory(CACHE, rows, number) for number in (0, 1)]
    names = " ".join(files)
    ours = BIN + "s3-inventory"

    def shell(name, count, command):
        # Nothing is kept: zcat | wc -l does not either.
        return contestant(name, count, ["bash", "-o", "pipefail", "-c", command + " > /dev/null"])

    python = "%s %sinventory.py" % (sys.executable, PEERS)
    compare(
        "Read an inventory of 2,000,000 rows in two files of two gzip members: from a pipe",
        "rows",
        [
            shell("zcat | s3-inventory", 2 * rows, "zcat %s | %s" % (names, ours)),
            shell("zcat | wc -l", 2 * rows, "zcat %s | wc -l" % names),
            shell("zcat | python3, csv to json (of one file)", rows, "zcat %s | %s" % (files[0], python)),
        ],
    )
    compare(
        "The same, from the files",
        "rows",
        [
            shell("s3-inventory, two files", 2 * rows, "%s %s" % (ours, names)),
            shell("s3-inventory, one file", rows, "%s %s" % (ours, files[0])),
            shell("zcat, two files", 2 * rows, "zcat %s" % names),
            shell("zcat | wc -l", 2 * rows, "zcat %s | wc -l" % names),
            shell("zcat | python3, csv to json (of one file)", rows, "zcat %s | %s" % (files[0], python)),
        ],
    )


def bench_known():
    lines, keys = 1_200_000, 1_000_000
    new, old = data.file(CACHE, data.wanted, lines), data.file(CACHE, data.wanted, keys)
    compare(
        "Filter 1,200,000 wanted lines against 1,000,000 known ones",
        "lines",
        [
            contestant("bh-filter --known FILE", lines, [BIN + "bh-filter", "--known", old], new),
            contestant("Python dict", lines, [sys.executable, PEERS + "known.py", old], new),
        ],
    )


def bench_audit():
    import tempfile

    keys = 10_000_000
    with tempfile.TemporaryDirectory(dir=CACHE) as folder:
        listing, wanted, rows = (os.path.join(folder, name + ".ndjson") for name in ("listing", "wanted", "rows"))
        with faulty_s3("--synthetic", keys) as server, open(listing, "w") as out:
            access = ["--endpoint-url", server.url, "--no-sign-request"]
            subprocess.run([BIN + "s3-list", *access, "--quiet", "s3://bench"], stdout=out, check=True)
        # The database holds every wanted object, so each has to be looked at, and none differs.
        run([BIN + "bh-filter", "--no-known"], listing)
        os.rename(OUT, wanted)
        with open(wanted) as lines, open(rows, "w") as out:
            records = (line for line in lines if not line.startswith('{"mark"'))
            for i, line in enumerate(records):
                out.write('%s,"build":%s}\n' % (line.rstrip("}\n"), json.dumps(data.build(i))))
        database = ["--database", "sqlite:" + os.path.join(folder, "bench.db")]
        run([BIN + "bh-load", *database], rows)
        compare(
            "Audit 10,000,000 lines against 200,000 rows",
            "lines",
            [
                contestant("bh-audit", keys, [BIN + "bh-audit", *database], listing),
                contestant("bh-filter --no-known", keys, [BIN + "bh-filter", "--no-known"], listing),
                contestant("duckdb, anti-join", keys, [sys.executable, PEERS + "antijoin.py", listing, wanted]),
            ],
        )


def bench_validate():
    many, few = 200_000, 10_000
    big, small = data.file(CACHE, data.record, many), data.file(CACHE, data.record, few)
    contestants = [
        contestant("bh-validate", many, [BIN + "bh-validate"], big),
        contestant("jsonschema crate, plain loop", many, [BIN + "examples/plain-validate"], big),
        contestant(
            "python-jsonschema (on 10,000)", few, [sys.executable, PEERS + "validate.py", "schema.yaml"], small
        ),
    ]
    if os.path.isdir(os.path.join(CACHE, "node_modules/ajv")):
        schema = os.path.join(CACHE, "schema.json")
        make = [sys.executable, PEERS + "schema_json.py", "schema.yaml", schema]
        subprocess.run(make, check=True)
        contestants.append(contestant("ajv 8, compiled", many, ["node", PEERS + "validate.js", schema], big))
    compare("Validate 200,000 builds", "documents", contestants)


def bench_hash():
    builds = 200_000
    big = data.file(CACHE, data.record, builds)
    none = "sqlite:" + os.path.join(CACHE, "none.db")
    compare(
        "Hash 200,000 builds",
        "builds",
        [
            contestant("bh-load --dry-run", builds, [BIN + "bh-load", "--dry-run", "--database", none], big),
            contestant("CPython json + hashlib", builds, [sys.executable, PEERS + "hash.py"], big),
        ],
    )


def bench_fetch():
    keys = 250_000
    server = subprocess.Popen(
        [BIN + "examples/faulty-s3", "--synthetic", str(keys), "--until-stdin-closes"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    url = server.stdout.readline().strip()
    access = ["--endpoint-url", url, "--no-sign-request"]
    listing = os.path.join(CACHE, "fetch.ndjson")
    with open(listing, "w") as out:
        lister = subprocess.Popen(
            [BIN + "s3-list", *access, "s3://bench"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        chosen = [BIN + "bh-filter", "--no-known"]
        subprocess.run(chosen, stdin=lister.stdout, stdout=out, stderr=subprocess.DEVNULL, check=True)
        lister.wait()
    objects = sum(1 for line in open(listing) if not line.startswith('{"mark"'))
    compare(
        "Fetch %d objects of about 900 bytes" % objects,
        "objects",
        [
            contestant("bh-fetch", objects, [BIN + "bh-fetch", *access], listing),
            contestant("boto3, 32 threads", objects, [sys.executable, PEERS + "fetch.py", url], listing),
        ],
        by="cpu",
    )
    server.stdin.close()
    server.wait()


def prepared(peer, kind, count):
    """What `peer` makes, before the measurement, of `count` lines of `kind`; made once."""
    source = data.file(CACHE, kind, count)
    path = "%s.%s" % (source, peer)
    if not os.path.exists(path):
        with open(source) as lines, open(path + ".partial", "w") as out:
            command = [sys.executable, PEERS + peer + ".py", "prepare"]
            subprocess.run(command, stdin=lines, stdout=out, check=True)
        os.rename(path + ".partial", path)
    return path


def bench_load():
    import psycopg2

    rows, few = 100_000, 20_000
    big, small = data.file(CACHE, data.record, rows), data.file(CACHE, data.record, few)
    copied = prepared("load", data.record, rows)
    admin = psycopg2.connect(os.environ["TEST_DATABASE_URL"])
    admin.autocommit = True
    name = "bench_%d" % os.getpid()
    admin.cursor().execute("CREATE DATABASE " + name)
    url = os.environ["TEST_DATABASE_URL"].rsplit("/", 1)[0] + "/" + name
    ours = [BIN + "bh-load", "--database", url]
    run(ours)

    def empty():
        with psycopg2.connect(url) as connection:
            connection.cursor().execute("TRUNCATE main_build, bh_object")
        admin.cursor().execute("CHECKPOINT")

    def stored():
        run(ours, big)
        admin.cursor().execute("CHECKPOINT")

    python = [sys.executable, PEERS + "load.py", url]
    psql = ["psql", "-qX", url, "-f"]
    for title, before in (
        ("Load 100,000 new builds into PostgreSQL", empty),
        ("Load 100,000 builds that PostgreSQL holds already", stored),
    ):
        compare(
            title,
            "rows",
            [
                contestant("bh-load", rows, ours, big, before),
                contestant("psycopg2, a row an INSERT (on 20,000)", few, [*python, "rows"], small, before),
                contestant("psycopg2, one COPY to temp + INSERT", rows, [*python, "copy"], big, before),
                contestant(
                    "psql, one COPY to temp + INSERT (hashed before)", rows, [*psql, PEERS + "load.sql"], copied, before
                ),
                contestant(
                    "psql, cast after an anti-join (hashed before)", rows, [*psql, PEERS + "antijoin.sql"], copied, before
                ),
            ],
        )
    admin.cursor().execute("DROP DATABASE " + name)


def bench_sqlite():
    import tempfile

    rows = 100_000
    big, hashed = data.file(CACHE, data.record, rows), prepared("load", data.record, rows)
    with tempfile.TemporaryDirectory(dir=CACHE) as folder:
        path = os.path.join(folder, "bench.db")
        ours = [BIN + "bh-load", "--database", "sqlite:" + path]

        def empty():
            for end in ("", "-wal", "-shm"):
                if os.path.exists(path + end):
                    os.remove(path + end)
            run(ours)

        def stored():
            run(ours, big)

        python = [sys.executable, PEERS + "sqlite.py", path]
        for title, before in (
            ("Load 100,000 new builds into SQLite", empty),
            ("Load 100,000 builds that SQLite holds already", stored),
        ):
            compare(
                title,
                "rows",
                [
                    contestant("bh-load", rows, ours, big, before),
                    contestant("Python's executemany of 1,000 (hashed before)", rows, python, hashed, before),
                ],
            )


def bench_elasticsearch():
    import http.client
    import sqlite3
    import tempfile
    import urllib.parse

    rows = 100_000
    big, bodies = data.file(CACHE, data.record, rows), prepared("bulk", data.record, rows)
    server = os.environ["TEST_ELASTICSEARCH8_URL"]
    index = "bench_%d" % os.getpid()

    def remove():
        connection = http.client.HTTPConnection(urllib.parse.urlsplit(server).netloc)
        connection.request("DELETE", "/" + index)
        connection.getresponse().read()

    with tempfile.TemporaryDirectory(dir=CACHE) as folder:
        path = os.path.join(folder, "bench.db")
        ours = [BIN + "bh-load", "--database", "sqlite:" + path, "--elasticsearch", server, "--index", index]

        def empty():
            for end in ("", "-wal", "-shm"):
                if os.path.exists(path + end):
                    os.remove(path + end)
            remove()
            run(ours)

        def queued():
            empty()
            run(ours[:3], big)
            with sqlite3.connect(path) as database:
                database.execute("INSERT INTO bh_outbox (id) SELECT id FROM main_build")

        bulk = [sys.executable, PEERS + "bulk.py", "%s/%s" % (server, index)]
        compare(
            "Index 100,000 builds in Elasticsearch 8",
            "documents",
            [
                contestant("bh-load, of those queued in SQLite", rows, ours, None, queued),
                contestant("two raw _bulk streams of 5 MB (prepared before)", rows, bulk, bodies, empty),
                contestant("bh-load, of new ones, stored in SQLite too", rows, ours, big, empty),
            ],
        )
    remove()


def bench_memory():
    import tempfile

    print("\n### Resident memory, MiB\n\n| program | 100,000 records | 1,000,000 records |\n|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        steps = [
            ("bh-filter --no-known", data.listing, ["bh-filter", "--no-known"]),
            ("bh-validate", data.record, ["bh-validate"]),
            ("bh-load (SQLite)", data.record, ["bh-load", "--database", "sqlite:%s/DB" % folder]),
        ]
        for name, kind, (program, *flags) in steps:
            peaks = []
            for count in (100_000, 1_000_000):
                flags = [flag.replace("DB", str(count)) for flag in flags]
                peaks.append(run([BIN + program, *flags], data.file(CACHE, kind, count)).rss / 1024)
            print("| %s | %.0f | %.0f |" % (name, *peaks))
    for name, program in (("s3-list", "s3-list"), ("bh-fetch (of 1 in 50)", "bh-fetch")):
        peaks = []
        for count in (100_000, 1_000_000):
            server = subprocess.Popen(
                [BIN + "examples/faulty-s3", "--synthetic", str(count), "--until-stdin-closes"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            access = ["--endpoint-url", server.stdout.readline().strip(), "--no-sign-request"]
            listed = run([BIN + "s3-list", *access, "s3://bench"])
            if program == "bh-fetch":
                os.rename(os.path.join(CACHE, "out"), os.path.join(CACHE, "listed"))
                run([BIN + "bh-filter", "--no-known"], os.path.join(CACHE, "listed"))
                os.rename(os.path.join(CACHE, "out"), os.path.join(CACHE, "wanted"))
                listed = run([BIN + "bh-fetch", *access], os.path.join(CACHE, "wanted"))
            peaks.append(listed.rss / 1024)
            server.stdin.close()
            server.wait()
        print("| %s | %.0f | %.0f |" % (name, *peaks))


STEPS = {
    "list": bench_list,
    "inventory": bench_inventory,
    "filter": bench_filter,
    "known": bench_known,
    "audit": bench_audit,
    "validate": bench_validate,
    "hash": bench_hash,
    "fetch": bench_fetch,
    "load": bench_load,
    "sqlite": bench_sqlite,
    "elasticsearch": bench_elasticsearch,
    "pipeline": bench_pipeline,
    "kinto": bench_kinto,
    "memory": bench_memory,
    "sixty": bench_sixty,
}
# Not among those that run when none is named: they take long.
LONG = {"sixty"}

for step in sys.argv[1:] or [step for step in STEPS if step not in LONG]:
    if step not in STEPS:
        sys.exit("scripts/bench: no step %r; there are: %s" % (step, ", ".join(STEPS)))
    STEPS[step]()
