"""Drops what a dict of key to ETag knows already."""

import json
import sys

known = {}
for line in open(sys.argv[1], "rb"):
    record = json.loads(line)
    known[record["key"]] = record["etag"]
for line in sys.stdin.buffer:
    record = json.loads(line)
    if known.get(record["key"]) != record["etag"]:
        sys.stdout.buffer.write(line)
