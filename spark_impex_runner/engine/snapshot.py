"""What a run does at one moment, as values."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from spark_impex_runner.models import Outcome


@dataclass(frozen=True, slots=True)
class Activity:
    """What one target does.

    Attributes:
        connection: The name of its connection.
        target: Its name.
        phase: ``starting``, ``queued``, ``creating``, ``running``, ``downloading`` or ``steps``.
        elapsed: Seconds since this phase began.
        usual: Seconds that such a job usually runs; 0 if no earlier one is known.
        busy: Whether it waits until the tenant has finished another job.
        blocker: Whose that job is; empty if unknown.
        step: The step that runs, with its place, ``unzip 2/3``.
        received: Bytes that are downloaded.
        size: Bytes of the packages; 0 while unknown.
        rate: Bytes downloaded a second; 0 while unknown.
    """

    connection: str
    target: str
    phase: str
    elapsed: float = 0.0
    usual: float = 0.0
    busy: bool = False
    blocker: str = ""
    step: str = ""
    received: int = 0
    size: int = 0
    rate: float = 0.0

    @property
    def left(self) -> float:
        """Seconds until the download is complete at this rate; 0 if unknown."""
        return (self.size - self.received) / self.rate if self.size and self.rate else 0.0


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What a run does at one moment.

    Attributes:
        name: The name of the manifest.
        run_id: The id of the run.
        elapsed: Seconds since the run began.
        targets: The number of its targets.
        connections: The names of their connections.
        longest: The longest of their names.
        ended: How many of them have ended, by outcome.
        active: Those that have begun and not ended.
        queued: The names of those that wait for a job of their tenant, by connection.
        held: The connection whose approval a held target waits for, by the target's name.
        distributed: Whether other processes run the targets, of which only the ends are known.
        stopping: Whether a signal has stopped the run.
    """

    name: str
    run_id: str
    elapsed: float
    targets: int
    connections: tuple[str, ...] = ()
    longest: str = ""
    ended: Mapping[Outcome, int] = field(default_factory=dict)
    active: tuple[Activity, ...] = ()
    queued: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    held: Mapping[str, str] = field(default_factory=dict)
    distributed: bool = False
    stopping: bool = False

    @property
    def done(self) -> int:
        """How many targets have ended."""
        return sum(self.ended.values())
