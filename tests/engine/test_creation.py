"""Creating the one job of a target: how often, after which waits, and which job is its own."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from spark_impex_runner.models import Outcome
from spark_impex_runner.spark import client, jobs
from spark_impex_runner.spark.client import Spark
from spark_impex_runner.spark.http.retry import RetryPolicy

if TYPE_CHECKING:
    from collections.abc import Callable

AN_HOUR = timedelta(hours=1)
TARGET = "- {name: a, folders: [life], polling: {strategy: fixed}}"


def create_calls(sandbox: Any) -> int:
    """Return how many create calls reached the tenant."""
    calls = [r for r in sandbox.requests if r.method == "POST" and r.path.endswith("/export")]
    return len(calls)


def test_create_calls_are_repeated_with_longer_waits(
    run: Any, serve: Callable[..., Any], clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each failure doubles the ceiling of the next wait, up to sixteen seconds."""
    monkeypatch.setattr(client, "RetryPolicy", partial(RetryPolicy, draw=lambda: 1.0))

    result = run(serve("create@1-6=503"), TARGET)

    assert result.exit_code == 0
    assert clock.waits[:6] == [2, 4, 8, 16, 16, 16]


@pytest.mark.parametrize(
    ("fault", "drawn", "wait"),
    [("503", 0.0, 1), ("503", 0.75, 1.5), ("429:retry=30", 1.0, 30), ("503:retry=1", 1.0, 2)],
)
def test_a_create_call_waits_for_the_longest(
    run: Any,
    serve: Callable[..., Any],
    clock: Any,
    monkeypatch: pytest.MonkeyPatch,
    fault: str,
    drawn: float,
    wait: float,
) -> None:
    """What the server asks for, what is drawn at random, and at least a second."""
    monkeypatch.setattr(client, "RetryPolicy", partial(RetryPolicy, draw=lambda: drawn))

    result = run(serve(f"create@1={fault}"), TARGET)

    assert (result.exit_code, clock.waits[0]) == (0, wait)


@pytest.mark.parametrize(("deadline", "waits"), [("6s", [2, 4]), ("5s", [2, 3])])
def test_create_calls_end_at_the_deadline(
    run: Any,
    serve: Callable[..., Any],
    only: Any,
    clock: Any,
    monkeypatch: pytest.MonkeyPatch,
    deadline: str,
    waits: list[int],
) -> None:
    """The last wait is cut there, and the last call follows it."""
    monkeypatch.setattr(client, "RetryPolicy", partial(RetryPolicy, draw=lambda: 1.0))
    sandbox = serve("create@1-=503")

    result = only(run(sandbox, TARGET.replace("fixed", f"fixed, deadline: {deadline}")))

    assert result.outcome is Outcome.FAILED
    assert (create_calls(sandbox), clock.waits) == (3, waits)


def test_a_busy_tenant_is_asked_every_five_seconds(
    run: Any, serve: Callable[..., Any], clock: Any, events: Any
) -> None:
    """The wait is reported once, however long it lasts."""
    result = run(serve("create@1-3=busy"), TARGET, plugin_files=(events.plugin,))

    assert (result.exit_code, clock.waits[:3]) == (0, [5, 5, 5])
    assert events.names()[:2] == ["job.waiting", "job.created"]


def test_a_tenant_that_stays_busy_times_out(
    run: Any, serve: Callable[..., Any], only: Any, clock: Any
) -> None:
    """At the deadline, with a line that says that no job was created."""
    target = TARGET.replace("fixed", "fixed, deadline: 12s")

    result = only(run(serve("create@1-=busy"), target))

    assert result.outcome is Outcome.TIMED_OUT
    assert "busy with other jobs for 12 s (polling.deadline), so no job was created" in result.error
    assert clock.waits == [5, 5, 2]


@pytest.mark.parametrize(
    ("fault", "calls"), [("400:html", 1), ("404:html", 4), ("404", 1), ("invalid", 1)]
)
def test_only_a_page_that_is_no_answer_is_asked_again(
    run: Any, serve: Callable[..., Any], only: Any, fault: str, calls: int
) -> None:
    """A 404 without a code may be a proxy's, four times; a refusal ends the target at once."""
    sandbox = serve(f"create@1-={fault}")

    result = only(run(sandbox, TARGET))

    assert result.outcome is Outcome.FAILED
    assert create_calls(sandbox) == calls


