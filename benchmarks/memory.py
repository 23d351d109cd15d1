"""Peak memory of the whole process that downloads a package: 256 MB and 2 GB.

The same program as in download.py: exports, downloads, hashes, checks, names. What it needs over
a slow line, with several connections, is a row of slow_link.py.
"""

from __future__ import annotations

import sys

from harness import Row, Way, clean, folders, main, need, nginx, rounds, workplace
from tenant import OURS, package, tenant

SIZES = {"256 MB": 256_000_000, "2 GB": 2_000_000_000}


def rows() -> list[Row]:
    """Measure both sizes, one after the other, in turns."""
    need("nginx")
    peaks = {name: _peak(size) for name, size in SIZES.items()}
    small, large = peaks.values()
    found = [
        Row(f"peak memory, {name} package", "<= 70 MB", f"{peaks[name]:.0f} MB") for name in SIZES
    ]
    apart = (large - small) / small * 100
    return [*found, Row("peak memory, 2 GB to 256 MB", "equal within 10 %", f"{apart:+.0f} %")]


def _peak(size: int) -> float:
    with workplace() as place:
        served, out = folders(place)
        file = package(served / "package.zip", size)

        with nginx(served) as server, tenant(place, [file], server) as url:
            way = Way([sys.executable, "-c", OURS, url, str(out)], clean(out))
            return rounds({"ours": way}, 3)["ours"].peak


if __name__ == "__main__":
    main(rows)
