"""The values that flow from stage to stage: frozen, slotted, no behaviour but derived facts.

Times are aware UTC ``datetime`` values, durations are seconds, sizes are bytes. A field that
may hold a secret or a signed URL is kept out of ``repr``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime
    from pathlib import Path


# The file beside every delivery that says what was delivered.
RECEIPT = "impex-receipt.json"

# ---- what the manifest says -------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Auth:
    """Credentials of one connection: exactly one scheme is filled in."""

    token: str | None = field(default=None, repr=False)
    api_key: str | None = field(default=None, repr=False)
    client_id: str | None = field(default=None, repr=False)
    client_secret: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Connection:
    """One tenant and how to talk to it.

    One of ``base_url``, ``env`` with ``tenant``, and ``sandbox`` says where it is; none means
    the ``CSPARK_*`` environment. ``auth`` None means the ``CSPARK_*`` environment, too.
    ``jobs`` None means: ask the tenant for its limit.
    """

    name: str
    base_url: str | None = None
    env: str | None = None
    tenant: str | None = None
    sandbox: Path | None = None
    auth: Auth | None = None
    jobs: int | None = None
    downloads: int = 4
    requests_per_second: float | None = None
    timeout: float = 60.0
    verify_tls: bool | str = True


@dataclass(frozen=True, slots=True)
class Polling:
    """How a job is waited for; ``options`` are the strategy's own, checked by its schema."""

    strategy: str = "adaptive"
    options: Mapping[str, Any] = field(default_factory=dict)
    deadline: float = 1800.0
    stall_after: float = 1320.0
    on_deadline: str = "leave"


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a target; ``options`` are the step's own, checked by its schema."""

    uses: str
    options: Mapping[str, Any] = field(default_factory=dict, repr=False)
    attempts: int = 1
    interval: float = 1.0
    on_failure: str = "fail"


@dataclass(frozen=True, slots=True)
class Target:
    """One thing to export, where it goes and what is done with it."""

    name: str
    connection: str
    output: Path
    tags: tuple[str, ...] = ()
    services: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()
    version_ids: tuple[str, ...] = ()
    file_filter: str = "migrate"
    version_filter: str = "latest"
    source_system: str | None = None
    correlation_id: str | None = None
    file_name: str | None = None
    max_retries: int | None = None
    retry_interval: float | None = None
    polling: Polling = field(default_factory=Polling)
    if_exists: str = "replace"
    missing: str = "fail"
    on_interrupt: str = "cancel"
    needs: tuple[str, ...] = ()
    steps: tuple[Step, ...] = ()


@dataclass(frozen=True, slots=True)
class Manifest:
    """A whole manifest: validated, expanded, references resolved.

    ``reports`` maps a format (``json``, ``junit``, ``html``) to the file to write; ``overlays``
    are the files that changed it.
    """

    path: Path
    name: str
    connections: Mapping[str, Connection]
    targets: tuple[Target, ...]
    reports: Mapping[str, Path] = field(default_factory=dict)
    overlays: tuple[Path, ...] = ()


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What the command line may say about a run; every field has its option's name.

    ``overlays`` are files that change the manifest, one after the other.
    ``targets`` are globs, ``until`` is empty or ``"download"``, ``reports`` maps a format to a
    file and is added to the manifest's own. ``state`` is the folder of the runner's memory, by
    default ``.impex`` beside the manifest; ``fresh`` goes on with nothing of an earlier run;
    ``job`` is the id of a job to go on with, for a single target. ``alone`` leaves out what the
    chosen targets need.
    """

    targets: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    overlays: tuple[Path, ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict)
    until: str = ""
    fail_fast: bool = False
    jobs: int | None = None
    output: Path | None = None
    state: Path | None = None
    fresh: bool = False
    job: str = ""
    alone: bool = False
    reports: Mapping[str, Path] = field(default_factory=dict)
    blocked_plugins: frozenset[str] = frozenset()
    plugin_files: tuple[Path, ...] = ()


@dataclass(frozen=True, slots=True)
class Run:
    """One run of one manifest, as every hook sees it.

    ``connect(name)`` gives the open ``spark_impex_runner.Spark`` client of a connection; it
    belongs to the run. (Its type is not named here: this module stands below the client.)
    """

    id: str
    date: str
    manifest: Manifest
    targets: tuple[Target, ...]
    started: datetime
    connect: Callable[[str], Any] = field(repr=False)


# ---- what goes over the wire --------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Request:
    """An export request, field by field as the API names them (spark/export.py encodes it)."""

    folders: tuple[str, ...] = ()
    services: tuple[str, ...] = ()
    version_ids: tuple[str, ...] = ()
    file_filter: str = "migrate"
    version_filter: str = "latest"
    source_system: str | None = None
    correlation_id: str | None = None
    file_name: str | None = None


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
class Forecast:
    """What a run would do for one target, as far as the runner's memory tells.

    ``action`` is ``create`` (a new job), ``adopt`` (go on with what an earlier run began) or
    ``unchanged`` (nothing). ``job_id`` is the adopted job's, empty where the reply with it was
    lost. ``note`` is what a person should know besides.
    """

    planned: Planned
    action: str
    job_id: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """One file that a finished job offers. The URL is a capability, hence a secret."""

    url: str = field(repr=False)
    file_hash: str | None = None


@dataclass(frozen=True, slots=True)
class ServiceVersion:
    """One service, or one version of it, that the tenant says a job delivers."""

    folder: str
    service: str
    service_id: str = ""
    version: str = ""
    version_id: str = ""

    @property
    def uri(self) -> str:
        """``folder/service`` or ``folder/service[version]``."""
        base = f"{self.folder}/{self.service}"
        return f"{base}[{self.version}]" if self.version else base


@dataclass(frozen=True, slots=True)
class Status:
    """One status payload of a job. ``word`` is the API's ``status``; ``data`` is the raw JSON."""

    id: str
    word: str
    errors: Any = None
    warnings: Any = None
    files: tuple[RemoteFile, ...] = ()
    services: tuple[ServiceVersion, ...] = ()
    service_versions: tuple[ServiceVersion, ...] = ()
    correlation_id: str | None = None
    process_time: float | None = None
    retry_after: float | None = None
    data: Mapping[str, Any] = field(default_factory=dict, repr=False)


