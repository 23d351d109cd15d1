"""A line about the whole run when nothing else was printed for a while."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from spark_impex_runner.cli.live_view import clock_time, totals
from spark_impex_runner.engine.progress import Backoff
from spark_impex_runner.report.figures import format_size

if TYPE_CHECKING:
    from collections.abc import Callable

    from spark_impex_runner.cli.masking_stream import MaskingStream
    from spark_impex_runner.engine.progress import RunProgress
    from spark_impex_runner.engine.snapshot import Activity, Snapshot

_log = logging.getLogger("spark_impex_runner.events")

# Seconds between two looks: a longer sleep would miss a download that has just begun.
_LEAST, _MOST = 0.2, 5.0


class Heartbeat:
    """Logs ``run.progress`` when the log was silent, and ``download.progress``, ever less often."""

    def __init__(
        self,
        progress: RunProgress,
        stream: MaskingStream,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._progress = progress
        self._stream = stream
        self._now = now
        self._silence = Backoff()

    def tick(self) -> float:
        """Log what is due; return the seconds until the next call."""
        snapshot = self._progress.snapshot()
        if snapshot is None:
            return _MOST
        self._progress.report_downloads()
        if self._silence.is_over(self._now() - self._stream.written_at):
            detail = {
                "targets": snapshot.targets,
                "ended": {outcome.value: count for outcome, count in snapshot.ended.items()},
                "running": len(snapshot.active),
                "queued": sum(map(len, snapshot.queued.values())),
            }
            fields = {"event": "run.progress", "run_id": snapshot.run_id, "detail": detail}
            _log.info("%s", sentence(snapshot), extra=fields)
        silent = self._now() - self._stream.written_at
        return min(max(self._silence.pause - silent, _LEAST), _MOST)


def sentence(snapshot: Snapshot) -> str:
    """Return how far the run is, and what has lasted longest."""
    counts = ", ".join(text for text, _ in totals(snapshot))
    longest = max(snapshot.active, key=lambda each: each.elapsed, default=None)
    return f"{counts}; {_activity(longest)}" if longest else counts


def _activity(each: Activity) -> str:
    """Return what a target does: ``pricing running for 1:12 (usually 1:40)``."""
    what = f"step {each.step}" if each.phase == "steps" else each.phase
    text = f"{each.target} {what} for {clock_time(each.elapsed)}"
    if each.busy:
        job = f"a job of {each.blocker}" if each.blocker else "another job"
        return f"{text} (the tenant runs {job})"
    if each.phase == "downloading":
        of = f" of {format_size(each.size)}" if each.size else ""
        left = f", {clock_time(each.left)} left" if each.left else ""
        return f"{text} ({format_size(each.received)}{of}{left})"
    return f"{text} (usually {clock_time(each.usual)})" if each.usual >= 1 else text
