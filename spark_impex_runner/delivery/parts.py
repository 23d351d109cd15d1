"""The exports of one target: one, or one for each part of a request that is too large."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from spark_impex_runner.delivery.attempt import open_part
from spark_impex_runner.delivery.export import (
    FINAL,
    Export,
    check_missing,
    has_no_job,
    is_final,
    record_delivery,
)
from spark_impex_runner.delivery.progress import (
    DeliveredPackages,
    Phase,
    TargetProgress,
    outcome_of,
)
from spark_impex_runner.errors import ImpexError
from spark_impex_runner.models import Request, Status
from spark_impex_runner.planning.labels import labelled_part
from spark_impex_runner.spark import completeness
from spark_impex_runner.spark.failures import is_too_large

if TYPE_CHECKING:
    from spark_impex_runner.delivery.export import TenantAccess
    from spark_impex_runner.models import Job
    from spark_impex_runner.state.models import Part


class Parts:
    """Deliver the packages of one target.

    The request is sent whole and split only if its package is too large: only the tenant knows
    that. Each part is an attempt of its own, one after the other. The parts are stored before the
    first one begins, so that every run of the same command resumes the same parts.
    """

    def __init__(self, progress: TargetProgress, tenant: TenantAccess) -> None:
        self._whole = progress
        self._tenant = tenant
        self._context = progress.context
        self._parts: tuple[Part, ...] = ()
        # The next run exports only the part that failed: the others stay delivered.
        self._part_failed = False

    def run(self) -> None:
        """Deliver the whole request, or every part of it."""
        self._parts = self._context.state.parts(self._whole.attempt)
        try:
            self._deliver()
        finally:
            self._whole.merge_parts()

    def is_over(self, error: ImpexError | None) -> bool:
        """Return True if nothing is left to resume after a failure."""
        if self._part_failed:
            return False
        # A request that was split needs no job of its own.
        undone = not self._parts and has_no_job(error, self._whole)
        return self._whole.cancelled or undone or isinstance(error, FINAL)

    def _deliver(self) -> None:
        export = Export(self._whole, self._tenant)
        if self._parts and export.reuse():
            for part in self._remaining():
                self._open(part)
            return
        if not self._parts:
            try:
                export.run()
            except ImpexError as error:
                self._split(self._whole, error)
            else:
                return
        self._deliver_parts()

    def _remaining(self) -> list[Part]:
        """Return the parts that this run has not begun."""
        return [part for part in self._parts if part.name not in self._whole.parts]

    def _deliver_parts(self) -> None:
        held, limits = self._tenant.held, self._tenant.limits
        while remaining := self._remaining():
            # A part that waits for its slot must not block packages of others.
            held.release(limits.incoming)
            progress = self._open(remaining[0])
            try:
                Export(progress, self._tenant).run()
            except ImpexError as error:
                self._split_or_fail(progress, error)
        every = [_as_status(each.delivered) for each in self._whole.parts.values()]
        self._whole.merge_parts()
        if not any(map(completeness.is_unspecified, every)):
            check_missing(_as_status(self._whole.delivered), self._whole)
        record_delivery(self._whole)

    def _open(self, part: Part) -> TargetProgress:
        """Open the attempt of a part and return its progress."""
        whole = self._whole
        before = DeliveredPackages.merged([each.delivered for each in whole.parts.values()])
        job = replace(
            whole.job,
            request=part.request,
            part=part.name,
            id="",
            status=None,
            artifacts=before.artifacts,
        )
        progress = TargetProgress(job, self._context, warnings=whole.warnings)
        progress.open(open_part(job, whole.attempt, self._context))
        whole.parts[part.name] = progress
        return progress

    def _split_or_fail(self, part: TargetProgress, error: ImpexError) -> None:
        """Split a part; if it cannot be split, close its attempt and raise."""
        try:
            self._split(part, error)
        except ImpexError as failure:
            self._part_failed = True
            if part.cancelled or is_final(failure, part):
                message, now = self._context.masker.mask(str(failure)), self._context.clock.now()
                self._context.state.finish(part.attempt, outcome_of(failure), message, now)
            raise
        # Its new parts are delivered in its place.
        del self._whole.parts[part.job.part]
        part.enter(Phase.ENDED)
        self._whole.phases += part.phases

    def _split(self, progress: TargetProgress, error: ImpexError) -> None:
        """Split a request that is too large as the plugins say; else raise ``error``."""
        job, context, whole = progress.job, self._context, self._whole
        # A job that --job names is resumed as it is.
        if not is_too_large(error) or context.job:
            raise error
        answer = context.hooks.call("impex_split_job", job=job, error=error)
        if answer is None:
            raise error
        parts = self._named(job, answer)
        context.state.split(whole.attempt, job.part, parts, context.clock.now())
        self._parts = context.state.parts(whole.attempt)
        what = f"part {job.part}" if job.part else "the request"
        message = f"{what} was split into parts {' and '.join(parts)}: {error}"
        # The warning names the first split only; the log has them all.
        if not job.part:
            whole.warnings.append(message)
        context.changed(job, "job.divided", message, parts=list(parts))

    def _named(self, job: Job, answer: object) -> dict[str, Request]:
        """Return the parts by name, with the labels of the whole request."""
        parts = answer if isinstance(answer, (list, tuple)) else ()
        usable = all(isinstance(each, Request) and _is_less(each, job.request) for each in parts)
        if len(parts) < 2 or not usable:
            wanted = "two or more requests, each for less than the job's"
            raise self._context.hooks.invalid_answer("impex_split_job", answer, wanted)
        whole = self._whole.job.request
        prefix = f"{job.part}." if job.part else ""
        requests = {
            f"{prefix}{number}": _part_of(job.request, each) for number, each in enumerate(parts, 1)
        }
        return {name: labelled_part(whole, name, each) for name, each in requests.items()}


def _part_of(request: Request, part: Request) -> Request:
    """Return a part with the filters and labels of the whole request."""
    return replace(
        request,
        folders=part.folders,
        services=part.services,
        version_ids=part.version_ids,
        version_filter=part.version_filter,
    )


def _is_less(part: Request, whole: Request) -> bool:
    """Return True if a part asks for something, but not for the whole again."""
    asked = (part.folders, part.services, part.version_ids)
    return any(asked) and asked != (whole.folders, whole.services, whole.version_ids)


def _as_status(delivered: DeliveredPackages) -> Status:
    """Return what a tenant reported about a delivery as a status."""
    return Status("", "", services=delivered.services, service_versions=delivered.versions)
