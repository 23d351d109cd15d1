from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from spark_impex_runner.models import Manifest, Outcome, RunResult, Target, TargetResult
from spark_impex_runner.report import text

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

START = datetime(2026, 1, 31, tzinfo=timezone.utc)
GOLDEN = """\
motor-release: run 20260131-1f2e, 1m 13s

succeeded  motor        job 34d7d465-86eb-4eed-a388-fa4525cf7be6  1 package  506.7 kB  12.4 s
           warning: no hash for motor.zip
           warning: step upload: bucket is gone
unchanged  life         -                                                 -         -   3.0 s
failed     a-failed     -                                                 -         -   3.0 s
           JobError: the tenant said <no> & "never"
timed out  a-timed_out  -                                                 -         -   3.0 s
           the deadline of 30m passed; job 77ab may still run
held       a-held       -                                                 -         -   3.0 s
           step import: prod waits for --approve prod
cancelled  a-cancelled  -                                                 -         -   3.0 s
           interrupted by SIGINT
skipped    a-skipped    -                                                 -         -   3.0 s
           needs motor, which failed

2 of 7 targets succeeded (1 unchanged); a-failed failed; a-timed_out timed out; \
a-held held; a-cancelled cancelled; a-skipped skipped
output: /srv/release/exports
report: /srv/release/report.json
"""


def test_the_summary_of_every_outcome(every_outcome: RunResult) -> None:
    """The exact summary at the end of a log."""
    assert text.render(every_outcome) == GOLDEN


def test_several_jobs_are_counted(target: TargetResult, run: Callable[..., RunResult]) -> None:
    """The reports list their ids."""
    assert "  2 jobs  " in text.render(run(replace(target, job_ids=("j1", "j2"))))


def test_rows_fit_into_a_log(every_outcome: RunResult) -> None:
    """A row with a job id is no wider than 100 columns."""
    assert max(map(len, text.render(every_outcome).splitlines()[:5])) <= 100


def test_colours_change_nothing_but_colours(every_outcome: RunResult) -> None:
    """Without the colours both texts are the same."""
    coloured = text.render(every_outcome, colour=True)

    for code in ("\x1b[31m", "\x1b[32m", "\x1b[33m", "\x1b[0m"):
        assert code in coloured
        coloured = coloured.replace(code, "")
    assert coloured == GOLDEN


def test_a_run_of_nothing_has_a_summary(run: Callable[..., RunResult]) -> None:
    """No target is no reason to fail."""
    assert "0 of 0 targets succeeded" in text.render(run())


def test_single_target_names_its_folder(
    target: TargetResult, run: Callable[..., RunResult]
) -> None:
    """With a single target the summary names its own folder."""
    assert "output: /srv/release/exports/motor\n" in text.render(run(target))


def test_path_is_relative_to_cwd(
    target: TargetResult,
    run: Callable[..., RunResult],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The path can be pasted behind the prompt."""
    monkeypatch.chdir(tmp_path)
    result = replace(target, target=replace(target.target, output=tmp_path / "out" / "motor"))

    assert "output: out/motor\n" in text.render(run(result))


def test_failed_delivery_names_folder(target: TargetResult, run: Callable[..., RunResult]) -> None:
    """Packages are there even though a step failed."""
    assert "output: " in text.render(run(replace(target, outcome=Outcome.FAILED)))


@given(foreign=st.text(), name=st.text())
def test_foreign_text_stays_harmless(foreign: str, name: str) -> None:
    """Any text leaves the summary's lines intact and printable."""
    summary = text.render(hostile(foreign, name))

    lines = summary.split("\n")
    assert len(lines) == len(text.render(hostile("x", "x")).split("\n")) - (not foreign)
    assert all(line.isprintable() for line in lines)


def hostile(foreign: str, name: str) -> RunResult:
    """Return a run whose every text comes from elsewhere."""
    target = Target(name, name, Path("/x"))
    result = TargetResult(target, Outcome.FAILED, START, START, name, name, error=foreign)
    manifest = Manifest(Path("/m"), name, {}, (target,))
    return RunResult(name, manifest, START, START, (replace(result, warnings=(name,)),), "0")
