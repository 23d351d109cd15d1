"""Deliver the files of a target: decide, send, record, and apply the retention."""

from __future__ import annotations

import threading
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextvars import copy_context
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

from spark_impex_runner import errors, models, tools

from .claim import Claim, ClaimedError
from .files import RECORDS
from .leftovers import is_abandoned, try_to_remove_leftovers
from .listing import Listing, SentFile
from .retention import match, prune
from .retry import retried
from .store import is_transient

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from .store import Store, UploadFile

_Result = TypeVar("_Result")
# A wait checks this often, in seconds, whether another file has failed.
_WAIT_STEP: Final = 0.25


@dataclass
class Delivery:
    """The upload of one target's files to one folder of a store.

    ``stop`` is set if one file failed, so that the others end soon.
    """

    job: models.Job
    options: Mapping[str, Any]
    store: Store
    stop: threading.Event = field(default_factory=threading.Event)

    @property
    def folder(self) -> str:
        """The folder in the store, with a trailing slash, or empty."""
        prefix = self.options.get("prefix")
        return f"{prefix}/" if prefix else ""

    @cached_property
    def own(self) -> Listing:
        """The listing of this delivery before it starts."""
        return Listing.of(self.job, self.options.get("project", ""))

    def check(self) -> None:
        """Raise ``Interrupted`` if the run stops or another file failed."""
        if self.job.stopping() or self.stop.is_set():
            raise errors.Interrupted

    def run(self, sources: Sequence[UploadFile]) -> str:
        """Send missing files, apply the retention, and return a summary."""
        try:
            return self._run(sources)
        except ClaimedError:
            # Overtaken: now the folder has a listing, of this owner or another one.
            return self._run(sources)

    def _run(self, sources: Sequence[UploadFile]) -> str:
        claim = Claim(self.own, self.store, self.folder, self.options["to"])
        before = self._retry(claim.open)
        decisions = self._parallel(lambda each: self._decide(each, before), sources)
        by: dict[str, list[UploadFile]] = {"new": [], "replaced": [], "there": [], "kept": []}
        for source, decision in zip(sources, decisions, strict=True):
            by[decision].append(source)
        sent = [*by["new"], *by["replaced"]]
        leftovers = any(is_abandoned(each, self.own) for each in before.pending)
        if sent or leftovers or not before.complete:
            self._deliver(by, claim)
        else:
            try_to_remove_leftovers(self.store, self.folder, before, self.own)
        summary = [f"{_counted(sent)} sent"]
        summary += [f"{_counted(by['there'])} there already"] if by["there"] else []
        summary += [f"{_counted(by['kept'])} kept as found"] if by["kept"] else []
        # Old deliveries go only after the new one is complete.
        if "keep" in self.options and claim.listing.complete and not by["kept"]:
            present = replace(claim.listing, writer=self.job.run.id)
            pruned = self._retry(lambda: prune(self.store, self.options, present, self.check))
            summary += [str(pruned)]
        return ", ".join(summary)

    def _decide(self, source: UploadFile, before: Listing) -> str:
        """Return whether a file is ``new``, ``replaced``, already ``there`` or ``kept``."""
        path = self.folder + source.name
        found = self.store.find(path)
        if found is None:
            return "new"
        # Contents that the owner's runs left are safe to replace; any other file is the user's.
        wanted, versions = SentFile(source.size, source.sha256), before.versions(source.name)
        there = match(self.store, path, found, [*versions, wanted], self.check)
        if there and there.sha256 == source.sha256:
            return "there"
        if there and source.name in RECORDS:
            return "replaced"  # they name the run and its times, which are others in each run
        if_exists = self.options.get("if_exists", "replace")
        if if_exists == "fail":
            raise errors.StepError(f"{path} exists with other content (if_exists: fail)")
        if if_exists == "keep":
            return "kept"
        if there:
            return "replaced"
        raise errors.StepError(
            f"{self.options['to'].rstrip('/')}/{path} is not what an earlier run of this target "
            "delivered, so it is not replaced; move it away, choose another to or prefix, or set "
            "if_exists: keep"
        )

    def _deliver(self, by: Mapping[str, Sequence[UploadFile]], claim: Claim) -> None:
        """Send files: record the intent first, and the result last.

        A complete delivery in the folder stays intact until the new one is staged beside it:
        whenever the run is killed, one of the two is complete.
        """
        sent = [*by["new"], *by["replaced"]]
        self._retry(lambda: claim.begin(sent))
        try:
            self._record_present(by["there"], claim)
            self._send(by["new"], claim, self.store.send)
            if by["replaced"]:
                self._replace(by["replaced"], claim)
            self._retry(claim.verify)
        except BaseException:  # Also on Ctrl-C: the next run must find what is in place.
            claim.abandon()
            raise
        known, present = claim.listing, self.own
        try_to_remove_leftovers(self.store, self.folder, known, present)
        others = [each for each in known.pending if not is_abandoned(each, present)]
        self._retry(lambda: claim.finish(others, complete=not by["kept"]))

    def _record_present(self, there: Sequence[UploadFile], claim: Claim) -> None:
        """Record the owner's files that are already there."""
        known = claim.listing
        for each in there:
            if any(each.sha256 == version.sha256 for version in known.versions(each.name)):
                claim.add_files({each.name: self._retry(partial(self._sent_file, each))})

    def _send(
        self, sources: Sequence[UploadFile], claim: Claim, send: Callable[[str, UploadFile], None]
    ) -> None:
        """Send files in parallel, and record those that arrived even if one fails."""

        def put(source: UploadFile) -> None:
            send(self.folder + source.name, source)
            add_files[source.name] = self._sent_file(source)

        add_files: dict[str, SentFile] = {}
        try:
            self._parallel(put, sources)
        finally:
            claim.add_files(add_files)

    def _replace(self, sources: Sequence[UploadFile], claim: Claim) -> None:
        """Replace files of an earlier delivery: one directly, several after staging all."""
        staged = len(sources) > 1
        # Staged beside the old files first, so that the time without a whole delivery is short.
        if staged:
            self._parallel(lambda each: self.store.stage(self.folder + each.name, each), sources)
        self._retry(claim.verify)
        self._retry(claim.mark_incomplete)
        self._send(sources, claim, self._commit if staged else self.store.send)

    def _commit(self, path: str, source: UploadFile) -> None:
        """Commit a staged file; send it again if the staged one is gone."""
        try:
            self.store.commit(path, source)
        except (errors.StepError, OSError) as error:
            if is_transient(error):
                raise
            self.store.send(path, source)

    def _retry(self, work: Callable[[], _Result]) -> _Result:
        """Call ``work``, and retry it after transient errors."""
        return retried(work, self.check, self._wait)

    def _wait(self, seconds: float) -> None:
        """Wait before a retry, until the run stops or another file fails."""
        while seconds > 0 and not self.stop.is_set():
            self.job.wait(min(seconds, _WAIT_STEP))
            seconds -= _WAIT_STEP

    def _sent_file(self, source: UploadFile) -> SentFile:
        """Return the record of a file that was sent; raise if its size differs."""
        found = self.store.find(self.folder + source.name)
        if found is None or found.size != source.size:
            size = "no file" if found is None else f"{found.size} bytes"
            raise errors.StepError(f"{source.name}: found {size} after sending {source.size} bytes")
        return SentFile(found.size, source.sha256, found.mark)

    def _parallel(
        self, work: Callable[[UploadFile], _Result], sources: Sequence[UploadFile]
    ) -> list[_Result]:
        """Call ``work`` for several files in parallel; the first failure stops all."""
        with ThreadPoolExecutor(self.options.get("parallel", 4)) as pool:
            # Each with a copy of this context: the run may record its HTTP calls.
            futures = [
                pool.submit(copy_context().run, self._retry, partial(work, each))
                for each in sources
            ]
            done, waiting = wait(futures, return_when=FIRST_EXCEPTION)
            # Running threads cannot be cancelled; they see the event between two pieces.
            if waiting:
                self.stop.set()
                for each in waiting:
                    each.cancel()
            for each in (*done, *futures):
                if each.done() and not each.cancelled() and (error := each.exception()):
                    raise error
            return [each.result() for each in futures]


def _counted(sources: Sequence[UploadFile]) -> str:
    """Return number and total size of files."""
    size = sum(each.size for each in sources)
    return f"{tools.counted(len(sources), 'file')} ({size} bytes)"
