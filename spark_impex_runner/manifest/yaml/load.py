"""Load a YAML file as plain data, with the position of each value.

Tags, merge keys, several documents, duplicate keys and keys that are not text are refused. Anchors
and aliases are accepted, within limits.
"""

from __future__ import annotations

import errno
import gc
import os
import re
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NoReturn

import yaml

from spark_impex_runner.errors import ManifestError, Problem
from spark_impex_runner.manifest.yaml.document import Document, Position
from spark_impex_runner.manifest.yaml.excerpt import File, shown
from spark_impex_runner.manifest.yaml.files import read_limited
from spark_impex_runner.manifest.yaml.scalars import text_fault, value_of
from spark_impex_runner.manifest.yaml.syntax import NO_CHARACTER, explain
from spark_impex_runner.spelling import did_you_mean
from spark_impex_runner.text import escaped_line

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from spark_impex_runner.manifest.yaml.document import KeyPath

NO_MAPPING = (
    "this is no mapping; a manifest begins with 'version: 1', "
    "a part or an overlay with any key of a manifest"
)
# Far above real manifests; a hostile one, with nested aliases for example, must not exhaust memory.
MAX_BYTES = 8 * 2**20
MAX_DEPTH = 40
MAX_VALUES = 500_000

# libyaml parses the same language many times faster, but PyYAML may be installed without it.
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_MERGE = "tag:yaml.org,2002:merge"
_BEYOND = re.compile(r"\\U(?!000|0010)")
# How libyaml's message ends where many "[" in a row reach its own limit before ours.
_LIBYAML_DEPTH = "maximum nesting depth"


def load(path: Path) -> Document:
    """Read the file at ``path`` without the files that it includes.

    Raises ``ManifestError`` if it is not one YAML mapping.
    """
    with _no_collection():
        return _load(path, File(str(path)))


