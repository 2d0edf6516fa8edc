"""The wanted lines of a listing that no row has with this ETag, by duckdb: a key and an ETag a line."""

import sys

import duckdb

listing, stored = sys.argv[1:]
columns = "columns = {key: 'VARCHAR', etag: 'VARCHAR'}"
differing = duckdb.sql(
    f"SELECT key, etag FROM read_ndjson('{listing}', {columns}) AS listed"
    f" WHERE key LIKE '%buildhub.json' AND NOT EXISTS (SELECT 1 FROM read_ndjson('{stored}', {columns}) AS stored"
    " WHERE stored.key = listed.key AND stored.etag = listed.etag)"
)
for key, etag in differing.fetchall():
    print(key, etag)
