"""Waiting for a job: exact waits on a fake clock, limits, and what a strategy may answer."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spark_impex_runner.engine.defaults import impex_poll_delay
from spark_impex_runner.models import Outcome, Poll

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def target(**keys: str) -> str:
    """Return one target with a polling strategy whose waits are known."""
    rest = "".join(f"\n  {key}: {value}" for key, value in keys.items())
    return f"- name: a\n  folders: [life]{rest}"


def test_fixed_delays(run: Any, serve: Callable[..., Any], clock: Any) -> None:
    """A job of 7 seconds is checked at 0, 3, 6 and 9 seconds."""
    result = run(serve(job_seconds=7), target(retry_interval="3", polling="{strategy: fixed}"))

    assert result.exit_code == 0
    assert clock.waits == [0, 3, 3, 3]


def test_exponential_delays(run: Any, serve: Callable[..., Any], clock: Any) -> None:
    """Waits are 1, 2, 4 seconds, then never more than ``max``."""
    polling = "{strategy: exponential, with: {factor: 2, max: 5}}"

    result = run(serve(job_seconds=14), target(retry_interval="1", polling=polling))

    assert result.exit_code == 0
    assert clock.waits == [0, 1, 2, 4, 5, 5]


def test_max_retries(run: Any, serve: Callable[..., Any], only: Any, clock: Any) -> None:
    """After five checks the target ends with exit code 5, and the job is left running."""
    sandbox = serve(job_seconds=1000)

    result = run(sandbox, target(max_retries="5", retry_interval="3", polling="{strategy: fixed}"))

    assert (only(result).outcome, result.exit_code) == (Outcome.TIMED_OUT, 5)
    assert (
        "still 'in_progress' after 5 status checks (max_retries); it may still run: impex-run"
        in (only(result).error)
    )
    assert clock.waits == [0, 3, 3, 3, 3]
    assert not [r for r in sandbox.requests if r.method == "PATCH"]


def test_max_retries_counts_failed_checks(
    run: Any, serve: Callable[..., Any], only: Any, clock: Any
) -> None:
    """Two failed checks and two answered ones are four."""
    sandbox = serve("status@1-2=503", job_seconds=1000)

    result = run(sandbox, target(max_retries="4", retry_interval="3", polling="{strategy: fixed}"))

    assert "after 4 status checks (max_retries)" in only(result).error
    assert (checks(sandbox), clock.waits) == (4, [0, 3, 3, 3])


def checks(sandbox: Any) -> int:
    """Return how many status checks of single jobs reached the tenant."""
    return sum(bool(re.search(r"/export/[^/]+/status$", r.path)) for r in sandbox.requests)


def test_wait_ends_after_ten_minutes(
    run: Any, serve: Callable[..., Any], only: Any, clock: Any
) -> None:
    """The check at ten minutes is the last, and the target ends with its error."""
    sandbox = serve("status@1-=503", job_seconds=1000)

    result = run(sandbox, target(retry_interval="60", polling="{strategy: fixed, deadline: 2h}"))

    assert (only(result).outcome, result.exit_code) == (Outcome.FAILED, 4)
    assert "HTTP 503" in only(result).error
    assert (checks(sandbox), clock.monotonic()) == (11, 600)


def test_answer_resets_the_ten_minutes(run: Any, serve: Callable[..., Any], only: Any) -> None:
    """Eight minutes of failures, an answer and eight more do not end the wait."""
    sandbox = serve("status@1-9=503", "status@11-19=503", job_seconds=1000)
    polling = "{strategy: fixed, deadline: 2h, stall_after: 2h}"

    result = only(run(sandbox, target(retry_interval="60", polling=polling)))

    assert (result.outcome, checks(sandbox)) == (Outcome.SUCCEEDED, 20)


@pytest.mark.parametrize(("asked", "wait"), [("503:retry=50", 50), ("503:retry=1", 3), ("503", 3)])
def test_retry_after_of_a_failed_check(
    run: Any, serve: Callable[..., Any], clock: Any, asked: str, wait: int
) -> None:
    """Retry-After lengthens the next delay once, and never shortens it."""
    sandbox = serve(f"status@1={asked}", job_seconds=wait + 2)

    result = run(sandbox, target(polling="{strategy: fixed}"))

    assert (result.exit_code, clock.waits) == (0, [0, wait, 3])


@pytest.mark.parametrize("fault", ["503", "reset", "html", "text", "404:html", "forget"])
def test_failed_check_is_transient(
    run: Any, serve: Callable[..., Any], only: Any, fault: str
) -> None:
    """No reply, a proxy's page and one denial of a listed job are transient."""
    sandbox = serve(f"status@2={fault}", job_seconds=5)

    result = only(run(sandbox, target(polling="{strategy: fixed}")))

    assert (result.outcome, result.error) == (Outcome.SUCCEEDED, "")
    assert (checks(sandbox), sandbox.jobs_created) == (3, 1)


def test_permanent_error_ends_the_wait(run: Any, serve: Callable[..., Any], only: Any) -> None:
    """A permanent error is not retried."""
    sandbox = serve("status@1-=invalid", job_seconds=10)

    result = only(run(sandbox, target()))

    assert "scripted permanent error" in result.error
    assert checks(sandbox) == 1


def test_status_changes_are_reported(run: Any, serve: Callable[..., Any], events: Any) -> None:
    """Each new status is reported once; an unknown one has an event of its own."""
    sandbox = serve("status@1-2=word:archiving", job_seconds=10)

    run(sandbox, target(polling="{strategy: fixed}"), plugin_files=(events.plugin,))

    assert [each for each in events.all() if "status" in each[0]] == [
        ("job.unknown_status", {"status": "archiving"}),
        ("job.status", {"status": "in_progress"}),
    ]


