"""``impex restore``."""

from __future__ import annotations

import argparse
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spark_impex_runner.cli import selection
from spark_impex_runner.cli.approve import add_approval_options

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from spark_impex_runner.cli.console import CommandContext
    from spark_impex_runner.cli.restore_output import RestoreOutput
    from spark_impex_runner.clock import Clock
    from spark_impex_runner.engine.restore import Restore
    from spark_impex_runner.engine.restore_plan import Backup, GivenApproval, RestorePlan
    from spark_impex_runner.models import Manifest
    from spark_impex_runner.planning.stages import Prepared

IF_PRESENT = ("abort", "add_version", "replace")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the backup, the destination, and how it is imported."""
    parser.add_argument(
        "source",
        metavar="SOURCE",
        type=_source,
        help="a delivered folder, or the URL of an uploaded one",
    )
    parser.add_argument(
        "--to", required=True, metavar="CONNECTION", help="the connection to import to"
    )
    group = add_shared_arguments(parser)
    group.add_argument(
        "--if-present",
        choices=IF_PRESENT,
        default="abort",
        help="what to do if a service exists there and differs (default: abort, sending nothing)",
    )


def add_shared_arguments(parser: argparse.ArgumentParser) -> argparse._ArgumentGroup:
    """Add the options of restore and rollback; return their group."""
    parser.add_argument(
        "-m",
        "--manifest",
        required=True,
        type=selection.local_path,
        metavar="MANIFEST",
        help="the manifest of the connection, and of the step that uploaded the backup",
    )
    group = parser.add_argument_group("the restore")
    group.add_argument(
        "--key",
        action="append",
        default=[],
        type=selection.local_path,
        metavar="FILE",
        help="check signatures by this public key (repeatable; default: the manifest's own)",
    )
    group.add_argument("--dry-run", action="store_true", help="show the plan; import nothing")
    group.add_argument("--yes", action="store_true", help="import without asking")
    group.add_argument(
        "--fresh", action="store_true", help="do not resume an earlier restore that did not end"
    )
    add_approval_options(group)
    selection.add_format(parser)
    settings = parser.add_argument_group("selection")
    selection.add_manifest_settings(settings)
    settings.add_argument(
        "--output",
        type=selection.output_path,
        metavar="DIR",
        help="where the signed record is written, in restores/ (default: beside the manifest)",
    )
    selection.add_state_option(settings)
    selection.add_plugin_option(settings)
    selection.add_output_arguments(parser)
    return group


def _source(text: str) -> str:
    """Return the URL of a backup, or the absolute path of a local one."""
    if "://" not in text:
        return str(selection.local_path(text, "either").absolute())
    if problem := _fetching().source_problem(text):
        raise argparse.ArgumentTypeError(problem)
    return text


def _fetching() -> Any:
    """Return the plugin's module that reads what it has uploaded."""
    return import_module("spark_impex_runner.plugins.upload.fetch")


def execute(arguments: argparse.Namespace, context: CommandContext) -> int:
    """Fetch and verify a backup, show what importing it would do, and import it once."""
    steps: list[tuple[str, int]] = []

    def targets(manifest: Manifest) -> list[str]:
        steps[:] = filter(None, [_fetching().uploads_to(arguments.source, manifest)])
        return [name for name, _ in steps]

    with opened(arguments, context, targets) as command:
        options = next((_options(command.manifest, *each) for each in steps), {})
        with command.working(f"fetching {arguments.source}"):
            backup = command.fetch(arguments.source, options)
        return command.restore(backup, arguments.if_present)


def _options(manifest: Manifest, target: str, step: int) -> Mapping[str, Any]:
    """Return the options of the step that uploaded the backup."""
    [found] = [each for each in manifest.targets if each.name == target]
    return found.steps[step].options


@contextmanager
def opened(
    arguments: argparse.Namespace,
    context: CommandContext,
    targets: Callable[[Manifest], Sequence[str]],
) -> Iterator[Command]:
    """Open the manifest and the connection, with a private folder for what is fetched."""
    from spark_impex_runner.clock import Clock
    from spark_impex_runner.planning.prepare import connect_to

    options, clock = selection.options(arguments), Clock()
    with (
        connect_to(
            arguments.manifest, options, (clock, context.masker), arguments.to, targets
        ) as prepared,
        tempfile.TemporaryDirectory(prefix="impex-restore-") as folder,
    ):
        yield Command(arguments, context, prepared, clock, Path(folder))


