from __future__ import annotations

from pathlib import Path

import pytest

from spark_impex_runner.manifest.yaml.document import (
    Document,
    Finding,
    Position,
    dotted,
    without_invalid,
)
from spark_impex_runner.manifest.yaml.excerpt import File

HERE, PART = File("release.yaml", "version: 1\n"), File("part.yaml")
DOCUMENT = Document(
    Path("release.yaml"),
    {},
    {
        (): Position((1, 1), (1, 1), None, HERE, ()),
        ("targets",): Position((4, 3), (3, 1), None, HERE, ("targets",)),
        ("targets", 7): Position((9, 5), (9, 5), None, PART, ("targets", 2)),
        ("targets", 7, "name"): Position((9, 11), (9, 5), "a", PART, ("targets", 2, "name")),
    },
)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ((), ""),
        (("targets", 0, "steps", 1, "with"), "targets[0].steps[1].with"),
        (("connections", "a.b", "jobs"), "connections['a.b'].jobs"),
        (("a b",), "['a b']"),
    ],
)
def test_path_as_text(path: tuple[str | int, ...], expected: str) -> None:
    """Keys join with dots, indices and odd keys stand in brackets."""
    assert dotted(path) == expected


def test_missing_key_has_its_ancestors_position() -> None:
    """A missing key is reported where the mapping begins that lacks it."""
    assert DOCUMENT.line_and_column(("targets", 0, "name"), at_key=True) == (4, 3)
    assert DOCUMENT.line_and_column(("targets",), at_key=True) == (3, 1)
    assert DOCUMENT.line_and_column(("vars", "x")) == (1, 1)


def test_problem_is_one_line() -> None:
    """Control characters in what a person wrote are written out."""
    problem = DOCUMENT.problem(Finding(("targets", "a\nb"), "bad\r\n\x1b[31mvalue"))

    text = r"release.yaml:4:3: targets['a\nb']: bad\r \x1b[31mvalue"
    assert str(problem) == text


def test_problem_names_its_own_file() -> None:
    """Merged values keep the position of their own file."""
    missing = Finding(("targets", 7, "steps"), "this key is missing")
    taken = Finding(("targets", 7, "name"), "the name 'a' is already taken", see=("targets",))
    twice = Finding(("targets", 7), "the name 'a' is already taken", see=("targets", 7, "name"))

    message = [str(DOCUMENT.problem(finding)) for finding in (missing, taken, twice)]

    assert message == [
        "part.yaml:9:5: targets[2].steps: this key is missing",
        "part.yaml:9:11: targets[2].name: the name 'a' is already taken in release.yaml:4",
        "part.yaml:9:5: targets[2]: the name 'a' is already taken in line 9",
    ]


@pytest.mark.parametrize("break_", ["\n", "\r\n", "\r", "\x85", "\u2028"])
def test_lines_are_counted_as_yaml_does(break_: str) -> None:
    """Numbers begin with 1; beyond the end there is nothing."""
    file = File("a.yaml", f"one{break_}two\x0bthree")

    assert [file.line(number) for number in (1, 2, 3)] == ["one", "two\x0bthree", ""]


def test_invalid_values_become_none() -> None:
    """A value with a finding becomes None, its neighbours stay, and the data is not changed."""
    data = {"a": [1, {"b": 2, "c": 3}], "d": 4}

    assert without_invalid(data, [Finding(("a", 1, "b"), ""), Finding(("d",), "")]) == {
        "a": [1, {"b": None, "c": 3}],
        "d": None,
    }
    assert data["d"] == 4