@pytest.mark.parametrize("fault", ["invalid", "400:html", "425"])
def test_a_refusal_leaves_nothing_to_resume(
    run: Any, serve: Callable[..., Any], only: Any, fault: str
) -> None:
    """The tenant has certainly created no job, and the next run does not mention one."""
    sandbox = serve(f"create@1-={fault}")
    target = TARGET.replace("fixed", "fixed, deadline: 5s")
    first = only(run(sandbox, target))
    sandbox.faults._faults = ()

    second = only(run(sandbox, target))

    assert first.outcome is Outcome.FAILED
    assert (second.outcome, second.warnings) == (Outcome.SUCCEEDED, ())


def test_a_lost_reply_without_a_listing_is_resumed(
    run: Any, serve: Callable[..., Any], only: Any
) -> None:
    """The attempt stays open until the listing can be asked: one job in two runs."""
    sandbox = serve("create@1=swallow", "describe@1-=503", job_limit=2)
    target = TARGET.replace("fixed", "fixed, deadline: 30s")
    first = only(run(sandbox, target))
    sandbox.faults._faults = ()

    second = only(run(sandbox, target))

    assert (first.outcome, second.outcome) == (Outcome.FAILED, Outcome.SUCCEEDED)
    assert "an earlier run began" in second.warnings[0]
    assert sandbox.jobs_created == 1


def test_a_listing_behind_a_page_ends_the_search(
    run: Any, serve: Callable[..., Any], only: Any, clock: Any
) -> None:
    """A page of a proxy in place of the listing is no answer; four of them are not waited out."""
    sandbox = serve("create@1=swallow", "describe@2-=404:html", job_limit=2)

    result = only(run(sandbox, TARGET))

    assert result.outcome is Outcome.FAILED
    assert clock.monotonic() < 120


def test_a_repeated_correlation_id_gives_a_job_each(
    run: Any, serve: Callable[..., Any], only: Any
) -> None:
    """A lost create call of the second run does not deliver the first run's package."""
    sandbox = serve("create@2=reset")
    target = TARGET.replace("life]", "life], correlation_id: CHG-1")

    first = only(run(sandbox, target))
    second = only(run(sandbox, target))

    assert (first.outcome, second.outcome) == (Outcome.SUCCEEDED, Outcome.SUCCEEDED)
    assert first.job_id != second.job_id
    assert sandbox.jobs_created == 2


@pytest.mark.parametrize("given", ["", ", correlation_id: CHG-1"])
@pytest.mark.parametrize("minutes", [-600_000, -11, 0, 11, 600_000])
def test_a_lost_job_is_found_whatever_the_clocks_say(
    run: Any, serve: Callable[..., Any], only: Any, clock: Any, given: str, minutes: int
) -> None:
    """The clock of this machine is ahead or behind; there is one job, by its correlation id."""
    sandbox = serve("create@1=swallow")
    now = clock.now
    clock.now = lambda: datetime.now(timezone.utc) + timedelta(minutes=minutes)

    result = only(run(sandbox, TARGET.replace("life]", f"life]{given}")))

    clock.now = now
    assert (result.outcome, sandbox.jobs_created) == (Outcome.SUCCEEDED, 1)


@pytest.mark.parametrize("minutes", [-90, -11, 11, 90])
def test_a_lost_job_is_found_after_a_clock_is_set(
    run: Any, serve: Callable[..., Any], only: Any, clock: Any, minutes: int
) -> None:
    """Between two runs the clock of this machine is corrected; there is one job all the same."""
    sandbox = serve("create@1=swallow", "describe@2-=403")
    target = TARGET.replace("life]", "life], correlation_id: CHG-1")
    clock.now = lambda: datetime.now(timezone.utc)
    first = only(run(sandbox, target))
    clock.now = lambda: datetime.now(timezone.utc) + timedelta(minutes=minutes)
    sandbox.faults._faults = ()

    second = only(run(sandbox, target))

    assert (first.outcome, second.outcome) == (Outcome.FAILED, Outcome.SUCCEEDED)
    assert sandbox.jobs_created == 1


