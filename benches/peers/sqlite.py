"""Loads rows, hashed before, into SQLite with executemany, 1,000 a transaction."""

import itertools
import sqlite3
import sys

connection = sqlite3.connect(sys.argv[1])
connection.execute("PRAGMA journal_mode = wal")
connection.execute("PRAGMA synchronous = full")
INTO = "INSERT INTO main_build (build_hash, build, metadata, created_at, s3_object_key, s3_object_etag)"
rows = (line.rstrip("\n").replace("\\\\", "\\").split("\t") for line in sys.stdin)
while batch := list(itertools.islice(rows, 1000)):
    connection.executemany(
        INTO + " VALUES (?, ?, '{}', datetime('now'), ?, ?) ON CONFLICT (build_hash) DO NOTHING", batch
    )
    connection.commit()
