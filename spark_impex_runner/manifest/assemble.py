"""Merge several files into one document: included parts, then overlays.

Included parts must not overlap: a key in two of them is an error. An overlay overrides: it changes
connections and targets with the same name key by key, and any other value as a whole.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeGuard

from spark_impex_runner.errors import ManifestError
from spark_impex_runner.manifest.yaml.document import Document, Finding, Position
from spark_impex_runner.manifest.yaml.load import MAX_VALUES, load
from spark_impex_runner.paths import url_problem

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from spark_impex_runner.errors import Problem
    from spark_impex_runner.manifest.yaml.document import KeyPath

# Reading recurses from file to file, and must stay below Python's recursion limit.
MAX_FILES = 200

# Mappings that are merged name by name.
_MERGED_MAPPINGS = frozenset({"vars", "connections", "defaults", "report", "requires"})
# Lists that are concatenated; an overlay changes targets with the same name.
_MERGED_LISTS = frozenset({"targets", "notify"})
# These keys together are a tenant's address: an overlay that sets one of them replaces all. Else
# its base_url would meet the manifest's env, and the two exclude one another.
_ADDRESS_KEYS = frozenset({"base_url", "env", "tenant", "sandbox"})


def assemble(path: Path, overlays: Sequence[Path] = ()) -> Document:
    """Read the manifest at ``path`` with its includes, and apply ``overlays`` in order.

    Raises ``ManifestError`` if a file cannot be read. Errors in the data of readable files are in
    the document's ``problems``, or left to the schema.
    """
    reader = _Reader()
    documents = [reader.read_layer(Path(each)) for each in (path, *overlays)]
    if reader.unreadable:
        raise ManifestError([*reader.unreadable, *reader.problems])
    files = tuple(reader.files)
    if not overlays:
        return replace(documents[0], problems=tuple(reader.problems), files=files)
    merged = _MergedDocument(path, positions={(): documents[0].positions[()]})
    for number, document in enumerate(documents):
        merged.merge(document, overlay=number > 0)
    suffix = _suffix(documents[1:], path.parent)
    return replace(merged.document(reader.problems), suffix=suffix, files=files)


def _suffix(overlays: Sequence[Document], folder: Path) -> str:
    """Return the suffix of the manifest's name, ``+prod``, unless an overlay sets a name.

    The state holds unfinished jobs by the manifest's name, so one overlay's run must not resume the
    jobs of another's.
    """
    names = [f"+{_label_of(overlay.path, folder)}" for overlay in overlays]
    given = [number for number, overlay in enumerate(overlays, 1) if "name" in overlay.data]
    return "".join(names[max(given, default=0) :])


def _label_of(path: Path, folder: Path) -> str:
    """Return a unique label of an overlay: its path relative to the manifest's folder."""
    relative = Path(os.path.relpath(path, folder)).with_suffix("")
    return relative.as_posix().replace("../", "")


