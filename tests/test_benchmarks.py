"""The table of figures: every script has its place in it, and a failure cannot hide."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch, load_script: Any) -> Any:
    """Return benchmarks/all.py as a module."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return load_script(BENCHMARKS / "all.py")


def script(path: Path, text: str) -> Path:
    """Write a script."""
    path.write_text(text)
    return path


def test_every_script_with_rows_is_in_the_table(table: Any) -> None:
    """A figure that nobody runs is a figure that drifts."""
    with_rows = {path.stem for path in BENCHMARKS.glob("*.py") if "\ndef rows(" in path.read_text()}

    assert sorted(table.SCRIPTS) == sorted(with_rows)


def test_the_rows_of_a_script_are_taken_as_they_are(table: Any, tmp_path: Path) -> None:
    """Whatever else it prints is left out."""
    good = script(tmp_path / "good.py", "print('| a | <= 1 | 0.9 |'); print('something else')")

    assert table.measure(good) == (["| a | <= 1 | 0.9 |"], True)


@pytest.mark.parametrize(
    ("text", "why"),
    [("raise SystemExit(3)", "exit 3"), ("print('nothing')", "no rows")],
)
def test_a_script_that_fails_is_a_failed_row(
    table: Any, tmp_path: Path, text: str, why: str
) -> None:
    """A crash and an empty answer are both told in the table."""
    bad = script(tmp_path / "bad.py", text)

    assert table.measure(bad) == ([f"| bad.py | | **failed**: {why} |"], False)


def test_the_exit_code_tells_of_a_failed_script(
    table: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The other scripts still run, and all rows are printed."""
    script(tmp_path / "bad.py", "raise SystemExit(3)")
    script(tmp_path / "good.py", "print('| a | | 1 |')")
    monkeypatch.setattr(table, "HERE", tmp_path)
    monkeypatch.setattr(table, "SCRIPTS", ("bad", "good"))
    monkeypatch.setattr("sys.argv", ["all.py"])

    code = table.main()

    out = capsys.readouterr().out
    assert code == 1
    assert "| bad.py |" in out
    assert "| a | | 1 |" in out
    assert out.startswith(f"Measured on {table.machine()}, load average ")


def test_the_table_is_put_between_the_marks_of_a_page(table: Any, tmp_path: Path) -> None:
    """What stands around it is kept, and writing twice changes nothing more."""
    page = script(tmp_path / "page.md", "before\n<!-- table -->\nold\n<!-- end -->\nafter\n")

    table.write(page, "new")
    table.write(page, "new")

    assert page.read_text() == "before\n<!-- table -->\n\nnew\n\n<!-- end -->\nafter\n"
