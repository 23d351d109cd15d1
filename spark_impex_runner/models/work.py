"""Runs, plans, jobs, artifacts and events: what the runner works on and passes to plugins."""

from __future__ import annotations

import time
import warnings
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from spark_impex_runner.errors import StepError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime
    from pathlib import Path

    from spark_impex_runner.models.imports import ServiceForecast
    from spark_impex_runner.models.manifest import Manifest, Target
    from spark_impex_runner.models.wire import RemoteFile, Request, ServiceVersion, Status


@dataclass(frozen=True, slots=True)
class Run:
    """One run of one manifest, as every hook sees it.

    Attributes:
        id: The id of the run.
        date: The day on which it began in UTC, ``2026-01-31``.
        manifest: The manifest.
        targets: The selected targets, in their order.
        started: When it began, in UTC.
        connect: Returns the open ``spark_impex_runner.Spark`` client of a connection by its name.
            The client belongs to the run: do not close it.
        approved: The connections that were approved for the called step, for the packages and the
            work that an earlier run held; empty for other steps and other hooks.
        guarded: The files that no delivery may replace; ``tools.Ownership`` reads it.
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
class PlannedTarget:
    """One target and the request that will be sent for it.

    Attributes:
        target: The target.
        request: The request.
        url: The URL that ``body`` is sent to by POST.
        body: The JSON text, as it will be sent.
        kept: Whether ``if_exists: keep`` finds an earlier delivery: nothing will be sent.
        resolved: The services that each entry of ``services`` was replaced with, by the entry.
    """

    target: Target
    request: Request
    url: str
    body: str
    kept: bool = False
    resolved: Mapping[str, Sequence[str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PlannedStep:
    """The dry run of a step.

    Attributes:
        uses: The name of the step.
        summary: One line about what it would do.
        problem: One line about why it cannot do that; else empty.
        services: What an import would do with each service at its destination.
    """

    uses: str
    summary: str = ""
    problem: str = ""
    services: tuple[ServiceForecast, ...] = ()

    @property
    def does_nothing(self) -> bool:
        """Whether all services of an import are identical at its destination."""
        return bool(self.services) and all(each.is_identical for each in self.services)

    @property
    def told(self) -> str:
        """The old name of ``summary``, for one release."""
        warnings.warn("told is now called summary", DeprecationWarning, stacklevel=2)
        return self.summary


@dataclass(frozen=True, slots=True)
class Forecast:
    """What a run would do for one target, according to the state.

    Attributes:
        planned: What would be sent.
        action: ``create`` (a new job), ``adopt`` (resume an earlier one), ``unchanged`` (nothing)
            or ``fail`` (its records in the state cannot be read).
        job_id: The id of the job to resume; empty if the reply with it was lost.
        note: One more line for the user.
        steps: The dry runs of the steps that offer ``dry_run``.
        usual: Seconds that earlier jobs took, of the same request or else of requests of its size;
            None without any.
        replaces: When the delivery in the output that a run would replace was complete, in UTC;
            None if there is none.
        changes: Whether a run would change anything: not if the target is unchanged, nor if it
            only exports what is identical wherever its steps bring it.
        warnings: One line each about what may go wrong with the export, and what to do.
    """

    planned: PlannedTarget
    action: str
    job_id: str = ""
    note: str = ""
    steps: tuple[PlannedStep, ...] = ()
    usual: float | None = None
    replaces: datetime | None = None
    changes: bool = True
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Artifact:
    """A file or folder of a target.

    Attributes:
        path: Its current path: a partial file until it is verified.
        name: Its path relative to the target's output, with ``/``; that of a folder ends with
            ``/``.
        size: Bytes; of a folder, those of all its files.
        sha256: The SHA-256 in lower-case hexadecimal, of a folder that of ``tools.folder_digest``;
            empty if it is unknown.
        remote: What it was downloaded from.
        hash_agreed: Whether the tenant's hash agreed; None if it gave none in a known notation.
        made_by: ``download``, or the name of the step that made it.
        digests: Further digests known since the download, in hexadecimal, by the algorithm's name.
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
        """True if it was downloaded, also after a step has changed it."""
        return self.made_by == "download"


class KeyValueStore:
    """Texts by key that a step stores for its later attempts and runs on the same target.

    This class stores them in the process only. A run hands its steps one that writes each text to
    disk before ``put`` returns, with secrets masked.
    """

    def __init__(self) -> None:
        self._values: dict[str, str] = {}

    def get(self, key: str) -> str:
        """Return the text of a key, empty if there is none."""
        return self._values.get(key, "")

    def put(self, key: str, value: str) -> None:
        """Store a text under a key, in place of an earlier one."""
        self._values[key] = value

    def put_later(self, key: str, value: str) -> None:
        """Store a text that the next run can do without if this one is killed."""
        self.put(key, value)


