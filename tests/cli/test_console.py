"""How problems are shown: a line each, and on a terminal the place in the source."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

from spark_impex_runner.cli import validate
from spark_impex_runner.cli.console import open_console
from spark_impex_runner.cli.run import stopped_by_signals
from spark_impex_runner.cli.streams import install
from spark_impex_runner.clock import Clock
from spark_impex_runner.errors import ManifestError, Problem, UsageError
from spark_impex_runner.masking import Masker
from spark_impex_runner.planning import load
from spark_impex_runner.report.problems import CheckedManifest

if TYPE_CHECKING:
    from collections.abc import Callable

WRONG = Problem("m.yaml", 4, 9, "a", "wrong", source="  - {na: x}", caret=6)
PLAIN = Problem("m.yaml", 5, 1, "", "no source")
LINE = "m.yaml:4:9: a: wrong"
EXCERPT = [" 4 |   - {na: x}", "   |      ^"]


@pytest.fixture
def mistaken(shell: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a shell in which every manifest has two problems."""

    def refuse(*_: object) -> None:
        raise ManifestError([WRONG, PLAIN])

    monkeypatch.setattr(load, "load", refuse)
    return shell


def test_pipe_gets_one_line_per_problem(mistaken: Any) -> None:
    """Byte for byte what the exception says: editors and CI systems read it."""
    done = mistaken("impex", "validate", "m.yaml")

    assert done.err == f"{ManifestError([WRONG, PLAIN])}\n"


def test_forced_colours_show_source(mistaken: Any) -> None:
    """A CI system that shows colours shows a person's view."""
    done = mistaken("impex", "validate", "m.yaml", "--color", "always")

    assert done.err.splitlines() == [
        LINE,
        "\x1b[1;34m 4 | \x1b[0m  - {na: x}",
        "\x1b[1;34m   | \x1b[0m     \x1b[1;31m^\x1b[0m",
        str(PLAIN),
    ]


def on_terminal(call: Callable[[], object]) -> str:
    """Return what a call writes to its stderr, which is a terminal."""
    import pty  # noqa: PLC0415 - there are no such terminals on Windows

    leader, follower = pty.openpty()
    read: list[bytes] = []

    def drain() -> None:
        with suppress(OSError):  # the end of a terminal
            while data := os.read(leader, 4096):
                read.append(data)

    reader = threading.Thread(target=drain)
    reader.start()
    before = sys.stderr
    with os.fdopen(follower, "w") as sys.stderr:
        call()
    sys.stderr = before
    reader.join()
    os.close(leader)
    return b"".join(read).decode().replace("\r\n", "\n")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such terminals")
def test_terminal_shows_source_line(mistaken: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without colours where they are not wanted."""
    monkeypatch.setenv("NO_COLOR", "1")

    output = on_terminal(lambda: mistaken("impex", "validate", "m.yaml"))

    assert output.splitlines() == [LINE, *EXCERPT, str(PLAIN)]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such terminals")
def test_a_terminal_gets_colours(mistaken: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Number and caret have them, the message stays readable."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)

    output = on_terminal(lambda: mistaken("impex", "validate", "m.yaml"))

    assert "\x1b[1;31m^\x1b[0m" in output
    assert output.startswith(f"{LINE}\n")


def test_an_error_of_another_kind_keeps_its_label(
    shell: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has no place in a file."""

    def refuse(*_: object) -> None:
        raise UsageError("two\nlines")

    monkeypatch.setattr(validate.selection, "options", refuse)

    assert shell("impex", "validate", "m.yaml").err == "error: two\nerror: lines\n"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such terminals")
def test_a_dumb_terminal_gets_no_colours(mistaken: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """``TERM=dumb`` says that it shows none."""
    monkeypatch.setenv("TERM", "dumb")

    output = on_terminal(lambda: mistaken("impex", "validate", "m.yaml"))

    assert "\x1b" not in output
    assert output.splitlines()[0] == LINE


def test_json_log_lines_are_json(mistaken: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Problems and what others print: all have the same first names."""

    def talk(*_: object) -> None:
        sys.stdout.write("printed \x1b[2J\n")
        sys.stderr.write("half a line")
        refuse()

    refuse = load.load
    monkeypatch.setattr(load, "load", talk)

    done = mistaken("impex", "validate", "m.yaml", "--log-format", "json")

    lines = [json.loads(line) for line in done.err.splitlines()]
    assert {"output", "problem"} == {line["event"] for line in lines}
    assert {"time", "level", "event", "run_id", "target", "message"} <= set(lines[0])
    problem = next(line for line in lines if line["event"] == "problem")
    assert problem["detail"] == {"file": "m.yaml", "line": 4, "column": 9, "path": "a"}
    assert any(line["message"] == "half a line" for line in lines)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--log-format", "json", "--no-such"], "impex-run: error: the following arguments"),
        (["m.yaml", "--log-format=json", "--jobs", "x"], "impex-run: error: argument --jobs"),
        (["m.yaml", "--log-f", "json", "--var", "x=\udce9"], "the argument 'x=\\udce9' is not"),
    ],
)
def test_a_usage_error_is_json_too(shell: Any, args: list[str], message: str) -> None:
    """A collector of logs reads it, whatever else of the command line is wrong."""
    done = shell("impex-run", *args)

    assert done.code == 2
    line = json.loads(done.err)
    assert (line["level"], line["event"]) == ("error", "error")
    assert message in line["message"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")
@pytest.mark.parametrize("json_lines", [True, False])
def test_interrupt_uses_log_format(capfd: pytest.CaptureFixture[str], *, json_lines: bool) -> None:
    """The line is written by the signal's handler, past the streams."""
    clock, streams = Clock(), install(Masker())
    message = "SIGTERM: stopping, nothing new is started; press Ctrl-C again to exit immediately"
    arguments = argparse.Namespace(log_format="json" if json_lines else "text")
    with streams.undo, stopped_by_signals(clock, open_console(arguments, Masker(), streams)):
        signal.raise_signal(signal.SIGTERM)

    output = capfd.readouterr().err
    assert (json.loads(output)["message"] if json_lines else output) == (
        message if json_lines else f"{message}\n"
    )
    assert clock.signum == signal.SIGTERM


def test_a_usage_error_is_cleaned(shell: Any) -> None:
    """An argument is shown, and does not reach the terminal."""
    done = shell("impex", "run", "m.yaml", "--\x1b[2J")

    assert done.code == 2
    assert "--\\x1b[2J" in done.err


def test_warnings_go_to_stderr(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """What may go wrong is no result: stderr has it, and says that it is a warning."""
    risky = Problem("m.yaml", 2, 1, "name", "may go wrong", "warning")
    masker = Masker()
    streams = install(masker)
    with streams.undo:
        console = open_console(argparse.Namespace(), masker, streams)

        validate._show_valid(CheckedManifest("m.yaml", True, 1, (risky,)), console)

    captured = capsys.readouterr()
    assert captured.err == "m.yaml:2:1: name: warning: may go wrong\n"
    assert captured.out == "m.yaml: valid, 1 target\n"
