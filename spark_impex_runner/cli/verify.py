"""``impex verify``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from spark_impex_runner.cli import selection

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator
    from pathlib import Path

    from spark_impex_runner.cli.console import CommandContext
    from spark_impex_runner.evidence.dsse import PublicKey
    from spark_impex_runner.evidence.verify import Record

VERSION = 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the folders, the keys and the format of the result."""
    parser.add_argument(
        "folders",
        metavar="DIR",
        nargs="+",
        type=selection.local_path,
        help="a target's output folder, or a folder above several of them",
    )
    parser.add_argument(
        "--key",
        action="append",
        default=[],
        type=selection.local_path,
        metavar="FILE",
        help="check signatures by this public key: Ed25519 in PEM, or one of SSH (repeatable)",
    )
    parser.add_argument(
        "--require-approval",
        action="store_true",
        help="require a signed approval of each import; needs --key",
    )
    parser.add_argument(
        "--lock",
        type=selection.local_path,
        metavar="FILE",
        help="check a lock file against the signed imports of the folders; needs --key",
    )
    selection.add_format(parser)


@dataclass(frozen=True, slots=True)
class _Folder:
    path: Path
    problems: list[str]
    records: tuple[Record, ...] = ()


def execute(arguments: argparse.Namespace, context: CommandContext) -> int:
    """Check each folder against its receipt and its signatures; return 4 if one differs."""
    from spark_impex_runner.errors import UsageError

    if not arguments.key and (arguments.require_approval or arguments.lock):
        raise UsageError("--require-approval and --lock need the public key: --key FILE")
    found = []
    for each in _checked(arguments):
        found.append(each)
        if arguments.format == "text":
            _print(each, context)
    valid = not any(each.problems for each in found)
    if arguments.format != "text":
        data = {"version": VERSION, "valid": valid, "folders": [*map(_data, found)]}
        context.console.data(data)
    return 0 if valid else 4


def _checked(arguments: argparse.Namespace) -> Iterator[_Folder]:
    """Yield each folder, and at last the lock file, with its problems."""
    keys = _keys(arguments.key)
    records: list[Record] = []
    for path, problems in _folders(arguments.folders):
        if not keys:
            yield _Folder(path, problems)
            continue
        from spark_impex_runner.evidence.verify import verify

        signed = verify(path, keys, require_approval=arguments.require_approval)
        records += signed.records
        yield _Folder(path, [*problems, *signed.problems], signed.records)
    if arguments.lock:
        from spark_impex_runner.evidence.lock import verify_lock

        yield _Folder(arguments.lock, verify_lock(arguments.lock, records))


def _keys(files: list[Path]) -> list[PublicKey]:
    if not files:
        return []
    from spark_impex_runner.evidence.keys import read_public_key

    return [read_public_key(each) for each in files]


def _folders(folders: list[Path]) -> Iterator[tuple[Path, list[str]]]:
    """Yield each delivered folder with its problems; one without any is a problem itself."""
    from spark_impex_runner.report import receipt

    for folder in folders:
        found = False
        for each in receipt.delivered_folders(folder) if folder.is_dir() else ():
            found = True
            yield each
        if not found:
            yield folder, receipt.verify(folder)


def _print(folder: _Folder, context: CommandContext) -> None:
    from spark_impex_runner.evidence.summary import lines
    from spark_impex_runner.text import plain

    out = context.console
    for problem in folder.problems:
        out.error(f"{folder.path}: {problem}")
    if not folder.problems:
        signed = ", all records signed" if folder.records else ""
        out.result(f"{folder.path}: as delivered{signed}")
        for line in lines(folder.records):
            out.result(f"  {plain(line)}")


def _data(folder: _Folder) -> dict[str, Any]:
    data = {
        "path": str(folder.path),
        "valid": not folder.problems,
        "problems": folder.problems,
    }
    if not folder.records:
        return data
    records = [
        {
            "kind": each.kind,
            "keyid": each.keyid,
            "sha256": each.digest,
            "subjects": each.subjects,
            **each.predicate,
        }
        for each in folder.records
    ]
    return {**data, "records": records}
