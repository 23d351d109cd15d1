"""An object store in memory, whose clock and faults the tests control, for many runners at once."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from spark_impex_runner.clock import Clock
from spark_impex_runner.errors import StateError
from spark_impex_runner.state.remote.objects import Found, RefusedError
from spark_impex_runner.state.remote.storage import ObjectStorage
from spark_impex_runner.state.remote.timing import Timing

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

START = datetime(2026, 1, 1, tzinfo=timezone.utc)


@dataclass
class World:
    """Objects and the time, which all runners share.

    ``faults`` are those of the next writes: ``lost`` after it was stored, ``failed`` before.
    ``interrupt`` is called once, in the middle of the next write.
    """

    now: float = 0.0
    objects: dict[str, Found] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    interrupt: Callable[[], None] | None = None
    count: int = 0
    requests: list[str] = field(default_factory=list)

    @property
    def time(self) -> datetime:
        """The store's time, in whole seconds as stores have it."""
        return START + timedelta(seconds=int(self.now))

    def storage(self, timing: Timing | None = None) -> ObjectStorage:
        """Return the state as one more process opens it; nothing renews its lease by itself."""
        return ObjectStorage(
            "s3://memory/impex",
            clock=WorldClock(self),
            timing=timing or Timing(renewal=60.0),
            age=lambda: self.now,
            objects=FakeObjects(self),  # type: ignore[arg-type]
        )


class WorldClock(Clock):
    """A clock whose waits let the world's time pass."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self._world = world

    def now(self) -> datetime:
        """Return the world's time."""
        return self._world.time

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self._world.now += seconds


class FakeObjects:
    """What ``Objects`` does, on a world."""

    place = "s3://memory/impex"

    def __init__(self, world: World) -> None:
        self._world = world
        # True for those of a process that was killed.
        self.is_dead = False

    def get(self, key: str, *, once: bool = False) -> Found | None:
        """Return an object."""
        del once
        self._world.requests.append(f"GET {key}")
        return self._world.objects.get(key)

    def put(
        self, key: str, data: bytes, expected: Mapping[str, str] | None, *, once: bool = False
    ) -> Mapping[str, str]:
        """Write an object conditionally."""
        del once
        if self.is_dead:
            raise StateError("killed")
        self._world.requests.append(f"PUT {key}")
        interrupt, self._world.interrupt = self._world.interrupt, None
        if interrupt:
            interrupt()
        fault = self._world.faults.pop() if self._world.faults else ""
        if fault == "failed":
            raise StateError("s3://memory/impex: error sending request")
        found = self._world.objects.get(key)
        if (found.version if found else None) != expected:
            raise RefusedError
        self.put_always(key, data)
        if fault == "lost":
            raise StateError("s3://memory/impex: error reading the reply")
        if fault == "repeated":  # by the client itself, after a lost reply
            raise RefusedError
        return self._world.objects[key].version

    def put_always(self, key: str, data: bytes) -> None:
        """Write an object."""
        self._world.count += 1
        version = {"e_tag": f'"{self._world.count}"'}
        self._world.objects[key] = Found(data, version, self._world.time)

    def list(self, folder: str) -> dict[str, Any]:
        """Return keys and versions."""
        self._world.requests.append(f"LIST {folder}")
        objects = self._world.objects.items()
        return {key: found.version for key, found in objects if key.startswith(f"{folder}/")}

    def has(self, folder: str) -> bool:
        """Return whether there is an object."""
        return bool(self.list(folder))
