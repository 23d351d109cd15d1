"""The manifest, and the options of a run of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Auth:
    """Credentials of one connection: exactly one scheme is filled in.

    Attributes:
        token: A bearer token, without the word ``Bearer``.
        api_key: A key for the header ``x-synthetic-key``.
        client_id: The id of an OAuth client, with ``client_secret``.
        client_secret: The secret of that client.
    """

    token: str | None = field(default=None, repr=False)
    api_key: str | None = field(default=None, repr=False)
    client_id: str | None = field(default=None, repr=False)
    client_secret: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Connection:
    """One tenant and how to talk to it.

    Its address is ``base_url``, ``env`` with ``tenant``, or ``sandbox``; without any of them it
    comes from the ``CSPARK_*`` environment.

    Attributes:
        name: The connection's key in the manifest.
        base_url: The tenant's URL, ``https://excel.sit.coherent.global/acme``.
        env: The environment of the host, ``sit`` or ``uat.us``.
        tenant: The tenant's name, with ``env``.
        sandbox: The absolute path of the folder that an emulated tenant serves.
        auth: The credentials; None for those of the ``CSPARK_*`` environment.
        jobs: How many export jobs may run at once; None asks the tenant for its limit.
        downloads: How many files are downloaded at once.
        requests_per_second: The highest rate of requests; None sets no limit.
        timeout: Seconds to connect, and between two bytes.
        verify_tls: Whether the certificate is verified, or the absolute path of a CA bundle.
        place: The position of the address in the manifest, as ``FILE:LINE``.
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
    """How the runner waits for a job.

    Attributes:
        strategy: The name of the polling strategy.
        options: The strategy's own options, checked by its schema.
        deadline: Seconds after which the wait ends.
        stall_after: Seconds without any change of the job after which the wait ends.
        on_deadline: What happens to the job then: ``leave`` or ``cancel``.
    """

    strategy: str = "adaptive"
    options: Mapping[str, Any] = field(default_factory=dict)
    deadline: float = 1800.0
    stall_after: float = 1320.0
    on_deadline: str = "leave"


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a target.

    Attributes:
        uses: The name of the step.
        options: The step's own options, checked by its schema, with references resolved.
        attempts: How often the step is run at most, 1 or more.
        interval: Seconds before the second attempt.
        on_failure: What a failure means: ``fail`` or ``warn``.
    """

    uses: str
    options: Mapping[str, Any] = field(default_factory=dict, repr=False)
    attempts: int = 1
    interval: float = 1.0
    on_failure: str = "fail"


@dataclass(frozen=True, slots=True)
class Target:
    """One export: what, from where, to where, and the steps that follow.

    Attributes:
        name: The name in the manifest; one of a matrix ends with ``@VALUE``.
        connection: The name of the connection to export from.
        output: The absolute path of the folder for the packages.
        tags: The labels by which ``--tag`` selects.
        services: The service URIs to export, as the manifest has them.
        folders: The names of folders to export as a whole.
        version_ids: The UUIDs of versions to export.
        file_filter: What a package is for: ``migrate`` or ``onpremises``.
        version_filter: ``latest`` or ``all``.
        source_system: The name of the system that asks, which the tenant records.
        correlation_id: The id by which a job is found if the reply with its id was lost; None lets
            the runner choose one.
        file_name: The stem of the package's name; None lets the tenant choose.
        max_retries: The most status requests; None for no limit but the deadline.
        retry_interval: Seconds between status requests, as the strategy understands them.
        polling: How the runner waits for the job.
        if_exists: What happens to an earlier delivery: ``replace``, ``keep`` or ``fail``.
        skip_unchanged: Whether an export is skipped while the tenant's versions are unchanged.
        max_package: The most bytes of one package, above which the request is split; None for no
            limit.
        missing: What an incomplete delivery means: ``fail`` or ``warn``.
        on_interrupt: What happens to the job after a signal: ``cancel`` or ``leave``.
        needs: The names of targets that must succeed before.
        steps: The steps, in their order.
        step_connections: The names of the connections that options of the steps name.
        written: The paths of ``output`` and ``steps`` in the manifest.
        place: The position of the target in the manifest, as ``FILE:LINE``.
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
    place: str = field(default="", compare=False)

    @property
    def connections(self) -> tuple[str, ...]:
        """All connections that the target needs, its own first."""
        return (self.connection, *self.step_connections)


