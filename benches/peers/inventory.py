"""Rows of an S3 inventory from CSV on standard input to JSON lines."""

import csv
import json
import sys
from urllib.parse import unquote_plus

for bucket, key, size, modified, etag in csv.reader(sys.stdin):
    record = {
        "bucket": bucket,
        "key": unquote_plus(key),
        "etag": etag,
        "size": int(float(size)),
        "last_modified": modified,
    }
    print(json.dumps(record, ensure_ascii=False, separators=(",", ":")))
