"""The exports of one target: one, or as many as a request that is too large is split into."""

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
from spark_impex_runner.delivery.progress import DeliveredPackages, TargetProgress, outcome_of
from spark_impex_runner.errors import ImpexError
from spark_impex_runner.models import Request, Status
from spark_impex_runner.spark import completeness as compare
from spark_impex_runner.spark.failures import is_too_large

if TYPE_CHECKING:
    from spark_impex_runner.delivery.export import Tenant
    from spark_impex_runner.models import Job
    from spark_impex_runner.state.models import Part


class Parts:
    """Delivers the packages of one target; ``progress`` is as far as it came.

    The request is sent whole, and divided only where its package is too large: what is too large
    is known to the tenant alone. Parts are delivered one after the other, and each is an attempt
    of its own. How a request was divided is on disk before the first of them is begun, so that
    every run of the same command resumes the same parts.
    """

    def __init__(self, progress: TargetProgress, tenant: Tenant) -> None:
        self._whole = progress
        self._tenant = tenant
        self._context = progress.context
        self._parts: tuple[Part, ...] = ()
        # A part that failed is asked for again by the next run; what the others brought stays.
        self._part_failed = False

    def run(self) -> None:
        """Deliver the whole request, or every part of it."""
        self._parts = self._context.state.parts(self._whole.attempt)
        try:
            self._deliver()
        finally:
            self._whole.merge_parts()

    def is_over(self, error: ImpexError | None) -> bool:
        """Tell whether nothing is left to resume after a failure."""
        if self._part_failed:
            return False
        # A request that was divided needs no job of its own.
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
                self._divide(self._whole, error)
            else:
                return
        self._deliver_parts()

    def _remaining(self) -> list[Part]:
        """Return the parts that were not begun yet by this run."""
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
                self._divide_or_fail(progress, error)
        every = [_said(each.delivered) for each in self._whole.parts.values()]
        self._whole.merge_parts()
        if not any(map(compare.is_unspecified, every)):
            check_missing(_said(self._whole.delivered), self._whole)
        record_delivery(self._whole)

    def _open(self, part: Part) -> TargetProgress:
        """Open the attempt of a part."""
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

    def _divide_or_fail(self, part: TargetProgress, error: ImpexError) -> None:
        """Put the halves of a part in its place; where it cannot be divided, its attempt ends."""
        try:
            self._divide(part, error)
        except ImpexError as failure:
            self._part_failed = True
            if part.cancelled or is_final(failure, part):
                message, now = self._context.masker.mask(str(failure)), self._context.clock.now()
                self._context.state.finish(part.attempt, outcome_of(failure), message, now)
            raise
        del self._whole.parts[part.job.part]

    def _divide(self, progress: TargetProgress, error: ImpexError) -> None:
        """Ask how to divide what is too large, and put it on disk; raise what cannot be divided."""
        job, context, whole = progress.job, self._context, self._whole
        # A job that was given by its id is resumed as it is.
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
        # Of many parts, the log tells how each came to be.
        if not job.part:
            whole.warnings.append(message)
        context.changed(job, "job.divided", message, parts=list(parts))

    def _named(self, job: Job, answer: object) -> dict[str, Request]:
        """Return the parts by name, with the labels of the whole; no part may be the whole."""
        parts = answer if isinstance(answer, (list, tuple)) else ()
        usable = all(isinstance(each, Request) and _less(each, job.request) for each in parts)
        if len(parts) < 2 or not usable:
            wanted = "two or more requests, each for less than the job's"
            raise self._context.hooks.invalid_answer("impex_split_job", answer, wanted)
        label = self._whole.attempt.correlation_id
        prefix = f"{job.part}." if job.part else ""
        names = [f"{prefix}{number}" for number in range(1, len(parts) + 1)]
        return {
            name: replace(
                job.request,
                folders=each.folders,
                services=each.services,
                version_ids=each.version_ids,
                version_filter=each.version_filter,
                correlation_id=f"{label}-part{name}",
            )
            for name, each in zip(names, parts, strict=True)
        }


def _less(part: Request, whole: Request) -> bool:
    """Tell whether a part asks for something, and not for the whole again."""
    asked = (part.folders, part.services, part.version_ids)
    return any(asked) and asked != (whole.folders, whole.services, whole.version_ids)


def _said(delivered: DeliveredPackages) -> Status:
    """Return what a tenant said of its delivery in the form of a status."""
    return Status("", "", services=delivered.services, service_versions=delivered.versions)
