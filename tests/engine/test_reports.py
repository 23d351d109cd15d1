"""Reports that plugins offer: known by name, written like our own, and harmless when broken."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from spark_impex_runner.errors import ManifestError, PluginError, UsageError
from spark_impex_runner.models import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

TARGETS = "- {name: a, folders: [life]}"
PLUGIN = """
from spark_impex_runner.hooks.specs import hookimpl


def lines(result):
    return "".join(f"{each.target.name} {each.outcome.value}\\n" for each in result.results)


def pieces(result):
    yield from ("one", " and ", "two")


def torn(result):
    yield "one"
    raise ValueError("no more")


def fail(result):
    raise ValueError("no such\\ncolumn")


def leave(result):
    raise SystemExit(3)


@hookimpl
def impex_register(registry):
    registry.report("lines", "one line for each target", lines)
    registry.report("pieces", "one word after the other", pieces)
    registry.report("torn", "fails after its first word", torn)
    registry.report("broken", "never comes to be", fail)
    registry.report("leaving", "ends the process", leave)
    registry.report("number", "is no text", lambda result: 7)
"""


@pytest.fixture
def plugin(tmp_path: Path) -> Path:
    """Return the file of a plugin with six reports, two of which are right."""
    path = tmp_path / "ledger.py"
    path.write_text(PLUGIN)
    return path


@pytest.fixture
def reported(run: Any, serve: Callable[..., Any], plugin: Path) -> Callable[..., Any]:
    """Run one target with reports in the manifest and on the command line."""

    def start(manifest: str, **options: Any) -> Any:
        run.below = f"report: {manifest}"
        return run(serve(), TARGETS, plugin_files=(plugin,), **options)

    return start


def test_report_of_a_plugin(reported: Callable[..., Any], run: Any) -> None:
    """A plugin's report is written beside the built-in ones."""
    result = reported("{lines: out/lines.txt, json: out/r.json}")

    assert result.exit_code == 0
    assert (run.folder / "out/lines.txt").read_text() == "a succeeded\n"
    assert json.loads((run.folder / "out/r.json").read_text())["outcome"] == "succeeded"


def test_report_in_pieces(reported: Callable[..., Any], run: Any) -> None:
    """A report may be given piece by piece."""
    assert reported("{pieces: out/two.txt}").problems == ()
    assert (run.folder / "out/two.txt").read_text() == "one and two"


def test_report_option_of_a_plugin(reported: Callable[..., Any], tmp_path: Path) -> None:
    """``--report lines=FILE`` writes a plugin's report."""
    reported("{}", reports={"lines": tmp_path / "lines.txt"})

    assert (tmp_path / "lines.txt").read_text() == "a succeeded\n"


def test_result_has_its_command(run: Any, serve: Callable[..., Any], plugin: Path) -> None:
    """The line that repeats the run has its options but no targets, and secrets are masked."""
    sandbox = serve()
    run.below = "vars: {label: x}"
    variables = {"label": f"of {sandbox.token}"}

    result = run(sandbox, TARGETS, variables=variables, targets=("a",), plugin_files=(plugin,))

    path = run.folder / "manifest.yaml"
    assert result.command == f"impex-run {path} --var 'label=of ***' -p {plugin}"


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("broken", "the report 'broken' failed: ValueError: no such column"),
        ("torn", "the report 'torn' failed: ValueError: no more"),
        ("leaving", "the report 'leaving' failed: SystemExit: 3"),
        ("number", "the report 'number' returned int instead of text"),
    ],
)
def test_failed_report_is_a_problem(
    reported: Callable[..., Any], run: Any, name: str, problem: str
) -> None:
    """A failed report names its plugin; other reports are written, and outcomes stay."""
    result = reported(f"{{{name}: out/x, lines: out/lines.txt, json: out/r.json}}")

    assert result.problems == (f"plugin ledger: {problem}",)
    assert (result.results[0].outcome, result.exit_code) == (Outcome.SUCCEEDED, 4)
    assert {path.name for path in (run.folder / "out").iterdir()} == {"lines.txt", "r.json"}


def test_unknown_report_is_found_first(
    reported: Callable[..., Any], run: Any, serve: Callable[..., Any], tmp_path: Path
) -> None:
    """An unknown report is an error of the manifest or the command line, with a suggestion."""
    with pytest.raises(ManifestError, match=r"report\.linse: unknown key .*did you mean 'lines'"):
        reported("{linse: x}")
    with pytest.raises(UsageError, match=r"--report: there is no report 'jsn' .*mean 'json'"):
        reported("{}", reports={"jsn": tmp_path / "x"})
    sandbox, run.below = serve(), ""
    with pytest.raises(UsageError, match=r"'pdf'; known: html, json, junit, prometheus$"):
        run(sandbox, TARGETS, reports={"pdf": tmp_path / "x"})

    assert not sandbox.requests


def test_report_of_a_broken_plugin(
    reported: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error for an unknown report names the plugin that was left out, and why."""
    info = tmp_path / "impex_ledger-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: impex-ledger\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[impex_runner]\nimpex-ledger = impex_ledger\n")
    (tmp_path / "impex_ledger.py").write_text("raise RuntimeError('no licence')")
    monkeypatch.syspath_prepend(str(tmp_path))

    with pytest.raises(PluginError, match=r"report\.sums: unknown key.*impex-ledger.*no licence"):
        reported("{sums: x}")


def test_reports_see_no_secret(run: Any, serve: Callable[..., Any], tmp_path: Path) -> None:
    """A plugin's report receives a masked result."""
    plugin, sandbox = tmp_path / "all.py", serve()
    plugin.write_text(
        "from dataclasses import asdict\n"
        "from spark_impex_runner.hooks.specs import hookimpl\n"
        "@hookimpl\n"
        "def impex_register(registry):\n"
        "    registry.report('all', 'all that there is', lambda result: str(asdict(result)))\n"
    )

    run(sandbox, TARGETS, plugin_files=(plugin,), reports={"all": tmp_path / "all.txt"})

    text = (tmp_path / "all.txt").read_text()
    assert "'token': '***'" in text
    assert sandbox.token not in text
