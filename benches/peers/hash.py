"""Prints the hash of each line's build, as Buildhub2 computes it."""

import hashlib
import json
import sys

for line in sys.stdin.buffer:
    text = json.dumps(json.loads(line)["build"], sort_keys=True)
    print("v1:" + hashlib.md5(text.encode()).hexdigest())
