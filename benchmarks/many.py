"""200 packages of 1 MB, each hashed and proven, against one `curl` that keeps its connection.

Ours exports a job of 200 files with their SHA-256. curl fetches them with one command line, one
after the other, over one connection, and checks nothing.
"""

from __future__ import annotations

import sys

from harness import Row, Way, clean, folders, main, need, nginx, ratio, rounds, workplace
from tenant import OURS, START, package, tenant

COUNT = 200


def rows() -> list[Row]:
    """Measure both ways in one run."""
    need("curl", "nginx")
    with workplace() as place:
        served, out = folders(place)
        files = [package(served / f"{number}.zip", 1_000_000) for number in range(COUNT)]

        with nginx(served) as server, tenant(place, files, server) as url:
            links = f"{server}/[0-{COUNT - 1}].zip"
            curl = ["curl", "-sS", "--no-progress-meter", "-o", f"{out}/#1.zip", links]
            ways = {
                "curl": Way(curl, clean(out)),
                "ours": Way([sys.executable, "-c", OURS, url, str(out)], clean(out)),
                "start": Way([sys.executable, "-c", START, url, str(out)], clean(out)),
            }
            found = rounds(ways)
    bare = (found["ours"].median - found["start"].median) / found["curl"].median
    name = f"{COUNT} x 1 MB with sha256, to one `curl` with keep-alive"
    return [
        Row(name, "<= 2.0", ratio(found["ours"], found["curl"])),
        Row(f"{name}: without start-up", "", f"{bare:.2f}"),
    ]


if __name__ == "__main__":
    main(rows)
