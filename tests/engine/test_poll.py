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


def target(**keys: str) -> str:
    """Return one target with a polling strategy whose waits are known."""
    rest = "".join(f"\n  {key}: {value}" for key, value in keys.items())
    return f"- name: a\n  folders: [life]{rest}"


def test_fixed_looks_at_once_and_then_every_retry_interval(
    run: Any, serve: Callable[..., Any], clock: Any
) -> None:
    """A job of 7 seconds is seen at 0, 3, 6 and 9 seconds."""
    result = run(serve(job_seconds=7), target(retry_interval="3", polling="{strategy: fixed}"))

    assert result.exit_code == 0
    assert clock.waits == [0, 3, 3, 3]


def test_exponential_grows_up_to_its_maximum(
    run: Any, serve: Callable[..., Any], clock: Any
) -> None:
    """Waits are 1, 2, 4, then never more than ``max``."""
    polling = "{strategy: exponential, with: {factor: 2, max: 5}}"

    result = run(serve(job_seconds=14), target(retry_interval="1", polling=polling))

    assert result.exit_code == 0
    assert clock.waits == [0, 1, 2, 4, 5, 5]


def test_max_retries_bounds_the_status_checks(
    run: Any, serve: Callable[..., Any], only: Any, clock: Any
) -> None:
    """Five checks and no more; no wait after the last; exit 5 and the job is left running."""
    sandbox = serve(job_seconds=1000)

    result = run(sandbox, target(max_retries="5", retry_interval="3", polling="{strategy: fixed}"))

    assert (only(result).outcome, result.exit_code) == (Outcome.TIMED_OUT, 5)
    assert (
        "still 'in_progress' after 5 status checks (max_retries); it may still run: impex-run"
        in (only(result).error)
    )
    assert clock.waits == [0, 3, 3, 3, 3]
    assert not [r for r in sandbox.requests if r.method == "PATCH"]


def test_max_retries_counts_the_checks_that_fail(
    run: Any, serve: Callable[..., Any], only: Any, clock: Any
) -> None:
    """Two failed checks and two answered ones are four requests."""
    sandbox = serve("status@1-2=503", job_seconds=1000)

    result = run(sandbox, target(max_retries="4", retry_interval="3", polling="{strategy: fixed}"))

    assert "after 4 status checks (max_retries)" in only(result).error
    checks = [r for r in sandbox.requests if re.search(r"/export/[^/]+/status$", r.path)]
    assert (len(checks), clock.waits) == (4, [0, 3, 3, 3])


def test_the_deadline_is_wall_clock_and_can_cancel(
    run: Any, serve: Callable[..., Any], only: Any, clock: Any
) -> None:
    """At the deadline a last look is taken; ``on_deadline: cancel`` frees the tenant's slot."""
    sandbox = serve(job_seconds=1000)
    polling = "{strategy: fixed, deadline: 10s, on_deadline: cancel}"

    result = run(sandbox, target(retry_interval="4", polling=polling))

    assert result.exit_code == 5
    assert clock.waits == [0, 4, 4, 2]
    assert "after 10 s (polling.deadline); it was cancelled" in only(result).error
    assert [r.body for r in sandbox.requests if r.method == "PATCH"] == [
        b'{"export_status":"cancelled"}'
    ]


def test_a_word_that_does_not_change_is_a_stall(
    run: Any, serve: Callable[..., Any], only: Any
) -> None:
    """``stall_after`` ends a wait whose job makes no step."""
    polling = "{strategy: fixed, stall_after: 30s}"

    result = run(serve(job_seconds=1000), target(polling=polling))

    assert "unchanged for 30 s (polling.stall_after)" in only(result).error
    assert result.exit_code == 5


@pytest.mark.parametrize("answer", ["'soon'", "-1", "float('nan')", "float('inf')", "True"])
def test_a_nonsense_delay_is_named_with_its_plugin(
    run: Any, serve: Callable[..., Any], only: Any, tmp_path: Any, answer: str
) -> None:
    """A strategy plugin that answers rubbish fails its target, not the run, and is named."""
    plugin = tmp_path / "hasty.py"
    plugin.write_text(
        "from spark_impex_runner import hookimpl\n"
        f"@hookimpl\ndef impex_poll_delay(poll):\n    return {answer}\n"
    )

    result = run(serve(), target(), plugin_files=(plugin,))

    assert only(result).outcome is Outcome.FAILED
    assert "impex_poll_delay answered" in only(result).error
    assert "hasty" in only(result).error


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
def test_a_delay_is_finite_and_never_less_than_the_server_asks(poll: Poll) -> None:
    """However long the wait has lasted, the strategies answer seconds within their bounds."""
    delay = impex_poll_delay(poll)

    assert (poll.retry_after or 0) <= delay <= max(600, poll.retry_after or 0)
