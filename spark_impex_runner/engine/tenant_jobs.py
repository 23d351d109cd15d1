"""List the export jobs of tenants, and say which belong to the targets of a manifest."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from spark_impex_runner.errors import ImpexError, SparkError
from spark_impex_runner.planning.labels import Label, sharing_id
from spark_impex_runner.planning.plan import plan_target
from spark_impex_runner.spark.running_jobs import RunningJobs

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from spark_impex_runner.models import Run, Target
    from spark_impex_runner.planning.stages import Prepared
    from spark_impex_runner.spark.client import Spark
    from spark_impex_runner.spark.job_listing import JobListing, ListedJob

# The status of so many ended jobs of a tenant is read for their correlation ids, the newest first.
_MAX_STATUSES = 50


@dataclass(frozen=True, slots=True)
class TenantJob:
    """One job of a tenant, with its correlation id.

    Attributes:
        listed: The job as the tenant lists it.
        target: The target of the manifest that it was created for; empty if for none, as far as its
            correlation id tells.
        is_current: Whether it exports what the manifest requests for that target now.
        shared: Other targets of the manifest with the same correlation id.
    """

    listed: ListedJob
    target: str = ""
    is_current: bool = False
    shared: tuple[str, ...] = ()

    @property
    def label(self) -> Label | None:
        """The parsed correlation id, None if this runner did not make it."""
        return Label.parse(self.listed.correlation_id)


@dataclass(frozen=True, slots=True)
class TenantJobs:
    """The jobs of one tenant as one connection's credentials see them, or why they are unknown."""

    connection: str
    url: str
    limit: int = 1
    in_progress: int = 0
    hidden: int = 0
    hidden_note: str = ""
    jobs: tuple[TenantJob, ...] = ()
    error: ImpexError | None = None


@dataclass(slots=True)
class JobOwners:
    """Finds the target of a manifest that a job was created for; plans targets on first use."""

    prepared: Prepared
    _labels: dict[str, Label | None] = field(default_factory=dict)

    def owned(self, listed: ListedJob, connection: str) -> TenantJob:
        """Return a job of a connection with its target, if it has one."""
        targets = self.prepared.run.manifest.targets
        label = Label.parse(listed.correlation_id)
        for target in (each for each in targets if each.connection == connection):
            if _has_given_id(target, listed.correlation_id):
                shared = sharing_id(self.prepared.run.manifest, target)
                return TenantJob(listed, target.name, is_current=True, shared=tuple(shared))
            if label and target.name == label.target and not target.correlation_id:
                own = self._label(target)
                return TenantJob(listed, target.name, bool(own and own.digest == label.digest))
        return TenantJob(listed)

    def _label(self, target: Target) -> Label | None:
        """Return the label of what a target requests now, None if that cannot be told."""
        if target.name not in self._labels:
            try:
                # Planned only here: resolving the entries may ask the tenant.
                run: Run = self.prepared.run
                request = plan_target(target, run, self.prepared.hooks).request
                self._labels[target.name] = Label.of(run.id, run.manifest, target, request)
            except ImpexError:
                self._labels[target.name] = None
        return self._labels[target.name]


def _has_given_id(target: Target, correlation_id: str) -> bool:
    """Return whether a correlation id is that of a target in the manifest, or of a part of it."""
    given = target.correlation_id
    if not given or not correlation_id.startswith(given):
        return False
    _, part, number = correlation_id.removeprefix(given).partition("-part")
    is_part = bool(part) and number.replace(".", "").isdecimal()
    return correlation_id == given or (is_part and correlation_id == f"{given}-part{number}")


def connections_of(targets: Iterable[Target]) -> tuple[str, ...]:
    """Return the names of the connections that targets are exported from."""
    return tuple(dict.fromkeys(each.connection for each in targets))


def list_jobs(prepared: Prepared, names: Iterable[str], *, recent: bool = True) -> list[TenantJobs]:
    """Return the running jobs of connections, with ``recent`` also those that ended lately.

    A tenant that cannot be asked is an error in the result.
    """
    owners = JobOwners(prepared)
    found = []
    for name in names:
        spark = prepared.connections.client(name)
        jobs = tenant_jobs(name, spark, recent=recent)
        owned = tuple(owners.owned(each.listed, name) for each in jobs.jobs)
        found.append(replace(jobs, jobs=owned))
    return found


def tenant_jobs(name: str, spark: Spark, *, recent: bool = True) -> TenantJobs:
    """Return the jobs that a tenant lists; a failure is an error in the result."""
    exports = spark.impex.exports
    try:
        listing = exports.listing()
    except SparkError as error:
        return TenantJobs(name, spark.url, error=error)
    jobs = tuple(map(TenantJob, _labelled(listing, RunningJobs(exports), recent=recent)))
    return TenantJobs(
        name,
        spark.url,
        listing.limit,
        listing.in_progress,
        listing.hidden,
        listing.hidden_note,
        jobs,
    )


def _labelled(listing: JobListing, labels: RunningJobs, *, recent: bool) -> Iterator[ListedJob]:
    """Yield the jobs of a listing, with the correlation ids of their statuses where readable."""
    for number, job in enumerate(listing.jobs if recent else listing.running):
        if number < _MAX_STATUSES:
            try:
                yield labels.label(job)
                continue
            except SparkError:
                pass  # it may have left the listing; what was listed is worth showing
        yield job
