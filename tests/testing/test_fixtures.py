"""The fixtures for authors: what a run left, bad weather, time; and who pays for them."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any

import pytest

from spark_impex_runner.models import Outcome
from spark_impex_runner.testing import VERSIONS

if TYPE_CHECKING:
    from pathlib import Path

    from spark_impex_runner.testing import FakeClock, Runner, Server

MANIFEST = """
version: 1
connections: {demo: {sandbox: acme}}
targets:
  - {name: pricing, services: [motor/pricing], steps: [{uses: checksum}]}
  - {name: lost, services: [motor/nothing]}
"""
SERVED: dict[str, Any] = {
    "version": 1,
    "connections": {"served": {}},
    "targets": [{"name": "life", "folders": ["life"]}],
}
TELLING = """
import logging
from spark_impex_runner import hookimpl

@hookimpl
def impex_run_started(run):
    token = run.manifest.connections["sit"].auth.token
    logging.getLogger("telling").warning("began with %s", token)
"""


def test_finished_run_has_outputs(run_manifest: Runner) -> None:
    """Result, log, report and receipts tell of the same run; who failed has no receipt."""
    ran = run_manifest(MANIFEST)

    assert [each.outcome for each in ran.result.results] == [Outcome.SUCCEEDED, Outcome.FAILED]
    assert "step checksum succeeded" in ran.log
    assert ran.report["run_id"] == ran.result.run_id
    assert set(ran.receipts) == {"pricing"}
    assert ran.receipts["pricing"]["steps"][0]["uses"] == "checksum"
    assert (ran.folder / "exports/pricing/SHA256SUMS").is_file()


def test_all_loggers_are_masked(
    run_manifest: Runner, serve: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A plugin's own logger is among them, as it is on a terminal."""
    monkeypatch.setenv("TOKEN", serve().token)
    (tmp_path / "telling.py").write_text(TELLING)
    place = {"base_url": serve.served[0].base_url, "auth": {"token": "${env:TOKEN}"}}

    ran = run_manifest({**SERVED, "connections": {"sit": place}}, [tmp_path / "telling.py"])

    assert ran.result.exit_code == 0
    assert "began with ***" in ran.log


def test_options_are_those_of_a_run(run_manifest: Runner) -> None:
    """Here, a choice of targets."""
    ran = run_manifest(MANIFEST, targets=("pricing",))

    assert [each.target.name for each in ran.result.results] == ["pricing"]


def test_faults_and_time_are_scripted(
    run_manifest: Runner, serve: Server, clock: FakeClock
) -> None:
    """A job of ten minutes takes no time, and faults strike when they should."""
    sandbox = serve("status@1=503", "download@1=cut:1000", job_seconds=600)

    ran = run_manifest(SERVED)

    assert ran.result.exit_code == 0
    assert clock.monotonic() >= 600
    assert dict(sandbox.faults.hits) == {"status@1=503": 1, "download@1=cut:1000": 1}


def test_misspelt_fault_is_refused(serve: Server) -> None:
    """By what is allowed."""
    with pytest.raises(ValueError, match="'stat' is not one of"):
        serve("stat@1=503")


def test_the_tree_is_what_it_says(tree: Path) -> None:
    """Folders of services of versions."""
    assert sorted(VERSIONS) == sorted(
        path.relative_to(tree).as_posix() for path in tree.glob("*/*/*")
    )


def test_pytest_loads_kit_on_request() -> None:
    """No entry point makes the tests of others slower."""
    assert [each.value for each in entry_points(group="pytest11") if "impex" in each.value] == []


def test_the_runner_does_without_pytest(tmp_path: Path) -> None:
    """A run imports neither the kit nor pytest, which nobody has to install for it."""
    (tmp_path / "acme/life/annuity/1.0.0").mkdir(parents=True)
    (tmp_path / "m.yaml").write_text(
        "version: 1\nconnections: {demo: {sandbox: acme}}\n"
        "targets: [{name: a, folders: [life], polling: {strategy: fixed}}]\n"
    )
    code = (
        "import sys\nfrom spark_impex_runner.cli import main\n"
        "try: main.run(['m.yaml'])\nexcept SystemExit as end: assert not end.code, end.code\n"
        "print(*{'pytest', '_pytest', 'spark_impex_runner.testing'} & set(sys.modules))"
    )

    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )

    assert done.stdout.splitlines()[-1] == ""
