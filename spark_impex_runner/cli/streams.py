"""The two streams of a command: no secret and no control character gets through them.

``print``, warnings, tracebacks of threads and hooks, and the handlers that a plugin makes for its
own loggers all end in ``sys.stdout`` or ``sys.stderr``. Of a command's process, file descriptor 1
is a copy of 2: only ``Streams.out`` writes to the genuine stdout, so that neither a plugin nor its
subprocesses can spoil a result. What they write to a file descriptor is not masked.
"""

from __future__ import annotations

import codecs
import io
import os
import re
import stat
import sys
import threading
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from spark_impex_runner.errors import DeliveryError
from spark_impex_runner.masking import lines_of
from spark_impex_runner.report.github import escape_data, without_commands
from spark_impex_runner.text import escaped

if TYPE_CHECKING:
    from collections.abc import Callable

    from spark_impex_runner.masking import Masker

# The colours, which we alone write: everybody else's text is cleaned before it has any.
_COLOURS = re.compile(r"(\x1b\[[0-9;]*m)")


class MaskingStream(io.TextIOBase):
    """Masks and cleans what is written to it, line by line, and passes it on to the stream beneath.

    A line is held until it ends: a secret may come in pieces. ``flush`` passes on what there is of
    it, but for an end that may be the beginning of a secret, which waits for what follows or for
    ``finish``. A reader that has gone (``| head``) is no error: neither the work nor its exit code
    depends on it. Anything else that ends the stream, such as a full disk, is its ``failure``.
    Characters that the stream beneath cannot encode are escaped. With ``form``, each line that is
    written becomes what it returns, such as a JSON object.
    """

    def __init__(self, beneath: TextIO, masker: Masker) -> None:
        self._beneath = beneath
        self._masker = masker
        self._pieces: list[str] = []  # what is held, as it was written
        self._in_line = False
        self.failure = ""
        self.form: Callable[[str], str] | None = None
        self._commands = os.environ.get("GITHUB_ACTIONS") == "true"
        self._lock = threading.RLock()  # a signal's handler may write while its thread writes
        self.buffer = _Bytes(self)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._beneath, name)

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """The encoding of the stream beneath."""
        return self._beneath.encoding

    @property
    def errors(self) -> str | None:  # type: ignore[override]
        """What the stream beneath does with characters that it cannot encode."""
        return self._beneath.errors

    def isatty(self) -> bool:
        """Tell whether a person reads it."""
        return self._beneath.isatty()

    def fileno(self) -> int:
        """Return the file descriptor, to which one can write past the masker."""
        return self._beneath.fileno()

    def writable(self) -> bool:
        """Tell that it can be written to."""
        return True

    def write(self, text: str) -> int:
        """Pass on every line that is complete; hold what is not, or holds a part of a secret."""
        with self._lock:
            self._pieces.append(text)
            if "\n" in text:
                held = "".join(self._pieces)
                self._pass_on(held, self._masker.cut(held, held.rfind("\n") + 1))
        return len(text)

    def flush(self) -> None:
        """Pass on what is held, but for what may be the beginning of a secret."""
        with self._lock:
            if self.form:
                return  # half a line has no form
            held = "".join(self._pieces)
            self._pass_on(held, self._masker.cut(held, self._masker.begun(held)))

    def require_delivery(self) -> None:
        """Raise ``DeliveryError`` if something that was written has gone nowhere."""
        self.flush()
        if self.failure:
            raise DeliveryError(f"cannot write the result: {self.failure}")

    def finish(self) -> None:
        """Pass on all that is held: nothing follows."""
        with self._lock:
            held = "".join(self._pieces)
            self._pass_on(held, len(held))

    def close(self) -> None:
        """Do nothing: the stream beneath belongs to the process, and may be closed already."""

    def styled(self, text: str) -> None:
        """Write lines for a person that may hold our colours."""
        with self._lock:
            parts = _COLOURS.split(self._masker.mask(text))
            parts[::2] = map(self._clean, parts[::2])
            self._begin_line()
            self._to_beneath("".join(parts) + "\n")

    def document(self, text: str) -> None:
        """Write lines for a program as they are: they were masked before they became JSON or so.

        To mask them once more could spoil them: a short secret may be a part of the syntax. They
        are UTF-8 whatever the encoding of the stream is.
        """
        with self._lock:
            self._begin_line()
            self._guarded(lambda: self._write_bytes(text + "\n"))

    def _begin_line(self) -> None:
        if self._in_line:
            self._to_beneath("\n")

    def _pass_on(self, held: str, end: int) -> None:
        """Pass on what is held up to ``end``, and go on holding the rest."""
        self._pieces = [held[end:]]
        text = self._clean(self._masker.mask(held[:end]))
        if not self.form:
            self._to_beneath(text)
            return
        for line in text.splitlines():
            if line.strip():
                self.document(self.form(line))

    def _clean(self, text: str) -> str:
        shown = escaped(text)
        return without_commands(shown) if self._commands else shown

    def _to_beneath(self, text: str) -> None:
        self._guarded(lambda: self._beneath.write(self._encodable(text)))
        if text:
            self._in_line = not text.endswith("\n")

    def _write_bytes(self, text: str) -> None:
        binary = getattr(self._beneath, "buffer", None)
        if binary is None:
            self._beneath.write(self._encodable(text))
        else:
            self._beneath.flush()
            binary.write(text.encode("utf-8", "backslashreplace"))

    def _encodable(self, text: str) -> str:
        """Return text that the stream beneath can encode, whatever its own way with the rest is."""
        encoding = self._beneath.encoding or "utf-8"
        try:
            text.encode(encoding)
        except UnicodeEncodeError:
            return text.encode(encoding, "backslashreplace").decode(encoding)
        return text

    def _guarded(self, write: Callable[[], object]) -> None:
        """Write; where the stream has ended, note why and send the rest nowhere."""
        try:
            write()
            self._beneath.flush()
        except (OSError, ValueError) as error:  # ValueError: somebody has closed it
            if not isinstance(error, BrokenPipeError):
                self.failure = getattr(error, "strerror", None) or str(error)
            nowhere = os.open(os.devnull, os.O_WRONLY)
            try:
                os.dup2(nowhere, self._beneath.fileno())
            except (OSError, ValueError):
                self._beneath = os.fdopen(os.dup(nowhere), "w", encoding="utf-8")
            os.close(nowhere)


