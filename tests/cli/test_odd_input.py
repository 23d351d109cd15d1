"""Odd values, paths and states of the file system: none of them is an internal error."""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spark_impex_runner import atomic
from spark_impex_runner.cli import main
from spark_impex_runner.engine.defaults import impex_poll_delay
from spark_impex_runner.models import Poll
from spark_impex_runner.planning import prepare
from spark_impex_runner.quantity import seconds
from spark_impex_runner.state.lease import lease

if TYPE_CHECKING:
    from pathlib import Path

PRICING = "  - {name: pricing, services: ['motor/pricing[1.4.2]'], output: out}\n"
ODD = st.sampled_from(
    [
        *(
            None,
            True,
            0,
            -1,
            1.5,
            10**15,
            10**17,
            1e299,
            "",
            "x",
            "..",
            "/",
            "/dev/null",
            "s3://b/x",
        ),
        *("\x1b[2J", "\n", "\u202e", "\0", "${env:HOME}", "${run.id}", "999999999999999h", "1e400"),
        *("a" * 300, "a/" * 2100, "~", "http://[::1", "*/*", "["),
        *([], {}, [1], {"a": 1}),
    ]
)
PLACES = st.sampled_from(
    [
        *("name", "vars", "report", "notify", "requires", "defaults", "include", "x-a"),
        *("connections.c.sandbox", "connections.c.base_url", "connections.c.timeout"),
        *("connections.c.jobs", "connections.c.auth", "connections.c.verify_tls"),
        *("targets.0.services", "targets.0.output", "targets.0.retry_interval", "targets.0.matrix"),
        *("targets.0.max_retries", "targets.0.max_package", "targets.0.correlation_id"),
        *("targets.0.polling", "targets.0.steps", "targets.0.needs", "targets.0.tags"),
        *("targets.0.polling.deadline", "targets.0.steps.0.with", "targets.0.steps.0.retry"),
    ]
)
WORDS = st.lists(
    st.sampled_from(
        [
            *("-t", "--var", "--output", "--state", "-p", "-f", "--tag", "--color", "--format"),
            *("1", "9" * 5000, "x=", "=", "no:", "no:x", "/", "/dev/null", "a" * 300, "x=\udce9"),
            *("\x1b[2J", "a\0b", "m.json", "acme", "json", "--", "~", "x=y"),
        ]
    ),
    max_size=4,
)


def executed(*args: str) -> tuple[Any, str]:
    """Return the exit code of a command, and all that it has written."""
    with contextlib.redirect_stdout(io.StringIO()) as written, contextlib.redirect_stderr(written):
        try:
            main.main(list(args))
        except SystemExit as error:
            return error.code, written.getvalue()


def put(document: Any, place: str, value: Any) -> None:
    """Put a value at a dotted place."""
    *way, last = [int(key) if key.isdigit() else key for key in place.split(".")]
    for key in way:
        document = document[key]
    document[last] = value


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(PLACES, ODD, WORDS)
def test_odd_input_is_never_a_bug(shell: Any, place: str, value: Any, args: list[str]) -> None:
    """Each is valid, or refused with its place: the exit code is never 1."""
    target = {
        "name": "a",
        "services": ["motor/pricing"],
        "polling": {"strategy": "fixed"},
        "steps": [{"uses": "checksum"}],
    }
    document = {"version": 1, "connections": {"c": {"sandbox": "acme"}}, "targets": [target]}
    put(document, place, value)
    (shell.folder / "m.json").write_text(json.dumps(document))

    code, said = executed("validate", "m.json", *args)

    assert code in {0, 2, 7}
    assert "internal error" not in said


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("IMPEX_VAR_X", "caf\udce9", "the environment variable IMPEX_VAR_X is not UTF-8 text"),
        ("HERE", "caf\udce9", "what ${env:HERE} stands for is not UTF-8 text"),
    ],
)
def test_undecodable_variable_is_reported(
    shell: Any, monkeypatch: pytest.MonkeyPatch, name: str, value: str, message: str
) -> None:
    """No request and no state could hold it."""
    shell.write("  - {name: a, folders: [motor], source_system: '${env:HERE}${var:x}'}\n")
    monkeypatch.setenv("HERE", "here")
    monkeypatch.setenv("IMPEX_VAR_X", "x")
    monkeypatch.setenv(name, value)

    done = shell("impex", "validate", "m.yaml")

    assert done.code == 2
    assert message in done.err


