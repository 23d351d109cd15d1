"""Verify a lock file of the step ``import`` against the signed records of delivered folders."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from spark_impex_runner.evidence.verify import Record


def verify_lock(file: Path, records: Iterable[Record]) -> list[str]:
    """Check every entry of a lock file; return one line for each problem.

    Each import is in a signed record with the same words, and the file has no byte besides.
    """
    try:
        text = file.read_bytes().decode("ascii")
        data = json.loads(text)
        packages = {each["sha256"]: each for each in data["packages"]}
        canonical = f"{json.dumps(data, indent=2)}\n" == text and data["version"] == 1
        problems = [*_problems(packages, list(records))]
    except OSError as error:
        return [f"cannot be read: {error.strerror}"]
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return ["not a lock file of version 1"]
    if not canonical or set(data) != {"version", "packages"}:
        problems.append("is not as the runner wrote it")
    if len(packages) != len(data["packages"]):
        problems.append("names a package twice")
    return problems


def _problems(packages: dict[str, Any], records: list[Record]) -> Iterator[str]:
    signed: dict[str, list[Any]] = {}
    for lock in (each.predicate.get("lock") for each in records if each.kind == "import"):
        if lock:
            signed.setdefault(lock["package"]["sha256"], []).append(lock)
    for sha256 in signed.keys() - packages.keys():
        yield f"lacks the package with sha256 {sha256}, whose import is signed"
    for sha256, package in packages.items():
        own = {name: value for name, value in package.items() if name != "imports"}
        known = [each["import"] for each in signed.get(sha256, ()) if each["package"] == own]
        if not known:
            yield f"package {sha256}: is in no signed record of the given folders as it is here"
        else:
            yield from (f"package {sha256}: {each}" for each in _imports(package, known))


def _imports(package: dict[str, Any], known: list[Any]) -> Iterator[str]:
    for each in package["imports"]:
        if each not in known:
            yield f"an import to {each['connection']} is in no signed record"
    for each in known:
        if each not in package["imports"]:
            yield f"lacks the import to {each['connection']} that is signed"
