"""One package of 256 MB: from the wire to a proven file, against curl and the official SDK.

Ours exports from a tenant that gives the package's SHA-256, waits, downloads, hashes on the way,
checks hash and ZIP structure, and gives the name. "Without start-up" takes from ours what its
interpreter and imports need; the other figures are of whole processes.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from harness import Row, Way, clean, folders, main, need, nginx, peer, ratio, rounds, workplace
from tenant import OURS, SDK, START, package, tenant

if TYPE_CHECKING:
    from pathlib import Path

    from harness import Times

SIZE = 256_000_000


def rows() -> list[Row]:
    """Measure all ways in one run."""
    need("curl", "nginx")
    with workplace() as place:
        served, out = folders(place)
        file = package(served / "package.zip", SIZE)
        with nginx(served) as server, tenant(place, [file], server) as url:
            found = rounds(_ways(url, f"{server}/{file.name}", out))
    return _table(found)


def _ways(url: str, link: str, out: Path) -> dict[str, Way]:
    """Return each way, which begins with an empty folder."""
    curl = ["curl", "-sS", "-o", str(out / "package.zip"), link]
    summed = f"curl -sS -o {out}/package.zip {link} && sha256sum {out}/package.zip"
    return {
        "curl": Way(curl, clean(out)),
        "sum": Way(["sh", "-c", summed], clean(out)),
        "ours": Way([sys.executable, "-c", OURS, url, str(out)], clean(out)),
        "start": Way([sys.executable, "-c", START, url, str(out)], clean(out)),
        "sdk": Way([peer("cspark"), "-c", SDK, url, str(out)], clean(out)),
    }


def _table(found: dict[str, Times]) -> list[Row]:
    ours, name = found["ours"], "256 MB package, hashed and named, to"
    bare = (ours.median - found["start"].median) / found["curl"].median
    return [
        Row(f"{name} `curl -o`: in total", "<= 1.5", ratio(ours, found["curl"])),
        Row(f"{name} `curl -o`: without start-up", "<= 1.3", f"{bare:.2f}"),
        Row(f"{name} `curl`, then `sha256sum`", "<= 0.4", ratio(ours, found["sum"])),
        Row(f"{name} `cspark` + sha256", "<= 0.35", ratio(ours, found["sdk"])),
    ]


if __name__ == "__main__":
    main(rows)
