"""``impex diff --cases``: its arguments and exit codes, on the example tenant."""

from __future__ import annotations

import importlib
import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.conftest import EXAMPLES

if TYPE_CHECKING:
    from collections.abc import Callable

TOYS = Path(__file__).parents[1] / "tools" / "toy_module.py"

TARGETS = """
  - {name: old, services: ['motor/pricing[1.4.1]'], file_filter: onpremises}
  - {name: new, services: ['motor/pricing[1.4.2]'], file_filter: onpremises}
  - {name: both, folders: [motor], file_filter: onpremises}
"""
CASES = "vehicle_value,driver_factor\n20000,1\n20000,2\n"


@pytest.fixture
def delivered(shell: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Deliver two versions of a service, and write cases."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(shell.folder / "cache"))
    shutil.rmtree(shell.folder / "acme")
    shutil.copytree(EXAMPLES / "tenant", shell.folder / "acme")
    (shell.folder / "cases.csv").write_text(CASES)
    shell.write(TARGETS)
    assert shell("impex-run", "m.yaml", "-q").code == 0
    return shell


def diff(shell: Any, *arguments: str) -> Any:
    """Run the command with cases."""
    return shell("impex", "diff", *arguments, "--cases", "cases.csv")


def test_moved_results_exit_with_8(delivered: Any) -> None:
    """The results come first, then what else differs; a cache is kept for the next time."""
    found = diff(delivered, "exports/old", "exports/new/package.zip")

    assert found.code == 8
    assert found.out.splitlines()[:2] == [
        "motor/pricing 1.4.1 -> 1.4.2: 1 of 2 cases moved, 1 the same",
        "  premium       1 moved   max +3.4 % (case 2: 1823.0 -> 1885.0)   mean +3.4 %",
    ]
    assert "module changed" in found.out
    assert len(list((delivered.folder / "cache/spark-impex-runner/calculate").iterdir())) == 2


def test_same_package_exits_with_0(delivered: Any) -> None:
    """The line says that everything was calculated."""
    found = diff(delivered, "exports/old", "exports/old")

    assert found.code == 0
    assert found.out.startswith("motor/pricing 1.4.1: 0 of 2 cases moved, 2 the same\n")


def test_service_of_each_side(delivered: Any) -> None:
    """Needed where a side holds several; each side may name another."""
    several = diff(delivered, "exports/both", "exports/both")
    named = diff(delivered, "exports/both", "exports/new", "--service", "motor/pricing")
    each = diff(delivered, "exports/both::motor/pricing", "exports/both::motor/pricing")

    assert several.code == 2
    assert "name one as the service, such as motor/" in several.err
    assert named.out.startswith("motor/pricing 1.4.2: 0 of 2 cases moved, 2 the same\n")
    assert each.code == 0


def test_uncalculable_exits_with_4(delivered: Any) -> None:
    """It is never taken for a success."""
    (delivered.folder / "cases.csv").write_text("reported,deductible,limit\n1,2,3\n")

    found = diff(delivered, "exports/both", "exports/both", "--service", "motor/claims")

    assert found.code == 4
    assert "motor/claims 2.1.0: no case could be calculated: OLD (motor/claims[2.1.0])" in found.out


def test_partly_calculated_exits_with_3(delivered: Any, load_script: Callable[..., Any]) -> None:
    """Even where nothing moved: what one side did not calculate is named."""
    toy = load_script(TOYS).motor("1")
    toy.begin = "(if (f64.eq (local.get $driver_factor) (f64.const 2)) (then (unreachable)))"
    for name, content in toy.files().items():
        (delivered.folder / "acme/motor/pricing/1.4.2" / name).write_bytes(content)
    assert delivered("impex-run", "m.yaml", "-q").code == 0

    found = diff(delivered, "exports/old", "exports/new", "--tolerance", "relative=0.5")

    assert found.code == 3
    assert "1 not calculated" in found.out.splitlines()[0]
    assert "case 2 was not calculated (new): the module failed: " in found.out


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--tolerance", "digits"], "--tolerance: 'digits' is not exact, digits=N"),
        (["--output-name", "premum"], "OLD: the service has no output premum (did you mean"),
        (["--at", "soon"], "at: 'soon' is no date"),
        (["--show", "-1"], "--show: expected 0 or more"),
    ],
)
def test_wrong_options_exit_with_2(delivered: Any, arguments: list[str], reason: str) -> None:
    """In one line."""
    found = diff(delivered, "exports/old", "exports/new", *arguments)

    assert found.code == 2
    assert reason in found.err


def test_junit_needs_cases(delivered: Any) -> None:
    """It has a case for each output."""
    without = delivered("impex", "diff", "exports/old", "exports/new", "--format", "junit")
    found = diff(delivered, "exports/old", "exports/new", "--format", "junit")

    assert without.code == 2
    assert "name their file with --cases" in without.err
    assert '<failure message="1 of 2 cases moved" type="moved">' in found.out


def test_json_has_the_moves(delivered: Any) -> None:
    """With inputs, unless they are hidden."""
    command = ("exports/old", "exports/new", "--format", "json")

    [move] = json.loads(diff(delivered, *command).out)["calculation"]["moves"]
    [hidden] = json.loads(diff(delivered, *command, "--hide-inputs").out)["calculation"]["moves"]

    assert move["inputs"] == {"vehicle_value": 20000, "driver_factor": 2}
    assert "inputs" not in hidden


def test_missing_engine_exits_with_7(delivered: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The line has the command that installs it."""
    plugin = importlib.import_module("spark_impex_runner.plugins.calculate")
    monkeypatch.setattr(plugin, "find_spec", lambda _: None)

    found = diff(delivered, "exports/old", "exports/new")

    assert found.code == 7
    assert "pip install 'spark-impex-runner[calculate]'" in found.err


def test_tenants_are_not_calculated(delivered: Any) -> None:
    """Only packages hold modules."""
    found = diff(delivered, "here:", "here:", "-m", "m.yaml")

    assert found.code == 2
    assert "export both sides" in found.err
