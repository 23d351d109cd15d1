"""Replace references, ``${source:key}`` and ``${run.id}``, in texts; there are no expressions."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from spark_impex_runner.errors import ImpexError, PluginError
from spark_impex_runner.manifest.schema.messages import COMPARISONS
from spark_impex_runner.manifest.yaml.files import read_limited
from spark_impex_runner.manifest.yaml.scalars import text_fault
from spark_impex_runner.paths import url_problem
from spark_impex_runner.spelling import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping
    from pathlib import Path

    from spark_impex_runner.hooks.registry import Source

# A referenced file holds a secret or a text, no data.
MAX_FILE = 2**20

# In this order: an escape, a reference, a "${" without an end.
_TOKEN = re.compile(r"\$\$\{|\$\{([^{}]*)\}|\$\{")
_LITERAL = "$${"


@dataclass(frozen=True, slots=True)
class Value:
    """The value of a reference; ``text`` is its spelling within other text."""

    value: Any = field(repr=False)
    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Resolved:
    """A text with its references replaced, and the errors of those that have no value.

    ``whole`` is True if the text was one reference, so that the value may be a number.
    """

    value: Any = field(repr=False)
    errors: tuple[str, ...] = ()
    whole: bool = False


class UnresolvedText(str):
    """Text that keeps its references: their values must not be read, or not be shown."""

    __slots__ = ()


def escaped(data: Any) -> Any:
    """Return resolved data as manifest text, with ``${`` escaped where it is no reference."""
    if isinstance(data, dict):
        return {key: escaped(value) for key, value in data.items()}
    if isinstance(data, list):
        return [escaped(value) for value in data]
    if isinstance(data, UnresolvedText):
        return str(data)
    return data.replace("${", _LITERAL) if isinstance(data, str) else data


class UndefinedError(ImpexError):
    """A reference has no value; the message says why in one line."""


def refers_outside(value: Any) -> bool:
    """Return True if a value is one reference to something outside the manifest.

    Text beside a reference may be the secret itself, so it makes the answer False.
    """
    match = _TOKEN.fullmatch(value) if isinstance(value, str) else None
    body = (match[1] or "") if match else ""
    return ":" in body and not body.startswith("var:")


def resolve(text: str, table: Table) -> Resolved:
    """Replace each reference in ``text``; if the text is one reference, keep its value's type."""
    # ``result`` has values in place of the references, ``kept`` still has those that were not read.
    matches = list(_TOKEN.finditer(text))
    pieces: list[Value] = []
    errors: list[str] = []
    result, kept, end = "", "", 0
    for match in matches:
        result, kept = result + text[end : match.start()], kept + text[end : match.start()]
        end = match.end()
        if match[0] == _LITERAL:
            result, kept = result + "${", kept + _LITERAL
            continue
        try:
            unsupported = match[1] is None and text.startswith("{", end)
            pieces.append(table.value("{" if unsupported else match[1]))
        except UndefinedError as error:
            errors.append(error.message)
        else:
            result, kept = result + pieces[-1].text, kept + escaped(pieces[-1].text)
    result, kept = result + text[end:], kept + text[end:]
    if pieces and matches[0][0] == text:
        return Resolved(pieces[0].value, whole=True)
    unread = any(isinstance(piece.value, UnresolvedText) for piece in pieces)
    return Resolved(UnresolvedText(kept) if unread else result, tuple(errors))


@dataclass(slots=True)
class Table:
    """The references that are valid in one part of a manifest.

    ``scope`` holds the dotted names, ``variables`` those of ``${var:NAME}``; None means that
    variables are not available.
    """

    sources: Sources
    scope: Mapping[str, Value]
    variables: Mapping[str, Value] | None

    def value(self, body: str | None) -> Value:
        """Return what ``${body}`` stands for. Raises ``UndefinedError``."""
        if body is None:
            raise UndefinedError("'${' has no end; write $${ for the text itself")
        if body == "{":
            raise UndefinedError(
                "${{ }} is another tool's; have that set a variable, and write ${env:NAME}"
            )
        source, colon, key = body.partition(":")
        if colon:
            return self._variable(key) if source == "var" else self.sources.value(source, key)
        if body in self.scope:
            return self.scope[body]
        kind, dot, name = body.partition(".")
        if dot and kind in {"var", "vars", "env", "environ"}:
            raise UndefinedError(f"write ${{{kind[:3]}:{name}}} for ${{{body}}}")
        if dot:
            hint = self.sources.hint(body, self.scope) or f"; known here: {', '.join(self.scope)}"
            raise UndefinedError(f"${{{body}}} is not known here{hint}")
        raise UndefinedError(
            f"${{{body}}} names no source; write ${{var:{body}}} or ${{env:{body}}}, "
            f"or $${{{body}}} for the text itself"
        )

    def _variable(self, name: str) -> Value:
        """Return the value of a variable."""
        if self.variables is None:
            raise UndefinedError("a variable cannot refer to another variable")
        if name in self.variables:
            return self.variables[name]
        hint = (
            self.sources.hint(name, self.variables) or f"; set it under vars or with --var {name}=…"
        )
        raise UndefinedError(f"the variable {name!r} is not defined{hint}")


@dataclass(slots=True)
class Sources:
    """The sources of references: environment, files and plugins; each value is read once.

    ``keep`` receives each value of a secret source. With ``asks`` False these are not read, and
    their references stay in the text. So do references without a value if ``placeholders`` is
    given: it gets each of them, with the reason.
    """

    environ: Mapping[str, str] = field(repr=False)
    folder: Path
    plugins: Mapping[str, Source]
    keep: Callable[[str], None] = lambda _: None
    asks: bool = True
    known: dict[tuple[str, str], Value] = field(default_factory=dict, repr=False)
    compared: int = 0
    placeholders: dict[str, str] | None = None

    def hint(self, word: str, known: Collection[str]) -> str:
        """Return a suggestion for ``word``; none after ``COMPARISONS`` comparisons."""
        self.compared += len(known)
        return did_you_mean(word, known) if self.compared < COMPARISONS else ""

    def names(self) -> Iterable[str]:
        """Return the names of all sources."""
        return sorted({"env", "file", "var", *self.plugins})

    def value(self, source: str, key: str) -> Value:
        """Return the value of ``${source:key}``. Raises ``UndefinedError``."""
        if (source, key) not in self.known:
            text = self._read_or_keep(source, key)
            if fault := text_fault(text):
                raise UndefinedError(f"what ${{{source}:{key}}} stands for {fault}")
            self.known[source, key] = Value(text, text)
        return self.known[source, key]

    def _read_or_keep(self, source: str, key: str) -> str:
        try:
            return self._read(source, key)
        except UndefinedError as error:
            if self.placeholders is None or not key or source not in self.names():
                raise
            reference = f"${{{source}:{key}}}"
            self.placeholders[reference] = error.message
            return UnresolvedText(reference)

    def _read(self, source: str, key: str) -> str:
        if not key:
            raise UndefinedError(f"${{{source}:}} lacks the name of what it refers to")
        if source == "env":
            return self._environment(key)
        if source == "file":
            if problem := url_problem(key):
                raise UndefinedError(f"${{file:…}}: {problem}")
            return self._file(key)
        if source in self.plugins:
            return self._from_plugin(self.plugins[source], key)
        known = ", ".join(self.names())
        raise UndefinedError(
            f"there is no source {source!r}{did_you_mean(source, self.names())}; known: {known}"
        )

    def _from_plugin(self, source: Source, key: str) -> str:
        fault = _call_plugin(source, source.check, key)
        if fault:
            raise UndefinedError(f"${{{source.name}:{key}}}: {fault}")
        if source.secret and not self.asks:
            return UnresolvedText(f"${{{source.name}:{key}}}")
        text = _call_plugin(source, source.read, key)
        if source.secret:
            self.keep(text)
        return text

    def _environment(self, key: str) -> str:
        if key not in self.environ:
            raise UndefinedError(f"the environment variable {key!r} is not set")
        return self.environ[key]

    def _file(self, key: str) -> str:
        """Return a file's text with Unix line ends, without the last one."""
        try:
            text = self._content(key).decode("utf-8")
        except UnicodeDecodeError as error:
            raise UndefinedError(f"the file {key!r} is not UTF-8 text") from error
        return text.replace("\r\n", "\n").replace("\r", "\n").removesuffix("\n")

    def _content(self, key: str) -> bytes:
        try:
            content = read_limited(self.folder / key, MAX_FILE + 1)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or "not a path"
            raise UndefinedError(f"cannot read the file {key!r}: {reason}") from error
        if len(content) > MAX_FILE:
            raise UndefinedError(f"the file {key!r} is larger than {MAX_FILE // 2**20} MiB")
        return content


def _call_plugin(source: Source, function: Callable[[str], str], key: str) -> str:
    """Call a source's function: ``LookupError`` means no value, any other error a broken plugin."""
    try:
        text = function(key)
    except LookupError as error:
        reason = str(error.args[0]) if error.args else "there is no such value"
        raise UndefinedError(f"${{{source.name}:{key}}}: {reason}") from error
    except ImpexError:
        raise
    except (Exception, SystemExit) as error:
        # Without the error's message, which may hold the secret.
        raise PluginError(
            f"plugin {source.provider}: the source {source.name!r} failed with "
            f"{type(error).__name__} on {key!r}"
        ) from error
    if not isinstance(text, str):
        raise PluginError(f"plugin {source.provider}: the source {source.name!r} gave no text")
    return text
