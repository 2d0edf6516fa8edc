"""Gets the object of each line with boto3 on 32 threads, in order."""

import json
import sys
from concurrent.futures import ThreadPoolExecutor

import boto3
from botocore import UNSIGNED
from botocore.config import Config

config = Config(signature_version=UNSIGNED, max_pool_connections=32, s3={"addressing_style": "path"})
client = boto3.client("s3", endpoint_url=sys.argv[1], region_name="us-east-1", config=config)


def fetch(line):
    record = json.loads(line)
    if "mark" in record:
        return None
    answer = client.get_object(Bucket=record["bucket"], Key=record["key"])
    record["build"] = json.loads(answer["Body"].read())
    return record


with ThreadPoolExecutor(32) as pool:
    for record in pool.map(fetch, sys.stdin):
        if record:
            print(json.dumps(record))
