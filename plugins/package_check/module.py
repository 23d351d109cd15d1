"""One compiled module: a ZIP file that lists the MD5 of each file in it."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .archive import Archive, Damaged

if TYPE_CHECKING:
    from collections.abc import Iterator

SUMS = "checksums.md5"
_LINE = re.compile(r"([0-9a-fA-F]{32}) [ *](.+)")


@dataclass(slots=True)
class Findings:
    """``proven`` files agree with their checksum; ``uncovered`` ones have none."""

    proven: int = 0
    differences: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    uncovered: list[str] = field(default_factory=list)


def check_module(module: Archive) -> Findings:
    """Read every file of a module, and hold it against ``checksums.md5``."""
    findings = Findings()
    sums = _sums(module, findings)
    for name in list(module.left):
        expected = sums.pop(name, None)
        try:
            found = _md5(module.pieces(name))
        except Damaged as error:
            findings.differences.append(f"{name}: {error}")
            continue
        if expected is None:
            findings.uncovered.append(name)
        elif expected != found:
            findings.differences.append(f"{name}: expected the MD5 {expected}, found {found}")
        else:
            findings.proven += 1
    findings.differences += [
        f"{SUMS}: expected the file {name}, found no such entry"
        for name in sums
        if name not in module.entries
    ]
    return findings


def _sums(module: Archive, findings: Findings) -> dict[str, str]:
    """Return the MD5 of each file that is listed."""
    if SUMS not in module.entries:
        findings.remarks.append(f"there is no {SUMS}")
        return {}
    try:
        lines = module.text(SUMS).decode().splitlines()
    except (Damaged, UnicodeError) as error:
        findings.differences.append(f"{SUMS}: {error}")
        return {}
    return dict(_read(lines, findings))


def _read(lines: list[str], findings: Findings) -> Iterator[tuple[str, str]]:
    """Yield name and MD5 from each line; what is in another form is a difference."""
    for number, line in enumerate(lines, 1):
        if found := _LINE.fullmatch(line):
            yield found[2], found[1].lower()
        elif line:
            findings.differences.append(
                f"{SUMS}: expected an MD5 and a name in line {number}, found something else"
            )


def _md5(pieces: Iterator[bytes]) -> str:
    digest = hashlib.md5(usedforsecurity=False)
    for piece in pieces:
        digest.update(piece)
    return digest.hexdigest()
