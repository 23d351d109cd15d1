"""What extracting a package takes, to Info-ZIP's ``unzip`` and to ``bsdtar``.

``python benchmarks/unzip.py`` makes a package of the genuine kind (a folder for each version of a
service: its module, a ZIP archive that hardly shrinks again; its workbook, stored; its JSON),
whose files come to 500 MB, and extracts it in turns with the step ``unzip`` and the two programs.
Ours is a whole process: it starts Python, calls the plugin as the engine does, checks every limit
and CRC and takes the SHA-256 of every file, which the others do not.
"""

from __future__ import annotations

import io
import json
import random
import shutil
import sys
import uuid
import zipfile
from array import array
from concurrent.futures import ProcessPoolExecutor
from itertools import accumulate
from typing import TYPE_CHECKING

from harness import Row, Way, main, need, ratio, rounds, workplace

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

EXTRACTED = 500_000_000
MODULES = 12
STEP = """
import importlib, sys
from datetime import datetime, timezone
from pathlib import Path
from spark_impex_runner.models import Artifact, Job, Manifest, Request, Run, Step, Target

package, output = Path(sys.argv[1]), Path(sys.argv[2])
now = datetime.now(timezone.utc)
target = Target("life", "sit", output)
run = Run("r1", "", Manifest(output / "m.yaml", "m", {}, (target,)), (target,), now, None)
artifact = Artifact(package, "package.zip", package.stat().st_size)
job = Job(run, target, Request(), "acme", now, lambda: False, artifacts=(artifact,))
unzip = importlib.import_module("spark_impex_runner.plugins.unzip")
unzip.impex_run_step(job, Step("unzip"), artifact)
"""


def rows() -> list[Row]:
    """Measure on a disk in memory and on a real one."""
    need("unzip", "bsdtar")
    return [*_rows("in memory", memory=True), *_rows("on disk", memory=False)]


def _rows(where: str, *, memory: bool) -> list[Row]:
    """Measure on one kind of disk."""
    with workplace(memory=memory) as place:
        package, output = place / "package.zip", place / "output"
        # In a process of its own: what this one once held would count as its children's peak.
        with ProcessPoolExecutor(1) as pool:
            files = pool.submit(make_package, package).result()

        def fresh() -> None:
            shutil.rmtree(output, ignore_errors=True)
            output.mkdir()

        ways = {
            "ours": Way([sys.executable, "-c", STEP, str(package), str(output)], fresh),
            "unzip": Way(["unzip", "-q", str(package), "-d", str(output)], fresh),
            "bsdtar": Way(["bsdtar", "-xf", str(package), "-C", str(output)], fresh),
        }
        found = rounds(ways)
    what = f"unzip of {files} files, {EXTRACTED // 10**6} MB extracted, {where}"
    peak = f"peak {found['ours'].peak:.0f} MB"
    return [
        Row(f"{what}, to `unzip`", "<= 0.3", f"{ratio(found['ours'], found['unzip'])}, {peak}"),
        Row(f"{what}, to `bsdtar`", "<= 0.6", ratio(found["ours"], found["bsdtar"])),
    ]


def make_package(path: Path) -> int:
    """Write the package, the same bytes every time; return the number of its files."""
    chance = random.Random(20260131)  # noqa: S311 - chance that repeats is what is wanted
    modules = [_module(chance) for _ in range(MODULES)]
    total = files = 0
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        while total < EXTRACTED:
            folder = f"acme/life/service-{files // 20}/1.{files // 5 % 4}.0/"
            archive.writestr(folder, b"")
            for name, content in _version(chance, chance.choice(modules)):
                stored = name.endswith(".xlsx")
                kind = zipfile.ZIP_STORED if stored else zipfile.ZIP_DEFLATED
                archive.writestr(folder + name, content, kind)
                total += len(content)
                files += 1
    return files


def _version(chance: random.Random, module: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield the five files of one version."""
    yield "DefaultValidations.json", _json(chance, chance.randint(5, 2000))
    yield "ModelMetaData.json", _json(chance, 15)
    yield f"{uuid.UUID(int=chance.getrandbits(128))}.zip", module
    yield "service.xlsx", chance.randbytes(chance.randint(50_000, 1_500_000))
    yield "WASMMetaData.json", b'{"Memory": "unknown"}'


def _module(chance: random.Random) -> bytes:
    """Return a compiled service: its code is of 0.6 to 12 MB and shrinks to a third."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("_service.js", _json(chance, 700))
        archive.writestr("_service.wasm", b"".join(_code(chance, 600_000 * 20 ** chance.random())))
        archive.writestr("_service.data", chance.randbytes(200))
    return stream.getvalue()


def _code(chance: random.Random, size: float) -> Iterator[bytes]:
    """Yield passages of instructions, each with a vocabulary of its own, and tables of numbers."""
    while size > 0:
        length = chance.randint(100_000, 300_000)
        size -= length
        if chance.random() < 0.25:
            yield array("d", chance.choices(range(120), k=length // 8)).tobytes()
        else:
            words = [_instruction(chance) for _ in range(1500)]
            weights = list(accumulate((rank + 4) ** -1.2 for rank in range(1500)))
            yield b"".join(chance.choices(words, cum_weights=weights, k=length // 3))


def _instruction(chance: random.Random) -> bytes:
    codes = chance.choices((32, 0, 65, 1, 48, 106, 33, 40, 2), k=chance.randint(1, 3))
    return bytes(codes + chance.choices((0, 0, 0, 1, 2, *range(256)), k=chance.randint(0, 4)))


def _json(chance: random.Random, count: int) -> bytes:
    """Return JSON of about 120 bytes for each of ``count`` fields."""
    fields = [
        {"name": f"field_{number}", "type": "number", "min": 0, "max": chance.randint(1, 10**6)}
        for number in range(count)
    ]
    return json.dumps(fields, indent=2).encode()


if __name__ == "__main__":
    main(rows)
