"""One delivery: what is to be sent, in what order, and what is left behind as proof."""

from __future__ import annotations

import logging
import threading
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

from spark_impex_runner.errors import ImpexError, Interrupted, StepError

from . import listing
from .listing import Listing, Sent
from .retention import prune
from .store import TransientError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from spark_impex_runner.models import Job

    from .store import Source, Store

_log = logging.getLogger(__name__)
_Result = TypeVar("_Result")
# Seconds before something is tried again.
WAITS: Final = (1.0, 4.0, 15.0)


@dataclass
class Delivery:
    """The files of one target on their way to one folder of a store.

    ``stop`` is set where one file failed, so that the others end soon.
    """

    job: Job
    options: Mapping[str, Any]
    store: Store
    stop: threading.Event = field(default_factory=threading.Event)

    @property
    def folder(self) -> str:
        """Where in the store it lies, with the slash after it."""
        prefix = self.options.get("prefix")
        return f"{prefix}/" if prefix else ""

    def check(self) -> None:
        """Raise where the run is being interrupted, or another file failed."""
        if self.job.stopping() or self.stop.is_set():
            raise Interrupted

    def run(self, sources: Sequence[Source]) -> str:
        """Send what is not there yet, remove what need not stay, and tell of it."""
        before = self._again(self._before)
        verdicts = self._each(lambda each: self._decide(each, before), sources)
        by = {
            verdict: [
                each for each, found in zip(sources, verdicts, strict=True) if found == verdict
            ]
            for verdict in ("send", "there", "kept")
        }
        present = before
        if by["send"] or not before.complete:
            present = self._deliver(by, before)
        told = [f"{_counted(by['send'])} sent"]
        told += [f"{_counted(by['there'])} there already"] if by["there"] else []
        told += [f"{_counted(by['kept'])} kept as found there"] if by["kept"] else []
        if "keep" in self.options and present.complete and not by["kept"]:
            keep = self.options["keep"]
            removed = self._again(lambda: prune(self.store, keep, present, self.check))
            told += [f"{removed} old deliver{'y' if removed == 1 else 'ies'} removed"]
        return ", ".join(told)

    def _before(self) -> Listing:
        """Return what an earlier run left in the folder, which may not be another target's."""
        own = Listing.of(self.job)
        found = listing.read(self.store, self.folder)
        if found is None:
            return own
        if found.owner != own.owner:
            raise StepError(
                f"target {found.target} of manifest {found.manifest} delivers into the same "
                "folder; put ${target.name} into to"
            )
        return found

    def _decide(self, source: Source, before: Listing) -> str:
        """Tell whether a file is to be sent, is there already, or must be kept."""
        path = self.folder + source.name
        found = self.store.find(path)
        if found is None:
            return "send"
        sent = before.files.get(source.name)
        known = sent is not None and sent.sha256 == source.sha256 and sent.is_at(found)
        if known or (found.size == source.size and source.equals(self.store.read(path))):
            return "there"
        if_exists = self.options.get("if_exists", "replace")
        if if_exists == "fail":
            raise StepError(f"{path} is there with other content (if_exists: fail)")
        return "kept" if if_exists == "keep" else "send"

    def _deliver(self, by: Mapping[str, Sequence[Source]], before: Listing) -> Listing:
        """Send files, between a listing of the intent and one of what is certain.

        Whatever happens, all that was sent is listed, so that it can be removed some day.
        """
        files = dict(before.files)
        files |= {each.name: Sent(each.size, each.sha256) for each in by["send"]}
        present = replace(Listing.of(self.job), files=files)
        self._again(lambda: present.write(self.store, self.folder))

        def send(source: Source) -> None:
            self.store.send(self.folder + source.name, source)
            files[source.name] = self._sent(source)

        try:
            files |= {
                each.name: self._again(partial(self._sent, each))
                for each in by["there"]
                if each.name in before.files
            }
            self._each(send, by["send"])
        except BaseException:
            with suppress(ImpexError, OSError):
                present.write(self.store, self.folder)
            raise
        complete = replace(present, complete=not by["kept"])
        self._again(lambda: complete.write(self.store, self.folder))
        return complete

    def _again(self, work: Callable[[], _Result]) -> _Result:
        """Do something, and again where the fault was one of the moment."""
        for pause in WAITS:
            self.check()
            try:
                return work()
            except TransientError as error:
                _log.info("%s; trying again in %g s", error, pause)
            self.stop.wait(pause)
        self.check()
        return work()

    def _sent(self, source: Source) -> Sent:
        """Return what is now certain of a file."""
        found = self.store.find(self.folder + source.name)
        if found is None or found.size != source.size:
            size = "nothing" if found is None else f"{found.size} bytes"
            raise StepError(f"{source.name}: {size} lie there after {source.size} were sent")
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
    return f"{len(sources)} file{'' if len(sources) == 1 else 's'} ({size} bytes)"