@dataclass(frozen=True, slots=True)
class Held:
    """The work of a step on one package that waits for an approval.

    Attributes:
        to: The name of the connection that the package goes to.
        sha256: The SHA-256 of the package, in hexadecimal.
        does: All that the step would do with the package, as JSON values.
    """

    to: str
    sha256: str
    does: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Approval:
    """An approval of work that was held.

    Attributes:
        covers: The packages, each as ``CONNECTION@SHA256``.
        by: The name of the person who approved; empty if unknown.
        named_by: Where the name comes from: ``--approved-by``, a variable of the CI system such as
            ``GITHUB_ACTOR``, or ``operating system``.
        at: When, as ISO 8601 in UTC.
        run_id: The id of the run that was given the approval; empty for ``impex approve``.
    """

    covers: tuple[str, ...]
    by: str
    named_by: str
    at: str
    run_id: str = ""


@dataclass(frozen=True, slots=True)
class Imported:
    """A package that a step has imported to a tenant, for the signed records.

    Attributes:
        package: The name of the package.
        sha256: The SHA-256 of the package, in hexadecimal.
        to: The name of the connection.
        tenant: The tenant's base URL.
        job_id: The id of the import job.
        at: When the job was seen completed, as ISO 8601 in UTC.
        lock: The entry of the lock file: ``package`` and ``import``; None without one.
    """

    package: str
    sha256: str
    to: str
    tenant: str
    job_id: str
    at: str
    lock: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Delivery:
    """A complete delivery of an earlier run for a target.

    Attributes:
        finished: When it was complete, in UTC.
        run_id: The id of that run.
        job_id: The id of the job.
        output: The folder of its files.
        services: The services that the tenant reported.
        service_versions: The versions that the tenant reported.
        artifacts: The packages and what steps made, as they were then.
    """

    finished: datetime
    run_id: str
    job_id: str
    output: Path
    services: tuple[ServiceVersion, ...]
    service_versions: tuple[ServiceVersion, ...]
    artifacts: tuple[Artifact, ...]


def _no_backup(connection: str, services: Sequence[str], folder: str) -> Path:
    """Raise, as where no run exports anything."""
    raise StepError(f"{folder}: only a run exports {', '.join(services)} from {connection}")


@dataclass(frozen=True, slots=True)
class Job:
    """One export job of one target, as far as it has come.

    A request that is too large is split; each part then has a job.

    Attributes:
        run: The run.
        target: The target.
        request: The request, with patterns resolved.
        tenant: The tenant's base URL.
        started: When work on the target began, in UTC.
        stopping: Returns True once the run is interrupted: long work must then end.
        id: The id of the job; empty before it is created.
        part: The name of the part of a split request that the job is for; else empty.
        parts: The ids of the jobs of all parts, for the target as a whole.
        status: The last status payload; None before the first.
        artifacts: The packages, and what earlier steps made.
        last: The last delivery; only ``impex_unchanged`` and ``impex_plan_step`` get it.
        memory: The values that the called step has stored, also in earlier attempts and runs.
        wait: Waits so many seconds; raises ``Interrupted`` as soon as the run is interrupted.
        cache: A folder for what a step can make again, kept between runs; None without one.
        approval: The approved work of the step, by the names of the packages.
        approved: Who approved that; None without an approval.
        placed: The records of what the target's runs put into its output; ``tools.Ownership`` reads
            and writes them.
        backup: Exports all versions of services of a connection and returns the folder of the
            packages with their receipt. Called with the connection, ``folder/service`` texts, and
            the path of the folder in the output: with the same path again, it resumes the same
            export, or returns it if it is complete.
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
    memory: KeyValueStore = field(default_factory=KeyValueStore, repr=False, compare=False)
    wait: Callable[[float], None] = field(default=time.sleep, repr=False, compare=False)
    cache: Path | None = field(default=None, repr=False, compare=False)
    approval: Mapping[str, Held] = field(default_factory=dict)
    approved: Approval | None = None
    placed: KeyValueStore = field(default_factory=KeyValueStore, repr=False, compare=False)
    backup: Callable[[str, Sequence[str], str], Path] = field(
        default=_no_backup, repr=False, compare=False
    )

    @property
    def packages(self) -> tuple[Artifact, ...]:
        """The artifacts that were downloaded, in their order."""
        return tuple(each for each in self.artifacts if each.is_package)


@dataclass(frozen=True, slots=True)
class Poll:
    """The wait so far, as the input of a polling strategy.

    Attributes:
        strategy: The name of the strategy.
        options: The strategy's own options.
        checks: How many status requests have been answered.
        elapsed: Seconds since the wait began.
        remaining: Seconds before the deadline.
        retry_interval: The target's ``retry_interval``, in seconds.
        retry_after: Seconds that the server asked to wait in its last reply.
        durations: Seconds that earlier jobs of the same request took, the newest first; empty if
            the job began before this wait.
        similar: The same for other requests of the same size class.
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
    """An event of a job.

    Attributes:
        event: The stable name of the event, ``job.created``.
        at: When it happened, in UTC.
        message: One line about it.
        detail: More facts as JSON values by name.
    """

    event: str
    at: datetime
    message: str
    detail: Mapping[str, Any] = field(default_factory=dict)
