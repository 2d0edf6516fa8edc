import base64
import concurrent.futures
import json
import os
import sys
import urllib.request

path = "/buckets/%s/collections/%s/records/" % (os.environ["BUCKET"], os.environ["COLLECTION"])
headers = {
    "Authorization": "Basic " + base64.b64encode(os.environ["AUTH"].encode()).decode(),
    "Content-Type": "application/json",
}


def send(batch):
    requests = [
        {"method": "PUT", "path": path + record["data"]["id"], "body": record} for record in batch
    ]
    body = json.dumps({"requests": requests}).encode()
    urllib.request.urlopen(
        urllib.request.Request(os.environ["SERVER_URL"] + "/batch", body, headers)
    ).read()


records = [json.loads(line) for line in sys.stdin]
with concurrent.futures.ThreadPoolExecutor(3) as pool:
    list(pool.map(send, (records[i : i + 25] for i in range(0, len(records), 25))))
