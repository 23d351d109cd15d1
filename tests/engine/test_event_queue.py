"""The queue of events on disk: in order, each once, and for one listener at a time."""

from __future__ import annotations

import json
import os
import stat
from datetime import datetime, timezone
from typing import TYPE_CHECKING

import pytest

from spark_impex_runner import atomic
from spark_impex_runner.engine.event_queue import EventQueue
from spark_impex_runner.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NOW = datetime(2026, 1, 31, tzinfo=timezone.utc)


@pytest.fixture
def queue(tmp_path: Path) -> Iterator[EventQueue]:
    """Return an open queue."""
    found = EventQueue(tmp_path / "events")
    with found.open(NOW):
        yield found


def test_oldest_event_is_first(queue: EventQueue) -> None:
    """Another queue of the same folder, as after a kill, has the same events in the same order."""
    for name in ("b", "a", "c"):
        assert queue.put(name, json.dumps({"name": name}).encode("utf-16"))

    again, found = EventQueue(queue.folder), []
    while path := again.first():
        found.append(json.loads(path.read_text(encoding="utf-8"))["name"])
        again.remove(path)

    assert found == ["b", "a", "c"]
    assert len(queue) == 0


def test_queued_event_is_stored_once(queue: EventQueue) -> None:
    """Until it has left; one that was set aside may come again, and is one file after all."""
    assert queue.put("a", b"{}")
    assert not queue.put("a", b"{}")
    first = queue.first()
    assert first
    aside = queue.set_aside(first)

    assert (aside.parent.name, len(queue)) == ("failed", 0)
    assert queue.put("a", b"{}")
    second = queue.first()
    assert second
    assert queue.set_aside(second) == aside
    assert list(aside.parent.iterdir()) == [aside]


def test_refusing_disk_leaves_nothing(queue: EventQueue, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error reaches the receiver, which then answers no 202."""

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(atomic.os, "fsync", full)

    with pytest.raises(OSError, match="No space left"):
        queue.put("a", b"{}")
    assert list(queue.folder.glob("*a*.json")) == []


def test_second_listener_is_refused(queue: EventQueue) -> None:
    """The line names the process that has the queue."""
    with (
        pytest.raises(UsageError, match=r"^the queue .* is used by process .* with --queue DIR$"),
        EventQueue(queue.folder).open(NOW),
    ):
        raise AssertionError


def test_queued_event_is_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before it is answered: the file, then its name in the folder. The tests do without else."""
    synced: list[bool] = []
    monkeypatch.setattr(os, "fsync", lambda fd: synced.append(stat.S_ISDIR(os.fstat(fd).st_mode)))

    assert EventQueue(tmp_path).put("one", b"{}")

    assert synced == [False, *([True] if hasattr(os, "O_DIRECTORY") else [])]
