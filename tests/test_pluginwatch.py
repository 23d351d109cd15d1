"""Calls of plugins are named, timed and traced."""

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
from spark_impex_runner.hooks.monitor import Named, PluginRaisedError, Watch
from spark_impex_runner.hooks.specs import StepOutput, hookimpl
from spark_impex_runner.models import Verdict

if TYPE_CHECKING:
    from pathlib import Path

WHO = Named("shout", "impex-shout")


@pytest.fixture
def trace(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """Ask for a trace."""
    caplog.set_level(logging.DEBUG, "spark_impex_runner.trace")
    return caplog


def raising(error: BaseException) -> Any:
    """Return a function that raises."""

    def run() -> None:
        raise error

    return run


@pytest.mark.parametrize("error", [ValueError("a\nb"), SystemExit(3), StopIteration()])
def test_what_a_plugin_raises_is_its_own_error(error: BaseException) -> None:
    """The message names plugin, distribution and hook, and says how to go on without it."""
    with pytest.raises(PluginRaisedError) as caught:
        Watch().run(WHO, "impex_poll_delay", raising(error))

    words = f"{type(error).__name__}: {error}".replace("\n", " ").strip()
    assert str(caught.value) == (
        f"plugin shout (impex-shout) failed in impex_poll_delay: {words}; "
        "-p no:shout runs without it"
    )


@pytest.mark.parametrize("error", [StepError("no room"), KeyboardInterrupt()])
def test_our_errors_and_the_users_interrupt_pass(error: BaseException) -> None:
    """A step fails on purpose, and Ctrl-C is nobody's fault."""
    with pytest.raises(type(error)) as caught:
        Watch().run(WHO, "impex_run_step", raising(error))

    assert caught.value is error


def test_nobody_is_told_to_run_without_what_is_essential() -> None:
    """The cure would be refused."""
    with pytest.raises(PluginRaisedError) as caught:
        Watch().run(Named("defaults", essential=True), "impex_poll_delay", raising(KeyError("x")))

    assert str(caught.value) == "plugin defaults failed in impex_poll_delay: KeyError: 'x'"


def test_a_call_that_takes_long_is_told_of_and_each_time_it_has_doubled(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Whoever waits hears for whom, and how to run without it."""
    watch = Watch()
    caplog.set_level(logging.INFO)

    def slow() -> None:
        now = time.monotonic()
        for seconds in (59, 60.2, 90, 122):
            watch.look(now + seconds)

    watch.run(WHO, "impex_poll_delay", slow, {"job": Named("motor")})
    watch.look(time.monotonic() + 1000)

    told = "plugin shout (impex-shout) has been in impex_poll_delay(job=motor) for {} s; "
    cure = "-p no:shout runs without it"
    assert [round(float(line.split(" for ")[1].split()[0])) for line in caplog.messages] == [
        60,
        122,
    ]
    assert caplog.messages[1] == told.format(122) + cure
    assert {record.levelname for record in caplog.records} == {"WARNING"}


@pytest.mark.parametrize(
    ("what", "after", "level"),
    [
        ("import", 10.5, "WARNING"),
        ("impex_register", 10.5, "WARNING"),
        ("impex_run_step", 60.5, "INFO"),
    ],
)
def test_loading_is_told_of_sooner_and_a_step_is_no_warning(
    caplog: pytest.LogCaptureFixture, what: str, after: float, level: str
) -> None:
    """Nothing else happens while a plugin is loaded; a step may have much to do."""
    watch = Watch()
    caplog.set_level(logging.INFO)

    watch.run(WHO, what, lambda: watch.look(time.monotonic() + after - 1))
    watch.run(WHO, what, lambda: watch.look(time.monotonic() + after))

    assert [record.levelname for record in caplog.records] == [level]


def test_somebody_looks_while_a_call_is_under_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread of the watch looks by itself, and is gone when nothing is under way."""
    monkeypatch.setattr("spark_impex_runner.hooks.monitor._TICK", 0.001)
    watch, looked = Watch(), threading.Event()
    monkeypatch.setattr(watch, "look", lambda _: looked.set())

    watch.run(WHO, "impex_poll_delay", lambda: looked.wait(30))

    assert looked.is_set()
    thread = watch._thread
    assert thread is None or not thread.join(30)
    assert watch._thread is None


class Shout:
    """A plugin that answers one hook and wraps another."""

    @hookimpl
    def impex_poll_verdict(self, status: Any) -> Verdict:
        """Answer."""
        assert status
        return Verdict.DONE

    @hookimpl(wrapper=True)
    def impex_run_step(self, step: Any) -> Any:
        """Pass on what comes."""
        assert step
        return (yield)


class Quiet:
    """A plugin that answers another one, with a text that is too long to be shown."""

    @hookimpl
    def impex_run_step(self) -> Any:
        """Answer."""
        return StepOutput([Named("files/"), 1, "x" * 500])


def traced(trace: pytest.LogCaptureFixture) -> list[str]:
    """Return the lines of the trace without their times."""
    return [line.rpartition(", ")[0] for line in trace.messages if line.endswith(" ms")]


def test_a_trace_has_each_call_with_its_plugin_and_result(trace: pytest.LogCaptureFixture) -> None:
    """Arguments are named as people call them, and a wrapper has a line for each half."""
    plugins = Plugins()
    plugins.manager.register(Quiet(), "quiet")
    plugins.manager.register(Shout(), "shout")

    plugins.decide("impex_poll_verdict", job=Named("motor"), status=Named("closed"))
    plugins.decide("impex_run_step", job=Named("motor"), step=Named("note"), artifact=Named("a"))

    assert traced(trace) == [
        "plugin shout: impex_poll_verdict(status=closed): DONE",
        "plugin shout: impex_run_step(step=note): None",
        "plugin quiet: impex_run_step: StepOutput",
        "plugin shout: impex_run_step(step=note): StepOutput",
    ]


def test_a_trace_shows_a_text_as_a_whole_or_not_at_all(trace: pytest.LogCaptureFixture) -> None:
    """Half a secret is one that nobody masks."""
    watch = Watch()

    watch.run(WHO, "impex_resolve_uri", lambda: ["a" * 200, "b" * 201, *"cdefg"])

    shown = f"['{'a' * 200}', a text of 201 characters, 'c', 'd', 'e', 2 more]"
    assert traced(trace) == [f"plugin shout (impex-shout): impex_resolve_uri: {shown}"]


def test_a_trace_tells_of_a_call_that_raised(trace: pytest.LogCaptureFixture) -> None:
    """The call stands there as well; the error is told by whoever catches it."""
    with pytest.raises(StepError):
        Watch().run(WHO, "impex_run_step", raising(StepError("no room")))

    assert traced(trace) == ["plugin shout (impex-shout): impex_run_step: raised an error"]


def test_without_a_trace_nothing_is_said(caplog: pytest.LogCaptureFixture) -> None:
    """The calls of a run are many."""
    caplog.set_level(logging.INFO)

    Watch().run(WHO, "impex_run_step", lambda: None)

    assert not caplog.messages


def test_what_a_plugin_offers_is_told_of_where_it_takes_long_and_its_secret_is_not(
    trace: pytest.LogCaptureFixture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A vault that does not answer is named like a hook; what it answers is in no trace."""
    code = (
        "from spark_impex_runner import hookimpl\nLOOK = None\n"
        "def read(key):\n    LOOK()\n    return 'a-secret'\n"
        "@hookimpl\ndef impex_register(registry):\n"
        "    registry.source('safe', 'A safe.', read)\n"
    )
    (tmp_path / "vaulted.py").write_text(code)
    plugins = make_plugin_manager(PluginChoice(files=(tmp_path / "vaulted.py",)))
    watch = plugins.manager.watch
    read = plugins.registry.sources["safe"].read
    module = sys.modules["impex_plugin_vaulted"]
    monkeypatch.setattr(module, "LOOK", lambda: watch.look(time.monotonic() + 61))

    assert read("x") == "a-secret"

    assert traced(trace)[-1] == "plugin vaulted: source safe: done"
    assert "plugin vaulted has been in source safe for 61 s; -p no:vaulted runs" in trace.text
    assert "a-secret" not in trace.text
