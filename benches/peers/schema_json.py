"""Writes the schema of a YAML file as JSON, for validators that read only that."""

import json
import sys

import yaml

with open(sys.argv[2], "w") as out:
    json.dump(yaml.safe_load(open(sys.argv[1]))["schema"], out)
