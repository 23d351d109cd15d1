"""Notifications: for which events, after the reports, and without changing the outcome."""

from __future__ import annotations

import logging
import signal
import sys
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from spark_impex_runner.clock import Clock
from spark_impex_runner.engine.notifications import events_of
from spark_impex_runner.models import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from spark_impex_runner.models import RunResult

GOOD = "- {name: a, folders: [life]}"
BAD = "- {name: b, services: [motor/nothing]}"
HELD = "- {name: d, folders: [life], steps: [{uses: gate}]}"
LATE = "- {name: c, folders: [life], polling: {deadline: 5s}}"
# Writes its report and options beside the manifest, or fails as its option ``act`` says.
PLUGIN = """
import threading
from spark_impex_runner.errors import HeldError, NotifyError
from spark_impex_runner.hooks.specs import hookimpl

OPTIONS = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "act": {"type": "string"},
        "key": {"type": "string", "x-secret": True},
    },
}
release = threading.Event()


def send(options, report):
    folder = report.manifest.path.parent
    act = options.get("act", "")
    if act == "raise":
        raise ValueError("no line\\nto " + options["key"])
    if act == "refuse":
        raise NotifyError("the service is down")
    if act == "leave":
        raise SystemExit(3)
    if act == "hang":
        release.wait()
        return
    seen = sorted(path.name for path in folder.glob("*.json"))
    with (folder / "sent.txt").open("a") as file:
        file.write(f"{report.exit_code} {seen} {options}\\n")


@hookimpl
def impex_register(registry):
    registry.step("gate", "Holds its target.")
    registry.notifier("file", "writes it down", OPTIONS, send)
    registry.notifier("plain", "has no options", None, send)


@hookimpl
def impex_run_step(step):
    if step.uses == "gate":
        raise HeldError("wait", "prod")
"""


@pytest.fixture
def notified(
    run: Any, serve: Callable[..., Any], tmp_path: Path
) -> Iterator[Callable[..., RunResult]]:
    """Run targets on a sandbox and notify as the YAML says."""
    plugin = tmp_path / "notifier.py"
    plugin.write_text(PLUGIN)

    def start(targets: str, notify: str, report: str = "{}", **settings: Any) -> RunResult:
        run.below = f"notify: {notify}\nreport: {report}"
        made: RunResult = run(serve(**settings), targets, plugin_files=(plugin,))
        return made

    yield start
    sys.modules["impex_plugin_notifier"].release.set()


def sent(run: Any) -> list[str]:
    """Return the lines that the notifier has written."""
    path = run.folder / "sent.txt"
    return path.read_text().splitlines() if path.is_file() else []


@pytest.mark.parametrize(
    ("targets", "events"),
    [
        (GOOD, {"succeeded"}),
        (HELD, {"held"}),
        (f"{GOOD}\n{BAD}", {"partial"}),
        (BAD, {"failed"}),
        (LATE, {"failed", "timed_out"}),
        (f"{LATE}\n{BAD}", {"failed", "timed_out"}),
    ],
)
def test_events_of_a_run(
    notified: Callable[..., RunResult], targets: str, events: set[str]
) -> None:
    """The events are the run's outcome, and outcomes of single targets such as timed_out."""
    result = notified(targets, "[]", job_seconds=1 if "c," not in targets else 60)

    assert events_of(result) == {"always", *events}


def test_missing_report_is_partial(run: Any, serve: Callable[..., Any]) -> None:
    """A run whose report could not be written is partial."""
    result = run(serve(), GOOD)

    assert events_of(replace(result, problems=("cannot write r.json: disk full",))) == {
        "always",
        "partial",
    }


def test_interrupted_run_is_cancelled(run: Any, serve: Callable[..., Any]) -> None:
    """A run that a signal stopped is cancelled, not failed."""
    run.clock.at_wait = lambda elapsed: elapsed > 10 and run.clock.stop(signal.SIGTERM)

    result = run(serve(job_seconds=1000), GOOD)

    assert events_of(result) == {"always", "cancelled"}
    [one] = result.results
    assert events_of(replace(result, signal=0)) == {"always", "cancelled", "failed"}
    assert events_of(replace(result, results=(replace(one, outcome=Outcome.SUCCEEDED),))) == {
        "always",
        "cancelled",
    }


