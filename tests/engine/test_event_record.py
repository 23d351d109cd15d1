"""Which events were handled: remembered for a while, under one lock for each manifest."""

from __future__ import annotations

from contextlib import ExitStack, closing
from typing import TYPE_CHECKING, Any

import pytest
from fake_objects import World

from spark_impex_runner.engine.event_record import REMEMBERED, recorded_event
from spark_impex_runner.engine.webhook import Event
from spark_impex_runner.models import RunOptions
from spark_impex_runner.state import opening
from spark_impex_runner.state.opening import open_state
from spark_impex_runner.testing import FakeClock

if TYPE_CHECKING:
    from pathlib import Path

DAY = 86_400
MANIFEST = """
version: 1
connections: {here: {base_url: "https://127.0.0.1/acme"}}
targets: [{name: a, services: ["${var:folder}/x"]}]
"""


class Events:
    """The events of one manifest, on a clock of their own."""

    def __init__(self, path: Path, options: RunOptions) -> None:
        self.path, self.options = path, options
        self.clock = FakeClock()

    def handle(self, event_id: str, exit_code: int = 0, **changes: Any) -> str:
        """Handle an event; return when it was handled before."""
        with self.open(event_id, **changes) as record:
            record.exit_code = exit_code
            return record.handled

    def open(self, event_id: str, **changes: Any) -> Any:
        """Return the block in which an event is handled."""
        options = RunOptions(state=self.options.state, **changes)
        event = Event(
            "PublishEngine", event_id, chosen=True, variables={"folder": "f", "version": "1"}
        )
        return recorded_event(self.path, options, event, self.clock)

    def stored(self) -> list[str]:
        """Return the ids of all events in the state."""
        with closing(open_state(self.options.state or self.path.parent / ".impex")) as state:
            sql = "SELECT key FROM memories WHERE target = 'm/_events' ORDER BY key"
            return [row["key"] for row in state.storage.read(None, sql)]


@pytest.fixture(params=["folder", "store"])
def events(request: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Events:
    """Return the events of a manifest with a state in a folder or in an object store."""
    (tmp_path / "m.yaml").write_text(MANIFEST)
    world = World()
    monkeypatch.setattr(opening, "_object_storage", lambda *_: world.storage())
    url = "s3://memory/impex" if request.param == "store" else None
    return Events(tmp_path / "m.yaml", RunOptions(state=url))


def test_handled_event_is_remembered(events: Events) -> None:
    """For thirty days from its end; then it is run again, as if it had not been there."""
    assert events.handle("one") == ""
    events.clock.wait(REMEMBERED.days * DAY)
    assert events.handle("one") == "2026-01-02T12:00:00Z"
    assert events.handle("one", fresh=True) == ""
    events.clock.wait(REMEMBERED.days * DAY + 1)
    assert events.handle("one") == ""


@pytest.mark.parametrize(("code", "handled"), [(0, True), (9, True), (4, False), (143, False)])
def test_failed_event_is_not_handled(events: Events, code: int, handled: bool) -> None:
    """Nor one that was interrupted; a pending approval is for another command."""
    events.handle("one", code)

    assert bool(events.handle("one")) is handled


def test_old_events_are_removed(events: Events) -> None:
    """With the next one: neither the state nor its lock files grow without end."""
    leases = events.path.parent / ".impex/leases"
    files = []
    for number in range(9):
        events.handle(f"{number}")
        files.append(len(list(leases.glob("*"))))
        events.clock.wait(5 * DAY)

    assert events.stored() == list("2345678")
    assert files[-1] == files[0]


@pytest.mark.parametrize("events", ["folder"], indirect=True)
def test_events_of_a_manifest_wait_for_each_other(
    events: Events, caplog: pytest.LogCaptureFixture
) -> None:
    """They run the same targets; the same event makes one run, and a handled one needs no lock."""
    caplog.set_level("INFO")
    events.handle("done")
    for again, handled in (("one", "2026-01-02T12:00:06Z"), ("two", "")):
        with ExitStack() as other:
            other.enter_context(events.open("one", fresh=True)).exit_code = 0
            end = iter([lambda: None, lambda: None, other.close])
            events.clock.at_wait = lambda _, end=end: next(end)()  # type: ignore[misc]
            assert events.handle("done")
            assert events.handle(again) == handled

    said = [record.getMessage() for record in caplog.records]
    assert [each.partition(" process ")[0] for each in said] == [
        "waiting: another event of m is handled by"
    ] * 2


def test_manifest_gets_its_own_variables(events: Events) -> None:
    """What it neither sets nor uses is left out: it would be a warning in each run."""
    with events.open("one") as record:
        assert record.variables == {"folder": "f"}
