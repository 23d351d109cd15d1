"""Tasks: their order, their limits, and what ends them."""

from __future__ import annotations

import signal
import threading
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import replace
from graphlib import CycleError
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spark_impex_runner import blocking
from spark_impex_runner.clock import Clock
from spark_impex_runner.engine.tasks import Ready, TaskFunctions, run_all
from spark_impex_runner.errors import Interrupted
from spark_impex_runner.limits import HeldLimits, Limit

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

VAR: ContextVar[str] = ContextVar("VAR", default="")


class Recorder:
    """Does tasks by writing down their names; a name in ``bad`` ends badly."""

    def __init__(self, clock: Clock | None = None, bad: frozenset[str] = frozenset()) -> None:
        self.clock = clock or Clock()
        self.bad = bad
        self.limits: tuple[Limit, ...] = ()
        self.done: list[str] = []
        self.do: Callable[[str], None] = lambda _: None

    def run(self, name: str, held: HeldLimits) -> str:
        """Do a task, unless the clock was stopped."""
        with held:
            if self.clock.stopping():
                return "stopped"
            self.do(name)
            self.done.append(name)
            return "bad" if name in self.bad else "good"

    def all(
        self, needs: dict[str, list[str]], prepare: Callable[[str], str] | None = None
    ) -> dict[str, str]:
        """Run tasks; return their results."""
        return run_all(needs, self.functions(prepare), self.clock)

    def functions(self, prepare: Callable[[str], Any] | None = None) -> TaskFunctions[str]:
        """Return what the tasks do."""
        return TaskFunctions(
            prepare=prepare or (lambda _: Ready(self.limits)),
            run=self.run,
            skip=lambda _, why: f"skipped: {why}",
            cancel=lambda names: ["stopped"] * len(names),
            abandon=lambda _: "abandoned",
            blocked_reason=lambda result: "" if result == "good" else "did not succeed",
            stop=lambda: self.clock.stop(2),
        )


@st.composite
def graphs(draw: st.DrawFn) -> dict[str, list[str]]:
    """Return tasks in which each needs only earlier ones, shuffled."""
    needs = {}
    for number in range(draw(st.integers(1, 12))):
        earlier = draw(st.sets(st.integers(0, number - 1), max_size=3)) if number else set()
        needs[f"t{number}"] = [f"t{each}" for each in earlier]
    return {name: needs[name] for name in draw(st.permutations(sorted(needs)))}


@given(graphs(), st.sets(st.integers(0, 11)))
@settings(max_examples=50)
def test_tasks_follow_their_needs(needs: dict[str, list[str]], bad: set[int]) -> None:
    """In any graph a task runs after its needs, and only if all of them succeeded."""
    recorder = Recorder(bad=frozenset(f"t{number}" for number in bad))

    results = recorder.all(needs)

    assert list(results) == list(needs)
    assert len(recorder.done) == len(set(recorder.done))
    for name, needed in needs.items():
        good = all(results[need] == "good" for need in needed)
        assert (name in recorder.done) == good
        if good:
            at = recorder.done.index(name)
            assert all(recorder.done.index(need) < at for need in needed)


def test_skipped_task_names_its_need() -> None:
    """A task that needs a skipped one is skipped, too."""
    results = Recorder(bad=frozenset("a")).all({"a": [], "b": ["a"], "c": ["b"]})

    assert results == {
        "a": "bad",
        "b": "skipped: it needs a, which did not succeed",
        "c": "skipped: it needs b, which did not succeed",
    }


def test_tasks_in_a_queue_have_no_thread() -> None:
    """A thousand tasks wait for one place, and come in their order where they ask in it."""
    recorder, most = Recorder(), 0

    def count(_: str) -> None:
        nonlocal most
        most = max(most, threading.active_count())

    recorder.limits, recorder.do = (Limit(1), Limit(1)), count
    before = threading.active_count()

    results = recorder.all({f"t{number}": [] for number in range(1000)})

    assert set(results.values()) == {"good"}
    assert most <= before + 70


def test_few_tasks_are_prepared_at_once() -> None:
    """Two hundred tasks that take their time to prepare need no two hundred threads."""
    recorder, lock, count, most = Recorder(), threading.Lock(), 0, 0
    full, rest = threading.Event(), threading.Event()

    def prepare(_: str) -> str:
        nonlocal count, most
        with lock:
            count += 1
            most = max(most, count)
            if count == 64:
                full.set()
        rest.wait(20)
        with lock:
            count -= 1
        return "done"

    threading.Thread(target=lambda: full.wait(20) and rest.set()).start()
    results = recorder.all({f"t{number}": [] for number in range(200)}, prepare)

    assert set(results.values()) == {"done"}
    assert most == 64


def test_stop_ends_waiting_tasks() -> None:
    """A task that waits for a limit ends without it; one that waits on the clock is interrupted."""
    recorder, limit = Recorder(), Limit(1)
    recorder.limits, started = (limit,), threading.Event()

    def wait(_: str) -> None:
        started.set()
        try:
            recorder.clock.wait(3600)
        except Interrupted:
            recorder.done.append("interrupted")

    recorder.do = wait
    stopping = threading.Thread(target=lambda: started.wait(20) and recorder.clock.stop(15))
    stopping.start()

    results = recorder.all({f"t{number}": [] for number in range(20)})

    assert sorted(results.values()) == ["good", *["stopped"] * 19]
    assert recorder.done[0] == "interrupted"
    assert not recorder.clock._listeners
    limit.acquire(Clock())


