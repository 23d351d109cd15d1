"""``${source:key}`` and ``${run.id}`` in text: what they stand for, and no expressions."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from spark_impex_runner.errors import ImpexError, PluginError
from spark_impex_runner.manifest.schema.wording import COMPARISONS, INSTEAD
from spark_impex_runner.manifest.yaml.reading import read_most
from spark_impex_runner.manifest.yaml.scalars import text_fault
from spark_impex_runner.paths import url_problem
from spark_impex_runner.spelling import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping
    from pathlib import Path

    from spark_impex_runner.hooks.registry import Source

MAX_FILE = 2**20

_TOKEN = re.compile(r"\$\$\{|\$\{([^{}]*)\}|\$\{")
_LITERAL = "$${"


@dataclass(frozen=True, slots=True)
class Named:
    """A value with a name; ``text`` is its spelling, which text around a reference takes in."""

    value: Any = field(repr=False)
    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Resolved:
    """What a text became, and what went wrong."""

    value: Any = field(repr=False)
    mistakes: tuple[str, ...] = ()
    whole: bool = False


class Written(str):
    """Text that keeps its references, where nobody is to see or to ask for what they stand for."""

    __slots__ = ()


def escaped(data: Any) -> Any:
    """Return resolved data as a manifest has to write it: ``${`` in it is no reference."""
    if isinstance(data, dict):
        return {key: escaped(value) for key, value in data.items()}
    if isinstance(data, list):
        return [escaped(value) for value in data]
    if isinstance(data, Written):
        return str(data)
    return data.replace("${", _LITERAL) if isinstance(data, str) else data


class UndefinedError(ImpexError):
    """A reference stands for nothing; the message says why in one line."""


def refers_outside(value: Any) -> bool:
    """Tell whether a value is a reference to what is not in the manifest, and nothing besides.

    Text beside a reference may be the secret itself.
    """
    match = _TOKEN.fullmatch(value) if isinstance(value, str) else None
    body = (match[1] or "") if match else ""
    return ":" in body and not body.startswith("var:")


def resolve(text: str, table: Table) -> Resolved:
    """Replace every reference in ``text``; one that is all of the text keeps its value's type."""
    matches = list(_TOKEN.finditer(text))
    pieces: list[Named] = []
    mistakes: list[str] = []
    result, kept, end = "", "", 0
    for match in matches:
        result, kept = result + text[end : match.start()], kept + text[end : match.start()]
        end = match.end()
        if match[0] == _LITERAL:
            result, kept = result + "${", kept + _LITERAL
            continue
        try:
            foreign = match[1] is None and text.startswith("{", end)
            pieces.append(table.value("{" if foreign else match[1]))
        except UndefinedError as error:
            mistakes.append(error.message)
        else:
            result, kept = result + pieces[-1].text, kept + escaped(pieces[-1].text)
    result, kept = result + text[end:], kept + text[end:]
    if pieces and matches[0][0] == text:
        return Resolved(pieces[0].value, whole=True)
    unread = any(isinstance(piece.value, Written) for piece in pieces)
    return Resolved(Written(kept) if unread else result, tuple(mistakes))


@dataclass(slots=True)
class Table:
    """Everything that a reference may name at one place of a manifest.

    ``scope`` holds the dotted names, ``variables`` those of ``${var:NAME}``; None means that
    variables cannot be named here.
    """

    sources: Sources
    scope: Mapping[str, Named]
    variables: Mapping[str, Named] | None

    def value(self, body: str | None) -> Named:
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

    def _variable(self, name: str) -> Named:
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
    """The sources of references: environment, files and what plugins offer, each read once.

    ``keep`` is told each value of a secret source. ``asks`` False leaves those unread: they stand
    for their own references.
    """

    environ: Mapping[str, str] = field(repr=False)
    folder: Path
    plugins: Mapping[str, Source]
    keep: Callable[[str], None] = lambda _: None
    asks: bool = True
    known: dict[tuple[str, str], Named] = field(default_factory=dict, repr=False)
    compared: int = 0

    def hint(self, word: str, known: Collection[str]) -> str:
        """Return what may be meant by ``word``; nothing once very much was compared."""
        self.compared += len(known)
        return did_you_mean(word, known) if self.compared < COMPARISONS else ""

    def names(self) -> Iterable[str]:
        """Return the names that may stand before the colon."""
        return sorted({"env", "file", "var", *self.plugins})

    def value(self, source: str, key: str) -> Named:
        """Return what ``${source:key}`` stands for. Raises ``UndefinedError``."""
        if (source, key) not in self.known:
            text = self._read(source, key)
            if fault := text_fault(text):
                raise UndefinedError(f"what ${{{source}:{key}}} stands for {fault}")
            self.known[source, key] = Named(text, text)
        return self.known[source, key]

    def _read(self, source: str, key: str) -> str:
        """Read a value for the first time."""
        if not key:
            raise UndefinedError(f"${{{source}:}} lacks the name of what it refers to")
        if source == "env":
            return self._environment(key)
        if source == "file":
            if problem := url_problem(key):
                raise UndefinedError(f"${{file:…}}: {problem}{INSTEAD['read']}")
            return self._file(key)
        if source in self.plugins:
            return self._foreign(self.plugins[source], key)
        known = ", ".join(self.names())
        raise UndefinedError(
            f"there is no source {source!r}{did_you_mean(source, self.names())}; known: {known}"
        )

    def _foreign(self, source: Source, key: str) -> str:
        """Return a plugin's value."""
        fault = _ask(source, source.check, key)
        if fault:
            raise UndefinedError(f"${{{source.name}:{key}}}: {fault}")
        if source.secret and not self.asks:
            return Written(f"${{{source.name}:{key}}}")
        text = _ask(source, source.read, key)
        if source.secret:
            self.keep(text)
        return text

    def _environment(self, key: str) -> str:
        """Return an environment variable."""
        if key not in self.environ:
            raise UndefinedError(f"the environment variable {key!r} is not set")
        return self.environ[key]

    def _file(self, key: str) -> str:
        """Return a file's text, with the line ends of Unix and without the one at its end."""
        try:
            text = self._content(key).decode("utf-8")
        except UnicodeDecodeError as error:
            raise UndefinedError(f"the file {key!r} is not UTF-8 text") from error
        return text.replace("\r\n", "\n").replace("\r", "\n").removesuffix("\n")

    def _content(self, key: str) -> bytes:
        """Return a file's bytes."""
        try:
            content = read_most(self.folder / key, MAX_FILE + 1)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or "not a path"
            raise UndefinedError(f"cannot read the file {key!r}: {reason}") from error
        if len(content) > MAX_FILE:
            raise UndefinedError(f"the file {key!r} is larger than {MAX_FILE // 2**20} MiB")
        return content


def _ask(source: Source, question: Callable[[str], str], key: str) -> str:
    """Ask a plugin; ``LookupError`` means that there is no value, all else a broken plugin."""
    try:
        text = question(key)
    except LookupError as error:
        reason = str(error.args[0]) if error.args else "there is no such value"
        raise UndefinedError(f"${{{source.name}:{key}}}: {reason}") from error
    except ImpexError:
        raise
    except (Exception, SystemExit) as error:
        raise PluginError(
            f"plugin {source.provider}: the source {source.name!r} failed with "
            f"{type(error).__name__} on {key!r}"
        ) from error
    if not isinstance(text, str):
        raise PluginError(f"plugin {source.provider}: the source {source.name!r} gave no text")
    return text
