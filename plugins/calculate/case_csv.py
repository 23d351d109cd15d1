"""Read test cases from a CSV file: a column for each input, ``expected.OUTPUT`` for outputs."""

from __future__ import annotations

import csv
import io
import re
from typing import TYPE_CHECKING, Any, Final

from .strict_json import check_names, parse

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_NUMBER: Final = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?")
_SEPARATORS: Final = ",;\t"
_EXPECTED: Final = "expected."
_CASE: Final = "case"
_COMMENT: Final = "#"

Row = tuple[str, dict[str, Any], dict[str, Any]]


def read_csv(text: str, separator: str, columns: Sequence[str], empty: str) -> Iterator[Row]:
    """Yield name, inputs and expected outputs of each row; raise ``ValueError``.

    ``columns`` are the names where the file has no header.
    """
    first = text.partition("\n")[0]
    separator = separator or max(_SEPARATORS, key=first.count)
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    number, line = 0, 1
    names = list(columns)
    _check_header(names)
    try:
        for row in rows:
            start, line = line, rows.line_num + 1
            if not any(row):
                continue
            if not names:
                names = [name.strip() for name in row]
                _check_header(names)
                continue
            number += 1
            yield _case(names, row, str(number), empty, f"line {start}")
    except csv.Error as error:
        raise ValueError(f"line {line}: {error}") from error


def _case(names: Sequence[str], row: Sequence[str], number: str, empty: str, where: str) -> Row:
    if len(row) != len(names):
        raise ValueError(f"{where}: has {len(row)} cells, expected {len(names)}")
    inputs: dict[str, Any] = {}
    expected: dict[str, Any] = {}
    for name, cell in zip(names, row, strict=True):
        place = f"{where}: {name}"
        if name.casefold() == _CASE:
            number = cell or number
        elif name.startswith(_EXPECTED):
            if cell:  # an empty one expects nothing
                expected[name.removeprefix(_EXPECTED)] = _value(cell, place)
        elif not name.startswith(_COMMENT) and (cell or empty != "default"):
            inputs[name] = _value(cell, place) if cell else _blank(empty, place)
    return number, inputs, expected


def _blank(empty: str, place: str) -> Any:
    """Return what a module counts as 0; raise ``ValueError`` unless that was asked for."""
    if empty == "fail":
        raise ValueError(f"{place} is empty; give a value, or say with 'empty' what that means")
    return None


def _check_header(names: Sequence[str]) -> None:
    if not all(names):
        raise ValueError("the header has a column without a name")
    try:
        check_names([name for name in names if not name.startswith(_COMMENT)])
    except ValueError as error:
        raise ValueError(f"the header: {error}") from None


def _value(cell: str, where: str) -> Any:
    """Return what a cell holds: a number in the form of JSON, a table, or else its text."""
    is_json = _NUMBER.fullmatch(cell) or cell[0] in "[{"
    return parse(cell, where) if is_json else cell
