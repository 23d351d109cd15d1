"""What the manifest says, and what the command line says about a run of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


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
    ``jobs`` None means: ask the tenant for its limit. ``place`` is where the address stands, as
    ``FILE:LINE``.
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
    place: str = field(default="", compare=False)


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
    """One thing to export, where it goes and what is done with it.

    ``step_connections`` are those that options of its steps name. ``written`` says where in the
    manifest its ``output`` and its ``steps`` stand.
    """

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
    skip_unchanged: bool = False
    max_package: int | None = None
    missing: str = "fail"
    on_interrupt: str = "cancel"
    needs: tuple[str, ...] = ()
    steps: tuple[Step, ...] = ()
    step_connections: tuple[str, ...] = ()
    written: Mapping[str, tuple[str | int, ...]] = field(
        default_factory=dict, compare=False, repr=False
    )

    @property
    def connections(self) -> tuple[str, ...]:
        """Every connection that work on the target needs, its own first."""
        return (self.connection, *self.step_connections)


@dataclass(frozen=True, slots=True)
class Notification:
    """Somebody who is told how a run ended, if it ended ``on`` one of these words.

    ``options`` are the notifier's own, checked by its schema; ``timeout`` is how long it is waited
    for.
    """

    uses: str
    options: Mapping[str, Any] = field(default_factory=dict, repr=False)
    on: tuple[str, ...] = ("failed", "partial", "timed_out")
    timeout: float = 30.0


def base_name(name: str) -> str:
    """Return a manifest's name without what its overlays add: ``release`` of ``release+prod``."""
    return name.partition("+")[0]


@dataclass(frozen=True, slots=True)
class Manifest:
    """A whole manifest: validated, expanded, references resolved.

    ``reports`` maps the name of a report (``json``, ``junit``, ``html`` or a plugin's) to the file
    to write; ``overlays`` are the files that changed it.
    """

    path: Path
    name: str
    connections: Mapping[str, Connection]
    targets: tuple[Target, ...]
    reports: Mapping[str, Path] = field(default_factory=dict)
    overlays: tuple[Path, ...] = ()
    notify: tuple[Notification, ...] = ()


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What the command line may say about a run; every field has its option's name.

    ``overlays`` are files that change the manifest, one after the other.
    ``targets`` are globs, ``until`` is empty or ``"download"``, ``reports`` maps a report to a
    file and is added to the manifest's own. ``state`` is the folder of the runner's memory, by
    default ``.impex`` beside the manifest; ``fresh`` goes on with nothing of an earlier run;
    ``job`` is the id of a job to go on with, for a single target. ``alone`` leaves out what the
    chosen targets need. ``approved`` are approvals, each ``CONNECTION`` or
    ``CONNECTION@SHA256``, of which twelve digits are enough.
    ``executor`` is ``NAME`` or ``NAME:ADDRESS`` of what runs the targets; ``run_id`` is the id of
    the run that this is a part of. ``asks`` is False where a manifest is only validated: no secret
    source is then asked for its values, and what depends on them is not judged.
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
    approved: frozenset[str] = frozenset()
    asks: bool = True
    reports: Mapping[str, Path] = field(default_factory=dict)
    blocked_plugins: frozenset[str] = frozenset()
    plugin_files: tuple[Path, ...] = ()
    executor: str = ""
    run_id: str = ""
