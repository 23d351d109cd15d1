"""Differences as lines for people."""

from __future__ import annotations

from spark_impex_runner.models.comparison import Diff
from spark_impex_runner.report.diff import text

EXPECTED = """\
life/<b>term 1.0.0: added
motor/pricing 1.4.1 -> 1.4.2: 1 version added, 1 input added, 1 input removed, 1 input changed \
default, 2 outputs changed type, 1 output changed description, 1 setting changed, module changed, \
workbook not compared, 1 other version changed

motor/pricing 1.4.1 -> 1.4.2: 1 version added, 1 input added, 1 input removed, 1 input changed \
default, 2 outputs changed type, 1 output changed description, 1 setting changed, module changed, \
workbook not compared, 1 other version changed
  + version 1.4.2
  1.4.1:
  ~ file a\\x1b[31m.bin: sha256 0 -> 1
  1.4.1 -> 1.4.2:
  + input age: type number, default 40, cell B4
  - input fee: cell B5
  ~ input factor: default 1 -> 1.1
  ~ output premium: type number -> text
  ~ output tax: type number -> text
  ~ output premium: description
      - …LONGa"
      + …LONGb"
  ~ setting VersionLabel: "rc" -> "release"
  ~ module: sha256 000000000000 -> 111111111111
      in it: _pricing.wasm
  ? workbook: not compared
      the package states no hash of it, and holds no such file

the whole package
  + file note.txt: sha256 00
  ? all: not compared; OLD is empty""".replace("LONG", "x" * 75)


def test_one_line_a_service_comes_first(diff: Diff) -> None:
    """Then all that differs in each, on plain lines that fit a terminal where values are short."""
    lines = text.render(diff)

    assert lines == EXPECTED
    details = [line for line in lines.splitlines() if line.startswith("  ") and "…" not in line]
    assert max(map(len, details)) <= 80


def test_one_service_has_no_overview(diff: Diff) -> None:
    """Its line stands above its details."""
    alone = Diff("a", "b", diff.services[1:])

    assert text.render(alone).count("motor/pricing 1.4.1 -> 1.4.2: ") == 1
    assert text.render(Diff("a", "b", diff.services[:1])) == "life/<b>term 1.0.0: added"


def test_nothing_is_nothing() -> None:
    """Without differences there is no line."""
    assert text.render(Diff("a", "b")) == ""


def test_colours_mark_lines(diff: Diff) -> None:
    """Green, red and yellow, only if asked for, and only ours."""
    coloured = text.render(diff, colour=True).splitlines()

    assert "\x1b[32m  + input age: type number, default 40, cell B4\x1b[0m" in coloured
    assert "\x1b[31m  - input fee: cell B5\x1b[0m" in coloured
    assert "\x1b[33m  ~ input factor: default 1 -> 1.1\x1b[0m" in coloured
    assert "\x1b" not in text.render(diff)
