"""Passes the lines whose build python-jsonschema finds valid."""

import json
import sys

import jsonschema
import yaml

schema = yaml.safe_load(open(sys.argv[1]))["schema"]
validator = jsonschema.Draft7Validator(schema)
for line in sys.stdin.buffer:
    if validator.is_valid(json.loads(line)["build"]):
        sys.stdout.buffer.write(line)
