"""The plan says what the next run will do, and the next run does it."""

from __future__ import annotations

import signal
import sqlite3
from contextlib import closing
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from spark_impex_runner.engine.forecast import forecast
from spark_impex_runner.masking import Masker
from spark_impex_runner.models import Outcome, RunOptions
from spark_impex_runner.planning.prepare import prepare
from spark_impex_runner.state.database import FILE

if TYPE_CHECKING:
    from collections.abc import Callable

    from spark_impex_runner.models import Forecast

TARGET = "- {name: a, folders: [life], on_interrupt: leave}"


@pytest.fixture
def forecast_now(run: Any) -> Callable[..., Forecast]:
    """Give a function that returns the forecast of the only target of the manifest last run."""

    def forecast_now(**options: Any) -> Forecast:
        path, chosen = run.folder / "manifest.yaml", RunOptions(**options)
        with prepare(path, chosen, run.clock, Masker()) as prepared:
            [item] = forecast(prepared, chosen, run.clock)
        return item

    return forecast_now


def interrupt(run: Any, sandbox: Any) -> str:
    """Leave a job behind, as a killed run would, and return its id."""
    run.clock.at_wait = lambda elapsed: elapsed > 5 and run.clock.stop(signal.SIGTERM)
    job_id: str = run(sandbox, TARGET).results[0].job_id
    run.clock.restart()
    return job_id


def rewrite(run: Any, change: str) -> None:
    """Change the open attempt, as if the run had been killed at another moment."""
    with closing(sqlite3.connect(run.folder / ".impex" / FILE)) as link, link:
        link.execute(f"UPDATE attempts SET {change} WHERE finished IS NULL")  # noqa: S608


def test_forecast_of_a_first_run(
    run: Any, serve: Callable[..., Any], forecast_now: Callable[..., Forecast]
) -> None:
    """Without state every job is created, and the forecast creates no state."""
    sandbox = serve()
    run.write(sandbox, TARGET)

    item = forecast_now()

    assert (item.action, item.job_id, item.note) == ("create", "", "")
    assert sorted(path.name for path in run.folder.iterdir()) == ["manifest.yaml"]
    assert not sandbox.requests


def test_forecast_adopts_earlier_job(
    run: Any, serve: Callable[..., Any], forecast_now: Callable[..., Forecast], only: Any
) -> None:
    """The forecast names the job that the next run resumes."""
    sandbox = serve(job_seconds=20)
    job_id = interrupt(run, sandbox)

    item = forecast_now()
    done = only(run(sandbox, TARGET))

    assert (item.action, item.job_id) == ("adopt", job_id)
    assert item.note.startswith("started at ")
    assert (done.outcome, done.job_id) == (Outcome.SUCCEEDED, job_id)
    assert forecast_now().action == "create"


@pytest.mark.parametrize(
    ("change", "action", "job", "note"),
    [
        ("delivered = '[[], []]'", "adopt", True, ", packages downloaded"),
        ("delivered = '{'", "fail", False, "a record of target "),
        ("job_id = ''", "adopt", False, ", its create call got no reply; searched by "),
        ("fingerprint = 'x'", "create", False, " is not resumed (another request)"),
        ("fingerprint = 'x', job_id = ''", "create", False, "a job whose reply was lost of an "),
    ],
)
def test_forecast_notes(
    run: Any,
    serve: Callable[..., Any],
    forecast_now: Callable[..., Forecast],
    change: str,
    action: str,
    job: bool,
    note: str,
) -> None:
    """The note says whether the job is delivered, lost or for another request."""
    interrupt(run, serve(job_seconds=20))
    rewrite(run, change)

    item = forecast_now()

    assert (item.action, bool(item.job_id)) == (action, job)
    assert note in item.note


def test_forecast_does_not_resume(
    run: Any, serve: Callable[..., Any], forecast_now: Callable[..., Forecast]
) -> None:
    """With ``--fresh``, or after twelve hours, the job is not resumed."""
    interrupt(run, serve(job_seconds=20))

    fresh = forecast_now(fresh=True)
    run.clock.wait(timedelta(hours=13).total_seconds())
    old = forecast_now()

    assert (fresh.action, old.action) == ("create", "create")
    assert fresh.note.endswith("(--fresh)")
    assert old.note.endswith("(older than twelve hours)")


def test_forecast_with_other_overlay(
    run: Any, serve: Callable[..., Any], forecast_now: Callable[..., Forecast]
) -> None:
    """An overlay makes another manifest: no job of this one is adopted or mentioned."""
    sandbox = serve(job_seconds=20)
    job_id = interrupt(run, sandbox)
    overlay = run.folder / "prod.yaml"
    overlay.write_text("targets: [{name: a, output: exports/prod}]\n")

    there = forecast_now(overlays=(overlay,))
    run(sandbox, TARGET, overlays=(overlay,))
    here = forecast_now()

    assert (there.action, there.note) == ("create", "")
    assert (here.action, here.job_id) == ("adopt", job_id)
    assert (run.folder / "exports/prod/impex-receipt.json").is_file()


def test_forecast_of_kept_delivery(
    run: Any, serve: Callable[..., Any], forecast_now: Callable[..., Forecast]
) -> None:
    """With ``if_exists: keep`` an existing delivery is unchanged."""
    sandbox = serve()
    run(sandbox, "- {name: a, folders: [life], if_exists: keep}")
    delivered = forecast_now()
    with closing(sqlite3.connect(run.folder / ".impex" / FILE)) as link, link:
        link.execute("UPDATE attempts SET finished = NULL")

    assert delivered.action == "unchanged"
    assert forecast_now().action == "unchanged"


def test_usual_duration_is_median(
    run: Any, serve: Callable[..., Any], forecast_now: Callable[..., Forecast]
) -> None:
    """Of the request's own jobs; without any, of the tenant's jobs for as many items."""
    sandbox = serve(job_seconds=20)
    usual = []
    for seconds in (100, 30, 50, 20):
        run(sandbox, TARGET)
        with closing(sqlite3.connect(run.folder / ".impex" / FILE)) as link, link:
            link.execute(
                "UPDATE attempts SET seconds = ? WHERE id = (SELECT max(id) FROM attempts)",
                (seconds,),
            )
    for target in (TARGET, TARGET.replace("life", "motor"), TARGET.replace("life", "life, motor")):
        run.write(sandbox, target)
        usual.append(forecast_now().usual)

    assert usual == [40, 40, None]
