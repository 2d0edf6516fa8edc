"""The whole pipeline beside the plain program that it replaces."""

import concurrent.futures
import json
import os
import statistics
import sys
import urllib.request

import data
from measure import BIN, CACHE, PEERS, RUNS, faulty_s3, run

OBJECTS, BUILDS = 20_000, 2_000
BUCKET = "bench-%d" % os.getpid()


def objects(count):
    """Key and body, one in ten a build."""
    for i in range(count):
        folder = "pub/firefox/candidates/%03d.0-candidates/build1/linux-x86_64/%04d/" % (i // 1000, i // 10)
        if i % 10 == 0:
            yield folder + "buildhub.json", json.dumps(data.build(i))
        else:
            yield folder + "firefox-%d.checksums" % i, "%032x" % i


def fill_minio():
    import boto3
    from botocore.config import Config

    client = boto3.client(
        "s3",
        endpoint_url=os.environ["TEST_S3_ENDPOINT"],
        aws_access_key_id=os.environ["TEST_S3_ACCESS_KEY"],
        aws_secret_access_key=os.environ["TEST_S3_SECRET_KEY"],
        region_name="us-east-1",
        config=Config(max_pool_connections=16),
    )
    client.create_bucket(Bucket=BUCKET)
    put = lambda item: client.put_object(Bucket=BUCKET, Key=item[0], Body=item[1].encode())
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        list(pool.map(put, objects(OBJECTS)))
    return client


def empty_minio(client):
    keys = [{"Key": key} for key, _ in objects(OBJECTS)]
    for start in range(0, OBJECTS, 1000):
        client.delete_objects(Bucket=BUCKET, Delete={"Objects": keys[start : start + 1000]})
    client.delete_bucket(Bucket=BUCKET)


class Side:
    """A program with a database and an index of its own."""

    def __init__(self, name, short, command):
        self.name, self.command = name, command
        self.database, self.index = "%s_%s" % (BUCKET.replace("-", "_"), short), "%s-%s" % (BUCKET, short)
        self.url = os.environ["TEST_DATABASE_URL"].rsplit("/", 1)[0] + "/" + self.database
        self.results = {"first": [], "known": []}

    def create(self, admin):
        admin.execute("CREATE DATABASE " + self.database)
        run([BIN + "bh-load", "--database", self.url])

    def drop(self, admin):
        admin.execute("DROP DATABASE IF EXISTS " + self.database)
        self.search("DELETE", "?ignore_unavailable=true")

    def search(self, method, path):
        address = "%s/%s%s" % (os.environ["TEST_ELASTICSEARCH8_URL"], self.index, path)
        return json.load(urllib.request.urlopen(urllib.request.Request(address, method=method)))

    def empty(self):
        import psycopg2

        with psycopg2.connect(self.url) as connection:
            connection.cursor().execute("TRUNCATE main_build, bh_object, bh_outbox")
        self.search("DELETE", "?ignore_unavailable=true")

    def stored(self):
        import psycopg2

        with psycopg2.connect(self.url) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM main_build")
            (rows,) = cursor.fetchone()
        self.search("POST", "/_refresh")
        return rows, self.search("GET", "/_count")["count"]

    def measure(self, kind, env):
        env = {**env, "DATABASE_URL": self.url, "BENCH_INDEX": self.index}
        self.results[kind].append(run(self.command, env=env))
        if self.stored() != (BUILDS, BUILDS):
            sys.exit("scripts/bench: %s stored %d rows and %d documents of %d" % (self.name, *self.stored(), BUILDS))


def race(title, env):
    import psycopg2

    ours = """s3-list s3://$BENCH_BUCKET | bh-filter | bh-fetch | bh-validate | bh-load --index $BENCH_INDEX"""
    sides = [
        Side("the five programs", "pipes", ["bash", "-o", "pipefail", "-c", ours]),
        Side("boto3 + psycopg2 + elasticsearch-py", "plain", [sys.executable, PEERS + "backfill.py", "schema.yaml"]),
    ]
    env = {**env, "BENCH_BUCKET": BUCKET, "ELASTICSEARCH_URL": os.environ["TEST_ELASTICSEARCH8_URL"]}
    env["PATH"] = os.path.abspath(BIN) + ":" + env["PATH"]
    connection = psycopg2.connect(os.environ["TEST_DATABASE_URL"])
    connection.autocommit = True
    admin = connection.cursor()
    try:
        for side in sides:
            side.create(admin)
        for _ in range(RUNS):
            for side in sides:
                side.empty()
                side.measure("first", env)
                side.measure("known", env)
    finally:
        for side in sides:
            side.drop(admin)
    print("\n### {:,} objects, {:,} of them builds, {}\n".format(OBJECTS, BUILDS, title))
    print("| program | run | seconds | ours is | CPU s | largest process |\n|---|---|---|---|---|---|")
    for kind in ("first", "known"):
        fastest = None
        for side in sides:
            results = side.results[kind]
            wall = statistics.median(result.wall for result in results)
            ratio = "–" if fastest is None else "%.1f times as fast" % (wall / fastest)
            fastest = fastest or wall
            cpu = statistics.median(result.cpu for result in results)
            rss = max(result.rss for result in results) // 1024
            print("| %s | %s | %.2f | %s | %.2f | %d MiB |" % (side.name, kind, wall, ratio, cpu, rss), flush=True)


def bench_pipeline():
    env = {key: value for key, value in os.environ.items() if not key.startswith("AWS_")}
    env.update(AWS_REGION="us-east-1", AWS_DEFAULT_REGION="us-east-1")
    client = fill_minio()
    try:
        access = {
            "AWS_ENDPOINT_URL_S3": os.environ["TEST_S3_ENDPOINT"],
            "AWS_ACCESS_KEY_ID": os.environ["TEST_S3_ACCESS_KEY"],
            "AWS_SECRET_ACCESS_KEY": os.environ["TEST_S3_SECRET_KEY"],
        }
        race("on MinIO", {**env, **access})
    finally:
        empty_minio(client)
    given = os.path.join(CACHE, "pipeline-objects.ndjson")
    with open(given, "w") as out:
        for key, body in objects(OBJECTS):
            out.write(json.dumps({"key": key, "body": body}) + "\n")
    with faulty_s3("--objects", given, "--bucket", BUCKET, "--latency-ms", 20) as server:
        access = {
            "AWS_ENDPOINT_URL_S3": server.url,
            "AWS_ACCESS_KEY_ID": "anybody",
            "AWS_SECRET_ACCESS_KEY": "anything",
        }
        race("on a server that takes 20 ms to answer", {**env, **access})
