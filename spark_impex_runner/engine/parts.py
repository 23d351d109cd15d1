"""The exports of one target: one, or as many as a request that is too large is divided into."""

from __future__ import annotations

from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING

from spark_impex_runner.engine import compare
from spark_impex_runner.engine.attempt import open_part
from spark_impex_runner.engine.export import (
    FINAL,
    Delivered,
    Export,
    check_missing,
    has_no_job,
    is_final,
    note,
    outcome,
)
from spark_impex_runner.engine.remote import Remote
from spark_impex_runner.engine.weather import too_large
from spark_impex_runner.errors import ImpexError
from spark_impex_runner.models import Request, Status

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from spark_impex_runner.engine.course import Course
    from spark_impex_runner.engine.export import Way
    from spark_impex_runner.models import Job, ServiceVersion
    from spark_impex_runner.state.store import Attempt, Part


class Parts:
    """Brings the packages of one target home; ``job`` and ``delivered`` are as far as it came.

    The request is sent whole, and divided only where its package is too large: what is too large
    is known to the tenant alone. Parts are delivered one after the other, and each is an attempt
    of its own. How a request was divided is on disk before the first of them is begun, so that
    every run of the same command goes on with the same parts.
    """

    def __init__(self, remote: Remote, way: Way) -> None:
        self._whole = Export(remote, way)
        self._context = remote.context
        self._parts: tuple[Part, ...] = ()
        self._begun: dict[str, Export] = {}
        # A part that failed is asked for again by the next run; what the others brought stays.
        self._part_failed = False

    @property
    def attempt(self) -> Attempt:
        """The target's attempt."""
        return self._whole.attempt

    @property
    def job(self) -> Job:
        """The target's job, with the packages that are here and the jobs that made them."""
        parts = self._exports()
        artifacts = self.delivered.artifacts
        if not parts:
            return replace(self._whole.job, artifacts=artifacts)
        ids = tuple(each.job.id for each in parts if each.job.id)
        return replace(self._whole.job, id=next(iter(ids), ""), parts=ids, artifacts=artifacts)

    @property
    def delivered(self) -> Delivered:
        """What is here, and what the tenant says is in it."""
        if self._whole.delivered.artifacts or not self._begun:
            return self._whole.delivered
        return _together([each.delivered for each in self._exports()])

    def run(self) -> Course[None]:
        """Deliver the whole request, or every part of it."""
        self._parts = self._context.state.parts(self.attempt)
        if self._whole.reuse():
            self._recall()
            return
        if not self._parts:
            try:
                yield from self._whole.run()
            except ImpexError as error:
                self._divide(self._whole, error)
            else:
                return
        yield from self._run_parts()

    def is_over(self, error: ImpexError | None) -> bool:
        """Tell whether nothing is left to go on with after a failure."""
        if self._part_failed:
            return False
        whole = self._whole.remote
        # A request that was divided needs no job of its own.
        undone = not self._parts and has_no_job(error, whole)
        return whole.cancelled or undone or isinstance(error, FINAL)

    def _exports(self) -> list[Export]:
        """Return the parts that were begun, in order."""
        return [self._begun[part.name] for part in self._parts if part.name in self._begun]

    def _left(self) -> list[Part]:
        """Return the parts that were not begun yet by this run."""
        return [part for part in self._parts if part.name not in self._begun]

    def _recall(self) -> None:
        """Take up the jobs of parts whose packages an earlier run has brought."""
        for part in self._left():
            self._begun[part.name] = self._export(part)

    def _run_parts(self) -> Course[None]:
        while left := self._left():
            # Whoever waits for a slot may not stand before others on their way home.
            self._whole.way.permits.leave(self._whole.way.lane.arrivals)
            export = self._begun[left[0].name] = self._export(left[0])
            try:
                yield from export.run()
            except ImpexError as error:
                self._divide_or_fail(export, error)
        every = [each.delivered for each in self._exports()]
        delivered = _together(every)
        if not any(map(compare.silent, map(_said, every))):
            check_missing(self._whole.job.request, _said(delivered), self._whole.remote)
        self._whole.delivered = delivered
        note(delivered, self._whole.remote)

    def _export(self, part: Part) -> Export:
        """Open the attempt of a part."""
        whole, way = self._whole.remote, self._whole.way
        job = replace(
            whole.job,
            request=part.request,
            part=part.name,
            id="",
            status=None,
            artifacts=self.delivered.artifacts,
        )
        opening = open_part(job, self.attempt, self._context)
        gate, warnings = way.lane.creating, whole.warnings
        return Export(Remote(job, whole.spark, self._context, opening, gate, warnings), way)

    def _divide_or_fail(self, export: Export, error: ImpexError) -> None:
        """Put the halves of a part in its place; where it cannot be divided, its attempt ends."""
        try:
            self._divide(export, error)
        except ImpexError as failure:
            self._part_failed = True
            if export.remote.cancelled or is_final(failure, export.remote):
                words = self._context.masker.mask(str(failure))
                now = self._context.clock.now()
                self._context.state.finish(export.attempt, outcome(failure), words, now)
            raise

    def _divide(self, export: Export, error: ImpexError) -> None:
        """Ask how to divide what is too large, and put it on disk; raise what cannot be divided."""
        job, context = export.job, self._context
        # A job that was given by its id is gone on with as it is.
        if not too_large(error) or context.job:
            raise error
        answer = context.hooks.decide("impex_split_job", job=job, error=error)
        if answer is None:
            raise error
        parts = self._named(job, answer)
        context.state.divide(self.attempt, job.part, parts, context.clock.now())
        self._parts = context.state.parts(self.attempt)
        what = f"part {job.part}" if job.part else "the request"
        told = f"{what} was divided into parts {' and '.join(parts)}: {error}"
        # Of many parts, the log tells how each came to be.
        if not job.part:
            self._whole.remote.warnings.append(told)
        context.changed(job, "job.divided", told, parts=list(parts))

    def _named(self, job: Job, answer: object) -> dict[str, Request]:
        """Return the parts by name, with the labels of the whole; no part may be the whole."""
        parts = answer if isinstance(answer, (list, tuple)) else ()
        usable = all(isinstance(each, Request) and _less(each, job.request) for each in parts)
        if len(parts) < 2 or not usable:
            wanted = "two or more requests, each for less than the job's"
            raise self._context.hooks.refuse("impex_split_job", answer, wanted)
        label = self.attempt.correlation_id
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


def _together(delivered: Sequence[Delivered]) -> Delivered:
    """Return what several exports brought, each service and version once."""
    return Delivered(
        tuple(chain.from_iterable(each.artifacts for each in delivered)),
        _once(chain.from_iterable(each.services for each in delivered)),
        _once(chain.from_iterable(each.versions for each in delivered)),
    )


def _once(services: Iterable[ServiceVersion]) -> tuple[ServiceVersion, ...]:
    return tuple(dict.fromkeys(services))


def _said(delivered: Delivered) -> Status:
    """Return what a tenant said of its delivery in the form of a status."""
    return Status("", "", services=delivered.services, service_versions=delivered.versions)
