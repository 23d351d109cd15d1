"""Several files to one document: included parts are joined, overlays change what is there.

Parts add up: what two of them say is a mistake. An overlay has the last word: it changes
connections and targets of a name key by key, and any other value as a whole.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeGuard

from spark_impex_runner.errors import ManifestError
from spark_impex_runner.manifest.schema.wording import INSTEAD
from spark_impex_runner.manifest.yaml.document import Document, Finding, Spot
from spark_impex_runner.manifest.yaml.load import MAX_VALUES, load
from spark_impex_runner.paths import url_problem

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from spark_impex_runner.errors import Problem
    from spark_impex_runner.manifest.yaml.document import KeyPath

MAX_FILES = 200

# Keys whose values are mappings of names that files have in common.
_SHARED = frozenset({"vars", "connections", "defaults", "report", "requires"})
# Lists of which files have parts in common; an overlay changes targets by their names.
_LISTS = frozenset({"targets", "notify"})
# What says where a tenant is counts as one value: a new one ends the old one, whatever its keys.
_ADDRESS = frozenset({"base_url", "env", "tenant", "sandbox"})


def assemble(path: Path, overlays: Sequence[Path] = ()) -> Document:
    """Read the manifest at ``path`` with all that it includes, changed by ``overlays`` in order.

    Raises ``ManifestError`` where a file cannot be read; what is wrong with the data of files
    that can is left to the document's ``problems`` and to the schema.
    """
    reading = _Reading()
    documents = [reading.layer(Path(each)) for each in (path, *overlays)]
    if reading.unreadable:
        raise ManifestError([*reading.unreadable, *reading.problems])
    files = tuple(reading.files)
    if not overlays:
        return replace(documents[0], problems=tuple(reading.problems), files=files)
    joined = _Joined(path, spots={(): documents[0].spots[()]})
    for number, document in enumerate(documents):
        joined.lay(document, change=number > 0)
    suffix = _suffix(documents[1:], path.parent)
    return replace(joined.document(reading.problems), suffix=suffix, files=files)


def _suffix(overlays: Sequence[Document], folder: Path) -> str:
    """Return what the overlays add to the manifest's name: ``+prod``, unless one gives a name.

    Under its own name, what one place has left unfinished does not meet what another has.
    """
    names = [f"+{_label(overlay.path, folder)}" for overlay in overlays]
    given = [number for number, overlay in enumerate(overlays, 1) if "name" in overlay.data]
    return "".join(names[max(given, default=0) :])


def _label(path: Path, folder: Path) -> str:
    """Return what tells an overlay from all others: its path below the manifest's folder."""
    near = Path(os.path.relpath(path, folder)).with_suffix("")
    return near.as_posix().replace("../", "")


@dataclass(slots=True)
class _Reading:
    """The files read so far; ``problems`` are what is wrong between them."""

    seen: set[Path] = field(default_factory=set)
    files: dict[Path, None] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    unreadable: list[Problem] = field(default_factory=list)

    def layer(self, path: Path) -> Document:
        """Return the manifest or an overlay; what one includes another may include as well."""
        self.seen.clear()
        return self.whole(path)

    def whole(self, path: Path, trail: tuple[Path, ...] = ()) -> Document:
        """Return the file at ``path``, reached by the files of ``trail``, and what it includes."""
        try:
            document = load(path)
        except ManifestError as error:
            self.unreadable += error.problems
            return Document(path, {}, {(): Spot((1, 1), (1, 1))})
        self.seen.add(path.resolve())
        self.files[path] = None
        self.problems += document.problems
        parts = list(self._parts(document, (*trail, path)))
        if not parts:
            return document
        joined = _Joined(path, spots={(): document.spots[()]})
        for part in (*parts, document):
            joined.lay(part, change=False)
        self.problems += joined.problems
        return joined.document(())

    def _parts(self, document: Document, trail: tuple[Path, ...]) -> Iterator[Document]:
        """Yield what a document includes; an entry that names no such file is noted."""
        entries = document.data.get("include")
        for index, entry in enumerate(entries if _is_followed(entries) else ()):
            path = document.path.parent / entry
            fault = self._fault(path, entry, trail)
            if fault:
                where = ("include", index)
                self.unreadable.append(document.problem(Finding(where, fault)))
            else:
                yield self.whole(path, trail)

    def _fault(self, path: Path, entry: str, trail: tuple[Path, ...]) -> str:
        """Return why ``path``, written as ``entry``, cannot be included, nothing if it can."""
        try:
            fault, real = _not_a_file(path, entry), path.resolve()
        except (OSError, ValueError, RuntimeError) as error:
            return f"cannot read {entry!r}: {getattr(error, 'strerror', None) or 'not a path'}"
        circle = [known.resolve() for known in trail]
        if real in circle:
            names = [str(known) for known in trail[circle.index(real) :]]
            return f"the files include one another: {' -> '.join([*names, str(path)])}"
        if real in self.seen:
            return f"{entry!r} is already included; name each file once"
        if len(self.seen) >= MAX_FILES:
            return f"a manifest has at most {MAX_FILES} files"
        return fault


def _not_a_file(path: Path, entry: str) -> str:
    """Return why ``path``, written as ``entry``, is no file that can be included."""
    if problem := url_problem(entry):
        return problem + INSTEAD["read"]
    if Path(entry).is_absolute():
        return f"{entry!r} is not relative to this file"
    if path.is_dir():
        return f"{entry!r} is a folder; name the files in it"
    patterns = "; patterns and references are not followed" if set("*?$") & set(entry) else ""
    return "" if path.is_file() else f"there is no file {entry!r}{patterns}"


