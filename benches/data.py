"""Listing lines and builds to measure with, computed from their index."""

import gzip
import json
import os

PREFIX = "pub/firefox/nightly/2019"


def listing_line(i, name):
    etag = "%032x" % (i * 0x9E3779B97F4A7C15D1B54A32D192ED03 & (1 << 128) - 1)
    return (
        '{"bucket":"net-mozaws-prod-delivery","key":"%s/%02d/2019-%02d-%02d-%07d-mozilla-central/%s",'
        '"etag":"%s","size":%d,"last_modified":"2019-01-02T03:04:05.000Z"}\n'
        % (PREFIX, i % 12 + 1, i % 12 + 1, i % 28 + 1, i, name, etag, i * 7)
    )


def listing(i):
    """One line in sixty is a wanted one."""
    if i % 60 == 0:
        return listing_line(i, "buildhub.json")
    return listing_line(i, "firefox-%d.0a1.en-US.linux-x86_64.tar.bz2" % (i % 90))


def wanted(i):
    return listing_line(i, "buildhub.json")


def build(i):
    flags = "/builds/worker/workspace/build/src/clang/bin/clang -std=gnu99"
    return {
        "build": {
            "id": "20190101000000",
            "date": "2019-01-01T10:00:00Z",
            "number": i % 9,
            "as": flags + " -c",
            "cc": flags,
            "cxx": "/builds/worker/workspace/build/src/clang/bin/clang++",
            "host": "x86_64-pc-linux-gnu",
            "target": "x86_64-pc-linux-gnu",
        },
        "source": {
            "product": "firefox",
            "repository": "https://hg.mozilla.org/mozilla-central",
            "tree": "mozilla-central",
            "revision": "%040x" % i,
        },
        "target": {
            "platform": "linux-x86_64",
            "os": "linux",
            "locale": "en-US",
            "version": "66.0a1",
            "channel": "nightly",
        },
        "download": {
            "url": "https://archive.mozilla.org/pub/firefox/nightly/%07d/firefox-66.0a1.tar.bz2" % i,
            "mimetype": "application/x-bzip2",
            "size": 50000000 + i,
            "date": "2019-01-01T11:00:00+00:00",
        },
    }


def record(i):
    return '{"bucket":"b","key":"pub/%07d/buildhub.json","etag":"%032x","size":900,"build":%s}\n' % (
        i,
        i,
        json.dumps(build(i)),
    )


def inventory_row(i):
    record = json.loads(listing(i))
    names = ("bucket", "key", "size", "last_modified", "etag")
    return ",".join('"%s"' % record[name] for name in names) + "\n"


def inventory(folder, rows, number):
    """The path of a part of an inventory, of two gzip members; made once."""
    path = os.path.join(folder, "inventory-%d-%d.csv.gz" % (rows, number))
    if not os.path.exists(path):
        start, half = rows * number, rows // 2
        with open(path + ".partial", "wb") as out:
            for part in (start, start + half):
                text = "".join(map(inventory_row, range(part, part + half)))
                out.write(gzip.compress(text.encode(), 6))
        os.rename(path + ".partial", path)
    return path


def file(folder, kind, count):
    """The path of `count` lines of `kind`, a function above; made once."""
    path = os.path.join(folder, "%s-%d.ndjson" % (kind.__name__, count))
    if not os.path.exists(path):
        with open(path + ".partial", "w") as out:
            for start in range(0, count, 10000):
                out.write("".join(map(kind, range(start, min(start + 10000, count)))))
        os.rename(path + ".partial", path)
    return path
