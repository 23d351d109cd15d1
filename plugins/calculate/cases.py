"""Read test cases: CSV, JSON and JSON lines, in the forms that Spark's own tools use."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from spark_impex_runner import errors

from .case_csv import read_csv
from .strict_json import check_names, parse

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from spark_impex_runner import models

# Far more than users test; all cases are held in memory.
_MAX_BYTES: Final = 256 << 20


@dataclass(frozen=True, slots=True)
class Case:
    """One test case: its name, the inputs, and the outputs that are expected."""

    name: str
    inputs: Mapping[str, Any]
    expected: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CaseFile:
    """The cases of a file, with the file's SHA-256."""

    cases: tuple[Case, ...]
    sha256: str


@dataclass(frozen=True, slots=True)
class CsvForm:
    """How a CSV file is written: its separator, its columns if it has no header, empty cells.

    An empty ``separator`` is found in the header. ``empty`` is ``fail``, ``default`` (the input is
    left out) or ``blank`` (null, which counts as 0).
    """

    separator: str = ""
    columns: tuple[str, ...] = ()
    empty: str = "fail"


def cases_of(job: models.Job, options: Mapping[str, Any], form: CsvForm) -> CaseFile:
    """Return the cases that a step's options name; raise ``StepError`` if they cannot be read."""
    try:
        return read_cases(job.run.manifest.path.parent / options["cases"], form)
    except errors.UsageError as error:
        raise errors.StepError(str(error)) from error


def read_cases(path: Path, form: CsvForm) -> CaseFile:
    """Return the cases of a file; raise ``UsageError`` with the line that cannot be read."""
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise errors.UsageError(f"{path}: {error.strerror}") from error
    if len(content) > _MAX_BYTES:
        raise errors.UsageError(f"{path}: has more than {_MAX_BYTES} bytes; split it")
    try:
        cases = _parse(path.suffix.lower(), content.decode("utf-8-sig"), form)
        _check(cases)
    except UnicodeDecodeError as error:
        raise errors.UsageError(
            f"{path}: is not UTF-8 (byte {error.start}); save it as 'CSV UTF-8'"
        ) from error
    except ValueError as error:
        raise errors.UsageError(f"{path}: {error}") from error
    return CaseFile(tuple(cases), hashlib.sha256(content).hexdigest())


def _parse(suffix: str, text: str, form: CsvForm) -> list[Case]:
    if suffix in {".jsonl", ".ndjson"}:
        return [_object(number, value) for number, value in _lines(text)]
    if suffix == ".json":
        return list(_json(parse(text, "the file")))
    if suffix in {".csv", ".tsv", ".txt"}:
        rows = read_csv(text, form.separator, form.columns, form.empty)
        return [Case(name, inputs, expected) for name, inputs, expected in rows]
    raise ValueError(f"{suffix or 'no suffix'} is no known form; use .csv, .json or .jsonl")


def _check(cases: Sequence[Case]) -> None:
    """Raise ``ValueError`` without any case, or with two of one name."""
    if not cases:
        raise ValueError("holds no case")
    names = set()
    for case in cases:
        if case.name in names:
            raise ValueError(f"two cases are named {case.name}")
        names.add(case.name)


def _lines(text: str) -> Iterator[tuple[int, Any]]:
    """Yield number and value of each line that is not empty."""
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            yield number, parse(line, f"line {number}")


def _json(value: Any) -> Iterator[Case]:
    """Yield the cases of a list of objects, of rows below a header, or of batch chunks."""
    if not isinstance(value, list):
        raise ValueError("expected a list of cases")  # noqa: TRY004 - content, not type
    if value and isinstance(value[0], list):
        yield from _table(value, {})
        return
    for number, each in enumerate(value, 1):
        data = each.get("data") if isinstance(each, dict) else None
        if isinstance(data, dict) and isinstance(data.get("inputs"), list):
            parameters = data.get("parameters") or {}
            if not isinstance(parameters, dict):
                raise ValueError(  # noqa: TRY004 - content, not type
                    f"chunk {number}: parameters is no object"
                )
            prefix = f"{each.get('id', number)}/" if len(value) > 1 else ""
            yield from _table(data["inputs"], parameters, prefix)
        else:
            yield _object(number, each)


def _object(number: int, value: Any) -> Case:
    """Return the case of an object: its inputs, or ``case``, ``inputs`` and ``expected``."""
    if not isinstance(value, dict):
        raise ValueError(f"case {number}: expected an object")  # noqa: TRY004 - content, not type
    if not isinstance(value.get("inputs"), dict):
        return Case(str(number), value)
    if unknown := sorted(value.keys() - {"case", "inputs", "expected"}):
        raise ValueError(f"case {number}: {unknown[0]} is not one of case, inputs, expected")
    expected = value.get("expected", {})
    if not isinstance(expected, dict):
        raise ValueError(f"case {number}: expected is no object")  # noqa: TRY004
    return Case(str(value.get("case", number)), value["inputs"], expected)


def _table(rows: list[Any], parameters: Mapping[str, Any], prefix: str = "") -> Iterator[Case]:
    """Yield the cases of rows below their header; parameters are inputs of every row."""
    header = rows[0] if rows else []
    if not isinstance(header, list) or not all(isinstance(each, str) for each in header):
        raise ValueError("the first row is no list of names")
    check_names([*header, *parameters])
    for number, row in enumerate(rows[1:], 1):
        if not isinstance(row, list) or len(row) != len(header):
            raise ValueError(f"row {number}: expected {len(header)} values, as the header has")
        inputs = {**parameters, **dict(zip(header, row, strict=True))}
        yield Case(f"{prefix}{number}", inputs)
