"""Out of Kinto and into it, beside a client that does no more than it must."""

import base64
import json
import os
import subprocess
import urllib.request
import uuid

from data import build
from measure import BIN, CACHE, PEERS, compare, contestant

EXPORTED, LOADED = 20_000, 500


def release(i):
    return {"id": "firefox_%d_win64_fr" % i, **build(i)}


class Collection:
    """A collection of its own, with `count` records put straight into storage."""

    def __init__(self, count=0):
        self.bucket = "bench-%s" % uuid.uuid4()
        self.path = "/buckets/%s/collections/releases" % self.bucket
        for path in ("/buckets/" + self.bucket, self.path):
            self.ask("PUT", path)
        parent, out = self.path, os.path.join(CACHE, "kinto.sql")
        with open(out, "w") as file:
            for i in range(count):
                data = json.dumps({k: v for k, v in release(i).items() if k != "id"})
                file.write(
                    "%s\t%s\trecord\t%s\t%s\tf\n"
                    % (release(i)["id"], parent, stamp(i), data.replace("\\", "\\\\"))
                )
        columns = "id, parent_id, resource_name, last_modified, data, deleted"
        copy = "\\copy objects (%s) FROM '%s'" % (columns, out)
        subprocess.check_call(["psql", "-q", os.environ["TEST_KINTO_DATABASE_URL"], "-c", copy])
        os.environ.update(
            BUCKET=self.bucket,
            COLLECTION="releases",
            SERVER_URL=os.environ["TEST_KINTO_URL"],
            AUTH=os.environ["TEST_KINTO_AUTH"],
        )

    def ask(self, method, path):
        auth = base64.b64encode(os.environ["TEST_KINTO_AUTH"].encode()).decode()
        url = os.environ["TEST_KINTO_URL"] + path
        headers = {"Authorization": "Basic " + auth}
        return urllib.request.urlopen(urllib.request.Request(url, method=method, headers=headers))

    def stored(self):
        return int(self.ask("HEAD", self.path + "/records").headers["Total-Records"])


def stamp(i):
    return "2019-01-01 %02d:%02d:%02d.%03d" % (i // 3600000, i // 60000 % 60, i // 1000 % 60, i % 1000)


def bench_kinto():
    python = os.path.join(CACHE, "venv/bin/python")
    database = ["--database", os.environ["TEST_KINTO_DATABASE_URL"]]
    Collection(EXPORTED)
    compare(
        "Out of Kinto: %d records" % EXPORTED,
        "records",
        [
            contestant("`kinto-export`", EXPORTED, [BIN + "kinto-export"]),
            contestant("`kinto-export --database`", EXPORTED, [BIN + "kinto-export", *database]),
            contestant("urllib, page after page", EXPORTED, [python, PEERS + "kinto_export.py"]),
        ],
    )
    lines = os.path.join(CACHE, "kinto-%d.ndjson" % LOADED)
    with open(lines, "w") as out:
        for i in range(LOADED):
            out.write(json.dumps({"data": release(i)}) + "\n")
    left = {}

    def load(name, command):
        """A new collection for each run; what the run before it left is noted."""
        collections = left.setdefault(name, [])
        return contestant(
            name, LOADED, command, lines, lambda: collections.append(Collection())
        )

    compare(
        "Into Kinto: %d new records" % LOADED,
        "records",
        [
            load("`kinto-load`", [BIN + "kinto-load"]),
            load("`kinto-load --concurrency 4`", [BIN + "kinto-load", "--concurrency", "4"]),
            load("batches of 25 by three threads, answers unseen", [python, PEERS + "kinto_load.py"]),
        ],
    )
    for name, collections in left.items():
        stored = ", ".join(str(collection.stored()) for collection in collections)
        print("\n%s: %s of %d stored" % (name, stored, LOADED))
    Collection(2000)
    unchanged = os.path.join(CACHE, "kinto-2000.ndjson")
    with open(unchanged, "w") as out:
        for i in range(2000):
            out.write(json.dumps({"data": release(i)}) + "\n")
    skip = [BIN + "kinto-load", "--skip-unchanged", "--cache-folder", CACHE]
    compare(
        "2,000 unchanged records",
        "records",
        [contestant("`kinto-load --skip-unchanged`", 2000, skip, unchanged)],
    )
