from __future__ import annotations

from pathlib import Path

import pytest

from spark_impex_runner.manifest.document import Document, Finding, Spot, dotted, sound

DOCUMENT = Document(
    Path("release.yaml"),
    "release.yaml",
    {},
    {(): Spot((1, 1), (1, 1)), ("targets",): Spot((4, 3), (3, 1))},
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
def test_a_path_is_shown_as_people_write_it(path: tuple[str | int, ...], expected: str) -> None:
    """Keys join with dots, indices and odd keys stand in brackets."""
    assert dotted(path) == expected


def test_a_place_that_is_not_in_the_text_is_its_ancestors() -> None:
    """A missing key is reported where the mapping begins that lacks it."""
    assert DOCUMENT.place(("targets", 0, "name"), at_key=True) == (4, 3)
    assert DOCUMENT.place(("targets",), at_key=True) == (3, 1)
    assert DOCUMENT.place(("vars", "x")) == (1, 1)


def test_a_problem_is_one_line() -> None:
    """Control characters in what a person wrote are written out."""
    problem = DOCUMENT.problem(Finding(("targets", "a\nb"), "bad\r\n\x1b[31mvalue"))

    text = r"release.yaml:4:3: targets['a\nb']: bad\r\n\x1b[31mvalue"
    assert str(problem) == text


def test_what_is_wrong_is_left_out_of_later_checks() -> None:
    """A value with a finding becomes None, its neighbours stay, and the data is not changed."""
    data = {"a": [1, {"b": 2, "c": 3}], "d": 4}

    assert sound(data, [Finding(("a", 1, "b"), ""), Finding(("d",), "")]) == {
        "a": [1, {"b": None, "c": 3}],
        "d": None,
    }
    assert data["d"] == 4
