"""Test cases in every form that users have; what is unclear is refused with its line."""

from __future__ import annotations

import csv
import io
import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from spark_impex_runner.plugins.calculate.cases import CsvForm, read_cases

from spark_impex_runner.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from spark_impex_runner.plugins.calculate.cases import Case

    Read = Callable[..., list[Case]]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Return a function that reads cases from a text."""

    def call(text: str | bytes, name: str = "cases.csv", **form: Any) -> list[Case]:
        content = text if isinstance(text, bytes) else text.encode()
        (tmp_path / name).write_bytes(content)
        return list(read_cases(tmp_path / name, CsvForm(**form)).cases)

    return call


def test_csv_has_names_inputs_and_expectations(read: Read) -> None:
    """A BOM, semicolons, comments, dates, tables and texts that look like numbers."""
    text = (
        "\ufeffcase;radius;code;day;table;#note;expected.volume;expected.flag\r\n"
        'a;1.50;007;2024-02-29;"[[1,2]]";why;10;TRUE\r\n'
        "b;-2e3;x y;n;{};;;#N/A\r\n"
    )

    first, second = read(text)

    assert first.name == "a"
    assert first.inputs == {"radius": 1.5, "code": "007", "day": "2024-02-29", "table": [[1, 2]]}
    assert first.expected == {"volume": 10, "flag": "TRUE"}
    assert second.inputs == {"radius": -2000.0, "code": "x y", "day": "n", "table": {}}
    assert second.expected == {"flag": "#N/A"}


def test_csv_without_header(read: Read) -> None:
    """The names come from the options; the cases have numbers."""
    cases = read("1\t2\n3\t4\n", separator="\t", columns=("radius", "height"))

    assert [(case.name, case.inputs) for case in cases] == [
        ("1", {"radius": 1, "height": 2}),
        ("2", {"radius": 3, "height": 4}),
    ]


@pytest.mark.parametrize(
    ("empty", "inputs"), [("default", {"a": 1}), ("blank", {"a": 1, "b": None})]
)
def test_empty_cells_as_asked(empty: str, inputs: dict[str, Any], read: Read) -> None:
    """Left out, or null."""
    [case] = read("a,b\n1,\n", empty=empty)

    assert case.inputs == inputs


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.json", '[{"radius":1,"height":4.2},{"radius":5,"height":2}]'),
        ("a.json", '[["radius","height"],[1,4.2],[5,2]]'),
        ("a.json", '[{"id":"x","size":2,"data":{"inputs":[["radius","height"],[1,4.2],[5,2]]}}]'),
        ("a.jsonl", '{"radius":1,"height":4.2}\n\n{"case":"2","inputs":{"radius":5,"height":2}}\n'),
        ("a.jsonl", '{"radius":1,"height":4.2}\r\n{"radius":5,"height":2}'),
    ],
)
def test_json_in_every_form(name: str, text: str, read: Read) -> None:
    """Those of the SDK's examples, of the batch API, and our own."""
    cases = read(text, name)

    assert [case.inputs for case in cases] == [
        {"radius": 1, "height": 4.2},
        {"radius": 5, "height": 2},
    ]


def test_chunks_have_parameters(read: Read) -> None:
    """They are inputs of every row of their chunk, whose id tells the rows apart."""
    chunk = {"parameters": {"height": 3}, "inputs": [["radius"], [1]]}
    cases = read(json.dumps([{"id": "x", "data": chunk}, {"id": "y", "data": chunk}]), "a.json")

    assert [(case.name, case.inputs) for case in cases] == [
        ("x/1", {"height": 3, "radius": 1}),
        ("y/1", {"height": 3, "radius": 1}),
    ]


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("a.csv", "a,b\n1,2,3\n", "line 2: has 3 cells, expected 2"),
        ("a.csv", "a,b\n1,\n", "line 2: b is empty; give a value"),
        ("a.csv", "a,A\n1,2\n", "the header: a and A are given twice"),
        ("a.csv", "a,\n1,2\n", "the header has a column without a name"),
        ("a.csv", "a\n1e999\n", "line 2: a: the number 1e999 is too large"),
        ("a.csv", 'a\n"[1"\n', "line 2: a: is no JSON"),
        ("a.csv", 'a\n"x\n', "line 2: unexpected end of data"),
        ("a.csv", "case,a\nx,1\nx,2\n", "two cases are named x"),
        ("a.csv", "a,b\n", "holds no case"),
        ("a.csv", b"a\n\xe9\n", "is not UTF-8 (byte 2); save it as 'CSV UTF-8'"),
        ("a.json", '[{"a":1,"A":2}]', "a and A are given twice"),
        ("a.json", '[{"a":NaN}]', "NaN is no JSON value"),
        ("a.json", '[{"a":1e999}]', "the number 1e999 is too large"),
        ("a.json", "[" * 100_000, "nests too deep"),
        ("a.json", '{"a":1}', "expected a list of cases"),
        ("a.json", '[["a"],[1,2]]', "row 1: expected 1 values"),
        ("a.jsonl", '{"a":1}\n7\n', "case 2: expected an object"),
        (
            "a.jsonl",
            '{"inputs":{"a":1},"expect":{}}',
            "expect is not one of case, inputs, expected",
        ),
        ("a.xlsx", "a\n1\n", ".xlsx is no known form; use .csv, .json or .jsonl"),
    ],
)
def test_unclear_cases_are_refused(name: str, text: str | bytes, reason: str, read: Read) -> None:
    """In one line, with the file and the place in it."""
    with pytest.raises(UsageError) as error:
        read(text, name)

    assert reason in str(error.value)
    assert name in str(error.value)
    assert "\n" not in str(error.value)


def test_missing_file_is_named(tmp_path: Path) -> None:
    """With the system's own words."""
    with pytest.raises(UsageError, match="No such file"):
        read_cases(tmp_path / "none.csv", CsvForm())


# Python 3.10 writes no NUL.
CELL = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1)


@given(st.lists(st.lists(CELL, min_size=2, max_size=2), min_size=1))
def test_csv_texts_are_read_back(rows: list[list[str]]) -> None:
    """Any text that is no number and no JSON, with separators, quotes and line breaks in it."""
    rows = [[f"x{cell}" for cell in row] for row in rows]
    stream = io.StringIO(newline="")
    csv.writer(stream).writerows([["a", "b"], *rows])
    from spark_impex_runner.plugins.calculate.case_csv import read_csv  # noqa: PLC0415

    found = [inputs for _, inputs, _ in read_csv(stream.getvalue(), ",", (), "fail")]

    assert found == [{"a": one, "b": other} for one, other in rows]
