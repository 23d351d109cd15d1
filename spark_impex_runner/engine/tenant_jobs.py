"""List the export jobs of tenants, and say which belong to the targets of a manifest."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from spark_impex_runner.errors import ImpexError, SparkError
from spark_impex_runner.planning.labels import Label, Relation, has_given_id, target_of
from spark_impex_runner.planning.plan import plan_target
from spark_impex_runner.spark.job_listing import JobListing
from spark_impex_runner.spark.running_jobs import RunningJobs

if TYPE_CHECKING:
    from collections.abc import Iterable

    from spark_impex_runner.models import Target
    from spark_impex_runner.planning.stages import Prepared
    from spark_impex_runner.spark.client import Spark
    from spark_impex_runner.spark.job_listing import ListedJob

# One job at a time is the documented limit.
_UNKNOWN = JobListing((), 1, 0)


@dataclass(frozen=True, slots=True)
class TenantJob:
    """One job of a tenant, with its labels.

    Attributes:
        listed: The job as the tenant lists it.
        target: The target of the manifest that it was created for, perhaps; empty if for none, as
            far as its labels tell.
        relation: What it is to that target.
    """

    listed: ListedJob
    target: str = ""
    relation: Relation = Relation.NONE

    @property
    def label(self) -> Label | None:
        """The job's label, None if this runner did not make one."""
        return Label.read(self.listed)

    @property
    def is_current(self) -> bool:
        """Whether it certainly exports what the manifest requests for the target now."""
        return self.relation in {Relation.SAME, Relation.PART}

    @property
    def unread(self) -> str:
        """Why its target is unknown, if it runs; else empty."""
        unread = self.listed.running and self.listed.unread
        return f"its correlation id cannot be read: {unread}" if unread else ""


@dataclass(frozen=True, slots=True)
class TenantJobs:
    """The jobs of one tenant as one connection's credentials see them, or why they are unknown."""

    connection: str
    url: str
    listing: JobListing = _UNKNOWN
    jobs: tuple[TenantJob, ...] = ()
    error: ImpexError | None = None


@dataclass(slots=True)
class JobOwners:
    """Finds the target of a manifest that a job was created for; plans targets on first use."""

    prepared: Prepared
    _labels: dict[str, Label | None] = field(default_factory=dict)

    def owned(self, listed: ListedJob, url: str) -> TenantJob:
        """Return a job of the tenant at ``url`` with its target, if it has one."""
        manifest, label = self.prepared.run.manifest, Label.read(listed)
        if label:
            target = target_of(label, manifest)
            if target and self._is_exported_from(target, url):
                own = self._label(target)
                # Without a label a target cannot claim any job.
                kind = own.relation(label) if own else Relation.PERHAPS
                return TenantJob(listed, target.name, kind)
            return TenantJob(listed)
        for target in manifest.targets:
            if has_given_id(target.correlation_id, listed) and self._is_exported_from(target, url):
                return TenantJob(listed, target.name, Relation.PERHAPS)
        return TenantJob(listed)

    def _is_exported_from(self, target: Target, url: str) -> bool:
        """Return whether a target is exported from a tenant, by whichever connection."""
        try:
            return self.prepared.connections.client(target.connection).url == url
        except ImpexError:  # no credentials for a connection that is not selected
            return False

    def _label(self, target: Target) -> Label | None:
        """Return the label of what a target requests now, None if that cannot be told."""
        if target.name not in self._labels:
            try:
                # Planned only here: resolving the entries may ask the tenant.
                request = plan_target(target, self.prepared.run, self.prepared.hooks).request
                self._labels[target.name] = Label.read(request)
            except ImpexError:
                self._labels[target.name] = None
        return self._labels[target.name]


def connections_of(targets: Iterable[Target]) -> tuple[str, ...]:
    """Return the names of the connections that targets are exported from."""
    return tuple(dict.fromkeys(each.connection for each in targets))


def list_jobs(prepared: Prepared, names: Iterable[str], *, recent: bool = True) -> list[TenantJobs]:
    """Return the running jobs of connections, with ``recent`` also those that ended lately.

    Without ``recent`` a job that two connections to one tenant list is returned once. A tenant
    that cannot be asked is an error in the result.
    """
    owners, seen = JobOwners(prepared), set[tuple[str, str]]()
    found = []
    for name in names:
        spark = prepared.connections.client(name)
        jobs = tenant_jobs(name, spark, recent=recent)
        new = [each for each in jobs.jobs if recent or (jobs.url, each.listed.id) not in seen]
        seen.update((jobs.url, each.listed.id) for each in new)
        owned = tuple(owners.owned(each.listed, jobs.url) for each in new)
        found.append(replace(jobs, jobs=owned))
    return found


def tenant_jobs(name: str, spark: Spark, *, recent: bool = True) -> TenantJobs:
    """Return the jobs that a tenant lists; a failure is an error in the result."""
    exports = spark.impex.exports
    try:
        listing = exports.listing()
    except SparkError as error:
        return TenantJobs(name, spark.url, error=error)
    jobs = RunningJobs(exports).labelled(listing.jobs if recent else listing.running)
    return TenantJobs(name, spark.url, listing, tuple(map(TenantJob, jobs)))


def asked(tenants: Iterable[TenantJobs]) -> tuple[str, ...]:
    """Return the addresses of the tenants that have answered."""
    return tuple(dict.fromkeys(each.url for each in tenants if not each.error))
