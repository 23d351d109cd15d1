"""One delivery: what is to be sent, in what order, and what is left behind as proof."""

from __future__ import annotations

import logging
import threading
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

from spark_impex_runner import errors, models, tools

from .claim import Claim, ClaimedError
from .leftovers import is_left_behind, try_to_remove_leftovers
from .listing import Listing, Sent
from .retention import match, prune
from .store import is_transient

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from .store import Source, Store

_log = logging.getLogger(__name__)
_Result = TypeVar("_Result")
# Seconds before something is tried again.
WAITS: Final = (1.0, 4.0, 15.0)
# How often such a wait looks whether another file has failed.
_GLANCE: Final = 0.25


@dataclass
class Delivery:
    """The files of one target on their way to one folder of a store.

    ``stop`` is set where one file failed, so that the others end soon.
    """

    job: models.Job
    options: Mapping[str, Any]
    store: Store
    stop: threading.Event = field(default_factory=threading.Event)

    @property
    def folder(self) -> str:
        """Where in the store it lies, with the slash after it."""
        prefix = self.options.get("prefix")
        return f"{prefix}/" if prefix else ""

    @cached_property
    def own(self) -> Listing:
        """The listing of this delivery as it is before the delivery begins."""
        return Listing.of(self.job, self.options.get("project", ""))

    def check(self) -> None:
        """Raise where the run is being interrupted, or another file failed."""
        if self.job.stopping() or self.stop.is_set():
            raise errors.Interrupted

    def run(self, sources: Sequence[Source]) -> str:
        """Send what is not there yet, remove what need not stay, and return a summary."""
        try:
            return self._run(sources)
        except ClaimedError:
            # Now the folder has a listing, of this owner or of another one.
            return self._run(sources)

    def _run(self, sources: Sequence[Source]) -> str:
        claim = Claim(self.own, self.store, self.folder, self.options["to"])
        before = self._again(claim.open)
        verdicts = self._each(lambda each: self._decide(each, before), sources)
        by = {
            verdict: [
                each for each, found in zip(sources, verdicts, strict=True) if found == verdict
            ]
            for verdict in ("new", "replaced", "there", "kept")
        }
        sent = [*by["new"], *by["replaced"]]
        if sent or not before.complete or self._has_leftovers(before):
            self._deliver(by, claim)
        else:
            try_to_remove_leftovers(self.store, self.folder, before, self.own)
        summary = [f"{_counted(sent)} sent"]
        summary += [f"{_counted(by['there'])} there already"] if by["there"] else []
        summary += [f"{_counted(by['kept'])} kept as found there"] if by["kept"] else []
        if "keep" in self.options and claim.listing.complete and not by["kept"]:
            present = replace(claim.listing, writer=self.job.run.id)
            removed = self._again(lambda: prune(self.store, self.options, present, self.check))
            summary += [f"{tools.counted(removed, 'old delivery')} removed"]
        return ", ".join(summary)

    def _has_leftovers(self, before: Listing) -> bool:
        """Tell whether the listing names files that a run has left behind."""
        return any(is_left_behind(each, self.own) for each in before.pending)

    def _decide(self, source: Source, before: Listing) -> str:
        """Tell whether a file is new, is to be replaced, is there already, or must be kept."""
        path = self.folder + source.name
        found = self.store.find(path)
        if found is None:
            return "new"
        wanted, versions = Sent(source.size, source.sha256), before.versions(source.name)
        there = match(self.store, path, found, [*versions, wanted], self.check)
        if there and there.sha256 == source.sha256:
            return "there"
        if_exists = self.options.get("if_exists", "replace")
        if if_exists == "fail":
            raise errors.StepError(f"{path} is there with other content (if_exists: fail)")
        if if_exists == "keep":
            return "kept"
        if there:
            return "replaced"
        raise errors.StepError(
            f"{self.options['to'].rstrip('/')}/{path} is not what an earlier run of this target "
            "left there, so it is not replaced; move it away, choose another to or prefix, or set "
            "if_exists: keep"
        )

    def _deliver(self, by: Mapping[str, Sequence[Source]], claim: Claim) -> None:
        """Send files, between a listing of the intent and one of what is certain.

        A complete delivery that the folder holds stays whole until the new one is there, beside it
        where it consists of several files: whenever the run is killed, one of the two is whole.
        """
        sent = [*by["new"], *by["replaced"]]
        self._again(lambda: claim.begin(sent))
        try:
            self._note(by["there"], claim)
            self._send(by["new"], claim, self.store.send)
            if by["replaced"]:
                self._replace(by["replaced"], claim)
            self._again(claim.hold)
        except BaseException:
            claim.give_up()
            raise
        known, present = claim.listing, self.own
        try_to_remove_leftovers(self.store, self.folder, known, present)
        others = [each for each in known.pending if not is_left_behind(each, present)]
        self._again(lambda: claim.finish(others, complete=not by["kept"]))

    def _note(self, there: Sequence[Source], claim: Claim) -> None:
        """Note the files of the owner that are there already."""
        known = claim.listing
        for each in there:
            if any(each.sha256 == version.sha256 for version in known.versions(each.name)):
                claim.arrived({each.name: self._again(partial(self._sent, each))})

    def _send(
        self, sources: Sequence[Source], claim: Claim, send: Callable[[str, Source], None]
    ) -> None:
        """Put files into their places, several at a time."""

        def put(source: Source) -> None:
            send(self.folder + source.name, source)
            arrived[source.name] = self._sent(source)

        arrived: dict[str, Sent] = {}
        try:
            self._each(put, sources)
        finally:
            claim.arrived(arrived)

    def _replace(self, sources: Sequence[Source], claim: Claim) -> None:
        """Replace files of an earlier delivery: one at once, several when all are there."""
        staged = len(sources) > 1
        if staged:
            self._each(lambda each: self.store.stage(self.folder + each.name, each), sources)
        self._again(claim.hold)
        self._again(claim.replacing)
        self._send(sources, claim, self._commit if staged else self.store.send)

    def _commit(self, path: str, source: Source) -> None:
        """Put a staged file into its place; where it has gone, send it."""
        try:
            self.store.commit(path, source)
        except (errors.StepError, OSError) as error:
            if is_transient(error):
                raise
            self.store.send(path, source)

    def _again(self, work: Callable[[], _Result]) -> _Result:
        """Do something, and again where the fault was one of the moment."""
        for pause in WAITS:
            self.check()
            try:
                return work()
            except (errors.StepError, OSError) as error:
                if not is_transient(error):
                    raise
                _log.info("%s; trying again in %g s", error, pause)
            self._wait(pause)
        self.check()
        return work()

    def _wait(self, seconds: float) -> None:
        """Wait before something is tried again, unless the run or another file ends it."""
        while seconds > 0 and not self.stop.is_set():
            self.job.wait(min(seconds, _GLANCE))
            seconds -= _GLANCE

    def _sent(self, source: Source) -> Sent:
        """Return what is now certain of a file."""
        found = self.store.find(self.folder + source.name)
        if found is None or found.size != source.size:
            size = "nothing" if found is None else f"{found.size} bytes"
            raise errors.StepError(f"{source.name}: {size} lie there after {source.size} were sent")
        return Sent(found.size, source.sha256, found.mark)

    def _each(self, work: Callable[[Source], _Result], sources: Sequence[Source]) -> list[_Result]:
        """Do something for several files at a time; the first fault ends all of it."""
        with ThreadPoolExecutor(self.options.get("parallel", 4)) as pool:
            futures = [pool.submit(self._again, partial(work, each)) for each in sources]
            done, waiting = wait(futures, return_when=FIRST_EXCEPTION)
            if waiting:
                self.stop.set()
                for each in waiting:
                    each.cancel()
            for each in (*done, *futures):
                if each.done() and not each.cancelled() and (error := each.exception()):
                    raise error
            return [each.result() for each in futures]


def _counted(sources: Sequence[Source]) -> str:
    """Return how many files these are, and how large."""
    size = sum(each.size for each in sources)
    return f"{tools.counted(len(sources), 'file')} ({size} bytes)"
