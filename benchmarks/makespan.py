"""Pipeline: the next job of a tenant runs on the server while the last one's package downloads.

Three tenants with five targets each; a job takes the server one second, and so does a download.
The bound is five jobs in a row and the last download: six seconds. Whole processes, start-up
included, with the default way to poll: first with a fresh memory, then once more with what the
first run left, in turns.
"""

from __future__ import annotations

import shutil
import time
from itertools import pairwise
from statistics import median
from typing import TYPE_CHECKING

from fleet import check, watched, write_manifest
from fleet_server import Address, Plan, Told, serve
from harness import Row, main, workplace

if TYPE_CHECKING:
    from pathlib import Path

TENANTS, TARGETS = 3, 5
BOUND = TARGETS * 1.0 + 1.0
ROUNDS = 5
PLAN = Plan(TENANTS, job_seconds=1, download_seconds=1, package_bytes=200_000)


def rows() -> list[Row]:
    """Run in turns; the first round does not count."""
    with workplace() as place, serve(PLAN) as address:
        pairs = [_round(place / str(number), address) for number in range(ROUNDS + 1)][1:]
        packages = address.figures()["packages"]
    what = f"{TENANTS} tenants x {TARGETS} targets (1 s server, 1 s download), to {BOUND:g} s"
    fresh, again = (median(each) / BOUND for each in zip(*pairs, strict=True))
    lateness = median(each.lateness for each in packages)
    reaction = median(each.reaction for each in packages)
    return [
        Row(f"{what}, with start-up", "<= 1.10", f"{fresh:.2f}"),
        Row("the same, run a second time", "<= 1.10", f"{again:.2f}"),
        Row("the same: end of a job to the check that sees it", "", f"{lateness:.3f} s"),
        Row("the same: from that check to the start of the download", "", f"{reaction:.3f} s"),
        Row("the same: from that check to the next job", "", f"{median(_gaps(packages)):.3f} s"),
    ]


def _gaps(packages: list[Told]) -> list[float]:
    """Return the seconds from each check that saw a job's end to the creation of the next job."""
    gaps = []
    for tenant in {each.tenant for each in packages}:
        own = [each for each in packages if each.tenant == tenant]
        for start in range(0, len(own), TARGETS):
            pairs = pairwise(own[start : start + TARGETS])
            gaps += [later.ended - PLAN.job_seconds - earlier.told for earlier, later in pairs]
    return gaps


def _round(folder: Path, address: Address) -> tuple[float, float]:
    """Run twice in a folder of its own; return the seconds of both."""
    folder.mkdir()
    manifest = folder / "makespan.yaml"
    write_manifest(manifest, address, TENANTS, TENANTS * TARGETS)
    times = _seconds(manifest, address), _seconds(manifest, address)
    shutil.rmtree(folder)
    return times


def _seconds(manifest: Path, address: Address) -> float:
    before = len(address.figures()["packages"])
    with watched(manifest, address) as run:
        run.process.wait()
        seconds = time.monotonic() - run.began
        fetched = len(address.figures()["packages"]) - before
        check(run, manifest.parent, fetched == TENANTS * TARGETS)
        return seconds


if __name__ == "__main__":
    main(rows)
