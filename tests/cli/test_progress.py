"""How a run is shown: which way, by which thread, and how often."""

from __future__ import annotations

import argparse
import io
import logging
import os
import signal
import threading
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest

from spark_impex_runner.cli import progress as shown_progress
from spark_impex_runner.cli.console import open_console
from spark_impex_runner.cli.heartbeat import Heartbeat, sentence
from spark_impex_runner.cli.line import Style
from spark_impex_runner.cli.masking_stream import MaskingStream
from spark_impex_runner.cli.progress import mode, shown
from spark_impex_runner.cli.streams import install
from spark_impex_runner.clock import Clock
from spark_impex_runner.engine.progress import RunProgress
from spark_impex_runner.engine.snapshot import Activity, Snapshot
from spark_impex_runner.masking import Masker
from spark_impex_runner.models import Outcome

RUN = Snapshot("release", "r1", 60, 12, ended={Outcome.SUCCEEDED: 3, Outcome.FAILED: 1})


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        """Return True."""
        return True


def options(**given: Any) -> argparse.Namespace:
    """Return the options of a run."""
    chosen = {"progress": "auto", "quiet": False, "log_format": "text", "color": "auto"}
    return argparse.Namespace(**{**chosen, **given})


@pytest.mark.parametrize(
    ("given", "environ", "expected"),
    [
        ({}, {"TERM": "xterm"}, "live"),
        ({}, {"WT_SESSION": "1"}, "live"),
        ({}, {"TERM": "xterm", "CI": "false", "ACCESSIBLE": "0"}, "live"),
        ({}, {}, "plain"),
        ({}, {"TERM": "dumb"}, "plain"),
        ({}, {"TERM": "xterm", "CI": "true"}, "plain"),
        ({}, {"TERM": "xterm", "ACCESSIBLE": "1"}, "plain"),
        ({"quiet": True}, {"TERM": "xterm"}, "plain"),
        ({"log_format": "json"}, {"TERM": "xterm"}, "plain"),
        ({"progress": "live"}, {"TERM": "xterm", "CI": "true"}, "live"),
        ({"progress": "live"}, {"TERM": "dumb"}, "plain"),
        ({"progress": "live", "log_format": "json"}, {"TERM": "xterm"}, "plain"),
        ({"progress": "plain"}, {"TERM": "xterm"}, "plain"),
        ({"progress": "none"}, {"TERM": "xterm"}, "none"),
    ],
)
def test_terminal_and_environment_decide(
    given: dict[str, Any], environ: dict[str, str], expected: str
) -> None:
    """Live only where a person watches a terminal that can, or asks for it."""
    assert mode(options(**given), MaskingStream(Terminal(), Masker()), environ) == expected


def test_a_pipe_is_never_live() -> None:
    """Escape sequences are for terminals."""
    pipe = MaskingStream(io.StringIO(), Masker())

    assert mode(options(progress="live"), pipe, {"TERM": "xterm"}) == "plain"


class Watched(RunProgress):
    """A run that stays as it is."""

    def __init__(self, snapshot: Snapshot | None) -> None:
        super().__init__()
        self.fixed = snapshot

    def snapshot(self) -> Snapshot | None:
        """Return the same each time."""
        return self.fixed


def heartbeats(hours: float, event_every: float, caplog: pytest.LogCaptureFixture) -> list[float]:
    """Return when a run with an event every so many seconds logs its heartbeat."""
    stream = MaskingStream(io.StringIO(), Masker())
    time, beats, event = 0.0, [], event_every
    stream.written_at = 0.0
    heartbeat = Heartbeat(Watched(RUN), stream, lambda: time)
    caplog.set_level(logging.INFO)
    while time < hours * 3600:
        caplog.clear()
        pause = heartbeat.tick()
        if caplog.records:
            beats.append(time)
            stream.written_at = time
        time += pause
        if time >= event:
            stream.written_at, event = event, event + event_every
    return beats


