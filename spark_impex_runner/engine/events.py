"""What happens on a worker, as texts that reach its run: log records, and targets' progress.

Each text is a JSON object with one of the keys ``log``, ``begun``, ``queued``, ``active`` or
``ended``. Secrets are masked before a text leaves the worker.
"""

from __future__ import annotations

import json
import logging
import threading
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from spark_impex_runner.clock import repeated
from spark_impex_runner.engine.placement import Placement
from spark_impex_runner.engine.progress import RunProgress
from spark_impex_runner.engine.snapshot import Activity
from spark_impex_runner.masking import MaskingFilter
from spark_impex_runner.models import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from spark_impex_runner.clock import Clock
    from spark_impex_runner.hooks.registry import StepOffer
    from spark_impex_runner.masking import Masker
    from spark_impex_runner.models import Run, TargetResult

    Send = Callable[[str], None]

_log = logging.getLogger(__name__)
_OURS = "spark_impex_runner"

# Seconds between two reports of what the targets of a worker do.
_INTERVAL = 1.0
_FIELDS = ("event", "run_id", "target", "job_id", "correlation_id", "detail")
# Held back until it is known where the packages are: elsewhere, the target may be no success.
_HELD_BACK = {"target.succeeded", "target.unchanged"}


# ---- on the worker ----


class UnitEvents(logging.Handler):
    """Sends the log records of one unit; several units may run in one process."""

    # Records that name no target, such as of a request, are sent by one unit of each run.
    _active: list[UnitEvents] = []  # noqa: RUF012 - of the process, in the order of their begin
    _registering = threading.Lock()
    _before = (logging.WARNING, logging.NOTSET)

    def __init__(self, send: Send, run_id: str, names: Sequence[str], masker: Masker) -> None:
        super().__init__()
        self._send = send
        self.run_id = run_id
        self._names = frozenset(names)
        self._levels = self._before
        self._held_back: dict[str, dict[str, Any]] = {}
        self.addFilter(MaskingFilter(masker))

    @contextmanager
    def attached(self, levels: tuple[int, int]) -> Iterator[None]:
        """Send what is logged in the block, at the levels of the run: its root's and ours."""
        self._levels = levels
        root = logging.getLogger()
        with self._change_levels():
            self._active.append(self)
        root.addHandler(self)
        # First of all, on the thread that was given the unit: see ``ExecutorFactory``.
        self.send(begun=sorted(self._names))
        try:
            yield
        finally:
            root.removeHandler(self)
            with self._change_levels():
                self._active.remove(self)

    @contextmanager
    def _change_levels(self) -> Iterator[None]:
        """Set the process's levels to the least of all units; at the end to those before the first.

        The units of one process begin and end in any order.
        """
        root, ours = logging.getLogger(), logging.getLogger(_OURS)
        with self._registering:
            if not self._active:
                UnitEvents._before = root.level, ours.level
            yield
            every = [each._levels for each in self._active] or [UnitEvents._before]  # noqa: SLF001
            root.setLevel(min(each[0] for each in every))
            ours.setLevel(min(each[1] for each in every))

    def send(self, **message: Any) -> None:
        """Send a message; a worker whose run cannot be reached works on."""
        with suppress(Exception):  # whatever an executor's transport raises
            self._send(json.dumps(message, default=str))

    def emit(self, record: logging.LogRecord) -> None:
        """Send a record that belongs to this unit."""
        if not self._concerns(record):
            return
        try:
            fields = {name: getattr(record, name) for name in _FIELDS if hasattr(record, name)}
            line = {
                "name": record.name,
                "levelno": record.levelno,
                "levelname": record.levelname,
                "msg": record.getMessage(),
                "created": record.created,
                "exc_text": record.exc_text,
                **fields,
            }
            target = fields.get("target", "")
            self._release(target)
            if fields.get("event") in _HELD_BACK:
                self._held_back[target] = line
            else:
                self.send(log=line)
        except Exception:  # noqa: BLE001 - as logging's own handlers do: a record must not end a run
            self.handleError(record)

    def end(self, result: TargetResult, placement: Placement) -> None:
        """Send that a target has ended, with the record of it."""
        line = self._held_back.pop(result.target.name, None)
        ended = {"target": result.target.name, "outcome": result.outcome.value}
        ended |= {"approve": result.approve}
        self.send(ended=ended, placement=asdict(placement), log=line)

    def _release(self, target: str) -> None:
        """Send a record of a target's end after which the target went on, as with a wrapper."""
        if line := self._held_back.pop(target, None):
            self.send(log=line)

    def _concerns(self, record: logging.LogRecord) -> bool:
        run_id, target = getattr(record, "run_id", ""), getattr(record, "target", "")
        if run_id and run_id != self.run_id:
            return False
        if target:
            return target in self._names
        same_run = (each for each in self._active.copy() if each.run_id == self.run_id)
        return next(same_run, None) is self


