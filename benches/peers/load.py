"""Loads builds with psycopg2: a row an INSERT, or one COPY and one INSERT."""

import hashlib
import io
import json
import sys

import psycopg2

url, how = sys.argv[1:]
connection = psycopg2.connect(url)
cursor = connection.cursor()


def rows():
    for line in sys.stdin:
        record = json.loads(line)
        build = record["build"]
        text = json.dumps(build, sort_keys=True)
        digest = "v1:" + hashlib.md5(text.encode()).hexdigest()
        yield digest, text, record["key"], '"%s"' % record["etag"]


INTO = "INSERT INTO main_build (build_hash, build, metadata, created_at, s3_object_key, s3_object_etag)"

if how == "rows":
    for number, (digest, text, key, etag) in enumerate(rows(), 1):
        cursor.execute(
            INTO + " VALUES (%s, %s, '{}', now(), %s, %s) ON CONFLICT (build_hash) DO NOTHING",
            (digest, text, key, etag),
        )
        if number % 1000 == 0:
            connection.commit()
else:
    cursor.execute("CREATE TEMPORARY TABLE batch (hash text, build jsonb, key text, etag text)")
    buffer = io.StringIO()
    for row in rows():
        buffer.write("\t".join(field.replace("\\", "\\\\") for field in row) + "\n")
    buffer.seek(0)
    cursor.copy_expert("COPY batch FROM STDIN", buffer)
    cursor.execute(
        INTO + " SELECT hash, build, '{}', now(), key, etag FROM batch ORDER BY hash"
        " ON CONFLICT (build_hash) DO NOTHING"
    )
connection.commit()
