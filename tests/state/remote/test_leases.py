"""Leases: who owns a target, who takes it over and when, and what a runner that lost it may do."""

from __future__ import annotations

import json
import logging
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from fake_objects import START, World

from spark_impex_runner.errors import Interrupted, StateError, StateUnavailableError
from spark_impex_runner.state.local import LocalStorage
from spark_impex_runner.state.remote import storage as remote_storage
from spark_impex_runner.state.runs import PastRun
from spark_impex_runner.state.store import State
from spark_impex_runner.state.transfer import migrate

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from spark_impex_runner.state.remote import ObjectStorage

TARGET = "nightly/motor"
KEY = ("nightly/motor", "step", "value")
KILLED: list[ExitStack] = []


@pytest.fixture
def world() -> Iterator[World]:
    """Return an empty store."""
    yield World()
    for stack in KILLED:
        with suppress(StateError):
            stack.close()
    KILLED.clear()


def own(storage: ObjectStorage, target: str = TARGET) -> ExitStack:
    """Lock a target until the stack is closed, or for good: then it is as after a kill."""
    stack = ExitStack()
    stack.enter_context(storage.lease(target, START))
    KILLED.append(stack)  # one that is collected would release it
    return stack


def value(world: World) -> str:
    """Return what another process reads."""
    with closing(State(world.storage())) as state:
        return state.value(KEY)


def fence(world: World) -> int:
    """Return the fencing number of the target's object."""
    return int(json.loads(world.objects["targets/nightly/motor.json"].data)["fence"])


def test_dead_runner_is_taken_over_within_90_s(world: World) -> None:
    """Its lease ends 60 s after its last renewal, by the store's clock."""
    dead = world.storage()
    own(dead)
    killed = world.now = 19.9  # just before its first renewal

    with own(world.storage()):
        assert world.now > 60
        assert world.now - killed <= 90
        assert fence(world) == 2


