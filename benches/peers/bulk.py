"""Sends documents to Elasticsearch by two raw _bulk streams of 5 MB a request.

`prepare` writes the bodies' lines, so that no JSON is parsed while measuring.
"""

import http.client
import itertools
import json
import sys
import threading
import urllib.parse

if sys.argv[1:] == ["prepare"]:
    for number, line in enumerate(sys.stdin, 1):
        build = json.loads(line)["build"]
        sys.stdout.write('{"index":{"_id":"%d"}}\n%s\n' % (number, json.dumps({"id": number, **build})))
    sys.exit()

url = urllib.parse.urlsplit(sys.argv[1])
lock, failed = threading.Lock(), []


def body():
    """The next 5 MB of documents, two lines each."""
    parts, size = [], 0
    with lock:
        while size < 5 << 20 and (pair := list(itertools.islice(sys.stdin.buffer, 2))):
            parts += pair
            size += sum(map(len, pair))
    return b"".join(parts)


def send():
    connection = http.client.HTTPConnection(url.hostname, url.port)
    while part := body():
        connection.request("POST", url.path + "/_bulk", part, {"Content-Type": "application/x-ndjson"})
        answer = connection.getresponse().read()
        if b'"errors":false' not in answer:
            failed.append(answer[:200])
            return


streams = [threading.Thread(target=send) for _ in range(2)]
for stream in streams:
    stream.start()
for stream in streams:
    stream.join()
if failed:
    sys.exit(str(failed[0]))