class Verdict(Enum):
    """What a status payload means for the wait."""

    PENDING = "pending"
    DONE = "done"
    FAILED = "failed"


# ---- what the engine makes of it ----------------------------------------------------------------


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


@dataclass(frozen=True, slots=True)
class Job:
    """One export job of one target, as far as it has come. ``tenant`` is its base URL.

    ``stopping()`` is True once the run is being interrupted: long work should then return.
    """

    run: Run
    target: Target
    request: Request
    tenant: str
    started: datetime
    stopping: Callable[[], bool] = field(repr=False)
    id: str = ""
    status: Status | None = None
    artifacts: tuple[Artifact, ...] = ()


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


class Outcome(str, Enum):
    """How a target ended."""

    SUCCEEDED = "succeeded"
    UNCHANGED = "unchanged"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    CANCELLED = "cancelled"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class StepResult:
    """How one step ended: ``outcome`` is succeeded, warned (on_failure: warn) or failed.

    ``message`` is what went wrong, or what a step that succeeded has to tell.
    """

    uses: str
    outcome: str
    seconds: float
    message: str = ""
    artifacts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TargetResult:
    """How one target ended, with all that an auditor asks for.

    ``error`` is the one-line message of what went wrong (``exit_code`` is that error's own), or
    why nothing was to be done; it is empty where the target was delivered.
    """

    target: Target
    outcome: Outcome
    started: datetime
    finished: datetime
    tenant: str = ""
    job_id: str = ""
    request: Request | None = None
    services: tuple[ServiceVersion, ...] = ()
    service_versions: tuple[ServiceVersion, ...] = ()
    artifacts: tuple[Artifact, ...] = ()
    steps: tuple[StepResult, ...] = ()
    warnings: tuple[str, ...] = ()
    error: str = ""
    exit_code: int = 0

    @property
    def good(self) -> bool:
        """Whether the target holds what was asked for."""
        return self.outcome in (Outcome.SUCCEEDED, Outcome.UNCHANGED)


@dataclass(frozen=True, slots=True)
class RunResult:
    """A finished run: what ``run_manifest`` returns and every report is a reader of.

    ``problems`` are those of no target, such as a report that could not be written.
    """

    run_id: str
    manifest: Manifest
    started: datetime
    finished: datetime
    results: tuple[TargetResult, ...]
    runner_version: str
    signal: int = 0
    problems: tuple[str, ...] = ()

    @property
    def exit_code(self) -> int:
        """The process exit code of this run alone."""
        return exit_code([self])


def exit_code(runs: Sequence[RunResult]) -> int:
    """Return the process exit code of one or more runs; the most specific answer wins.

    Signal, then a bug, then a passed deadline, then some/none succeeded; a refusal is told as 6
    where nothing succeeded and nothing else was wrong.
    """
    results = [result for run in runs for result in run.results]
    bad = [result for result in results if not result.good]
    causes = {result.exit_code for result in bad if result.outcome is not Outcome.SKIPPED}
    if signals := [run.signal for run in runs if run.signal]:
        return 128 + signals[0]
    for specific in (1, 5):
        if specific in causes:
            return specific
    if bad:
        return 3 if len(bad) < len(results) else 6 if causes == {6} else 4
    return 4 if any(run.problems for run in runs) else 0
