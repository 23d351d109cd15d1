"""What a state on a store reads, and how often: of one target, of all of them, and ahead of use."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from fake_objects import START, FakeObjects, World

from spark_impex_runner.errors import StateError
from spark_impex_runner.state.models import Intent
from spark_impex_runner.state.store import State

if TYPE_CHECKING:
    from collections.abc import Iterator

KEY = "targets/m/a.json"


@pytest.fixture
def world() -> World:
    """Return a store with two targets, each with a job that runs."""
    world = World()
    with closing(State(world.storage())) as state:
        for name in ("a", "b"):
            attempt = state.intend(Intent("r1", f"m/{name}", "t", "f", "c"), START)
            state.note_job(attempt, f"job-{name}", START)
    world.requests.clear()
    return world


@pytest.fixture
def state(world: World) -> Iterator[State]:
    """Return the state as another process opens it."""
    with closing(State(world.storage())) as state:
        yield state


def test_owner_lists_targets_alone(world: World, state: State) -> None:
    """The runs of years are not read to find the target of a job."""
    owner = state.owner("job-b")

    assert owner
    assert owner.target == "m/b"
    assert [each for each in world.requests if each.startswith("LIST")] == ["LIST targets"]


def test_foreign_objects_are_skipped(world: World, state: State) -> None:
    """A note, a folder's marker, and a copy of an object whose job has ended since."""
    objects, copy = FakeObjects(world), world.objects[KEY].data
    with closing(State(world.storage())) as other:
        attempt = other.unfinished("m/a")
        assert attempt
        with other.storage.lease("m/a", START):
            attempt = other.unfinished("m/a")
            assert attempt
            other.finish(attempt, "succeeded", "", START)
    objects.put_always("targets/m/a (backup).json", copy)
    objects.put_always("targets/README.txt", b"hello")
    objects.put_always("targets/", b"")
    world.requests.clear()

    for _ in range(2):
        assert [each.target for each in state.open_attempts()] == ["m/b"]
        world.now += 60
    assert state.storage.unreadable() == ()
    assert world.requests.count("GET targets/m/a (backup).json") == 1


def test_one_unreadable_object_hides_no_owner(world: World, state: State) -> None:
    """It is named, until it can be read again."""
    readable = world.objects[KEY].data
    FakeObjects(world).put_always(KEY, b"{")

    assert state.owner("job-b")
    assert state.owner("job-a") is None
    [line] = state.storage.unreadable()
    assert line.startswith(f"s3://memory/impex/{KEY} is damaged (")

    FakeObjects(world).put_always(KEY, readable)
    world.now += 60
    assert state.owner("job-a")
    assert state.storage.unreadable() == ()


@pytest.mark.parametrize("content", [b"{", b"[]", b'{"format": 1, "schema": 1, "owner": null}'])
def test_damaged_object_stays_unreadable(world: World, state: State, content: bytes) -> None:
    """Who asks again at once does not get an empty target."""
    FakeObjects(world).put_always(KEY, content)

    for _ in range(2):
        with pytest.raises(StateError, match="is damaged"):
            state.unfinished("m/a")


def test_tables_of_another_kind_are_damaged(world: World, state: State) -> None:
    """A list in place of the tables is no internal error."""
    data = world.objects[KEY].data
    start, end = data.index(b'"tables": '), data.index(b', "owner"')
    FakeObjects(world).put_always(KEY, data[:start] + b'"tables": []' + data[end:])

    with pytest.raises(StateError, match="is damaged"):
        state.unfinished("m/a")


def test_prefetched_target_is_read_once(world: World, state: State) -> None:
    """However long it took until its turn came; from then on for some seconds."""
    state.storage.prefetch(["m/a"])
    world.now += 300
    for _ in range(2):
        assert state.unfinished("m/a")
    assert world.requests.count(f"GET {KEY}") == 1

    world.now += 6
    assert state.unfinished("m/a")
    assert world.requests.count(f"GET {KEY}") == 2


def test_prefetched_owner_is_read_again(world: World, state: State) -> None:
    """One that held the target then may have released it long ago: no run waits for it."""
    other = world.storage()
    with other.lease("m/a", START):
        state.storage.prefetch(["m/a"])
    world.now += 30
    before = world.now

    with state.storage.lease("m/a", START):
        assert world.now == before


def test_prefetch_leaves_errors_to_the_targets(world: World, state: State) -> None:
    """The damaged object is met by its target; the others are at hand."""
    FakeObjects(world).put_always(KEY, b"{")
    state.storage.prefetch(["m/a", "m/b"])
    world.requests.clear()

    assert state.unfinished("m/b")
    assert world.requests == []
    with pytest.raises(StateError, match="is damaged"):
        state.unfinished("m/a")


def test_lists_of_versioned_buckets(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A list has no ids of versions: what has the same ETag is not read again."""
    for key, found in world.objects.items():
        world.objects[key] = replace(found, version={**found.version, "version": "v1"})
    listed = FakeObjects.list
    monkeypatch.setattr(
        FakeObjects,
        "list",
        lambda self, folder: {
            key: {"e_tag": each["e_tag"]} for key, each in listed(self, folder).items()
        },
    )
    with closing(State(world.storage())) as state:
        assert len(state.open_attempts()) == 2
        world.now += 60
        world.requests.clear()
        assert len(state.open_attempts()) == 2

    assert world.requests[:1] == ["LIST targets"]
    assert not [each for each in world.requests if each.startswith("GET")]