@dataclass(slots=True)
class _Reader:
    """Reads files with their includes; ``problems`` are the conflicts between them."""

    seen: set[Path] = field(default_factory=set)
    files: dict[Path, None] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    unreadable: list[Problem] = field(default_factory=list)

    def read_layer(self, path: Path) -> Document:
        """Read the manifest or an overlay; each of them may include the same files."""
        self.seen.clear()
        return self.read_with_includes(path)

    def read_with_includes(self, path: Path, included_by: tuple[Path, ...] = ()) -> Document:
        """Read a file with its includes; ``included_by`` are the files that led to it."""
        try:
            document = load(path)
        except ManifestError as error:
            self.unreadable += error.problems
            return Document(path, {}, {(): Position((1, 1), (1, 1))})
        self.seen.add(path.resolve())
        self.files[path] = None
        self.problems += document.problems
        parts = list(self._parts(document, (*included_by, path)))
        if not parts:
            return document
        merged = _MergedDocument(path, positions={(): document.positions[()]})
        for part in (*parts, document):
            merged.merge(part, overlay=False)
        self.problems += merged.problems
        return merged.document(())

    def _parts(self, document: Document, included_by: tuple[Path, ...]) -> Iterator[Document]:
        """Yield the documents that a document includes; record entries that cannot be read."""
        entries = document.data.get("include")
        for index, entry in enumerate(entries if _is_followed(entries) else ()):
            path = document.path.parent / entry
            fault = self._fault(path, entry, included_by)
            if fault:
                where = ("include", index)
                self.unreadable.append(document.problem(Finding(where, fault)))
            else:
                yield self.read_with_includes(path, included_by)

    def _fault(self, path: Path, entry: str, included_by: tuple[Path, ...]) -> str:
        """Return why ``path``, written as ``entry``, cannot be included; '' if it can."""
        try:
            fault, real = _not_a_file(path, entry), path.resolve()
        except (OSError, ValueError, RuntimeError) as error:
            return f"cannot read {entry!r}: {getattr(error, 'strerror', None) or 'not a path'}"
        # Resolved: a link may lead back to a file by another name.
        cycle = [known.resolve() for known in included_by]
        if real in cycle:
            names = [str(known) for known in included_by[cycle.index(real) :]]
            return f"the files include one another: {' -> '.join([*names, str(path)])}"
        if real in self.seen:
            return f"{entry!r} is already included; name each file once"
        if len(self.seen) >= MAX_FILES:
            return f"a manifest has at most {MAX_FILES} files"
        return fault


def _not_a_file(path: Path, entry: str) -> str:
    """Return why ``path``, written as ``entry``, is no local file; '' if it is one."""
    if problem := url_problem(entry):
        return problem
    if Path(entry).is_absolute():
        return f"{entry!r} is not relative to this file"
    if path.is_dir():
        return f"{entry!r} is a folder; name the files in it"
    patterns = "; patterns and references are not followed" if set("*?$") & set(entry) else ""
    return "" if path.is_file() else f"there is no file {entry!r}{patterns}"


def _is_followed(include: Any) -> TypeGuard[list[str]]:
    """Return True for a list of names; the schema reports anything else."""
    return isinstance(include, list) and all(isinstance(name, str) and name for name in include)


@dataclass(frozen=True, slots=True)
class _SourceValue:
    """A value, with its file and its path in it."""

    document: Document
    path: KeyPath
    value: Any

    def items(self) -> Iterator[_SourceValue]:
        """Yield the values of a mapping or a list."""
        mapping = isinstance(self.value, dict)
        for key, value in self.value.items() if mapping else enumerate(self.value):
            yield _SourceValue(self.document, (*self.path, key), value)


