"""How long a browser waits for pages of a large registry, and how large they are.

The budgets: the first byte within 50 ms at 100,000 nodes, and no page over 100 kB.
``python benchmarks/pages.py [NODES]``
"""

from __future__ import annotations

import http.client
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from storage import fill

from onex.storage.opening import open_storage
from onex.storage.query import MetadataQuery

ROUNDS = 15
PAGES = {
    "catalogue": "/",
    "search": "/?q=parse",
    "as you type": "/?q=pa&part=1",
    "tag": "/?tag=t3",
    "type": "/?type=tool",
    "two filters": "/?type=tool&lifecycle=active",
    "node": None,
    "graph": None,
    "runs": "/runs",
    "health": "/health",
    "audit": "/audit",
    "audit, filtered": "/audit?actor=nobody",
    "resolve": None,
}


def main(count: int) -> None:
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        (folder / "onex.toml").write_text("")
        (folder / ".onex").mkdir()
        storage = open_storage(None, folder / ".onex")
        fill(storage, count)
        identity = storage.query(MetadataQuery(limit=1)).nodes[0].metadata.node
        storage.close()
        process = subprocess.Popen(
            [sys.executable, "-m", "onex", "ui", "--no-browser", "--json"],
            cwd=folder, stdout=subprocess.PIPE,
        )  # fmt: skip
        ready = json.loads(process.stdout.readline())
        port = int(ready["url"].rstrip("/").rpartition(":")[2])
        connection = http.client.HTTPConnection("127.0.0.1", port)
        connection.request("GET", ready["address"].removeprefix(ready["url"].rstrip("/")))
        response = connection.getresponse()
        response.read()
        headers = {"cookie": response.getheader("set-cookie").partition(";")[0]}
        own = f"{identity.type}/{identity.namespace}"
        pages = PAGES | {
            "node": f"/node/{own}",
            "graph": f"/graph/{own}",
            "resolve": f"/resolve?refs={identity}",
        }
        print(
            f"{count} nodes: first byte in milliseconds (<= 50), first time and median; kB (<= 100)"
        )
        for name, path in pages.items():
            times, size = [], 0
            for _ in range(ROUNDS):
                started = time.perf_counter()
                connection.request("GET", path, headers=headers)
                response = connection.getresponse()
                times.append((time.perf_counter() - started) * 1e3)
                size = len(response.read())
            told = f"{times[0]:8.1f} {statistics.median(times[1:]):8.1f} {size / 1e3:8.1f}"
            print(f"{name:16} {told}  {response.status}")
        process.terminate()
        process.wait()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000)
