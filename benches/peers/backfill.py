"""A backfill as one would write it plainly: page by page, object by object, row by row."""

import hashlib
import json
import os
import sys

import boto3
import jsonschema
import psycopg2
import yaml
from elasticsearch import Elasticsearch, helpers

BUCKET, INDEX = os.environ["BENCH_BUCKET"], os.environ["BENCH_INDEX"]
INSERT = (
    "INSERT INTO main_build (build_hash, build, metadata, created_at, s3_object_key, s3_object_etag)"
    " VALUES (%s, %s, '{}', now(), %s, %s) ON CONFLICT (build_hash) DO NOTHING RETURNING id"
)
PARTS = ("build", "source", "target", "download")

validator = jsonschema.Draft7Validator(yaml.safe_load(open(sys.argv[1]))["schema"])
s3 = boto3.client("s3")
search = Elasticsearch(os.environ["ELASTICSEARCH_URL"])
connection = psycopg2.connect(os.environ["DATABASE_URL"])
cursor = connection.cursor()


def stored(item):
    """The document of a build that was not there."""
    build = json.loads(s3.get_object(Bucket=BUCKET, Key=item["Key"])["Body"].read())
    validator.validate(build)
    text = json.dumps(build, sort_keys=True)
    digest = "v1:" + hashlib.md5(text.encode()).hexdigest()
    cursor.execute(INSERT, (digest, text, item["Key"], item["ETag"]))
    row = cursor.fetchone()
    if row:
        parts = {part: build[part] for part in PARTS if part in build}
        yield {"_index": INDEX, "_id": row[0], "id": row[0], **parts}


for page in s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET):
    builds = [item for item in page.get("Contents", []) if item["Key"].endswith("buildhub.json")]
    cursor.execute(
        "SELECT s3_object_key, s3_object_etag FROM main_build WHERE s3_object_key = ANY(%s)",
        ([item["Key"] for item in builds],),
    )
    known = set(cursor.fetchall())
    new = [item for item in builds if (item["Key"], item["ETag"]) not in known]
    documents = [document for item in new for document in stored(item)]
    connection.commit()
    if documents:
        helpers.bulk(search, documents)
