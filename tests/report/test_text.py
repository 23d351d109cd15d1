from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spark_impex_runner.models import (
    Manifest,
    Outcome,
    RunResult,
    StepResult,
    Target,
    TargetResult,
)
from spark_impex_runner.report import text
from tests.report.conftest import named

if TYPE_CHECKING:
    from collections.abc import Callable

MISSING = (
    "POST api/v4/export on https://excel.sit.coherent.global/acme: HTTP 404 SERVICE_NOT_FOUND: "
    "service could not be found: motor/absent{} (request id a545784c-8e25-4651); check the names"
)
START = datetime(2026, 1, 31, tzinfo=timezone.utc)
GOLDEN = """\
motor-release: run 20260131-1f2e

succeeded  motor  1 package  506.7 kB  12.4 s  job 34d7d465-86eb-4eed-a388-fa4525cf7be6
unchanged  life
warning    motor: no hash for motor.zip
warning    motor: step upload: bucket is gone
skipped    a-skipped: needs motor, which failed
cancelled  a-cancelled: interrupted by SIGINT
held       a-held: step import: prod waits for --approve prod
timed out  a-timed_out: the deadline of 30m passed; job 77ab may still run
failed     a-failed: JobError: the tenant said <no> & "never"

2 of 7 targets succeeded (1 unchanged); a-failed failed; a-timed_out timed out; \
a-held held; a-cancelled cancelled; a-skipped skipped
total:  1 succeeded, 1 unchanged, 1 failed, 1 timed out, 1 held, 1 cancelled, 1 skipped; \
1 package, 506.7 kB, 1m 13s
output: /srv/release/exports
report: /srv/release/report.json
"""


def test_the_summary_of_every_outcome(every_outcome: RunResult) -> None:
    """The exact summary at the end of a log."""
    assert text.render(every_outcome) == GOLDEN


def test_several_jobs_are_counted(target: TargetResult, run: Callable[..., RunResult]) -> None:
    """The reports list their ids."""
    assert "  2 jobs\n" in text.render(run(replace(target, job_ids=("j1", "j2"))))


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


def failed(result: TargetResult, name: str, error: str) -> TargetResult:
    """Return a failed target."""
    return replace(named(result, name), outcome=Outcome.FAILED, error=error, artifacts=())


@pytest.mark.parametrize("columns", [0, 80])
@pytest.mark.parametrize("error", [MISSING, "step upload: bucket {} is gone; create it"])
def test_ten_reasons_fit_in_thirty_lines(
    target: TargetResult, run: Callable[..., RunResult], error: str, columns: int
) -> None:
    """Of 500 targets, what failed and why is on the last screen, which says it all once."""
    results = [named(target, f"t{number}") for number in range(490)]
    results += [failed(target, f"bad{number}", error.format(number)) for number in range(10)]

    lines = text.render(run(*results), columns=columns).splitlines()

    last = " ".join(" ".join(lines[-30:]).split())
    assert len(lines) <= 25
    assert "succeeded 490 targets 490 packages" in last
    for number in range(10):
        (own,) = [word for word in error.split() if "{}" in word]
        assert f"bad{number} {own.strip(';').format(number)}" in last
    assert last.count(error.rsplit(maxsplit=1)[-1]) == 1
    assert columns == 0 or max(map(len, lines)) < columns


def test_page_shows_a_summary(target: TargetResult, run: Callable[..., RunResult]) -> None:
    """The example of the reference is what the code prints."""
    page = (Path(__file__).parents[2] / "docs/reference/report.md").read_text()
    post = (
        "POST api/v4/export on https://excel.{}.coherent.global/acme: HTTP {} (request id {}); {}"
    )
    missing = "404 SERVICE_NOT_FOUND: service could not be found: {}"
    names, token = "check the names, and that the credentials may see them", "INVALID_TOKEN"
    expired = "check the credentials; a bearer token may have expired"
    done = StepResult(
        "import", "succeeded", 1.0, "package.zip: imported to uat by job 65f0: motor/pricing added"
    )
    results = [named(target, f"t{number}") for number in range(489)]
    skipped = failed(target, "claims", "it needs life, which did not succeed")
    results += [replace(target, steps=(done,)), replace(skipped, outcome=Outcome.SKIPPED)]
    for number, service in enumerate(("life/annuitty", "health/hospitl")):
        error = post.format("sit", missing.format(service), number, names)
        results.append(failed(target, service.partition("/")[0], error))
    for number in range(7):
        error = post.format("uat", f"401 {token}", number, expired)
        results.append(failed(target, f"uat-{number}", error))

    result = run(*results)
    summary = text.render(replace(result, manifest=replace(result.manifest, name="nightly")))

    assert f"```text\n{summary}```" in page


def test_shared_cause_stands_once(target: TargetResult, run: Callable[..., RunResult]) -> None:
    """The targets of one refused token share a line, whatever the ids of their requests."""
    refused = "POST v4 on https://x/acme: HTTP 401 (request id {}); check the credentials"
    results = [failed(target, f"t{number}", refused.format(number)) for number in range(47)]

    lines = text.render(run(*results)).splitlines()

    cause = "POST v4 on https://x/acme: HTTP 401; check the credentials"
    assert lines[2] == f"failed     47 targets: {cause}"
    assert lines[3].endswith("t0, t1, t2, t3, t4, t5, t6, t7, t8, t9, t10, t11 and 35 more")


def test_long_errors_are_wrapped_not_cut(
    target: TargetResult, run: Callable[..., RunResult]
) -> None:
    """At a terminal an error continues below its beginning; elsewhere it stays on one line."""
    error = MISSING.format(0)
    result = run(failed(target, "bad", error))

    lines = text.render(result, columns=60).splitlines()

    assert " ".join(line.strip() for line in lines).count(error) == 1
    assert [line[:11] for line in lines[2:6]] == ["failed     ", *[" " * 11] * 3]
    assert f"failed     bad: {error}" in text.render(result).splitlines()


def test_results_of_steps_stand_in_the_summary(
    target: TargetResult, run: Callable[..., RunResult]
) -> None:
    """What an import did with each service is what a release is about."""
    step = StepResult("import", "succeeded", 1.0, "imported to uat: motor/pricing added")

    summary = text.render(run(replace(target, steps=(step,))))

    assert "\nimport     motor: imported to uat: motor/pricing added\n" in summary


def test_narrow_terminals_leave_out_job_ids(
    target: TargetResult, run: Callable[..., RunResult]
) -> None:
    """A row that would be wrapped loses its last column."""
    assert "job 34d7d465" in text.render(run(target), columns=100)
    assert "12.4 s\n" in text.render(run(target), columns=80)


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
    assert len(lines) == len(text.render(hostile("x", "x")).split("\n"))
    assert all(line.isprintable() for line in lines)


def hostile(foreign: str, name: str) -> RunResult:
    """Return a run whose every text comes from elsewhere."""
    target = Target(name, name, Path("/x"))
    result = TargetResult(target, Outcome.FAILED, START, START, name, name, error=foreign)
    manifest = Manifest(Path("/m"), name, {}, (target,))
    return RunResult(name, manifest, START, START, (replace(result, warnings=(name,)),), "0")
