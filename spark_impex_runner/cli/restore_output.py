"""What is printed of a restore: lines as they come, or one JSON document at the end."""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from spark_impex_runner.models.imports import forecast_lines
from spark_impex_runner.text import counted, escaped_line

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from spark_impex_runner.cli.console import Console
    from spark_impex_runner.engine.restore import Restore
    from spark_impex_runner.engine.restore_plan import RestorePlan
    from spark_impex_runner.models import Imported, ServiceForecast

VERSION = 1
# Of more services, those that stay as they are are counted.
_MOST = 20
_OUTCOMES = {
    "new": "new",
    "adds": "with more versions",
    "replaces": "replaced",
    "identical": "identical",
    "folder_missing": "without a folder",
    "would_abort": "that exist",
    "unknown": "unknown",
}
# As of a run in which targets failed.
_REFUSED = 4
_HINTS = {
    "folder_missing": "create the missing folders in Spark, since an import creates none",
    "would_abort": "choose --if-present add_version or replace for services that exist",
}


@dataclass
class RestoreOutput:
    """What is printed of a restore: lines as they come, or one JSON document at the end."""

    console: Console
    restore: Restore
    as_json: bool
    notes: Sequence[str]
    verbose: bool = False
    planned: bool = False
    record: Path | None = None

    def line(self, text: str) -> None:
        """Print a line for people."""
        if not self.as_json:
            self.console.result(escaped_line(text))

    def plan(self, plan: RestorePlan) -> None:
        """Print what a restore would do, once."""
        if self.planned:
            return
        self.planned = True
        backup, spark = self.restore.backup, self.restore.client
        size = sum(each.size for each in backup.packages)
        packages = counted(len(backup.packages), "package")
        self.line(f"{backup.place}: {packages} ({size} bytes), verified")
        if plan.resumed:
            self.line(f"resumes the restore that began at {plan.resumed}, as it was planned then")
        if plan.given_up:
            self.line(
                f"gives up the restore that began at {plan.given_up}, whose import may still run"
            )
        self.line(f"to {self.restore.to} ({spark.url}), if_present: {plan.if_present}")
        for one in plan.imports:
            for text in self._services(one.services) or one.wanted:
                self.line(f"  {text}")
        for each in self.notes:
            self.line(each)

    def _services(self, services: Sequence[ServiceForecast]) -> list[str]:
        """Return the lines about services: of many, not what stays as it is, and their numbers."""
        lines = forecast_lines(services)
        if len(services) <= _MOST or self.verbose:
            return lines
        number = Counter(each.outcome for each in services)
        lines = forecast_lines(each for each in services if not each.is_identical)
        if same := number["identical"]:
            lines.append(f"{counted(same, 'service')} identical: nothing to do; -v names them")
        counts = [f"{number[key]:,} {words}" for key, words in _OUTCOMES.items() if number[key]]
        return [*lines, f"in all {len(services):,} services: {', '.join(counts)}"]

    def end(self, plan: RestorePlan, outcome: str, imports: Sequence[Imported] = ()) -> int:
        """Print how it ended; return the exit code."""
        self.plan(plan)
        outcome = "refused" if plan.problems else outcome
        if outcome not in {"restored", "refused"}:
            self.line("nothing was sent" if plan.wanted else "nothing to do: nothing was sent")
        if self.record:
            self.line(f"signed record: {self.record}")
        if self.as_json:
            self.console.data(self._data(plan, outcome, imports))
        if plan.problems:
            number = counted(len(plan.problems), "service")
            outcomes = {each.outcome for one in plan.imports for each in one.services}
            hints = (text for outcome, text in _HINTS.items() if outcome in outcomes)
            self.console.error(
                f"nothing was sent: {number} would end the import; {', and '.join(hints)}"
            )
            return _REFUSED
        return 0

    def _data(self, plan: RestorePlan, outcome: str, imports: Sequence[Imported]) -> dict[str, Any]:
        packages = [
            {
                "name": each.package.name,
                "size": each.package.size,
                "sha256": each.package.sha256,
                "import": list(each.wanted),
                "services": [one.as_data() for one in each.services],
            }
            for each in plan.imports
        ]
        done = [
            {"package": each.package, "sha256": each.sha256, "job_id": each.job_id, "at": each.at}
            for each in imports
        ]
        place, url = self.restore.backup.place, self.restore.client.url
        return {
            "version": VERSION,
            "source": place,
            "to": self.restore.to,
            "tenant": url,
            "if_present": plan.if_present,
            "outcome": outcome,
            "resumes": plan.resumed or None,
            "gives_up": plan.given_up or None,
            "packages": packages,
            "imports": done,
            "notes": list(self.notes),
            "record": str(self.record) if self.record else None,
        }


def confirmed(restore: Restore) -> bool:
    """Ask on a terminal; raise ``UsageError`` without one."""
    from spark_impex_runner.errors import UsageError

    if not (sys.stdin and sys.stdin.isatty() and sys.stderr.isatty()):
        raise UsageError(
            "nothing was sent: give --yes to import without being asked, or --dry-run for the "
            "plan alone"
        )
    sys.stderr.write(f"import to {restore.to} ({restore.client.url})? [y/N] ")
    sys.stderr.flush()
    answer = sys.stdin.readline()
    if not answer:  # the end of the input leaves the cursor behind the question
        sys.stderr.write("\n")
    return answer.strip().lower() in {"y", "yes"}