@dataclass(frozen=True, slots=True)
class Command:
    """A restore or a rollback; ``folder`` is private and removed at the end."""

    arguments: argparse.Namespace
    context: CommandContext
    prepared: Prepared
    clock: Clock
    folder: Path

    @property
    def manifest(self) -> Manifest:
        """The manifest."""
        return self.prepared.run.manifest

    @contextmanager
    def working(self, what: str) -> Iterator[None]:
        """Say that the block lasts; stop the clock on a signal, and say how to resume then."""
        from spark_impex_runner.cli.progress import waited_for
        from spark_impex_runner.cli.run import exit_in_time, stopped_by_signals
        from spark_impex_runner.errors import Interrupted, RetryTimeoutError

        out = self.context.console
        try:
            with (
                exit_in_time(self.clock),
                stopped_by_signals(self.clock, out),
                waited_for(what, out, self.clock),
            ):
                yield
        except (Interrupted, RetryTimeoutError):
            out.hint("to resume", self.context.command)
            raise

    def fetch(self, source: str, options: Mapping[str, Any], receipt: str = "") -> Backup:
        """Fetch a backup into the folder and verify it; ``receipt`` is the SHA-256 of its receipt.

        Raises ``StepError`` if it is not what its records say.
        """
        from spark_impex_runner.digests import sha256
        from spark_impex_runner.engine.restore_plan import Backup, check_evidence
        from spark_impex_runner.errors import StepError
        from spark_impex_runner.evidence.keys import read_public_key
        from spark_impex_runner.models import RECEIPT

        into = Path(tempfile.mkdtemp(dir=self.folder))
        keys = [read_public_key(each) for each in self.arguments.key]
        place = self.manifest.path.absolute().parent
        found = _fetching().fetch(source, options, into, (place, self.clock.check, self.clock.wait))
        if receipt and (not found.receipt or sha256(into / RECEIPT) != receipt):
            raise StepError(f"{found.place}: its receipt is not the one in the lock file")
        check_evidence(into, keys, self.manifest, found.place)
        return Backup.of(found.place, found.packages, found.receipt, into)

    def restore(
        self,
        backup: Backup,
        if_present: str,
        notes: Sequence[str] = (),
        *,
        first_only: bool = False,
    ) -> int:
        """Show what an import would do, ask, and import; return the exit code.

        ``notes`` are lines that follow the plan. With ``first_only``, a service in several packages
        is restored from the first one; else there may be none.
        """
        from spark_impex_runner.cli.restore_output import RestoreOutput, confirmed
        from spark_impex_runner.engine.restore import Restore
        from spark_impex_runner.engine.restore_session import open_session

        options = selection.options(self.arguments)
        restore = Restore(self.prepared, options, self.arguments.to, backup, first_only=first_only)
        shown = RestoreOutput(
            self.context.console,
            restore,
            self.arguments.format == "json",
            notes,
            bool(self.arguments.verbose),
        )
        if self.arguments.dry_run:
            return self._preview(restore, shown, if_present)
        with open_session(restore) as session:
            with self.working(f"asking {restore.to}"):
                plan = session.make_plan(if_present)
            if plan.problems or not plan.wanted:
                if not plan.problems:
                    session.give_up()
                return shown.end(plan, "nothing_to_do")
            _check_choice(plan, if_present)
            given = self._approval(restore, shown, plan)
            shown.plan(plan)
            if not self.arguments.yes and not confirmed(restore):
                return shown.end(plan, "declined")
            with self.working(f"importing to {restore.to}"):
                session.run(plan, shown.line, given, command=self.context.command)
            shown.record = session.record
            return shown.end(plan, "restored", session.imported)

    def _preview(self, restore: Restore, shown: RestoreOutput, if_present: str) -> int:
        """Show what an import would do, and which approval it would need; return the exit code."""
        from spark_impex_runner.engine.restore_plan import check_gate
        from spark_impex_runner.engine.restore_session import preview
        from spark_impex_runner.errors import HeldError

        with self.working(f"asking {restore.to}"):
            plan = preview(restore, if_present)
        _check_choice(plan, if_present)
        try:
            check_gate(plan, restore.backup, (self.manifest, restore.to), restore.options)
        except HeldError as error:
            shown.notes = [*shown.notes, f"would be held: {error}"]
        return shown.end(plan, "planned")

    def _approval(
        self, restore: Restore, shown: RestoreOutput, plan: RestorePlan
    ) -> GivenApproval | None:
        """Return the approval of a restore, None if it needs none; show the plan if it is held."""
        from spark_impex_runner.engine.restore_plan import check_gate
        from spark_impex_runner.errors import HeldError

        try:
            given = check_gate(plan, restore.backup, (self.manifest, restore.to), restore.options)
        except HeldError:
            shown.end(plan, "held")
            raise
        if given:
            name = given.by.name or "an unknown user"
            shown.notes = [*shown.notes, f"approved by {name} ({given.by.named_by})"]
        elif restore.options.approved:
            note = f"--approve covers nothing: the manifest has no gate before {restore.to}"
            shown.notes = [*shown.notes, note]
        return given


def _check_choice(plan: RestorePlan, if_present: str) -> None:
    """Raise ``UsageError`` if a stored plan replaces what the command says to leave alone."""
    from spark_impex_runner.errors import UsageError

    if plan.if_present != if_present:
        raise UsageError(
            f"nothing was sent: the restore that began at {plan.resumed} has not ended; "
            f"give --if-present {plan.if_present} to finish it, or --fresh to start over"
        )
