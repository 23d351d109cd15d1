"""Every figure in one table: runs each script in a process of its own, one after the other.

``make bench`` calls it with the Python that the wheel is installed for. ``--write`` puts the table
into docs/explanation/performance.md; names of scripts, such as ``fleet makespan``, choose some.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

from harness import PACKAGES, PEERS, ROOT, machine

HERE = Path(__file__).resolve().parent
PAGE = ROOT / "docs" / "explanation" / "performance.md"
SCRIPTS = (
    "download",
    "memory",
    "many",
    "slow_link",
    "unzip",
    "upload",
    "makespan",
    "polling",
    "start_up",
    "events",
    "validate",
    "fleet",
    "live",
    "calculate",
    "tamper",
)
HEAD = ("| figure | target | measured |", "|---|---|---|")
# How each program tells its version.
_ASK = {"unzip": "-v", "nginx": "-v"}
_DISTRIBUTIONS = ("spark-impex-runner", "requests", "urllib3", "cspark", "pooch")


def measure(script: Path) -> tuple[list[str], bool]:
    """Run a script and return the rows that it printed, and whether it went well.

    What a script tells besides goes to stderr, and so to whoever waits.
    """
    done = subprocess.run(
        [sys.executable, str(script)], stdout=subprocess.PIPE, text=True, check=False
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("| ")]
    if done.returncode == 0 and lines:
        return lines, True
    why = f"exit {done.returncode}" if done.returncode else "no rows"
    return [*lines, f"| {script.name} | | **failed**: {why} |"], False


def surroundings(load: float) -> str:
    """Return lines with the machine, its load before, and the versions of whatever took part."""
    versions = ", ".join([*_programs(), *_distributions()])
    return f"Measured on {machine()}, load average {load:.1f} at the start.\nWith {versions}."


def _programs() -> list[str]:
    """Return the peers that are programs, each with its version, where they are installed."""
    found = []
    for name in filter(shutil.which, PACKAGES):
        command = [name, _ASK.get(name, "--version")]
        told = subprocess.run(command, capture_output=True, text=True, check=False)
        version = re.search(r"\d+(\.\d+)+", told.stdout + told.stderr)
        found.append(f"{name} {version[0] if version else '?'}")
    return found


def _distributions() -> list[str]:
    """Return the distributions, each with its version: ours and the peers' environments."""
    places = [*sys.path, *map(str, PEERS.glob("*/lib/python*/site-packages"))]
    found = []
    for name in _DISTRIBUTIONS:
        for each in metadata.distributions(name=name, path=places):
            found.append(f"{name} {each.version}")
            break
    return found


def write(page: Path, table: str) -> None:
    """Replace what stands between the two marks of a page."""
    begin, end = "<!-- table -->", "<!-- end -->"
    before, _, rest = page.read_text(encoding="utf-8").partition(begin)
    after = rest.partition(end)[2]
    page.write_text(f"{before}{begin}\n\n{table}\n\n{end}{after}", encoding="utf-8")


def main() -> int:
    """Measure, print, and fail where a script failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scripts", nargs="*", metavar="SCRIPT", help="only these")
    parser.add_argument("--write", action="store_true", help="put the table into the page")
    arguments = parser.parse_args()
    load, lines, good = os.getloadavg()[0], [*HEAD], True
    for name in arguments.scripts or SCRIPTS:
        print(f"{name} ...", file=sys.stderr, flush=True)
        rows, well = measure(HERE / f"{name}.py")
        lines, good = [*lines, *rows], good and well
    table = "\n".join([surroundings(load), "", *lines])
    print(table)
    if arguments.write:
        write(PAGE, table)
    return 0 if good else 1


if __name__ == "__main__":
    raise SystemExit(main())