def test_new_status_is_no_stall(run: Any, serve: Callable[..., Any], only: Any) -> None:
    """``stall_after`` starts again with each new status."""
    faults = ("status@1-3=word:one", "status@4-6=word:two", "status@7-9=word:three")
    polling = "{strategy: fixed, stall_after: 10s}"

    result = only(run(serve(*faults, job_seconds=30), target(retry_interval="4", polling=polling)))

    assert result.outcome is Outcome.SUCCEEDED


def test_deadline_can_cancel(
    run: Any, serve: Callable[..., Any], only: Any, clock: Any, events: Any
) -> None:
    """At the deadline the status is requested once more; ``on_deadline: cancel`` frees the slot."""
    sandbox = serve(job_seconds=1000)
    polling = "{strategy: fixed, deadline: 10s, on_deadline: cancel}"
    text = target(retry_interval="4", polling=polling)

    result = run(sandbox, text, plugin_files=(events.plugin,))

    assert (result.exit_code, events.names()[-2:]) == (5, ["job.cancelled", "target.timed_out"])
    assert clock.waits == [0, 4, 4, 2]
    assert "after 10 s (polling.deadline); it was cancelled" in only(result).error
    assert [r.body for r in sandbox.requests if r.method == "PATCH"] == [
        b'{"export_status":"cancelled"}'
    ]


def test_unchanged_status_is_a_stall(
    run: Any, serve: Callable[..., Any], only: Any, clock: Any
) -> None:
    """``stall_after`` ends the wait for a job without progress."""
    polling = "{strategy: fixed, stall_after: 30s}"

    result = run(serve(job_seconds=1000), target(polling=polling))

    assert clock.monotonic() == 30
    assert "unchanged for 30 s (polling.stall_after)" in only(result).error
    assert result.exit_code == 5


@pytest.mark.parametrize("answer", ["'soon'", "-1", "float('nan')", "float('inf')", "True"])
def test_invalid_delay_is_named(
    run: Any, serve: Callable[..., Any], only: Any, tmp_path: Any, answer: str
) -> None:
    """An invalid delay fails its target, not the run, and names the plugin."""
    plugin = tmp_path / "hasty.py"
    plugin.write_text(
        "from spark_impex_runner import hookimpl\n"
        f"@hookimpl\ndef impex_poll_delay(poll):\n    return {answer}\n"
    )

    result = run(serve(), target(), plugin_files=(plugin,))

    assert only(result).outcome is Outcome.FAILED
    assert "impex_poll_delay answered" in only(result).error
    assert "hasty" in only(result).error


def test_strategy_is_told_of_the_wait(run: Any, serve: Callable[..., Any], tmp_path: Path) -> None:
    """Checks so far, seconds since the start and to the deadline, and what the server asked for."""
    plugin = tmp_path / "told.py"
    plugin.write_text(
        "from pathlib import Path\n"
        "from spark_impex_runner import hookimpl\n"
        "@hookimpl\ndef impex_poll_delay(poll):\n"
        "    facts = poll.checks, poll.elapsed, poll.remaining, poll.retry_interval\n"
        "    with Path(__file__).with_suffix('.log').open('a') as log:\n"
        "        print(*facts, poll.retry_after, poll.strategy, poll.options, file=log)\n"
        "    return 4\n"
    )
    text = target(
        retry_interval="3", polling="{strategy: exponential, with: {max: 9}, deadline: 10s}"
    )

    run(serve("status@1=503:retry=2", job_seconds=1000), text, plugin_files=(plugin,))

    rest = "exponential {'max': 9}"
    assert plugin.with_suffix(".log").read_text().splitlines() == [
        f"0 0.0 10.0 3.0 None {rest}",
        f"1 4.0 6.0 3.0 2.0 {rest}",
        f"2 8.0 2.0 3.0 None {rest}",
    ]


def test_invalid_verdict_is_named(
    run: Any, serve: Callable[..., Any], only: Any, tmp_path: Any
) -> None:
    """An invalid verdict ends the wait at once, and names the plugin."""
    plugin = tmp_path / "judge.py"
    plugin.write_text(
        "from spark_impex_runner import hookimpl\n"
        "@hookimpl\ndef impex_poll_verdict(status):\n    return 'guilty'\n"
    )
    sandbox = serve()

    result = only(run(sandbox, target(), plugin_files=(plugin,)))

    assert result.outcome is Outcome.FAILED
    assert "impex_poll_verdict answered" in result.error
    assert "judge" in result.error
    assert checks(sandbox) == 1


@given(
    st.builds(
        Poll,
        strategy=st.sampled_from(["fixed", "exponential"]),
        options=st.fixed_dictionaries(
            {}, optional={"factor": st.floats(1.1, 10), "max": st.floats(0.1, 600)}
        ),
        checks=st.integers(0, 10_000),
        elapsed=st.floats(0, 1e6),
        remaining=st.floats(0, 1e6),
        retry_interval=st.none() | st.floats(0.1, 100),
        retry_after=st.none() | st.floats(0, 600),
    )
)
def test_delays_stay_in_bounds(poll: Poll) -> None:
    """However long the wait has lasted, a delay is finite and at least Retry-After."""
    delay = impex_poll_delay(poll)

    assert (poll.retry_after or 0) <= delay <= max(600, poll.retry_after or 0)