def test_a_file_with_nul_is_no_value(shell: Any) -> None:
    """A reference is no way around the check of the manifest's text."""
    shell.write("  - {name: a, folders: [motor], output: '${file:x}'}\n")
    (shell.folder / "x").write_bytes(b"a\0b")

    done = shell("impex", "validate", "m.yaml")

    assert done.code == 2
    assert "m.yaml:4:41: targets[0].output: what ${file:x} stands for holds a NUL" in done.err


@pytest.mark.parametrize("output", ["x" * 256, "y/" * 2000])
def test_unusable_output_is_refused(shell: Any, output: str) -> None:
    """It is found when the manifest is validated, with its place."""
    shell.write(f"  - {{name: a, folders: [motor], output: '{output}'}}\n")

    done = shell("impex", "validate", "m.yaml")

    assert done.code == 2
    assert done.err.startswith("m.yaml:4:41: targets[0].output: the path ")


def test_a_locale_without_the_name_is_named(shell: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """With LC_ALL=C, and without Python's UTF-8 mode, file names are ASCII."""
    shell.write("  - {name: a, folders: [motor], output: caf\xe9}\n")
    monkeypatch.setattr(os, "fsencode", lambda path: str(path).encode("ascii"))

    done = shell("impex", "validate", "m.yaml")

    assert done.code == 2
    assert "the encoding of file names here, ascii, cannot encode" in done.err
    assert done.err.endswith("set PYTHONUTF8=1 or a UTF-8 locale\n")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows keeps the working folder")
def test_a_run_needs_no_working_folder(shell: Any) -> None:
    """It may be removed while a run is under way, or before."""
    shell.write(PRICING)
    gone = shell.folder / "gone"
    gone.mkdir()
    os.chdir(gone)
    gone.rmdir()

    done = shell("impex-run", "-q", str(shell.folder / "m.yaml"))

    assert done.code == 0
    assert f"output: {shell.folder / 'out'}" in done.out


@pytest.mark.skipif(sys.platform == "win32", reason="Windows keeps the working folder")
def test_a_relative_path_needs_a_working_folder(shell: Any) -> None:
    """One line says so, and nothing was sent."""
    shell.write(PRICING)
    gone = shell.folder / "gone"
    gone.mkdir()
    os.chdir(gone)
    gone.rmdir()

    done = shell("impex-run", "-q", str(shell.folder / "m.yaml"), "--output", "out")

    assert done.code == 2
    assert done.err == "error: No such file or directory\n"


def test_os_errors_are_no_bugs(shell: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Too many open files, a full disk: the reason in one line, and no call for a report."""

    def refuse(*_: object) -> None:
        raise OSError(24, "Too many open files", "/tmp/x")  # noqa: S108

    shell.write(PRICING)
    monkeypatch.setattr(prepare, "make_plan", refuse)

    done = shell("impex-run", "-q", "m.yaml")

    assert done.code == 4
    assert done.err == "error: /tmp/x: Too many open files\n"


def test_a_long_name_can_be_locked(tmp_path: Path, clock: Any) -> None:
    """Manifest and target may each have a name that fills a file's."""
    with lease(tmp_path, f"{'m' * 200}/{'a' * 200}1", clock.now()):
        pass
    with lease(tmp_path, f"{'m' * 200}/{'a' * 200}2", clock.now()):
        pass

    assert len(list((tmp_path / "leases").glob("*.lock"))) == 2


def test_a_file_holds_any_text(tmp_path: Path) -> None:
    """Half a character is escaped, and a name may be as long as a name can be."""
    path = tmp_path / ("n" * 255)

    atomic.write_text(path, '{"name": "\udce9\u65e5"}')

    assert json.loads(path.read_text(encoding="utf-8")) == {"name": "\udce9\u65e5"}


def test_the_longest_duration_has_an_end(clock: Any) -> None:
    """A century can be added to a date, and grown by the strategy, without an overflow."""
    longest = seconds("999999999999999h")
    options = {"factor": 1e308, "max": longest}

    poll = Poll("exponential", options, 90, 0.0, longest, retry_interval=longest)

    assert impex_poll_delay(poll) == longest
    assert clock.now() + timedelta(seconds=longest) > clock.now()
