"""The two streams of a command, which mask secrets and remove control characters.

``print``, warnings, tracebacks of threads and hooks, and the handlers of plugins' own loggers all
write to ``sys.stdout`` or ``sys.stderr``. In a command's process, file descriptor 1 is a copy of 2:
only ``Streams.out`` writes to the genuine stdout, so that neither a plugin nor its subprocesses can
corrupt a result. What they write to a file descriptor is not masked.
"""

from __future__ import annotations

import os
import stat
import sys
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from spark_impex_runner.cli.descriptors import capture_descriptors
from spark_impex_runner.cli.masking_stream import MaskingStream
from spark_impex_runner.masking import lines_of
from spark_impex_runner.report.github import escape_data, is_job

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from spark_impex_runner.masking import Masker


@dataclass(frozen=True, slots=True)
class Streams:
    """The replacements of ``sys.stdout`` and ``sys.stderr`` until ``undo`` is closed."""

    out: MaskingStream
    err: MaskingStream
    undo: ExitStack
    owns_process: bool = False

    def format_errors(self, line_format: Callable[[str], str]) -> None:
        """Convert every line on stderr, also of subprocesses if the process is this command's."""
        self.err.line_format = line_format
        if self.owns_process:
            genuine = capture_descriptors(self.err.write, self.err.document, self.undo)
            self.err.redirect(genuine)

    @contextmanager
    def captured(self) -> Iterator[None]:
        """Write lines of subprocesses through ``err``, too, if the process is this command's."""
        err = self.err
        if not self.owns_process or err.line_format:  # a JSON log captures them all the time
            yield
            return
        write, encoding = err.write, err.encoding or "utf-8"
        # The descriptors are restored before ``err`` writes to them again: else to itself.
        with ExitStack() as afterwards, ExitStack() as undo:
            genuine = capture_descriptors(write, lambda line: write(f"{line}\n"), undo, encoding)
            afterwards.callback(genuine.close)
            afterwards.callback(err.redirect, err.redirect(genuine))
            yield


def install(masker: Masker, *, owns_process: bool = False) -> Streams:
    """Replace the process's streams by masking ones, and announce secrets to GitHub Actions.

    With ``owns_process``, the process is this command alone: file descriptor 1 becomes a copy
    of 2.
    """
    undo = ExitStack()
    if owns_process:
        _open_missing()
        _reserve_stdout()
    streams = Streams(
        _replace_stream("stdout", masker, undo),
        _replace_stream("stderr", masker, undo),
        undo,
        owns_process,
    )
    if is_job() and not _is_file(streams.err):
        masker.announce = partial(_add_mask, streams.err)
    return streams


def _open_missing() -> None:
    """Open standard descriptors that are closed, before another file gets their number."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)


def _reserve_stdout() -> None:
    """Move ``sys.stdout`` to a new descriptor, and make descriptor 1 a copy of stderr."""
    stdout = sys.stdout
    if stdout is None or stdout.fileno() != 1:
        return
    stdout.flush()
    reserved = os.fdopen(os.dup(1), "w", encoding=stdout.encoding, errors=stdout.errors)
    os.dup2(2, 1)
    sys.stdout = reserved


def _replace_stream(name: str, masker: Masker, undo: ExitStack) -> MaskingStream:
    before = getattr(sys, name)
    # sys.stdout is None if the parent process has closed the descriptor.
    target = before or Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - see undo
    if before is None:
        undo.callback(target.close)
    stream = MaskingStream(target, masker)
    setattr(sys, name, stream)
    undo.callback(setattr, sys, name, before)
    undo.callback(stream.finish)
    return stream


def _is_file(stream: MaskingStream) -> bool:
    """Return whether a stream goes to a file, where no runner reads commands."""
    try:
        return stat.S_ISREG(os.fstat(stream.fileno()).st_mode)
    except (OSError, ValueError):
        return False


def _add_mask(stream: MaskingStream, secret: str) -> None:
    """Tell GitHub's runner to mask a secret in the logs of later steps, too.

    It reads commands from both streams and hides their lines. We use stderr, as stdout may be
    redirected to a file.
    """
    for line in lines_of(secret):
        stream.document(f"::add-mask::{escape_data(line)}")
