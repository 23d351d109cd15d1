"""The receipt of a restore and its signed records, for manifests that sign."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from spark_impex_runner.delivery.progress import outcome_of
from spark_impex_runner.engine.reports import write_receipt
from spark_impex_runner.errors import DeliveryError
from spark_impex_runner.models import TargetResult

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from spark_impex_runner.delivery.context import Context
    from spark_impex_runner.delivery.records import Records
    from spark_impex_runner.engine.restore_plan import Backup
    from spark_impex_runner.errors import ImpexError
    from spark_impex_runner.models import Approval, Imported, Job, StepResult
    from spark_impex_runner.state.holds import Hold
    from spark_impex_runner.state.models import Attempt


@dataclass(frozen=True, slots=True)
class RestoreRecord:
    """The folder that says what a restore has imported, who started it and who approved it.

    Its records follow each other as those of a delivery: the backup's own delivery, the approval,
    each import, and the receipt of the restore.
    """

    folder: Path
    job: Job
    context: Context
    records: Records

    def prepare(self) -> None:
        """Make the folder; raise ``DeliveryError`` if it cannot be written to."""
        # Before anything is sent: an import without its record must not come from a full disk.
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DeliveryError(
                f"cannot write the signed record to {self.folder}: {error.strerror or error}; "
                "nothing was sent; --output DIR names another place"
            ) from error

    def begin(self, attempt: Attempt, backup: Backup) -> None:
        """Add a record about the delivery that is restored."""
        files = {each.name: each.sha256 for each in backup.packages}
        at = self.job.started.isoformat(timespec="seconds")
        self.records.add_source(attempt, backup.origin, {**backup.records, **files}, at)

    def approved(self, attempt: Attempt, hold: Hold, given: Approval) -> None:
        """Add a record about the approval."""
        self.records.add_approval(attempt, hold, given)

    def imported(self, attempt: Attempt, imports: Sequence[Imported]) -> None:
        """Add a record about each import."""
        by = self.context.actors.initiator.name
        for each in imports:
            self.records.add_import(attempt, each, self.job.run.id, by)

    def write(
        self,
        attempt: Attempt,
        error: ImpexError | None,
        done: tuple[Sequence[Imported], Sequence[StepResult], Sequence[Approval]],
    ) -> None:
        """Write the receipt and its records; remove the folder again if nothing was imported.

        ``done`` are the imports, their results and their approvals.
        """
        imports, steps, approvals = done
        if not imports:
            for each in (self.folder, self.folder.parent):
                with suppress(OSError):  # not empty: another restore's records are in it
                    each.rmdir()
            return
        result = TargetResult(
            target=replace(self.job.target, output=self.folder),
            outcome=outcome_of(error),
            started=self.job.started,
            finished=self.context.clock.now(),
            tenant=self.job.tenant,
            job_ids=tuple(each.job_id for each in imports),
            steps=tuple(steps),
            error=str(error) if error else "",
            approvals=tuple(approvals),
            started_by=attempt.started_by,
        )
        write_receipt(result, self.job.run, self.context, attempt)
