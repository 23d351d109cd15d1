"""The stream that a command writes to: masked, without control characters, above the live view."""

from __future__ import annotations

import codecs
import io
import os
import re
import threading
import time
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TextIO

from spark_impex_runner.cli.live_block import without_colours
from spark_impex_runner.errors import DeliveryError
from spark_impex_runner.report.github import is_job, without_commands
from spark_impex_runner.text import escaped, shortened

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from spark_impex_runner.cli.live_block import LiveBlock
    from spark_impex_runner.masking import Masker

# Our own colours. Other escape sequences are removed before text is coloured.
_COLOURS = re.compile(r"(\x1b\[[0-9;]*m)")


class MaskingStream(io.TextIOBase):
    """Masks and cleans text line by line, and forwards it to the target stream.

    A line is buffered until it ends, as a secret may come in pieces. ``flush`` forwards what is
    buffered, except for an end that may begin a secret, which waits for more text or ``finish``.
    A closed pipe (``| head``) is not an error. Anything else that ends the stream, such as a full
    disk, sets ``failure``. Characters that the target cannot encode are escaped. ``line_format``
    converts each line, for example to a JSON object. ``block`` stays below all other lines.
    ``written_at`` is the time of the last text, of ``time.monotonic``.
    """

    def __init__(self, target: TextIO, masker: Masker) -> None:
        self._target = target
        self._masker = masker
        self._pieces: list[str] = []  # the buffered text, as it was written
        self._in_line = False
        self.failure = ""
        self.line_format: Callable[[str], str] | None = None
        self.written_at = time.monotonic()
        self._block: LiveBlock | None = None
        self._urgent: deque[str] = deque()
        self._commands = is_job()
        self._lock = threading.RLock()  # a signal's handler may write while its thread writes
        self.buffer = _BinaryWriter(self)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._target, name)

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """The encoding of the target."""
        return self._target.encoding

    @property
    def errors(self) -> str | None:  # type: ignore[override]
        """How the target handles characters that it cannot encode."""
        return self._target.errors

    def redirect(self, target: TextIO) -> TextIO:
        """Forward to another target from now on; return the one before, which may be closed."""
        with self._lock:  # another thread may be writing to it
            before, self._target = self._target, target
        return before

    def isatty(self) -> bool:
        """Return whether the target is a terminal."""
        return self._target.isatty()

    def fileno(self) -> int:
        """Return the target's file descriptor; what is written to that is not masked."""
        return self._target.fileno()

    def writable(self) -> bool:
        """Return True."""
        return True

    def write(self, text: str) -> int:
        """Forward every complete line, and buffer the rest and what may be part of a secret."""
        with self._lock:
            self._pieces.append(text)
            if "\n" in text:
                buffered = "".join(self._pieces)
                self._forward(buffered, self._masker.cut(buffered, buffered.rfind("\n") + 1))
        return len(text)

    def flush(self) -> None:
        """Forward the buffer, except for an end that may begin a secret."""
        with self._lock:
            if self.line_format:
                return  # only whole lines can be converted
            buffered = "".join(self._pieces)
            self._forward(
                buffered, self._masker.cut(buffered, self._masker.partial_secret(buffered))
            )

    def require_delivery(self) -> None:
        """Raise ``DeliveryError`` if something could not be written."""
        self.flush()
        if self.failure:
            raise DeliveryError(f"cannot write the result: {self.failure}")

    def finish(self) -> None:
        """Forward the whole buffer: no more text follows."""
        with self._lock:
            buffered = "".join(self._pieces)
            self._forward(buffered, len(buffered))

    def close(self) -> None:
        """Do nothing: the target belongs to the process, and may be closed already."""

    def styled(self, text: str) -> None:
        """Write lines for a person, which may contain our colours."""
        with self._lock:
            parts = _COLOURS.split(self._masker.mask(text))
            parts[::2] = map(self._clean, parts[::2])
            self._write_to_target(self._after_line() + "".join(parts) + "\n")

    def document(self, text: str) -> None:
        """Write lines for a program, such as JSON, as UTF-8 and without masking.

        Their values must be masked already. Masking the document could corrupt it, as a short
        secret may be a part of its syntax.
        """
        with self._lock:
            self._write_to_target(self._after_line())
            self.written_at = time.monotonic()
            self._write_safely(lambda: self._write_bytes(text + "\n"))

    def open_block(self, block: LiveBlock) -> None:
        """Keep a block below all other lines, until ``close_block``."""
        self._block = block

    def show(self, lines: Sequence[str], width: int) -> None:
        """Draw the lines of the block, at most ``width`` columns wide."""
        with self._lock:
            self._write_urgent()
            if self._block and not self._in_line:
                self._write_block([self._fitted(line, width) for line in lines])

    def close_block(self) -> None:
        """Erase the block, and write what has waited for it."""
        with self._lock:
            self._write_block(())
            self._block = None
            self._write_urgent()

    def write_urgent(self, line: str) -> None:
        """Write a line from a signal handler, which must not wait for a lock.

        While there is a block, its next ``show`` writes the line.
        """
        if self._block:
            self._urgent.append(line)
            return
        with suppress(OSError, ValueError):  # the target may be closed, or its reader gone
            # Not by the stream: the signal may have interrupted a write, which blocks another.
            os.write(self.fileno(), f"{line}\n".encode())

    def _write_block(self, lines: Sequence[str]) -> None:
        if self._block and (change := self._block.replaced(lines)):
            self._write_safely(lambda: self._target.write(change))

    def _write_urgent(self) -> None:
        while self._urgent:
            self._write_to_target(self._after_line() + self._urgent.popleft() + "\n")

    def _fitted(self, line: str, width: int) -> str:
        """Return a line of the block as the target can show it, masked."""
        masked = self._masker.mask(line)
        if masked != line:
            masked = shortened(without_colours(masked), width)
        encoding = self._target.encoding or "utf-8"
        return masked.encode(encoding, "replace").decode(encoding)

    def _after_line(self) -> str:
        """Return what ends an incomplete line."""
        return "\n" if self._in_line else ""

    def _forward(self, buffered: str, end: int) -> None:
        """Forward the buffer up to ``end``, and keep the rest."""
        self._pieces = [buffered[end:]]
        text = self._clean(self._masker.mask(buffered[:end]))
        if not self.line_format:
            self._write_to_target(text)
            return
        for line in text.splitlines():
            if line.strip():
                self.document(self.line_format(line))

    def _clean(self, text: str) -> str:
        shown = escaped(text)
        return without_commands(shown) if self._commands else shown

    def _write_to_target(self, text: str) -> None:
        shown = self._encodable(text)
        if text:
            self._in_line = not text.endswith("\n")
            self.written_at = time.monotonic()
            if self._block:  # in one write, so that no other process writes between
                shown = self._block.erased() + shown
                shown += "" if self._in_line else self._block.drawn()
        self._write_safely(lambda: self._target.write(shown))

    def _write_bytes(self, text: str) -> None:
        binary = getattr(self._target, "buffer", None)
        if binary is None:
            self._target.write(self._encodable(text))
        else:
            self._target.flush()
            binary.write(text.encode("utf-8", "backslashreplace"))

    def _encodable(self, text: str) -> str:
        """Return text with escapes for characters that the target cannot encode."""
        encoding = self._target.encoding or "utf-8"
        try:
            text.encode(encoding)
        except UnicodeEncodeError:
            return text.encode(encoding, "backslashreplace").decode(encoding)
        return text

    def _write_safely(self, write: Callable[[], object]) -> None:
        """Write; if the target is closed or full, note why and discard all further text."""
        try:
            write()
            self._target.flush()
        except (OSError, ValueError) as error:  # ValueError: the file object is closed
            if not isinstance(error, BrokenPipeError):
                self.failure = getattr(error, "strerror", None) or str(error)
            # Plugins and Python's own flush at exit still write: each would fail again.
            nowhere = os.open(os.devnull, os.O_WRONLY)
            try:
                os.dup2(nowhere, self._target.fileno())
            except (OSError, ValueError):
                self._target = os.fdopen(os.dup(nowhere), "w", encoding="utf-8")
            os.close(nowhere)


class _BinaryWriter(io.RawIOBase):
    """The ``buffer`` of a masking stream, which decodes bytes so that they can be masked."""

    def __init__(self, stream: MaskingStream) -> None:
        self._stream = stream
        self._decoder = codecs.getincrementaldecoder("utf-8")("backslashreplace")

    def writable(self) -> bool:
        """Return True."""
        return True

    def write(self, data: Any) -> int:
        """Write the text that the bytes encode, as UTF-8."""
        given = bytes(data)
        self._stream.write(self._decoder.decode(given))
        return len(given)

    def flush(self) -> None:
        """Flush the stream."""
        self._stream.flush()

    def close(self) -> None:
        """Do nothing, like the stream."""
