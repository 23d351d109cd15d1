"""What the engine works on."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime
    from pathlib import Path

    from spark_impex_runner.models.manifest import Manifest, Target
    from spark_impex_runner.models.wire import RemoteFile, Request, ServiceVersion, Status


@dataclass(frozen=True, slots=True)
class Run:
    """One run of one manifest, as every hook sees it.

    ``approved`` are the names for which the step that is called was approved, for the packages and
    the work that an earlier run held: nothing is approved for any other step, nor for other hooks.
    ``guarded`` is the ``paths.Guarded`` that knows which files no delivery may replace.

    ``connect(name)`` gives the open ``spark_impex_runner.Spark`` client of a connection; it
    belongs to the run. (Its type is not named here: this module stands below the client.)
    """

    id: str
    date: str
    manifest: Manifest
    targets: tuple[Target, ...]
    started: datetime
    connect: Callable[[str], Any] = field(repr=False)
    approved: frozenset[str] = frozenset()
    guarded: Any = field(default=None, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Planned:
    """One target with what will be sent for it: ``body`` is POSTed to ``url`` as it stands.

    ``kept`` is True where ``if_exists: keep`` finds an earlier delivery: nothing will be sent.
    ``resolved`` maps each entry of ``services`` that is not sent as it stands to what it became.
    """

    target: Target
    request: Request
    url: str
    body: str
    kept: bool = False
    resolved: Mapping[str, Sequence[str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PlannedStep:
    """What a step would do, in one line, or why it cannot."""

    uses: str
    told: str = ""
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Forecast:
    """What a run would do for one target, as far as the runner's memory tells.

    ``action`` is ``create`` (a new job), ``adopt`` (go on with what an earlier run began) or
    ``unchanged`` (nothing). ``job_id`` is the adopted job's, empty where the reply with it was
    lost. ``note`` is what a person should know besides. ``steps`` are those that tell what they
    would do.
    """

    planned: Planned
    action: str
    job_id: str = ""
    note: str = ""
    steps: tuple[PlannedStep, ...] = ()


@dataclass(frozen=True, slots=True)
class Artifact:
    """A file or folder that a target holds.

    ``path`` is where it lies now (a partial file until it is proven), ``name`` its path relative
    to the target's output. ``hash_agreed`` is None where the tenant gave no hash in a known form.
    ``digests`` are those known since the download, in hexadecimal, by the algorithm's name.
    """

    path: Path
    name: str
    size: int = 0
    sha256: str = ""
    remote: RemoteFile | None = field(default=None, repr=False)
    hash_agreed: bool | None = None
    made_by: str = "download"
    digests: Mapping[str, str] = field(default_factory=dict, compare=False)

    @property
    def is_package(self) -> bool:
        """Whether it was downloaded; a step that changes a package does not change that."""
        return self.made_by == "download"


class Memory:
    """Text by key, for one step of one target: what it has to know in later attempts and runs.

    This one is lost with the process. A step of a run is handed one that is on disk before
    ``put`` returns, and in which secrets are masked.
    """

    def __init__(self) -> None:
        self._kept: dict[str, str] = {}

    def get(self, key: str) -> str:
        """Return what was put under a key, an empty text where nothing was."""
        return self._kept.get(key, "")

    def put(self, key: str, value: str) -> None:
        """Keep a text under a key, in place of an earlier one."""
        self._kept[key] = value


@dataclass(frozen=True, slots=True)
class Held:
    """What a step holds for one package: where it goes, its bytes, and all that is done with it."""

    to: str
    sha256: str
    does: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Delivery:
    """What an earlier run delivered for a target, completely, and put into ``output``.

    ``services`` and ``service_versions`` are what the tenant said that the job held.
    """

    finished: datetime
    run_id: str
    job_id: str
    output: Path
    services: tuple[ServiceVersion, ...]
    service_versions: tuple[ServiceVersion, ...]
    artifacts: tuple[Artifact, ...]


@dataclass(frozen=True, slots=True)
class Job:
    """One export job of one target, as far as it has come. ``tenant`` is its base URL.

    A request that was too large is divided: ``part`` then names the part that a job is for, and
    ``parts`` are, for the target as a whole, the ids of the jobs that made its packages.
    ``stopping()`` is True once the run is being interrupted: long work should then return.
    ``wait(seconds)`` waits, and raises ``Interrupted`` as soon as the run is.
    ``last`` is the last delivery, filled in where ``impex_unchanged`` is asked.
    ``memory`` is that of the step which is handed the job. ``approval`` is what the step was
    approved to do, by the names of the packages; empty where it was approved nothing. ``placed``
    holds the records of what the target's runs have put into its output, which
    ``ownership.Ownership`` reads and writes.
    """

    run: Run
    target: Target
    request: Request
    tenant: str
    started: datetime
    stopping: Callable[[], bool] = field(repr=False)
    id: str = ""
    part: str = ""
    parts: tuple[str, ...] = ()
    status: Status | None = None
    artifacts: tuple[Artifact, ...] = ()
    last: Delivery | None = None
    memory: Memory = field(default_factory=Memory, repr=False, compare=False)
    wait: Callable[[float], None] = field(default=time.sleep, repr=False, compare=False)
    approval: Mapping[str, Held] = field(default_factory=dict)
    placed: Memory = field(default_factory=Memory, repr=False, compare=False)

    @property
    def packages(self) -> tuple[Artifact, ...]:
        """The artifacts that the tenant made, in the order in which they came."""
        return tuple(each for each in self.artifacts if each.is_package)


@dataclass(frozen=True, slots=True)
class Poll:
    """The wait so far: what a polling strategy decides on.

    ``checks`` status requests have been answered in ``elapsed`` seconds; ``remaining`` seconds
    are left before the deadline; ``retry_after`` is what the server asked for last.
    ``durations`` are the seconds that earlier jobs of the same request on this tenant took,
    newest first; ``similar`` are those of other requests that asked for as much. Both are empty
    where the job began before this wait.
    """

    strategy: str
    options: Mapping[str, Any]
    checks: int
    elapsed: float
    remaining: float
    retry_interval: float | None = None
    retry_after: float | None = None
    durations: tuple[float, ...] = ()
    similar: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Change:
    """Something that happened to a job, after it is certain.

    ``event`` is a stable name like ``job.created``; ``detail`` holds plain JSON values.
    """

    event: str
    at: datetime
    message: str
    detail: Mapping[str, Any] = field(default_factory=dict)