def test_stop_cancels_all_waiting_tasks_at_once() -> None:
    """A thousand that wait for a limit, for a need or for their turn cost one call and no thread.

    Their limits are free afterwards; only what runs ends by itself.
    """
    recorder, calls = Recorder(), []
    first, second = Limit(2), Limit(1)
    recorder.limits = (first, second)
    needs = {"running": [], **{f"t{number}": [] for number in range(999)}, "last": ["running"]}

    def stop(_: str) -> None:
        started.set()
        queued.wait(20)
        recorder.clock.stop(15)

    started, queued = threading.Event(), threading.Event()

    def note(_: str, place: int) -> None:
        if place > 500:
            started.wait(20)
            queued.set()

    def cancel(names: Sequence[str]) -> list[str]:
        calls.append(names)
        return ["cancelled"] * len(names)

    recorder.do = stop
    work = replace(recorder.functions(), cancel=cancel, queued=note)

    results = run_all(needs, work, recorder.clock)

    [(runs, _)] = [(name, each) for name, each in results.items() if each == "good"]
    cancelled = [name for names in calls for name in names]
    assert recorder.done == [runs]
    assert sorted(cancelled) == sorted(needs.keys() - {runs})
    # All but those that were being prepared, or on their way to the second limit.
    assert len(calls[0]) > len(needs) - 70
    assert "last" in calls[0]
    for limit, width in ((first, 2), (second, 1)):
        for _ in range(width):
            limit.acquire(Clock())


def test_hanging_task_is_abandoned(monkeypatch: pytest.MonkeyPatch) -> None:
    """The other tasks keep their results."""
    monkeypatch.setattr("spark_impex_runner.engine.tasks.GIVE_UP", 0.0)
    monkeypatch.setattr("spark_impex_runner.engine.tasks._QUIET", 0.05)
    recorder, release, hangs = Recorder(), threading.Event(), threading.Event()

    def hang(name: str) -> None:
        if name == "a":
            hangs.set()
            release.wait(20)
        else:
            hangs.wait(20)
            recorder.clock.stop(15)

    recorder.do = hang

    results = recorder.all({"a": [], "b": []})

    assert results == {"a": "abandoned", "b": "good"}
    assert blocking.has_abandoned()
    release.set()


@pytest.mark.parametrize("error", [KeyboardInterrupt(), ValueError("a bug")])
def test_error_stops_other_tasks(error: BaseException) -> None:
    """A bug in one task stops the others, and is raised when they have ended."""
    recorder, waits = Recorder(), threading.Event()

    def fail(name: str) -> None:
        if name == "b":
            waits.wait(20)
            raise error
        waits.set()
        try:
            recorder.clock.wait(3600)
        except Interrupted:
            recorder.done.append("interrupted")

    recorder.do = fail

    with pytest.raises(type(error)) as caught:
        recorder.all({"a": [], "b": [], "c": ["b"]})

    assert caught.value is error
    assert recorder.done == ["interrupted", "a"]


def test_cycle_is_an_error_and_no_hang() -> None:
    """Planning refuses it; what comes here all the same is raised where it is awaited."""
    with pytest.raises(CycleError):
        Recorder().all({"a": ["b"], "b": ["a"]})


def test_ctrl_c_stops_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    """KeyboardInterrupt is raised in the caller after the tasks have ended."""
    recorder, join, started = Recorder(), threading.Thread.join, threading.Event()
    interrupts = iter([KeyboardInterrupt()])

    def interrupted(thread: threading.Thread, timeout: float | None = None) -> None:
        if thread.name == "impex-scheduler":
            for interrupt in interrupts:
                started.wait(20)
                raise interrupt
        join(thread, timeout)

    def wait(_: str) -> None:
        started.set()
        try:
            recorder.clock.wait(3600)
        except Interrupted:
            recorder.done.append("interrupted")

    monkeypatch.setattr(threading.Thread, "join", interrupted)
    recorder.do = wait

    with pytest.raises(KeyboardInterrupt):
        recorder.all({"a": []})

    assert recorder.done == ["interrupted", "a"]


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="this system has no such signals")
def test_signal_of_a_task_thread_stops_tasks() -> None:
    """The system may give it to any; Python runs the handler on the main one, when that wakes."""
    recorder = Recorder()
    before = signal.signal(signal.SIGUSR1, lambda signum, _: recorder.clock.stop(signum))

    def wait(_: str) -> None:
        signal.pthread_kill(threading.get_ident(), signal.SIGUSR1)
        with suppress(Interrupted):
            recorder.clock.wait(20)
        assert recorder.clock.stopping()

    recorder.do = wait
    try:
        assert recorder.all({"a": []}) == {"a": "good"}
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_tasks_have_own_contexts() -> None:
    """A task starts with the caller's context variables, and does not change another's."""
    recorder, seen = Recorder(), []

    def see(name: str) -> None:
        seen.append(VAR.get())
        VAR.set(name)

    recorder.limits, recorder.do = (Limit(1),), see
    token: Any = VAR.set("caller")
    try:
        recorder.all({"a": [], "b": [], "c": []})
    finally:
        VAR.reset(token)

    assert seen == ["caller"] * 3