def _is_followed(include: Any) -> TypeGuard[list[str]]:
    """Tell whether a list of files has its form; otherwise it is left to the schema."""
    return isinstance(include, list) and all(isinstance(name, str) and name for name in include)


@dataclass(frozen=True, slots=True)
class _Piece:
    """A value of one file, and its path there."""

    document: Document
    path: KeyPath
    value: Any

    def items(self) -> Iterator[_Piece]:
        """Yield what a mapping or a list holds."""
        mapping = isinstance(self.value, dict)
        for key, value in self.value.items() if mapping else enumerate(self.value):
            yield _Piece(self.document, (*self.path, key), value)


@dataclass(slots=True)
class _Joined:
    """The document that several files make, each laid over those before it."""

    path: Path
    data: dict[str, Any] = field(default_factory=dict)
    spots: dict[KeyPath, Spot] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    added: set[KeyPath] = field(default_factory=set)

    def document(self, problems: Sequence[Problem]) -> Document:
        """Return the whole."""
        every = (*problems, *self.problems)
        return Document(self.path, self.data, self.spots, every, frozenset(self.added))

    def lay(self, part: Document, *, change: bool) -> None:
        """Lay a file over what is there: to add to it or, with ``change``, to have the last word.

        Where a value has not the shape that its key takes, it is kept for the schema to judge.
        """
        for key, value in part.data.items():
            if key == "include" and _is_followed(value):
                continue
            shape = dict if key in _SHARED else list if key in _LISTS else None
            fits = shape is not None and isinstance(value, shape)
            mine = self.data.get(key)
            if key not in self.data or (shape and isinstance(mine, shape) and not fits):
                self._put(self.data, _Piece(part, (key,), value), (key,))
            elif fits and isinstance(mine, list) and not (change and key == "notify"):
                self._lay_items(mine, _Piece(part, (key,), value), change=change)
            elif fits and isinstance(mine, dict):
                self._lay_names(mine, _Piece(part, (key,), value), change=change)
            elif not key.startswith("x-") and (shape is None or change):
                self._one(self.data, _Piece(part, (key,), value), (key,), change=change)

    def _lay_names(self, mine: dict[str, Any], piece: _Piece, *, change: bool) -> None:
        """Lay a mapping of names over another, name by name."""
        for inner in piece.items():
            name = str(inner.path[-1])
            deep = change and piece.path == ("connections",)
            if deep and isinstance(mine.get(name), dict) and isinstance(inner.value, dict):
                self._change(mine[name], inner, inner.path)
            else:
                self.added |= {inner.path} if change and name not in mine else set()
                self._one(mine, inner, inner.path, change=change)

    def _lay_items(self, mine: list[Any], piece: _Piece, *, change: bool) -> None:
        """Lay a list over another: what has the name of a target changes it, the rest is added."""
        names = [item.get("name") if isinstance(item, dict) else None for item in mine]
        open_names = {name: at for at, name in enumerate(names) if isinstance(name, str)}
        for inner in piece.items():
            name = inner.value.get("name") if isinstance(inner.value, dict) else None
            at = open_names.pop(name, None) if change and isinstance(name, str) else None
            if at is None:
                place: KeyPath = (piece.path[0], len(mine))
                mine.append(None)
                self._put(mine, inner, place)
                self.added |= {place} if change else set()
            else:
                self._change(mine[at], inner, (piece.path[0], at))

    def _change(self, mine: dict[str, Any], piece: _Piece, path: KeyPath) -> None:
        """Change a connection or a target key by key; a value is replaced as a whole."""
        if path[0] == "connections" and _ADDRESS & piece.value.keys():
            for key in _ADDRESS & mine.keys():
                self._forget(mine.pop(key), (*path, key))
        for inner in piece.items():
            if path[0] == "connections" or inner.path[-1] != "name":
                self._put(mine, inner, (*path, inner.path[-1]))

    def _one(self, mine: dict[str, Any], piece: _Piece, path: KeyPath, *, change: bool) -> None:
        """Set one value, unless it is there already and nothing may be changed."""
        key = path[-1]
        if change or key not in mine:
            self._put(mine, piece, path)
        elif (key, piece.value) != ("version", mine[key]):
            first = self.spots[path]
            message = f"{key!r} is already given in {first.file.label}:{first.key[0]}"
            finding = Finding(piece.path, message, at_key=True)
            self.problems.append(piece.document.problem(finding))

    def _put(self, mine: Any, piece: _Piece, path: KeyPath) -> None:
        """Set a value in ``mine``, which may hold another, with all that is in it."""
        if path in self.spots:
            self._forget(mine[path[-1]], path)
        mine[path[-1]] = self._copy(piece.document, piece.path, piece.value, path)

    def _copy(self, document: Document, source: KeyPath, value: Any, path: KeyPath) -> Any:
        """Return ``value``, of ``source`` in ``document``, whose place from now on is ``path``."""
        self.spots[path] = document.spots[source]
        if len(self.spots) > MAX_VALUES:
            finding = Finding(source, f"the files together hold more than {MAX_VALUES} values")
            raise ManifestError([document.problem(finding)])
        if isinstance(value, dict):
            return {
                key: self._copy(document, (*source, key), item, (*path, key))
                for key, item in value.items()
            }
        if isinstance(value, list):
            return [
                self._copy(document, (*source, index), item, (*path, index))
                for index, item in enumerate(value)
            ]
        return value

    def _forget(self, value: Any, path: KeyPath) -> None:
        """Forget where a value and all that is in it stood."""
        self.spots.pop(path, None)
        for key in value if isinstance(value, dict) else ():
            self._forget(value[key], (*path, key))
        for index, item in enumerate(value if isinstance(value, list) else ()):
            self._forget(item, (*path, index))