class _Bytes(io.RawIOBase):
    """The ``buffer`` of a masking stream: bytes are masked as the text that they encode."""

    def __init__(self, stream: MaskingStream) -> None:
        self._stream = stream
        self._decoder = codecs.getincrementaldecoder("utf-8")("backslashreplace")

    def writable(self) -> bool:
        """Tell that it can be written to."""
        return True

    def write(self, data: Any) -> int:
        """Write the text that the bytes encode, as UTF-8."""
        given = bytes(data)
        self._stream.write(self._decoder.decode(given))
        return len(given)

    def flush(self) -> None:
        """Pass on what is held."""
        self._stream.flush()

    def close(self) -> None:
        """Do nothing, as its stream does."""


@dataclass(frozen=True, slots=True)
class Streams:
    """What stands in the place of ``sys.stdout`` and ``sys.stderr`` until ``undo`` is closed."""

    out: MaskingStream
    err: MaskingStream
    undo: ExitStack


def install(masker: Masker, *, alone: bool = False) -> Streams:
    """Put masking streams in the place of the process's own, and have GitHub hear of secrets.

    ``alone`` says that the process is this command and nothing else: file descriptor 1 then becomes
    a copy of 2.
    """
    undo = ExitStack()
    if alone:
        _open_missing()
        _take_stdout()
    streams = Streams(_replaced("stdout", masker, undo), _replaced("stderr", masker, undo), undo)
    if os.environ.get("GITHUB_ACTIONS") == "true" and not _is_file(streams.err):
        masker.announce = partial(_add_mask, streams.err)
    return streams


def _open_missing() -> None:
    """Open the standard descriptors that the caller has closed, before a file takes their place."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)


def _take_stdout() -> None:
    """Give ``sys.stdout`` a descriptor of its own, and 1 to whoever else writes to it."""
    theirs = sys.stdout
    if theirs is None or theirs.fileno() != 1:
        return
    theirs.flush()
    own = os.fdopen(os.dup(1), "w", encoding=theirs.encoding, errors=theirs.errors)
    os.dup2(2, 1)
    sys.stdout = own


def _replaced(name: str, masker: Masker, undo: ExitStack) -> MaskingStream:
    before = getattr(sys, name)
    # A process whose caller has closed the stream has none.
    beneath = before or Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - see undo
    if before is None:
        undo.callback(beneath.close)
    stream = MaskingStream(beneath, masker)
    setattr(sys, name, stream)
    undo.callback(setattr, sys, name, before)
    undo.callback(stream.finish)
    return stream


def _is_file(stream: MaskingStream) -> bool:
    """Tell whether a stream goes to a file: no runner reads commands there, and files are kept."""
    try:
        return stat.S_ISREG(os.fstat(stream.fileno()).st_mode)
    except (OSError, ValueError):
        return False


def _add_mask(stream: MaskingStream, secret: str) -> None:
    """Have the logs of later steps on GitHub without the secret, too.

    The runner reads its commands from both streams. Ours go to stderr, as stdout is a result,
    which may be redirected to a file. The runner hides the line itself.
    """
    for line in lines_of(secret):
        stream.document(f"::add-mask::{escape_data(line)}")