def test_wait_is_reported_once(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """A person sees for whom the runner waits, and how long at most, not in silence."""
    caplog.set_level(logging.INFO, "spark_impex_runner")
    dead = world.storage()
    own(dead)
    own(dead, "nightly/life")

    with closing(world.storage()) as second, own(second), own(second, "nightly/life"):
        pass

    [message] = [record.getMessage() for record in caplog.records]
    assert re.search(r"process \d+ on \S+ since \S+ may be at work there", message)
    assert message.endswith("waiting to see, 90 s at most")


def test_live_runner_is_named(world: World) -> None:
    """As soon as it has renewed its lease, there is nothing to wait for."""
    one, two = world.storage(), world.storage()
    with own(one):
        world.now = 10

        def renew() -> None:
            world.now += 5
            one._lease.renew()  # type: ignore[union-attr]

        two._clock.wait = lambda _: renew()  # type: ignore[method-assign]
        with pytest.raises(StateError, match=r"motor is locked by process \d+ on .* since 2026"):
            own(two)
        assert world.now == 15
        one.check()
        # Its other targets need not be waited for again.
        with own(one, "nightly/second"):
            with pytest.raises(StateError, match="second is locked by"):
                own(two, "nightly/second")
            assert world.now == 15


def test_released_targets_are_free_at_once(world: World) -> None:
    """Also those of a run that has ended without a release of each."""
    one = world.storage()
    own(one)
    one.close()

    with own(world.storage()):
        assert world.now == 0


def test_suspended_runner_writes_nothing_more(world: World) -> None:
    """Before anything else it learns from its lease who has continued its work."""
    sleeper, other = world.storage(), world.storage()
    stack = own(sleeper)
    state = State(sleeper)
    state.store_value(KEY, "before")
    world.now += 70
    own(other)
    State(other).store_value(KEY, "other")
    stored = dict(world.objects)

    with pytest.raises(
        StateUnavailableError, match=r"lost the lease on s3://memory/impex: process \d+ on"
    ):
        sleeper.check()
    with pytest.raises(StateError, match="lost the lease"):
        state.store_value(KEY, "after")
    with pytest.raises(StateError, match="lost the lease"):
        stack.close()
    with pytest.raises(StateError, match="lost the lease"):
        own(sleeper, "nightly/other")
    assert world.objects == stored
    assert value(world) == "other"


def test_suspended_runner_goes_on_alone(world: World) -> None:
    """Where no other run has continued its work, its lease can be renewed, which proves that."""
    sleeper = world.storage()
    with own(sleeper):
        world.now += 3000
        sleeper.check()
        State(sleeper).store_value(KEY, "after")

    assert value(world) == "after"


def test_outage_of_the_store_is_waited_for(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """For ten minutes, with one warning; then the runner gives up and says why."""
    storage = world.storage()
    own(storage)
    world.now += 61
    world.faults = ["failed"] * 20
    storage.check()
    assert 160 <= world.now <= 170
    [message] = [record.getMessage() for record in caplog.records]
    assert message.endswith("lease: error sending request; waiting for the store, 600 s at most")

    world.now += 61
    world.faults = ["failed"] * 1000
    with pytest.raises(StateError, match=r"renewed for 60\d s: error sending request; .*run again"):
        storage.check()


def test_taken_lease_cannot_be_renewed(world: World) -> None:
    """A runner whose clock stood still learns who continues from its next renewal."""
    sleeper = world.storage()
    sleeper._age = lambda: 0.0
    with own(sleeper, "nightly/other"):
        pass
    lease = sleeper._lease
    assert lease
    lease._age = lambda: 0.0
    own(sleeper)
    world.now += 70

    with own(world.storage()):
        with pytest.raises(StateError, match=r"process \d+ on .* continues its targets"):
            lease.renew()
        with pytest.raises(StateError, match="lost the lease"):
            sleeper.check()


def test_write_that_slept_is_refused(world: World) -> None:
    """Suspended between its check and its write, it still overwrites nothing."""
    sleeper, other = world.storage(), world.storage()
    own(sleeper)

    def take_over() -> None:
        world.now += 100
        own(other)
        State(other).store_value(KEY, "other")

    world.interrupt = take_over
    with pytest.raises(StateError, match="lost the lease"):
        State(sleeper).store_value(KEY, "sleeper")

    assert value(world) == "other"
    with pytest.raises(StateError, match="lost the lease"):
        sleeper.check()


def test_renewal_survives_a_short_outage(world: World) -> None:
    """Renewals may fail for as long as the lease is worth, and even be stored without a reply."""
    storage = world.storage()
    with own(storage):
        lease = storage._lease
        assert lease
        for fault in ("failed", "lost"):
            world.now += 20
            world.faults = [fault]
            with pytest.raises(StateError, match="error"):
                lease.renew()
            storage.check()
        world.now += 10
        lease.renew()
        world.now += 55
        storage.check()


def test_stop_ends_the_wait_for_a_dead_runner(world: World) -> None:
    """No run has to wait for the end of a lease after Ctrl-C."""
    own(world.storage())
    waiting = world.storage()

    def stopped(_: float) -> None:
        raise Interrupted(2)

    waiting._clock.wait = stopped  # type: ignore[method-assign]
    with pytest.raises(Interrupted):
        own(waiting)


def test_hundreds_of_targets_watch_one_lease(world: World) -> None:
    """The lease of a dead run is read once for all of its targets that wait."""
    dead = world.storage()
    for number in range(100):
        own(dead, f"nightly/t{number}")
    world.requests.clear()

    storage = world.storage()
    for number in range(100):
        own(storage, f"nightly/t{number}")

    of_leases = [each for each in world.requests if "leases/" in each]
    assert len(of_leases) < 60
    assert len(world.requests) < 100 * 4


def test_lost_lease_of_one_target_changed_by_hand(world: World) -> None:
    """An object that was restored is not overwritten, and the other targets go on."""
    storage = world.storage()
    with own(storage, "nightly/other"):
        own(storage)
        key = "targets/nightly/motor.json"
        edited = world.objects[key].data.replace(b'"owner": {', b'"owner": null, "x": {')
        world.objects[key] = type(world.objects[key])(edited, {"e_tag": '"x"'}, world.time)

        with pytest.raises(StateError, match="changed by something else than a runner"):
            State(storage).store_value(KEY, "v")
        storage.check()


def test_write_without_reply_is_known_later(world: World) -> None:
    """A write that failed on its way back counts as the own one when the next is refused."""
    storage = world.storage()
    with own(storage):
        world.faults = ["lost"]
        with pytest.raises(StateError, match="reply"):
            State(storage).store_value(KEY, "one")
        State(storage).store_value(KEY, "two")

    assert value(world) == "two"


def test_targets_are_written_in_parallel(world: World) -> None:
    """The request of one target waits for no other one: a store may take its time."""
    storage = world.storage()
    for number in range(20):
        own(storage, f"nightly/t{number}")
    # All twenty writes have to be on their way before one of them is answered.
    together = threading.Barrier(20, timeout=30)
    put = storage._objects.put

    def slow(*words: Any, **more: Any) -> Any:
        together.wait()
        return put(*words, **more)

    storage._objects.put = slow  # type: ignore[method-assign]

    def store(number: int) -> None:
        State(storage).store_value((f"nightly/t{number}", "step", "value"), "v")

    with ThreadPoolExecutor(20) as pool:
        list(pool.map(store, range(20)))
    storage._objects.put = put  # type: ignore[method-assign]


@pytest.mark.parametrize("days", [-1, 1])
def test_migration_asks_the_store_for_the_time(
    world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, days: int
) -> None:
    """A run at work is seen, and a killed one is not waited for, whatever this machine's clock."""

    class Wrong(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:
            del tz
            return world.time + timedelta(days=days)

    monkeypatch.setattr(remote_storage, "datetime", Wrong)
    with closing(LocalStorage(tmp_path / "copy")) as copy:
        runner = State(world.storage())
        stack = ExitStack()
        stack.enter_context(runner.storage.run_lease("r1"))
        KILLED.append(stack)
        runner.begin_run(PastRun("r1", "m.yaml", START), [TARGET])
        with pytest.raises(StateError, match="run r1 uses it"):
            migrate(world.storage(), copy, START)

        world.now += 90
        assert migrate(world.storage(), copy, START).runs == 1
