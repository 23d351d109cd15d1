"""The monitor names plugins that fail, warns of slow calls, and traces each call."""

from __future__ import annotations

import logging
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from spark_impex_runner.errors import StepError
from spark_impex_runner.hooks.discovery import PluginChoice
from spark_impex_runner.hooks.manager import Plugins, make_plugin_manager
from spark_impex_runner.hooks.monitor import CallMonitor, PluginRaisedError, PluginRef
from spark_impex_runner.hooks.specs import StepOutput, hookimpl
from spark_impex_runner.models import Verdict

if TYPE_CHECKING:
    from pathlib import Path

SHOUT = PluginRef("shout", "impex-shout")


@pytest.fixture
def trace(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """Turn the trace on."""
    caplog.set_level(logging.DEBUG, "spark_impex_runner.trace")
    return caplog


def raising(error: BaseException) -> Any:
    """Return a function that raises."""

    def run() -> None:
        raise error

    return run


@pytest.mark.parametrize("error", [ValueError("a\nb"), SystemExit(3), StopIteration()])
def test_foreign_errors_name_the_plugin(error: BaseException) -> None:
    """The message names plugin, distribution and hook, and the option that disables it."""
    with pytest.raises(PluginRaisedError) as caught:
        CallMonitor().run(SHOUT, "impex_poll_delay", raising(error))

    words = f"{type(error).__name__}: {error}".replace("\n", " ").strip()
    assert str(caught.value) == (
        f"plugin shout (impex-shout) failed in impex_poll_delay: {words}; "
        "-p no:shout runs without it"
    )


@pytest.mark.parametrize("error", [StepError("no room"), KeyboardInterrupt()])
def test_own_errors_and_interrupts_pass(error: BaseException) -> None:
    """A step fails on purpose, and no plugin causes Ctrl-C."""
    with pytest.raises(type(error)) as caught:
        CallMonitor().run(SHOUT, "impex_run_step", raising(error))

    assert caught.value is error


def test_essential_plugins_have_no_disable_hint() -> None:
    """The runner refuses to start without them."""
    with pytest.raises(PluginRaisedError) as caught:
        CallMonitor().run(
            PluginRef("defaults", essential=True), "impex_poll_delay", raising(KeyError("x"))
        )

    assert str(caught.value) == "plugin defaults failed in impex_poll_delay: KeyError: 'x'"


def test_slow_call_warns_at_each_doubling(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The warning names the plugin, and the option that disables it."""
    monitor = CallMonitor()
    caplog.set_level(logging.INFO)

    def slow() -> None:
        now = time.monotonic()
        for seconds in (59, 60.2, 90, 122):
            monitor.warn_if_slow(now + seconds)

    monitor.run(SHOUT, "impex_poll_delay", slow, {"job": PluginRef("motor")})
    monitor.warn_if_slow(time.monotonic() + 1000)

    message = "plugin shout (impex-shout) has been in impex_poll_delay(job=motor) for {} s; "
    hint = "-p no:shout runs without it"
    assert [round(float(line.split(" for ")[1].split()[0])) for line in caplog.messages] == [
        60,
        122,
    ]
    assert caplog.messages[1] == message.format(122) + hint
    assert {record.levelname for record in caplog.records} == {"WARNING"}


@pytest.mark.parametrize(
    ("what", "after", "level"),
    [
        ("import", 10.5, "WARNING"),
        ("impex_register", 10.5, "WARNING"),
        ("impex_run_step", 60.5, "INFO"),
    ],
)
def test_slow_loading_warns_sooner_than_steps(
    caplog: pytest.LogCaptureFixture, what: str, after: float, level: str
) -> None:
    """Nothing else happens while a plugin loads; a slow step is only logged as INFO."""
    monitor = CallMonitor()
    caplog.set_level(logging.INFO)

    monitor.run(SHOUT, what, lambda: monitor.warn_if_slow(time.monotonic() + after - 1))
    monitor.run(SHOUT, what, lambda: monitor.warn_if_slow(time.monotonic() + after))

    assert [record.levelname for record in caplog.records] == [level]


def test_monitor_thread_ends_with_last_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread checks the calls in progress, and ends when there are none."""
    monkeypatch.setattr("spark_impex_runner.hooks.monitor._CHECK_SECONDS", 0.001)
    monitor, checked = CallMonitor(), threading.Event()
    monkeypatch.setattr(monitor, "warn_if_slow", lambda _: checked.set())

    monitor.run(SHOUT, "impex_poll_delay", lambda: checked.wait(30))

    assert checked.is_set()
    thread = monitor._thread
    assert thread is None or not thread.join(30)
    assert monitor._thread is None


class Shout:
    """A plugin that answers one hook and wraps another."""

    @hookimpl
    def impex_poll_verdict(self, status: Any) -> Verdict:
        """Answer."""
        assert status
        return Verdict.DONE

    @hookimpl(wrapper=True)
    def impex_run_step(self, step: Any) -> Any:
        """Return the result unchanged."""
        assert step
        return (yield)


class Quiet:
    """A plugin whose answer holds a text that is too long to be shown."""

    @hookimpl
    def impex_run_step(self) -> Any:
        """Answer."""
        return StepOutput([PluginRef("files/"), 1, "x" * 500])


def traced(trace: pytest.LogCaptureFixture) -> list[str]:
    """Return the lines of the trace without their durations."""
    return [line.rpartition(", ")[0] for line in trace.messages if line.endswith(" ms")]


def test_trace_shows_plugin_call_and_result(trace: pytest.LogCaptureFixture) -> None:
    """Arguments appear by their names, and a wrapper has a line for each half."""
    plugins = Plugins()
    plugins.manager.register(Quiet(), "quiet")
    plugins.manager.register(Shout(), "shout")

    plugins.call("impex_poll_verdict", job=PluginRef("motor"), status=PluginRef("closed"))
    plugins.call(
        "impex_run_step", job=PluginRef("motor"), step=PluginRef("note"), artifact=PluginRef("a")
    )

    assert traced(trace) == [
        "plugin shout: impex_poll_verdict(status=closed): DONE",
        "plugin shout: impex_run_step(step=note): None",
        "plugin quiet: impex_run_step: StepOutput",
        "plugin shout: impex_run_step(step=note): StepOutput",
    ]


def test_trace_never_cuts_a_text(trace: pytest.LogCaptureFixture) -> None:
    """The masker cannot find half a secret."""
    monitor = CallMonitor()

    monitor.run(SHOUT, "impex_resolve_uri", lambda: ["a" * 200, "b" * 201, *"cdefg"])

    shown = f"['{'a' * 200}', a text of 201 characters, 'c', 'd', 'e', 2 more]"
    assert traced(trace) == [f"plugin shout (impex-shout): impex_resolve_uri: {shown}"]


def test_trace_includes_calls_that_raised(trace: pytest.LogCaptureFixture) -> None:
    """The trace shows the call; the code that catches the error reports it."""
    with pytest.raises(StepError):
        CallMonitor().run(SHOUT, "impex_run_step", raising(StepError("no room")))

    assert traced(trace) == ["plugin shout (impex-shout): impex_run_step: raised an error"]


def test_no_trace_unless_turned_on(caplog: pytest.LogCaptureFixture) -> None:
    """A run makes thousands of calls."""
    caplog.set_level(logging.INFO)

    CallMonitor().run(SHOUT, "impex_run_step", lambda: None)

    assert not caplog.messages


def test_slow_source_warns_without_its_secret(
    trace: pytest.LogCaptureFixture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A source that hangs is warned of like a hook; its value is in no trace."""
    code = (
        "from spark_impex_runner import hookimpl\nLOOK = None\n"
        "def read(key):\n    LOOK()\n    return 'a-secret'\n"
        "@hookimpl\ndef impex_register(registry):\n"
        "    registry.source('safe', 'A safe.', read)\n"
    )
    (tmp_path / "vaulted.py").write_text(code)
    plugins = make_plugin_manager(PluginChoice(files=(tmp_path / "vaulted.py",)))
    monitor = plugins.manager.monitor
    read = plugins.registry.sources["safe"].read
    module = sys.modules["impex_plugin_vaulted"]
    monkeypatch.setattr(module, "LOOK", lambda: monitor.warn_if_slow(time.monotonic() + 61))

    assert read("x") == "a-secret"

    assert traced(trace)[-1] == "plugin vaulted: source safe: done"
    assert "plugin vaulted has been in source safe for 61 s; -p no:vaulted runs" in trace.text
    assert "a-secret" not in trace.text