@contextmanager
def _no_collection() -> Iterator[None]:
    """Turn the garbage collector off.

    No object becomes garbage while a manifest is read, but the collector traverses the growing tree
    again and again: three quarters of the time for a large manifest.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _load(path: Path, unread: File) -> Document:
    """Read the file at ``path``; messages name it by the label of ``unread``."""
    file = File(unread.label, _read(path, unread))
    try:
        _guard(file)
        root = _compose(file.text)
    except yaml.MarkedYAMLError as error:
        _refuse_syntax(error, file)
    except yaml.reader.ReaderError:
        # Not at the error's own position: libyaml counts bytes, not characters.
        before = yaml.reader.Reader.NON_PRINTABLE.split(file.text, maxsplit=1)[0]
        _refuse(file, _end_of(before), "a control character is not allowed in YAML; remove it")
    except (ValueError, OverflowError):
        # PyYAML's own parser makes characters of numbers that are too large for any.
        before = _BEYOND.split(file.text, maxsplit=1)[0]
        _refuse(file, _end_of(before), NO_CHARACTER)
    if not isinstance(root, yaml.MappingNode):
        point = _start_of(root) if root else (1, 1)
        _refuse(file, point, NO_MAPPING)
    walk = _Walk(file)
    data = walk.read(root, (), (1, 1))
    return Document(path, data, walk.positions, tuple(walk.problems))


def _nearest(path: Path, number: int | None) -> str:
    """Return what to do about a path without a manifest: the nearest file beside or in it."""
    if number == errno.EISDIR:
        return "; give a file in it"
    if number != errno.ENOENT:
        return ""
    with suppress(OSError):
        # Of names with a similar stem: all of them have the suffix in common.
        near = (each for each in path.parent.glob("*.y*ml") if did_you_mean(path.stem, [each.stem]))
        return did_you_mean(path.name, (each.name for each in near))
    return ""


def _read(path: Path, file: File) -> str:
    """Return the file's text. Raises ``ManifestError`` if it cannot be read."""
    try:
        content = read_limited(path, MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        number = getattr(error, "errno", None)
        reason = os.strerror(number) if number else str(error)
        _refuse(file, (1, 1), f"cannot read the manifest: {reason}{_nearest(path, number)}")
    if len(content) > MAX_BYTES:
        _refuse(file, (1, 1), f"the manifest is larger than {MAX_BYTES // 2**20} MiB")
    try:
        # Windows editors begin UTF-8 files with a byte order mark.
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = content[: error.start].decode("utf-8", "replace")
        _refuse(file, _end_of(before), "the text is not UTF-8; save the file as UTF-8")


def _guard(file: File) -> None:
    """Refuse deep nesting, tags and several documents before PyYAML's recursive composer runs."""
    depth = documents = 0
    event: Any
    for event in yaml.parse(file.text, Loader=_Loader):
        point = event.start_mark.line + 1, event.start_mark.column + 1
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        documents += isinstance(event, yaml.DocumentStartEvent)
        if depth > MAX_DEPTH:
            _refuse_depth(file, point)
        if documents > 1:
            _refuse(file, point, "a second YAML document begins; a file holds one manifest")
        if getattr(event, "tag", None) is not None:
            # The tag is not named: a secret may begin with '!'.
            message = "YAML tags are not allowed; write plain data, and quote what begins with '!'"
            _refuse(file, point, message)


def _compose(text: str) -> yaml.Node | None:
    """Return the document's root node, None for an empty text."""
    loader = _Loader(text)
    try:
        root: yaml.Node | None = loader.get_single_node()
    finally:
        loader.dispose()
    return root


@dataclass(slots=True)
class _Walk:
    """Converts nodes to data and records the position of each value.

    An invalid key is recorded as a problem, so that the rest is checked in the same run.
    """

    file: File
    positions: dict[KeyPath, Position] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    ancestors: list[yaml.Node] = field(default_factory=list)

    def read(self, node: yaml.Node, path: KeyPath, key: tuple[int, int]) -> Any:
        """Return the data of ``node`` at ``path``, whose key begins at ``key``."""
        file, point = self.file, _start_of(node)
        if len(self.positions) >= MAX_VALUES:
            _refuse(file, point, f"aliases unfold to more than {MAX_VALUES} values")
        scalar = isinstance(node, yaml.ScalarNode)
        last = _last_line(node) if scalar else 0
        self.positions[path] = Position(
            point, key, node.value if scalar else None, file, path, last
        )
        if isinstance(node, yaml.ScalarNode):
            self._check_text(node)
            return value_of(node.value, node.tag)
        # By identity: PyYAML composes an alias as the very node of its anchor.
        if any(node is ancestor for ancestor in self.ancestors):
            _refuse(file, point, "an alias stands inside the value that it names")
        if len(self.ancestors) > MAX_DEPTH:
            _refuse(file, point, f"aliases nest more than {MAX_DEPTH} deep")
        self.ancestors.append(node)
        mapping = isinstance(node, yaml.MappingNode)
        data = self._mapping(node, path) if mapping else self._sequence(node, path)
        self.ancestors.pop()
        return data

    def _mapping(self, node: yaml.Node, path: KeyPath) -> dict[str, Any]:
        """Return a mapping's data, without invalid and duplicate keys."""
        data: dict[str, Any] = {}
        for key_node, value_node in node.value:
            self._check_text(key_node)
            key, point = _key(key_node), _start_of(key_node)
            reason, path_of_key = _fault_of_key(key_node), (*path, key or "")
            if key in data:
                first = self.positions[path_of_key].key[0]
                reason = f"the key {key!r} is already in line {first}; remove one of them"
            elif key is not None:
                data[key] = self.read(value_node, path_of_key, point)
            if reason:
                self._record_invalid_key(key_node, value_node, reason)
        return data

    def _sequence(self, node: yaml.Node, path: KeyPath) -> list[Any]:
        return [
            self.read(item, (*path, index), _start_of(item))
            for index, item in enumerate(node.value)
        ]

    def _record_invalid_key(self, key: yaml.Node, value: yaml.Node, reason: str) -> None:
        """Record an invalid key; its value may be a secret, so the excerpt ends before it."""
        row, column = _start_of(key)
        problem = Problem(self.file.label, row, column, "", escaped_line(reason))
        begin = _start_of(value)
        private = [begin[1]] if begin[0] == row else []
        self.problems.append(shown(problem, self.file, private))

    def _check_text(self, node: yaml.Node) -> None:
        """Refuse NUL and lone surrogates, which no file name and no request can hold."""
        if isinstance(node, yaml.ScalarNode) and (reason := text_fault(node.value)):
            _refuse(
                self.file, _start_of(node), NO_CHARACTER if "half" in reason else f"this {reason}"
            )


def _key(node: yaml.Node) -> str | None:
    """Return a key's text; None if it is not text."""
    text = isinstance(node, yaml.ScalarNode) and node.tag != _MERGE
    return str(node.value) if text else None


def _fault_of_key(node: yaml.Node) -> str:
    """Return why a node cannot be a key; an empty text if it can."""
    if not isinstance(node, yaml.ScalarNode):
        return "a key must be text, not a list or a mapping"
    if node.tag == _MERGE:
        return "merge keys (<<) are not supported; use 'defaults' or repeat the keys"
    # Notifications have the key ``on``, which only YAML 1.1 reads as a boolean.
    if node.value != "on" and not isinstance(value_of(node.value, node.tag), str):
        return f"a key must be text, but YAML reads {node.value!r} as something else: quote it"
    return ""


def _refuse_syntax(error: yaml.MarkedYAMLError, file: File) -> NoReturn:
    point, message = explain(error, file)
    if _LIBYAML_DEPTH in str(error.problem):
        _refuse_depth(file, point)
    _refuse(file, point, message)


def _refuse_depth(file: File, point: tuple[int, int]) -> NoReturn:
    _refuse(file, point, f"values are nested more than {MAX_DEPTH} deep")


def _start_of(node: yaml.Node) -> tuple[int, int]:
    """Return line and column of a node, counted from 1."""
    return node.start_mark.line + 1, node.start_mark.column + 1


def _last_line(node: yaml.Node) -> int:
    """Return the last line of a scalar, counted from 1; a block ends where the next line begins."""
    end = node.end_mark
    return int(end.line + (1 if end.column else 0))


def _end_of(text: str) -> tuple[int, int]:
    """Return line and column of the character that follows ``text``."""
    return File("", text).end


def _problem(file: File, point: tuple[int, int], message: str) -> Problem:
    return shown(Problem(file.label, *point, "", escaped_line(message)), file)


def _refuse(file: File, point: tuple[int, int], message: str) -> NoReturn:
    """Raise an error after which the rest of the file cannot be read."""
    raise ManifestError([_problem(file, point, message)])