class UnitProgress(RunProgress):
    """The progress of a unit, which its run is sent, too."""

    def __init__(self, events: UnitEvents, offers: Mapping[str, StepOffer]) -> None:
        super().__init__()
        self._events = events
        self._offers = offers
        self._sent: dict[str, Activity] = {}

    def note_queued(self, name: str, connection: str) -> None:
        """Record, and send, that a target waits for a job of its tenant."""
        super().note_queued(name, connection)
        self._events.send(queued=[name, connection])

    def note_ended(self, result: TargetResult) -> None:
        """Record, and send, the result of a target."""
        super().note_ended(result)
        self._events.end(result, Placement.of(result, self._offers))

    def report(self) -> None:
        """Send what the targets do, if that has changed."""
        snapshot = self.snapshot()
        active = {each.target: each for each in snapshot.active} if snapshot else {}
        timeless = {name: replace(each, elapsed=0.0) for name, each in active.items()}
        changed = [each for name, each in active.items() if timeless[name] != self._sent.get(name)]
        self._sent = timeless
        if changed:
            self._events.send(active=list(map(asdict, changed)))
        self.report_downloads()


@contextmanager
def reported(
    events: UnitEvents, offers: Mapping[str, StepOffer], run: Run, clock: Clock
) -> Iterator[UnitProgress]:
    """Yield the progress of a unit, which is sent regularly while the block lasts."""
    progress = UnitProgress(events, offers)
    progress.begin(run, clock)
    with repeated(progress.report, _INTERVAL, "impex-unit-progress"):
        yield progress


# ---- in the run ----


class EventReceiver:
    """Logs and shows what happens on the workers of a run."""

    def __init__(self, progress: RunProgress) -> None:
        self._progress = progress
        self._lock = threading.Lock()

    def __call__(self, text: str) -> None:
        """Log or show one message, on any thread."""
        try:
            with self._lock:
                self._receive(json.loads(text))
        except Exception as error:  # noqa: BLE001 - of another version, or of no worker of ours
            _log.debug("a worker sent what is no event", exc_info=error)

    def _receive(self, message: dict[str, Any]) -> None:
        if "ended" in message:
            placement = Placement(**message["placement"])
            ended, line = message["ended"], message["log"]
            outcome = Outcome(ended["outcome"])
            if outcome.good and placement.problem():
                outcome, line = Outcome.FAILED, None  # the run itself logs why
            self._progress.note_outcome(ended["target"], outcome, ended["approve"])
            message = {"log": line} if line else {}
        if "log" in message:
            self._log(message["log"])
        elif "begun" in message:
            self._progress.forget(message["begun"])
        elif "queued" in message:
            self._progress.note_queued(*message["queued"])
        elif "active" in message:
            self._progress.note_remote(Activity(**each) for each in message["active"])

    def _log(self, attributes: Mapping[str, Any]) -> None:
        """Log a record of a worker, and note the job that it names."""
        record = logging.makeLogRecord(dict(attributes))
        # A plugin's own record may have any of these.
        name, job_id, event = (attributes.get(each) for each in ("target", "job_id", "event"))
        if name and job_id and event:
            self._progress.note_job(name, job_id, event)
        logger = logging.getLogger(record.name)
        if logger.isEnabledFor(record.levelno):
            logger.handle(record)
