from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from types import ModuleType

COUNT = 3


class Broken(BaseException):
    """A failure that no ``except Exception`` sees."""


@pytest.fixture(autouse=True)
def crew(unzip: ModuleType, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Have the same number of threads on every machine."""
    monkeypatch.setattr(unzip.crew, "COUNT", COUNT)
    module: ModuleType = unzip.crew
    return module


def workers() -> list[str]:
    """Return the names of the step's threads that live."""
    return [each.name for each in threading.enumerate() if each.name.startswith("unzip")]


def test_every_item_is_worked_on_once(crew: ModuleType) -> None:
    """None is left out, none is taken by two threads, and no thread stays."""
    done: list[int] = []

    crew.share(range(1000), done.append, threading.Event())

    assert sorted(done) == list(range(1000))
    assert workers() == []


def test_threads_work_at_the_same_time(crew: ModuleType) -> None:
    """As many items are in work at once as there are threads."""
    meeting = threading.Barrier(COUNT, timeout=20)

    crew.share(range(COUNT), lambda _: meeting.wait(), threading.Event())

    assert not meeting.broken


def test_the_first_failure_ends_all(crew: ModuleType) -> None:
    """It is raised; what others break off with is not, and what waits is not begun."""
    ended, begun = threading.Event(), []
    meeting = threading.Barrier(COUNT, timeout=20)

    def work(item: int) -> None:
        begun.append(item)
        meeting.wait()
        if item == 1:
            raise Broken
        ended.wait(20)
        raise InterruptedError

    with pytest.raises(Broken):
        crew.share(range(50), work, ended)

    assert sorted(begun) == list(range(COUNT))
    assert workers() == []


def test_an_interrupt_of_the_caller_ends_all(
    crew: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C while the threads work does not leave them behind."""
    ended = threading.Event()

    def interrupted(_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(crew, "wait", interrupted)

    with pytest.raises(KeyboardInterrupt):
        crew.share(range(50), lambda _: ended.wait(20), ended)

    assert ended.is_set()
    assert workers() == []
