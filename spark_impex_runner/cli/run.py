"""``impex run`` and ``impex-run``."""

from __future__ import annotations

import argparse
import os
import sys
import threading
from contextlib import contextmanager, suppress
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING

from spark_impex_runner.cli import selection
from spark_impex_runner.cli.approve import add_approval_options

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from spark_impex_runner.cli.console import CommandContext, Console
    from spark_impex_runner.clock import Clock
    from spark_impex_runner.errors import ImpexError
    from spark_impex_runner.masking import Masker
    from spark_impex_runner.models import RunResult

_MAX_OPEN_FILES = 65_536
# Seconds after a signal until the process exits, whatever blocks it; see ``blocking``.
_EXIT_AFTER = 4.9
# Seconds that a thread computes while others wait for the interpreter. The holder of the state's
# lock waits for it at each statement: with 500 threads Python's own 5 ms add up to 0.1 s.
_SWITCH_INTERVAL = 0.001
# The same after a signal, when 500 threads have work to do at once: each that waits for the
# interpreter wakes up so often, which took more time of the processors than all the work.
_SWITCH_INTERVAL_STOPPING = 0.02


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of a run."""
    add_shared_arguments(parser)
    parser.add_argument("--dry-run", action="store_true", help="the same as impex plan")
    parser.add_argument(
        "--fresh", action="store_true", help="start new jobs; do not resume earlier ones"
    )
    parser.add_argument(
        "--executor",
        default="",
        metavar="NAME[:ADDRESS]",
        help="where targets of different tenants run, such as processes:4",
    )


def add_shared_arguments(parser: argparse.ArgumentParser, *, one: bool = False) -> None:
    """Add the manifests, or only ``one``, and the options of every command that runs them."""
    selection.add_manifest_argument(parser, one=one)
    selection.add_arguments(parser)
    group = parser.add_argument_group("the run")
    group.add_argument(
        "--until", choices=("download",), default="", help="stop after the download, run no steps"
    )
    group.add_argument(
        "--fail-fast", action="store_true", help="start no new targets after one failed"
    )
    add_approval_options(group)
    group.add_argument(
        "--jobs", type=selection.positive, metavar="N", help="export jobs at once per tenant"
    )
    group.add_argument(
        "--report",
        action="append",
        default=[],
        type=_report,
        metavar="NAME=FILE",
        help="write a report: json, junit, html or a plugin's (repeatable)",
    )
    _add_progress(selection.add_output_arguments(parser))


def _add_progress(group: argparse._ActionsContainer) -> None:
    group.add_argument(
        "--progress",
        choices=("auto", "live", "plain", "none"),
        default="auto",
        help="show the run live, by plain lines or not at all (default: live on a terminal)",
    )
    group.add_argument(
        "--no-progress",
        dest="progress",
        action="store_const",
        const="none",
        help="the same as --progress none",
    )


def execute(
    arguments: argparse.Namespace, context: CommandContext, clock: Clock | None = None
) -> int:
    """Run the manifests one after the other, after checking all of them.

    A signal stops ``clock``, which a caller shares that runs manifests one after the other.
    """
    # First: a plan needs no download and no step, and importing these takes half its time.
    if getattr(arguments, "dry_run", False):
        from spark_impex_runner.cli import plan

        return plan.execute(arguments, context)
    from spark_impex_runner.cli.progress import shown
    from spark_impex_runner.cli.worker import output_options, work
    from spark_impex_runner.clock import Clock
    from spark_impex_runner.engine.run import run_manifest
    from spark_impex_runner.errors import ImpexError
    from spark_impex_runner.models import exit_code

    _allow_many_files()
    sys.setswitchinterval(_SWITCH_INTERVAL)
    out, masker, clock = context.console, context.masker, clock or Clock()
    options = selection.options(arguments)
    worker = partial(work, output_options(arguments))
    if len(arguments.manifests) > 1:
        _check_all(arguments, clock, masker)
    finished: list[RunResult] = []
    failed: list[int] = []
    with exit_in_time(clock), stopped_by_signals(clock, out):
        for path in arguments.manifests:
            try:
                clock.check()  # after a signal no other manifest is started
                with shown(arguments, out, clock) as progress:
                    result = run_manifest(
                        path, options, clock=clock, masker=masker, worker=worker, progress=progress
                    )
            except ImpexError as error:
                _print_refusal(error, out)
                failed.append(128 + clock.signum if clock.signum else error.exit_code)
                continue
            finished.append(result)
            _print_result(result, out)
        steps = list(_next_steps(finished, arguments, context, clock))
        _publish(finished, steps, out)
    return _combine_exit_codes(exit_code(finished), failed, any_run=bool(finished))


def _print_refusal(error: ImpexError, out: Console) -> None:
    from spark_impex_runner.cli import github

    out.error(error)
    github.annotate(error, out)


def _publish(finished: Sequence[RunResult], steps: Sequence[tuple[str, str]], out: Console) -> None:
    """Show the runs on GitHub, and print what to run next as the last lines."""
    from spark_impex_runner.cli import github

    github.publish(finished, steps, out)
    for purpose, command in steps:
        out.hint(purpose, command)


def _print_result(result: RunResult, out: Console) -> None:
    from spark_impex_runner.report import text

    summary = text.render(result, colour=out.colour, columns=out.columns)
    out.result(summary, styled=out.colour)
    for problem in result.problems:
        out.error(problem)


def _check_all(arguments: argparse.Namespace, clock: Clock, masker: Masker) -> None:
    """Check all manifests before the first is run, also for reports to the same file."""
    from spark_impex_runner.engine.refusal import refusal_reported
    from spark_impex_runner.errors import UsageError
    from spark_impex_runner.planning.prepare import prepare

    if arguments.report:
        raise UsageError("--report names one file, which several manifests would overwrite")
    options = selection.options(arguments)
    writers: dict[str, Path] = {}
    for path in arguments.manifests:
        with (
            refusal_reported(path, options, clock, masker),
            prepare(path, options, clock, masker) as prepared,
        ):
            reports = prepared.run.manifest.reports
        for name, file in reports.items():
            writer = writers.setdefault(os.path.realpath(file), path)
            if writer != path:
                raise UsageError(
                    f"{path}: report.{name} is {file}, as in {writer}; "
                    "give each manifest its own file"
                )


def _next_steps(
    finished: Sequence[RunResult],
    arguments: argparse.Namespace,
    context: CommandContext,
    clock: Clock,
) -> Iterator[tuple[str, str]]:
    """Yield the commands that resume, repeat, cancel or approve what is left, with their purposes.

    The one that approves is the last.
    """
    outcomes = {each.outcome.value for run in finished for each in run.results}
    if repeat := context.command:  # empty if the caller says so itself
        yield from _repeats(finished, arguments, repeat, outcomes, interrupted=bool(clock.signum))
    stopped = clock.signum or "timed_out" in outcomes
    if stopped and _may_have_running_jobs(finished, arguments, clock):
        cancel = selection.command_line("impex cancel", arguments)
        yield "to cancel the jobs that still run", cancel
    for line in (selection.approval(run, arguments) for run in finished):
        if line:
            yield "held; to approve", line


def _repeats(
    finished: Sequence[RunResult],
    arguments: argparse.Namespace,
    repeat: str,
    outcomes: set[str],
    *,
    interrupted: bool,
) -> Iterator[tuple[str, str]]:
    """Yield the command that resumes or repeats what is left, if anything is."""
    if interrupted and not outcomes <= {"succeeded", "unchanged"}:
        yield "interrupted; to resume", repeat
    elif outcomes & {"failed", "timed_out"}:
        if len(finished) == 1 and not getattr(arguments, "job", ""):
            repeat = selection.repeat(finished[0], arguments) or repeat
        resumes = "timed_out" in outcomes
        yield "to resume" if resumes else "to run the failed targets again", repeat


def _may_have_running_jobs(
    finished: Sequence[RunResult], arguments: argparse.Namespace, clock: Clock
) -> bool:
    from spark_impex_runner.engine.cancel import may_have_running_jobs

    options = selection.options(arguments)
    return any(may_have_running_jobs(each, options, clock) for each in finished)


def _combine_exit_codes(code: int, failed: Sequence[int], *, any_run: bool) -> int:
    """Return one exit code for the results and for the manifests that could not be run."""
    if not failed:
        return code
    # 9 alone would say that nothing failed, but a manifest that could not be run did.
    return 3 if code in (0, 9) and any_run else max(code, 3) if any_run else failed[0]


def _allow_many_files() -> None:
    """Raise the soft limit of open files to the hard limit, up to 65,536.

    Each running job holds a lock file and one or two connections; common limits are 256 and 1024.
    """
    with suppress(ImportError, OSError, ValueError):  # Windows has no such limit
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        most = _MAX_OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, _MAX_OPEN_FILES)
        if soft != resource.RLIM_INFINITY and soft < most:
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


@contextmanager
def stopped_by_signals(clock: Clock, out: Console) -> Iterator[None]:
    """Stop the clock on the first SIGINT or SIGTERM, and exit on the second."""
    import signal

    from spark_impex_runner.cli.console import json_line

    def stop(signum: int, _frame: object) -> None:
        if clock.stopping():
            os._exit(128 + signum)
        sys.setswitchinterval(_SWITCH_INTERVAL_STOPPING)
        clock.stop(signum)
        name = signal.Signals(signum).name
        message = (
            f"{name}: stopping, nothing new is started; press Ctrl-C again to exit immediately"
        )
        line = json_line("warning", message, event="interrupt") if out.json_lines else message
        out.streams.err.write_urgent(line)

    # Kubernetes, systemd and CI systems end a process by SIGTERM.
    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def exit_in_time(clock: Clock, seconds: float = _EXIT_AFTER) -> Iterator[None]:
    """Exit the process ``seconds`` after a stop, whatever blocks it, such as a full pipe.

    What ``Clock.reserved`` keeps the process for may end before.
    """
    stopped, over = threading.Lock(), threading.Event()
    stopped.acquire()

    def release() -> None:  # called in the signal's handler, which must not wait for a lock
        with suppress(RuntimeError):
            stopped.release()

    def watch() -> None:
        stopped.acquire()
        while (left := max(clock.stopped_at + seconds, clock.reserved_until) - monotonic()) > 0:
            if over.wait(left):
                return
        if not over.is_set():
            os._exit(128 + clock.signum)

    forget = clock.on_stop(release)
    threading.Thread(target=watch, name="impex-leave", daemon=True).start()
    try:
        yield
    finally:
        over.set()
        forget()
        release()


def _report(text: str) -> tuple[str, Path]:
    name, separator, file = text.partition("=")
    if not name or not separator or not file:
        raise argparse.ArgumentTypeError(f"'{text}' is not NAME=FILE, such as json=report.json")
    return name, selection.written_path(file)