@dataclass(slots=True)
class _MergedDocument:
    """A document merged from several files, in order."""

    path: Path
    data: dict[str, Any] = field(default_factory=dict)
    positions: dict[KeyPath, Position] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    added: set[KeyPath] = field(default_factory=set)

    def document(self, problems: Sequence[Problem]) -> Document:
        """Return the merged document."""
        every = (*problems, *self.problems)
        return Document(self.path, self.data, self.positions, every, frozenset(self.added))

    def merge(self, part: Document, *, overlay: bool) -> None:
        """Merge a file: it adds to the earlier ones or, as an ``overlay``, overrides them.

        A value of the wrong type is kept, so that the schema reports it.
        """
        for key, value in part.data.items():
            if key == "include" and _is_followed(value):
                continue
            shape = dict if key in _MERGED_MAPPINGS else list if key in _MERGED_LISTS else None
            fits = shape is not None and isinstance(value, shape)
            existing = self.data.get(key)
            if key not in self.data or (shape and isinstance(existing, shape) and not fits):
                self._put(self.data, _SourceValue(part, (key,), value), (key,))
            elif fits and isinstance(existing, list) and not (overlay and key == "notify"):
                self._merge_items(existing, _SourceValue(part, (key,), value), overlay=overlay)
            elif fits and isinstance(existing, dict):
                self._merge_names(existing, _SourceValue(part, (key,), value), overlay=overlay)
            elif not key.startswith("x-") and (shape is None or overlay):
                self._set_once(
                    self.data, _SourceValue(part, (key,), value), (key,), overlay=overlay
                )

    def _merge_names(
        self, existing: dict[str, Any], source: _SourceValue, *, overlay: bool
    ) -> None:
        """Merge a mapping into another, name by name."""
        for inner in source.items():
            name = str(inner.path[-1])
            deep = overlay and source.path == ("connections",)
            if deep and isinstance(existing.get(name), dict) and isinstance(inner.value, dict):
                self._overlay_keys(existing[name], inner, inner.path)
            else:
                self.added |= {inner.path} if overlay and name not in existing else set()
                self._set_once(existing, inner, inner.path, overlay=overlay)

    def _merge_items(self, existing: list[Any], source: _SourceValue, *, overlay: bool) -> None:
        """Append a list to another; an overlay's target with a known name changes that target."""
        # Each name matches once: two overlay entries of one name are reported as duplicates.
        names = [item.get("name") if isinstance(item, dict) else None for item in existing]
        unmatched = {name: at for at, name in enumerate(names) if isinstance(name, str)}
        for inner in source.items():
            name = inner.value.get("name") if isinstance(inner.value, dict) else None
            at = unmatched.pop(name, None) if overlay and isinstance(name, str) else None
            if at is None:
                new_path: KeyPath = (source.path[0], len(existing))
                existing.append(None)
                self._put(existing, inner, new_path)
                self.added |= {new_path} if overlay else set()
            else:
                self._overlay_keys(existing[at], inner, (source.path[0], at))

    def _overlay_keys(self, existing: dict[str, Any], source: _SourceValue, path: KeyPath) -> None:
        """Override a connection or a target key by key."""
        if path[0] == "connections" and _ADDRESS_KEYS & source.value.keys():
            for key in _ADDRESS_KEYS & existing.keys():
                self._remove_positions(existing.pop(key), (*path, key))
        for inner in source.items():
            if path[0] == "connections" or inner.path[-1] != "name":
                self._put(existing, inner, (*path, inner.path[-1]))

    def _set_once(
        self, existing: dict[str, Any], source: _SourceValue, path: KeyPath, *, overlay: bool
    ) -> None:
        """Set one value; a second value without ``overlay`` is a problem."""
        key = path[-1]
        if overlay or key not in existing:
            self._put(existing, source, path)
        elif (key, source.value) != ("version", existing[key]):
            first = self.positions[path]
            message = f"{key!r} is already given in {first.file.label}:{first.key[0]}"
            finding = Finding(source.path, message, at_key=True)
            self.problems.append(source.document.problem(finding))

    def _put(self, existing: Any, source: _SourceValue, path: KeyPath) -> None:
        """Set or replace a value in ``existing``, with the positions of all that it contains."""
        if path in self.positions:
            self._remove_positions(existing[path[-1]], path)
        existing[path[-1]] = self._copy(source.document, source.path, source.value, path)

    def _copy(self, document: Document, source: KeyPath, value: Any, path: KeyPath) -> Any:
        """Copy ``value`` from ``source`` in ``document`` to ``path``, with its positions."""
        self.positions[path] = document.positions[source]
        if len(self.positions) > MAX_VALUES:
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

    def _remove_positions(self, value: Any, path: KeyPath) -> None:
        """Remove the positions of a value and of all that it contains."""
        self.positions.pop(path, None)
        for key in value if isinstance(value, dict) else ():
            self._remove_positions(value[key], (*path, key))
        for index, item in enumerate(value if isinstance(value, list) else ()):
            self._remove_positions(item, (*path, index))