def test_failures_notify_by_default(notified: Callable[..., RunResult], run: Any) -> None:
    """Without ``on`` a failure is sent once, and a success is not."""
    notified(GOOD, "[{uses: plain}]")
    assert sent(run) == []

    notified(BAD, "[{uses: plain}]")
    assert sent(run) == ["4 [] {}"]

    notified(LATE, "[{uses: plain, on: [timed_out]}, {uses: plain, on: [partial]}]", job_seconds=60)
    assert sent(run) == ["4 [] {}", "5 [] {}"]


def test_notifications_follow_reports(
    notified: Callable[..., RunResult], run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each matching notification is sent after the reports, with its own resolved options."""
    monkeypatch.setenv("KEY", "hunter2-key")
    plain = "{uses: plain, on: [failed]}, {uses: plain, on: [always]}"
    file = '{uses: file, on: [succeeded, cancelled], with: {key: "${env:KEY}"}}'

    result = notified(GOOD, f"[{plain}, {file}]", "{json: r.json}")

    assert sorted(sent(run)) == ["0 ['r.json'] {'key': 'hunter2-key'}", "0 ['r.json'] {}"]
    assert "hunter2" not in str(result.manifest.notify)


def test_interrupt_is_notified(notified: Callable[..., RunResult], run: Any) -> None:
    """After SIGTERM the notifications for ``cancelled`` are still sent."""
    run.clock.at_wait = lambda elapsed: elapsed > 10 and run.clock.stop(signal.SIGTERM)

    notified(GOOD, "[{uses: plain}, {uses: plain, on: [cancelled]}]", job_seconds=1000)

    assert sent(run) == ["143 [] {}"]


@pytest.mark.parametrize(
    ("act", "warning"),
    [
        ("raise", "notify[0] (file): plugin notifier failed: ValueError: no line to ***"),
        ("refuse", "notify[0] (file): the service is down"),
        ("leave", "notify[0] (file): plugin notifier failed: SystemExit: 3"),
        ("hang", "notify[0] (file): timed out after 0.05 s"),
    ],
)
def test_failed_notification_is_a_warning(
    notified: Callable[..., RunResult],
    run: Any,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    act: str,
    warning: str,
) -> None:
    """A failed notification is one line without secrets; the others are sent."""
    monkeypatch.setenv("KEY", "hunter2-key")
    options = f'with: {{act: {act}, key: "${{env:KEY}}"}}, timeout: 50ms'
    notify = f"[{{uses: file, on: [always], {options}}}, {{uses: plain, on: [always]}}]"

    with caplog.at_level(logging.INFO, "spark_impex_runner.events"):
        result = notified(GOOD, notify)

    assert (result.exit_code, result.problems) == (0, ())
    assert sent(run) == ["0 [] {}"]
    events = [
        (record.event, record.levelname, record.getMessage())  # type: ignore[attr-defined]
        for record in caplog.records
        if getattr(record, "event", "").startswith("notification.")
    ]
    assert events == [
        ("notification.failed", "WARNING", warning),
        ("notification.sent", "INFO", "notify[1] (plain): sent"),
    ]


def test_hanging_notifications_share_a_timeout(
    notified: Callable[..., RunResult], run: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """Twenty notifications that hang take no longer than one."""
    run.clock = Clock()
    hang = "{uses: file, on: [always], with: {act: hang}, timeout: 200ms}"

    notified(GOOD, f"[{', '.join([hang] * 20)}]")

    timeouts = [each.created for each in caplog.records if "timed out" in each.getMessage()]
    helpers = [each for each in threading.enumerate() if each.name == "impex-helper"]
    assert len(timeouts) == 20 <= len(helpers)
    assert all(thread.daemon for thread in helpers), "one would hold up the end of the process"
    assert timeouts[-1] - timeouts[0] < 1, "one after the other, they would take four seconds"
