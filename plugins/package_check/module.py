"""Verify a compiled module: a ZIP file that lists the MD5 of each file in it."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from spark_impex_runner import tools

if TYPE_CHECKING:
    from collections.abc import Iterator

SUMS = "checksums.md5"


@dataclass(slots=True)
class Findings:
    """``verified`` counts files that match their checksum; ``uncovered`` ones have none."""

    verified: int = 0
    differences: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    uncovered: list[str] = field(default_factory=list)


def check_module(module: tools.ArchiveReader) -> Findings:
    """Compare every file of a module with ``checksums.md5``."""
    findings = Findings()
    sums = _sums(module, findings)
    for name in list(module.unread):
        expected = sums.pop(name, None)
        # Read even without a checksum: length and CRC are verified on the way.
        algorithm = expected.algorithm if expected else "md5"
        try:
            found = tools.digest_of(module.pieces(name), algorithm)
        except tools.DamagedFileError as error:
            findings.differences.append(f"{name}: {error}")
            continue
        if expected is None:
            findings.uncovered.append(name)
        elif expected.digest.hex() != found:
            wanted = f"expected the {algorithm.upper()} {expected.digest.hex()}"
            findings.differences.append(f"{name}: {wanted}, found {found}")
        else:
            findings.verified += 1
    findings.differences += [
        f"{SUMS}: expected the file {name}, found no such entry"
        for name in sums
        if name not in module.entries
    ]
    return findings


def _sums(module: tools.ArchiveReader, findings: Findings) -> dict[str, tools.Hash]:
    """Return the listed hashes by the names of the module's entries."""
    if SUMS not in module.entries:
        findings.remarks.append(f"there is no {SUMS}")
        return {}
    try:
        sums = tools.parse_checksums(module.text(SUMS))
    except tools.DamagedFileError as error:
        findings.differences.append(f"{SUMS}: {error}")
        return {}
    findings.differences += [
        f"{SUMS}: expected an MD5 and a name in line {number}, found something else"
        for number in sums.unread
    ]
    listed: dict[str, tools.Hash] = {}
    for name, expected in sums.rows:
        known = next((each for each in _spellings(name) if each in module.entries), name)
        # A name may be listed twice, but only with the same hash.
        if listed.setdefault(known, expected) != expected:
            findings.differences.append(f"{SUMS}: expected one hash of {known}, found two")
    return listed


def _spellings(name: str) -> Iterator[str]:
    """Yield a listed name and its variants from tools on other systems."""
    for each in (name, name.replace("\\", "/")):
        plain = each.removeprefix("./")
        yield from (each, plain, *(unicodedata.normalize(form, plain) for form in ("NFC", "NFD")))