def test_a_lost_job_is_found_an_hour_later(
    run: Any, serve: Callable[..., Any], only: Any, clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A job is not too old for an intent that is as old."""
    sandbox = serve("create@1=swallow", "describe@2-=403")
    target = TARGET.replace("life]", "life], correlation_id: CHG-1")
    clock.now = lambda: datetime.now(timezone.utc)
    first = only(run(sandbox, target))
    clock.now = lambda: datetime.now(timezone.utc) + AN_HOUR
    monkeypatch.setattr(jobs, "server_time", lambda _: datetime.now(timezone.utc) + AN_HOUR)
    sandbox.faults._faults = ()

    second = only(run(sandbox, target))

    assert (first.outcome, second.outcome) == (Outcome.FAILED, Outcome.SUCCEEDED)
    assert sandbox.jobs_created == 1


def test_an_older_job_with_the_same_id_is_not_taken(
    run: Any, serve: Callable[..., Any], only: Any, clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the state that owns it, its age by the tenant's own clock tells it apart."""
    sandbox = serve("create@2=reset")
    target = TARGET.replace("life]", "life], correlation_id: CHG-1")
    clock.now = lambda: datetime.now(timezone.utc) + timedelta(days=9)
    first = only(run(sandbox, target))
    monkeypatch.setattr(jobs, "server_time", lambda _: datetime.now(timezone.utc) + AN_HOUR)

    second = only(run(sandbox, target, state=run.folder / "other"))

    assert (first.outcome, second.outcome) == (Outcome.SUCCEEDED, Outcome.SUCCEEDED)
    assert (first.job_id != second.job_id, sandbox.jobs_created) == (True, 2)


def test_a_listed_job_that_has_left_is_passed_over(
    run: Any, serve: Callable[..., Any], only: Any
) -> None:
    """Its status is unknown by the time it is asked for; the target creates its own job."""
    sandbox = serve("create@2=reset", "status@1=forget", job_limit=2)
    with Spark(base_url=sandbox.base_url, token=sandbox.token, clock=run.clock) as spark:
        other = spark.impex.exports.initiate(folders=["life"]).data["id"]

    result = only(run(sandbox, TARGET))

    assert (result.outcome, result.error) == (Outcome.SUCCEEDED, "")
    assert result.job_id != other
    assert sandbox.faults.hits["status@1=forget"] == 1


def test_a_listed_job_whose_status_fails_is_looked_at_again(
    run: Any, serve: Callable[..., Any], only: Any
) -> None:
    """Nothing is created while it is not known whether the job is there."""
    sandbox = serve("create@1=swallow", "status@1-6=503", job_limit=2)

    result = only(run(sandbox, TARGET))

    assert (result.outcome, result.error) == (Outcome.SUCCEEDED, "")
    assert (sandbox.jobs_created, create_calls(sandbox)) == (1, 1)


def test_another_job_is_not_taken_for_a_lost_one(
    run: Any, serve: Callable[..., Any], only: Any
) -> None:
    """A listed job with another correlation id stays whose it is."""
    sandbox = serve("create@2=reset", job_limit=2)
    with Spark(base_url=sandbox.base_url, token=sandbox.token, clock=run.clock) as spark:
        spark.impex.exports.initiate(folders=["life"], correlation_id="CHG-2")

    result = only(run(sandbox, TARGET.replace("life]", "life], correlation_id: CHG-1")))

    assert result.outcome is Outcome.SUCCEEDED
    assert sandbox.jobs_created == 2


def test_a_job_that_is_lost_and_found_has_its_events(
    run: Any, serve: Callable[..., Any], only: Any, events: Any
) -> None:
    """A plugin hears of the failed create call, the found job, the failed look, the reuse."""
    sandbox = serve("create@1=swallow", "status@2=503")
    target = TARGET.replace("life]", "life], steps: [{uses: unzip, with: {max_files: %s}}]")

    first = only(run(sandbox, target % 1, plugin_files=(events.plugin,)))
    heard = events.all()
    second = only(run(sandbox, target % 99, plugin_files=(events.plugin,)))

    assert (first.outcome, second.outcome) == (Outcome.FAILED, Outcome.SUCCEEDED)
    assert [name for name, _ in heard[:4]] == [
        "job.create_failed", "job.found", "job.created", "job.look_failed",
    ]  # fmt: skip
    assert heard[1] == ("job.found", {"job_id": first.job_id})
    assert events.names()[len(heard)] == "package.reused"
