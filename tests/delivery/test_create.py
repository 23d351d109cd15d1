"""Creating the one job of a target: how often, after which waits, and which job is its own."""

from __future__ import annotations

import threading
from datetime import datetime, timedelta, timezone
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from spark_impex_runner.errors import ErrorReply, SparkApiError
from spark_impex_runner.models import Outcome
from spark_impex_runner.spark import client, job_listing
from spark_impex_runner.spark.client import Spark
from spark_impex_runner.spark.exports import Exports
from spark_impex_runner.spark.http.retry import RetryPolicy

if TYPE_CHECKING:
    from collections.abc import Callable

AN_HOUR = timedelta(hours=1)
TARGET = "- {name: a, folders: [life], polling: {strategy: fixed}}"


def create_calls(sandbox: Any) -> int:
    """Return how many create calls reached the tenant."""
    calls = [r for r in sandbox.requests if r.method == "POST" and r.path.endswith("/export")]
    return len(calls)


def test_create_backoff_doubles(
    run: Any, serve: Callable[..., Any], clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each failed create call doubles the upper bound of the next wait, up to 16 seconds."""
    monkeypatch.setattr(client, "RetryPolicy", partial(RetryPolicy, draw=lambda: 1.0))

    result = run(serve("create@1-6=503"), TARGET)

    assert result.exit_code == 0
    assert clock.waits[:6] == [2, 4, 8, 16, 16, 16]


@pytest.mark.parametrize(
    ("fault", "drawn", "wait"),
    [("503", 0.0, 1), ("503", 0.75, 1.5), ("429:retry=30", 1.0, 30), ("503:retry=1", 1.0, 2)],
)
def test_create_waits_for_the_longest(
    run: Any,
    serve: Callable[..., Any],
    clock: Any,
    monkeypatch: pytest.MonkeyPatch,
    fault: str,
    drawn: float,
    wait: float,
) -> None:
    """The wait is the longest of Retry-After, the random delay and one second."""
    monkeypatch.setattr(client, "RetryPolicy", partial(RetryPolicy, draw=lambda: drawn))

    result = run(serve(f"create@1={fault}"), TARGET)

    assert (result.exit_code, clock.waits[0]) == (0, wait)


@pytest.mark.parametrize(
    ("deadline", "waits"), [("6s", [2, 4]), ("5s", [2, 3]), ("6.5s", [2, 4, 0.5])]
)
def test_create_ends_at_deadline(
    run: Any,
    serve: Callable[..., Any],
    only: Any,
    clock: Any,
    monkeypatch: pytest.MonkeyPatch,
    deadline: str,
    waits: list[int],
) -> None:
    """The last wait is cut at the deadline, and the last create call follows it."""
    monkeypatch.setattr(client, "RetryPolicy", partial(RetryPolicy, draw=lambda: 1.0))
    sandbox = serve("create@1-=503")

    result = only(run(sandbox, TARGET.replace("fixed", f"fixed, deadline: {deadline}")))

    assert result.outcome is Outcome.FAILED
    assert (create_calls(sandbox), clock.waits) == (len(waits) + 1, waits)


def test_busy_tenant_is_polled(
    run: Any, serve: Callable[..., Any], clock: Any, events: Any
) -> None:
    """A busy tenant is asked every five seconds, and the wait is reported once."""
    result = run(serve("create@1-3=busy"), TARGET, plugin_files=(events.plugin,))

    assert (result.exit_code, clock.waits[:3]) == (0, [5, 5, 5])
    assert events.names()[:2] == ["job.waiting", "job.created"]


def test_busy_tenant_times_out(run: Any, serve: Callable[..., Any], only: Any, clock: Any) -> None:
    """A tenant busy until the deadline fails the target; the error says that it has no job."""
    target = TARGET.replace("fixed", "fixed, deadline: 12s")

    result = only(run(serve("create@1-=busy"), target))

    assert result.outcome is Outcome.TIMED_OUT
    assert "busy with other jobs for 12 s (polling.deadline), so no job was created" in result.error
    assert clock.waits == [5, 5, 2]


@pytest.mark.parametrize(
    ("fault", "calls"), [("400:html", 1), ("404:html", 4), ("404", 1), ("invalid", 1)]
)
def test_only_proxy_pages_are_retried(
    run: Any, serve: Callable[..., Any], only: Any, fault: str, calls: int
) -> None:
    """A 404 without an API code is retried four times; a refusal ends the target at once."""
    sandbox = serve(f"create@1-={fault}")

    result = only(run(sandbox, TARGET))

    assert result.outcome is Outcome.FAILED
    assert create_calls(sandbox) == calls


@pytest.mark.parametrize("fault", ["invalid", "400:html", "425"])
def test_refusal_leaves_no_attempt(
    run: Any, serve: Callable[..., Any], only: Any, fault: str
) -> None:
    """After a refusal there is no job, and the next run does not mention one."""
    sandbox = serve(f"create@1-={fault}")
    target = TARGET.replace("fixed", "fixed, deadline: 5s")
    first = only(run(sandbox, target))
    sandbox.faults._faults = ()

    second = only(run(sandbox, target))

    assert first.outcome is Outcome.FAILED
    assert (second.outcome, second.warnings) == (Outcome.SUCCEEDED, ())


def test_lost_reply_without_listing(run: Any, serve: Callable[..., Any], only: Any) -> None:
    """An attempt stays open until the listing can be read: two runs create one job."""
    sandbox = serve("create@1=swallow", "describe@1-=503", job_limit=2)
    target = TARGET.replace("fixed", "fixed, deadline: 30s")
    first = only(run(sandbox, target))
    sandbox.faults._faults = ()

    second = only(run(sandbox, target))

    assert (first.outcome, second.outcome) == (Outcome.FAILED, Outcome.SUCCEEDED)
    assert "an earlier run began" in second.warnings[0]
    assert sandbox.jobs_created == 1


def test_proxy_page_ends_search(run: Any, serve: Callable[..., Any], only: Any, clock: Any) -> None:
    """A proxy's page in place of the listing ends the search, after four requests at most."""
    sandbox = serve("create@1=swallow", "describe@2-=404:html", job_limit=2)

    result = only(run(sandbox, TARGET))

    assert result.outcome is Outcome.FAILED
    assert clock.monotonic() < 120


def test_repeated_correlation_id(run: Any, serve: Callable[..., Any], only: Any) -> None:
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
def test_lost_job_with_wrong_clock(
    run: Any, serve: Callable[..., Any], only: Any, clock: Any, given: str, minutes: int
) -> None:
    """A lost job is found by its correlation id, whether this machine's clock is fast or slow."""
    sandbox = serve("create@1=swallow")
    now = clock.now
    clock.now = lambda: datetime.now(timezone.utc) + timedelta(minutes=minutes)

    result = only(run(sandbox, TARGET.replace("life]", f"life]{given}")))

    clock.now = now
    assert (result.outcome, sandbox.jobs_created) == (Outcome.SUCCEEDED, 1)


@pytest.mark.parametrize("minutes", [-90, -11, 11, 90])
def test_lost_job_after_clock_change(
    run: Any, serve: Callable[..., Any], only: Any, clock: Any, minutes: int
) -> None:
    """A lost job is found although this machine's clock was set between two runs."""
    sandbox = serve("create@1=swallow", "describe@2-=403")
    target = TARGET.replace("life]", "life], correlation_id: CHG-1")
    clock.now = lambda: datetime.now(timezone.utc)
    first = only(run(sandbox, target))
    clock.now = lambda: datetime.now(timezone.utc) + timedelta(minutes=minutes)
    sandbox.faults._faults = ()

    second = only(run(sandbox, target))

    assert (first.outcome, second.outcome) == (Outcome.FAILED, Outcome.SUCCEEDED)
    assert sandbox.jobs_created == 1


def test_lost_job_after_an_hour(
    run: Any, serve: Callable[..., Any], only: Any, clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A job is found for an intent that is as old as it is."""
    sandbox = serve("create@1=swallow", "describe@2-=403")
    target = TARGET.replace("life]", "life], correlation_id: CHG-1")
    clock.now = lambda: datetime.now(timezone.utc)
    first = only(run(sandbox, target))
    clock.now = lambda: datetime.now(timezone.utc) + AN_HOUR
    monkeypatch.setattr(job_listing, "server_time", lambda _: datetime.now(timezone.utc) + AN_HOUR)
    sandbox.faults._faults = ()

    second = only(run(sandbox, target))

    assert (first.outcome, second.outcome) == (Outcome.FAILED, Outcome.SUCCEEDED)
    assert sandbox.jobs_created == 1


def test_older_job_is_not_adopted(
    run: Any, serve: Callable[..., Any], only: Any, clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without state, a job's age by the tenant's own clock shows that it is another run's."""
    sandbox = serve("create@2=reset")
    target = TARGET.replace("life]", "life], correlation_id: CHG-1")
    clock.now = lambda: datetime.now(timezone.utc) + timedelta(days=9)
    first = only(run(sandbox, target))
    monkeypatch.setattr(job_listing, "server_time", lambda _: datetime.now(timezone.utc) + AN_HOUR)

    second = only(run(sandbox, target, state=run.folder / "other"))

    assert (first.outcome, second.outcome) == (Outcome.SUCCEEDED, Outcome.SUCCEEDED)
    assert (first.job_id != second.job_id, sandbox.jobs_created) == (True, 2)


def test_vanished_job_is_ignored(run: Any, serve: Callable[..., Any], only: Any) -> None:
    """A listed job whose status is unknown is ignored, and the target creates its own."""
    sandbox = serve("create@2=reset", "status@1=forget", job_limit=2)
    with Spark(base_url=sandbox.base_url, token=sandbox.token, clock=run.clock) as spark:
        other = spark.impex.exports.initiate(folders=["life"]).data["id"]

    result = only(run(sandbox, TARGET))

    assert (result.outcome, result.error) == (Outcome.SUCCEEDED, "")
    assert result.job_id != other
    assert sandbox.faults.hits["status@1=forget"] == 1


def test_failed_status_is_retried(run: Any, serve: Callable[..., Any], only: Any) -> None:
    """Nothing is created while the status of a listed job is unavailable."""
    sandbox = serve("create@1=swallow", "status@1-6=503", job_limit=2)

    result = only(run(sandbox, TARGET))

    assert (result.outcome, result.error) == (Outcome.SUCCEEDED, "")
    assert (sandbox.jobs_created, create_calls(sandbox)) == (1, 1)


def test_foreign_job_is_not_adopted(run: Any, serve: Callable[..., Any], only: Any) -> None:
    """A listed job with another correlation id is not adopted."""
    sandbox = serve("create@2=reset", job_limit=2)
    with Spark(base_url=sandbox.base_url, token=sandbox.token, clock=run.clock) as spark:
        spark.impex.exports.initiate(folders=["life"], correlation_id="CHG-2")

    result = only(run(sandbox, TARGET.replace("life]", "life], correlation_id: CHG-1")))

    assert result.outcome is Outcome.SUCCEEDED
    assert sandbox.jobs_created == 2


def test_events_of_a_lost_job(run: Any, serve: Callable[..., Any], only: Any, events: Any) -> None:
    """A plugin receives the failed create call, the found job, the failed status and the reuse."""
    sandbox = serve("create@1=swallow", "status@2=503")
    target = TARGET.replace("life]", "life], steps: [{uses: unzip, with: {max_files: %s}}]")

    first = only(run(sandbox, target % 1, plugin_files=(events.plugin,)))
    received = events.all()
    second = only(run(sandbox, target % 99, plugin_files=(events.plugin,)))

    assert (first.outcome, second.outcome) == (Outcome.FAILED, Outcome.SUCCEEDED)
    assert [name for name, _ in received[:4]] == [
        "job.create_failed", "job.found", "job.created", "job.look_failed",
    ]  # fmt: skip
    assert received[1] == ("job.found", {"job_id": first.job_id})
    assert events.names()[len(received)] == "package.reused"


def test_targets_create_their_jobs_in_turn(
    run: Any, serve: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With one correlation id, one could otherwise take the other's job for its own."""
    create, active, most, overlapped = Exports.create, [], [], threading.Event()

    def watched(self: Exports, *arguments: Any) -> Any:
        active.append(1)
        most.append(sum(active))
        if sum(active) > 1:
            overlapped.set()
        overlapped.wait(0.2)  # a second call would come now
        active.pop()
        return create(self, *arguments)

    monkeypatch.setattr(Exports, "create", watched)
    run.connection_keys = "jobs: 2"

    result = run(serve(job_limit=2), f"{TARGET}\n{TARGET.replace('a,', 'b,')}")

    assert (result.exit_code, most) == (0, [1, 1])


@pytest.mark.parametrize(("code", "calls"), [("EXCEEDED_FILE_SIZE", 1), ("SLOW_DOWN", 2)])
def test_too_large_request_is_not_repeated(
    run: Any,
    serve: Callable[..., Any],
    only: Any,
    monkeypatch: pytest.MonkeyPatch,
    code: str,
    calls: int,
) -> None:
    """The same request stays too large, whatever the status says of later."""
    create, made = Exports.create, []

    def refuse(self: Exports, *arguments: Any) -> Any:
        made.append(arguments)
        if len(made) == 1:
            raise SparkApiError.when("POST", ErrorReply(429, code=code))
        return create(self, *arguments)

    monkeypatch.setattr(Exports, "create", refuse)

    result = only(run(serve(), TARGET))

    assert len(made) == calls
    assert result.outcome is (Outcome.FAILED if calls == 1 else Outcome.SUCCEEDED)


def test_busy_reply_needs_no_look_up(
    run: Any, serve: Callable[..., Any], clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever its status: a tenant that names its limit of jobs has created none."""
    create, replies = Exports.create, [ErrorReply(503, details="the limit of export jobs is 1")]

    def refuse(self: Exports, *arguments: Any) -> Any:
        if replies:
            raise SparkApiError.when("POST", replies.pop())
        return create(self, *arguments)

    monkeypatch.setattr(Exports, "create", refuse)
    monkeypatch.setattr(Exports, "listed", lambda _: pytest.fail("the job was looked up"))

    assert run(serve(), TARGET).exit_code == 0
    assert clock.waits[0] == 5


def test_failed_look_up_is_repeated_after_a_pause(
    run: Any, serve: Callable[..., Any], clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the first one follows the create call at once."""
    times: list[float] = []

    def listed(_: Exports) -> None:
        times.append(clock.monotonic())
        raise SparkApiError.when("GET", ErrorReply(503))

    monkeypatch.setattr(Exports, "listed", listed)

    run(serve("create@1=swallow"), TARGET.replace("fixed", "fixed, deadline: 30s"))

    assert len(times) == len(set(times)) > 2


@pytest.mark.parametrize(
    ("status", "failures", "calls", "outcome"),
    [(403, 3, 4, Outcome.SUCCEEDED), (404, 3, 4, Outcome.SUCCEEDED), (403, 9, 4, Outcome.FAILED)],
)
def test_three_doubtful_look_ups_are_tolerated(
    run: Any,
    serve: Callable[..., Any],
    only: Any,
    monkeypatch: pytest.MonkeyPatch,
    status: int,
    failures: int,
    calls: int,
    outcome: Outcome,
) -> None:
    """A reply without a code of the API may be a proxy's; the fourth one in a row is believed."""
    listed, made = Exports.listed, []

    def doubtful(self: Exports) -> Any:
        made.append(status)
        if len(made) <= failures:
            raise SparkApiError.when("GET", ErrorReply(status))
        return listed(self)

    monkeypatch.setattr(Exports, "listed", doubtful)

    result = only(run(serve("create@1=swallow", job_limit=2), TARGET))

    assert (result.outcome, len(made)) == (outcome, calls)