def test_heartbeats_back_off(caplog: pytest.LogCaptureFixture) -> None:
    """After 30 s, then 1, 2 and always 5 minutes, without ever more silence than that."""
    beats = heartbeats(1, 1e9, caplog)

    assert [round(each) for each in beats[:5]] == [30, 90, 210, 509, 808]
    assert max(later - each for each, later in pairwise(beats)) <= 300
    assert len(beats) <= 15


def test_long_work_is_said(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As often as a run says how far it is: after 30 seconds, then ever less often."""
    caplog.set_level(logging.INFO)
    now, ticks = [0.0], list[Callable[[], float]]()
    clock = SimpleNamespace(monotonic=lambda: now[0])
    monkeypatch.setattr(shown_progress, "time", clock)
    ticking = lambda tick, _: nullcontext(ticks.append(tick))  # noqa: E731
    monkeypatch.setattr(shown_progress, "_ticking", ticking)
    console = SimpleNamespace(streams=SimpleNamespace(err=SimpleNamespace(written_at=0.0)))

    with shown_progress.waited_for("importing to dr", console, Clock()):  # type: ignore[arg-type]
        for now[0] in range(0, 120, 2):
            ticks[0]()

    assert caplog.messages == [
        "importing to dr, for 30.0 s so far",
        "importing to dr, for 1m 00s so far",
    ]


@pytest.mark.parametrize("event_every", [20, 40, 100, 250])
def test_events_replace_heartbeats(caplog: pytest.LogCaptureFixture, event_every: float) -> None:
    """Of a busy run there are few: at most 15 an hour, and none while others speak."""
    assert len(heartbeats(1, event_every, caplog)) <= {20: 0, 40: 1, 100: 2, 250: 3}[event_every]


def test_the_heartbeat_says_how_far(caplog: pytest.LogCaptureFixture) -> None:
    """One line for the whole run, with the counts as fields for programs."""
    heartbeats(0.01, 1e9, caplog)
    caplog.clear()
    heartbeats(1 / 118, 1e9, caplog)

    (record,) = caplog.records
    assert record.getMessage() == "4 of 12 done, 1 failed, 8 to come"
    assert vars(record)["event"] == "run.progress"
    assert vars(record)["detail"] == {
        "targets": 12,
        "ended": {"succeeded": 3, "failed": 1},
        "running": 0,
        "queued": 0,
    }


@pytest.mark.parametrize(
    ("activity", "said"),
    [
        (Activity("sit", "a", "running", 72, usual=100), "a running for 1:12 (usually 1:40)"),
        (Activity("sit", "a", "running", 72), "a running for 1:12"),
        (Activity("sit", "a", "steps", 5, step="unzip 2/3"), "a step unzip 2/3 for 0:05"),
        (
            Activity("sit", "a", "creating", 9, busy=True),
            "a creating for 0:09 (the tenant runs another job)",
        ),
        (
            Activity("sit", "a", "creating", 9, busy=True, blocker="target b"),
            "a creating for 0:09 (the tenant runs a job of target b)",
        ),
        (
            Activity("sit", "a", "downloading", 9, received=5000, size=9000, rate=1000),
            "a downloading for 0:09 (5.0 kB of 9.0 kB, 0:04 left)",
        ),
    ],
)
def test_the_longest_activity_is_named(activity: Activity, said: str) -> None:
    """The heartbeat says what the run waits for."""
    active = (activity, Activity("sit", "b", "running", 1))

    assert sentence(Snapshot("m", "r", 60, 2, active=active)) == f"0 of 2 done, 2 running; {said}"


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Return a terminal of 80 columns and 24 rows, and nothing that keeps a run from using it."""
    monkeypatch.setattr(shown_progress._Live, "_size", lambda _: os.terminal_size((80, 24)))
    monkeypatch.setenv("TERM", "xterm")
    for name in ("CI", "ACCESSIBLE", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    return Terminal()


def watch(terminal: Terminal, clock: Clock, during: Callable[[], object], **given: Any) -> None:
    """Show a run that stays as it is while ``during`` runs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.stderr", terminal)
        patch.setattr(shown_progress, "RunProgress", lambda: Watched(RUN))
        streams = install(Masker())
        with streams.undo:
            console = open_console(options(**given), Masker(), streams)
            with shown(options(**given), console, clock) as progress:
                assert progress.snapshot() is RUN
                during()


def test_a_stop_is_shown_at_once(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    """The block does not wait for its next turn, and is gone at the end."""
    clock, drawn = Clock(), threading.Event()
    monkeypatch.setattr(shown_progress, "_FIRST", 600.0)
    write = terminal.write
    monkeypatch.setattr(terminal, "write", lambda text: (write(text), drawn.set())[0])

    def stop() -> None:
        clock.stop(signal.SIGTERM)
        assert drawn.wait(60)

    watch(terminal, clock, stop)

    assert terminal.getvalue().startswith("release  1:00  4 of 12 done")
    assert terminal.getvalue().endswith("\r\x1b[K\x1b[1A\x1b[1M")
    assert "\x1b[?" not in terminal.getvalue()


@pytest.mark.parametrize(
    ("columns", "rows", "lines"), [(80, 24, 8), (200, 60, 12), (40, 10, 3), (80, 2, 0), (0, 0, 0)]
)
def test_the_block_is_a_third_at_most(
    monkeypatch: pytest.MonkeyPatch, columns: int, rows: int, lines: int
) -> None:
    """And never more than twelve lines, of however many targets."""
    many = tuple(Activity("sit", f"t{number}", "running") for number in range(500))
    size = os.terminal_size((columns, rows))
    monkeypatch.setattr(shown_progress._Live, "_size", lambda _: size)
    stream = MaskingStream(Terminal(), Masker())
    live = shown_progress._Live(Watched(replace(RUN, active=many)), stream, Style())
    shown: list[list[str]] = []
    monkeypatch.setattr(stream, "show", lambda lines, _: shown.append(lines))

    live.tick()

    assert len(shown[0]) == lines


def test_errors_of_the_view_end_only_the_view(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run goes on without being shown."""
    failed = threading.Event()

    def fail(*_: object) -> None:
        failed.set()
        raise ValueError

    monkeypatch.setattr(shown_progress, "render", fail)

    watch(terminal, Clock(), lambda: failed.wait(60))

    assert failed.is_set()
    assert terminal.getvalue() == ""


@pytest.mark.parametrize("wanted", ["none", "plain"])
def test_other_ways_draw_nothing(terminal: Terminal, wanted: str) -> None:
    """Without the block there is not one byte of it."""
    watch(terminal, Clock(), lambda: None, progress=wanted)

    assert terminal.getvalue() == ""


@pytest.mark.skipif(not hasattr(signal, "SIGTSTP"), reason="Windows has no job control")
def test_suspending_erases_the_block(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-Z leaves a clean line for the shell; then the process stops itself."""
    stopped = threading.Event()
    erased: list[str] = []

    def kill(_pid: int, number: int) -> None:
        assert number == signal.SIGSTOP
        erased.append(terminal.getvalue())
        stopped.set()

    monkeypatch.setattr(shown_progress, "_FIRST", 0.0)
    monkeypatch.setattr(os, "kill", kill)

    def suspend() -> None:
        signal.raise_signal(signal.SIGTSTP)
        assert stopped.wait(60)

    watch(terminal, Clock(), suspend)

    assert erased[0] == "" or erased[0].endswith("\r\x1b[K\x1b[1A\x1b[1M")
    assert signal.getsignal(signal.SIGTSTP) is signal.SIG_DFL


@pytest.mark.skipif(not hasattr(signal, "SIGTSTP"), reason="Windows has no job control")
def test_nothing_is_drawn_while_it_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel may stop the thread that asked for it a moment later than the others."""
    monkeypatch.setattr(os, "kill", lambda *_: None)
    stream = MaskingStream(Terminal(), Masker())
    live = shown_progress._Live(Watched(RUN), stream, Style())
    live._suspends = True

    assert live.tick() >= 0.2