@dataclass(frozen=True, slots=True)
class Notification:
    """A notifier to call when the run has ended.

    Attributes:
        uses: The name of the notifier.
        options: The notifier's own options, checked by its schema, with secrets.
        on: The outcomes of a run for which it is called: ``succeeded``, ``failed``, ``partial`` …
        timeout: Seconds that it may take.
    """

    uses: str
    options: Mapping[str, Any] = field(default_factory=dict, repr=False)
    on: tuple[str, ...] = ("failed", "partial", "timed_out")
    timeout: float = 30.0


@dataclass(frozen=True, slots=True)
class Signing:
    """The key that signs receipts: exactly one of the two.

    Attributes:
        key: A private key of Ed25519 in PEM.
        ssh_key: The absolute path of a key for ``ssh-keygen``: a private one, or a public one whose
            private key the SSH agent has.
    """

    key: str | None = field(default=None, repr=False)
    ssh_key: Path | None = None


def base_name(name: str) -> str:
    """Return a manifest's name without its overlays' suffixes: ``release`` of ``release+prod``."""
    return name.partition("+")[0]


@dataclass(frozen=True, slots=True)
class Manifest:
    """A whole manifest: validated, expanded, references resolved.

    Attributes:
        path: The path of the file, as it was given.
        name: Its ``name``, or the file's stem; each overlay adds ``+STEM``.
        connections: The connections by their names.
        targets: The targets, in their order, matrices expanded.
        reports: The file of each report by the report's name (``json``, ``junit``, ``html`` or a
            plugin's).
        overlays: The overlays, in the order in which they were applied.
        notify: The notifiers.
        sign: The key that signs receipts; None if they are not signed.
    """

    path: Path
    name: str
    connections: Mapping[str, Connection]
    targets: tuple[Target, ...]
    reports: Mapping[str, Path] = field(default_factory=dict)
    overlays: tuple[Path, ...] = ()
    notify: tuple[Notification, ...] = ()
    sign: Signing | None = None


@dataclass(frozen=True, slots=True)
class RunOptions:
    """The options of a run; every field has the name of its command-line option.

    Attributes:
        targets: Globs for the names of the targets to run; empty for all.
        tags: The tags of the targets to run; empty for all.
        overlays: Overlays to apply to the manifest, in this order.
        variables: Values for ``${var:NAME}``, by name.
        until: An empty text, or ``download`` to run no steps.
        fail_fast: Whether the first failure keeps other targets from starting.
        jobs: The export jobs at once for each connection; None for the connection's limit.
        output: The folder for all targets' outputs; None for the manifest's.
        state: The state directory, or the URL of an object store as text (``s3://``, ``az://``,
            ``gs://``); None for ``.impex`` beside the manifest.
        fresh: Whether new jobs are started instead of resuming earlier ones.
        job: The id of a job to resume, for a single target.
        alone: Whether to leave out targets that the selected ones need.
        approved: Approvals, each ``CONNECTION`` or ``CONNECTION@SHA256`` (12 hexadecimal digits or
            more).
        approved_by: The name of the person who approves; empty for that of the CI system, else of
            the operating system.
        asks: Whether sources are asked for their values; False only validates.
        reports: The files of additional reports by the report's name.
        blocked_plugins: The names of plugins that are not loaded.
        plugin_files: Python files that are loaded as plugins.
        executor: What runs the targets, ``NAME`` or ``NAME:ADDRESS``; empty for this
            process.
        run_id: The id of the run that this is a part of; empty lets the runner choose one.
        connections: If not empty, only the secrets of these connections and of the targets that
            ``targets`` and ``tags`` select are resolved.
    """

    targets: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    overlays: tuple[Path, ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict)
    until: str = ""
    fail_fast: bool = False
    jobs: int | None = None
    output: Path | None = None
    state: Path | str | None = None
    fresh: bool = False
    job: str = ""
    alone: bool = False
    approved: frozenset[str] = frozenset()
    approved_by: str = ""
    asks: bool = True
    reports: Mapping[str, Path] = field(default_factory=dict)
    blocked_plugins: frozenset[str] = frozenset()
    plugin_files: tuple[Path, ...] = ()
    executor: str = ""
    run_id: str = ""
    connections: frozenset[str] = frozenset()
