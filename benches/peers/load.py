"""Loads builds with psycopg2: a row an INSERT, or one COPY and one INSERT.

`prepare` writes the rows, hashed, for the COPY of load.sql and antijoin.sql,
so that psql is measured without Python.
"""

import hashlib
import io
import json
import sys

INTO = "INSERT INTO main_build (build_hash, build, metadata, created_at, s3_object_key, s3_object_etag)"


def rows(lines):
    for line in lines:
        record = json.loads(line)
        text = json.dumps(record["build"], sort_keys=True)
        digest = "v1:" + hashlib.md5(text.encode()).hexdigest()
        yield digest, text, record["key"], '"%s"' % record["etag"]


def copied(row):
    return "\t".join(field.replace("\\", "\\\\") for field in row) + "\n"


def load(url, how):
    import psycopg2

    connection = psycopg2.connect(url)
    cursor = connection.cursor()
    if how == "rows":
        for number, (digest, text, key, etag) in enumerate(rows(sys.stdin), 1):
            cursor.execute(
                INTO + " VALUES (%s, %s, '{}', now(), %s, %s) ON CONFLICT (build_hash) DO NOTHING",
                (digest, text, key, etag),
            )
            if number % 1000 == 0:
                connection.commit()
    else:
        cursor.execute("CREATE TEMPORARY TABLE batch (hash text, build jsonb, key text, etag text)")
        cursor.copy_expert("COPY batch FROM STDIN", io.StringIO("".join(map(copied, rows(sys.stdin)))))
        cursor.execute(
            INTO + " SELECT hash, build, '{}', now(), key, etag FROM batch ORDER BY hash"
            " ON CONFLICT (build_hash) DO NOTHING"
        )
    connection.commit()


if __name__ == "__main__":
    if sys.argv[1:] == ["prepare"]:
        sys.stdout.writelines(map(copied, rows(sys.stdin)))
    else:
        load(*sys.argv[1:])
