"""Change one byte of signed evidence at a time, and count what `impex verify` does not find.

    python benchmarks/tamper.py [CHANGES]

A promotion with a gate delivers one folder: package, receipt, records and lock file. Each change
sets a random byte of one of them to another value; the record of the approval counts by itself.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from spark_impex_runner.engine.run import run_manifest
from spark_impex_runner.evidence.keys import read_public_key
from spark_impex_runner.evidence.lock import verify_lock
from spark_impex_runner.evidence.verify import verify
from spark_impex_runner.models import EVIDENCE, RECEIPT, RunOptions
from spark_impex_runner.report import receipt

if TYPE_CHECKING:
    from collections.abc import Iterator

    from spark_impex_runner.evidence.keys import PublicKey

CHANGES = 10_000
MANIFEST = """version: 1
sign: {key: "${file:key.pem}"}
connections: {sit: {sandbox: sit}, prod: {sandbox: prod}}
targets:
  - name: motor
    connection: sit
    services: ["motor/pricing"]
    output: release
    steps:
      - uses: import
        with: {to: prod, if_present: add_version, gate: manual, four_eyes: true, lock: lock.json}
"""


def promoted(folder: Path) -> None:
    """Deliver a release that alice has exported and bob has approved, into a folder."""
    make = ["openssl", "genpkey", "-algorithm", "ed25519", "-out", "key.pem"]
    public = ["openssl", "pkey", "-in", "key.pem", "-pubout", "-out", "public.pem"]
    for command in (make, public):
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
    for place in ("sit/motor/pricing/1.4.2", "prod/motor/pricing/1.4.1"):
        (folder / place).mkdir(parents=True)
    (folder / "m.yaml").write_text(MANIFEST)
    before = os.environ.get("GITHUB_ACTOR")
    for user, approved in (("alice", ()), ("bob", ("prod",)), ("bob", ("prod",))):
        os.environ["GITHUB_ACTOR"] = user
        # The tenants have other addresses in each run, so that the second one holds it again.
        if not (folder / "lock.json").exists():
            run_manifest(folder / "m.yaml", RunOptions(approved=frozenset(approved)))
    os.environ.pop("GITHUB_ACTOR")
    if before is not None:
        os.environ["GITHUB_ACTOR"] = before


def is_found(folder: Path, key: PublicKey) -> bool:
    """Return whether `impex verify` reports a problem."""
    release = folder / "release"
    if receipt.verify(release):
        return True
    signed = verify(release, [key], require_approval=True)
    return bool(signed.problems or verify_lock(folder / "lock.json", signed.records))


def places(folder: Path) -> dict[str, tuple[Path, range]]:
    """Return the files to change, and in the records also the lines of the approval alone."""
    release = folder / "release"
    files = {
        "package": release / "package.zip",
        "receipt": release / RECEIPT,
        "records": release / EVIDENCE,
        "lock file": folder / "lock.json",
    }
    whole = {name: (path, range(path.stat().st_size)) for name, path in files.items()}
    lines = files["records"].read_bytes().splitlines(keepends=True)
    at = next(n for n, line in enumerate(lines) if _is_approval(line))
    start = sum(map(len, lines[:at]))
    approval = files["records"], range(start, start + len(lines[at]))
    return {**whole, "approval": approval}


def _is_approval(line: bytes) -> bool:
    from spark_impex_runner.evidence.dsse import Envelope  # noqa: PLC0415

    statement = Envelope.parse(line.decode().rstrip("\n")).statement
    return str(statement["predicateType"]).endswith(":approval:1")


def missed(folder: Path, changes: int, seed: int = 1) -> Iterator[tuple[str, bool, str]]:
    """Change one byte at a time; yield the place, whether it was found, and the change."""
    chance, key = random.Random(seed), read_public_key(folder / "public.pem")  # noqa: S311
    if is_found(folder, key):
        raise RuntimeError("the evidence is invalid before any change")
    everywhere = places(folder)
    for number in range(changes):
        name = list(everywhere)[number % len(everywhere)]
        path, where = everywhere[name]
        content = path.read_bytes()
        at, value = chance.choice(where), chance.randrange(1, 256)
        changed = bytes([content[at] ^ value])
        path.write_bytes(content[:at] + changed + content[at + 1 :])
        found = is_found(folder, key)
        path.write_bytes(content)
        yield name, found, f"byte {at}: {content[at : at + 1]!r} -> {changed!r}"


def rows() -> Iterator[str]:
    """Yield the row of the table of figures."""
    changes = int(sys.argv[1]) if len(sys.argv) > 1 else CHANGES
    with tempfile.TemporaryDirectory() as name:
        promoted(Path(name))
        done, left = Counter[str](), []
        for place, found, what in missed(Path(name), changes):
            done[place] += 1
            if not found:
                left.append(f"{place}: {what}")
    for each in left:
        print(f"not found: {each}")
    parts = ", ".join(f"{number:,} {place}" for place, number in done.items())
    yield f"| single-byte changes of evidence that are not found ({parts}) | 0 | {len(left)} |"


if __name__ == "__main__":
    for row in rows():
        print(row)
