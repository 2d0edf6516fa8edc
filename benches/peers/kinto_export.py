import json
import os
import sys
import urllib.parse
import urllib.request

server = os.environ["SERVER_URL"]
path = "/buckets/%s/collections/%s/records" % (os.environ["BUCKET"], os.environ["COLLECTION"])
url = server + path + "?_limit=1000&_sort=last_modified"
manager = urllib.request.HTTPPasswordMgrWithPriorAuth()
manager.add_password(None, server, *os.environ["AUTH"].split(":", 1), is_authenticated=True)
opener = urllib.request.build_opener(urllib.request.HTTPBasicAuthHandler(manager))
while url:
    answer = opener.open(url)
    for record in json.load(answer)["data"]:
        for name in ("id", "last_modified", "schema"):
            record.pop(name, None)
        sys.stdout.write(json.dumps({"build": record}) + "\n")
    url = answer.headers.get("Next-Page")
