"""Text to data: YAML without its surprises, every value with its line and column.

What YAML offers beyond plain data is refused: tags, merge keys, several documents, duplicate
keys and keys that are not text. Anchors and aliases are fine, within limits.
"""

from __future__ import annotations

import gc
import os
import re
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NoReturn

import yaml

from spark_impex_runner.errors import ManifestError, Problem
from spark_impex_runner.manifest.yaml.document import Document, Spot
from spark_impex_runner.manifest.yaml.excerpt import File, shown
from spark_impex_runner.manifest.yaml.reading import read_most
from spark_impex_runner.manifest.yaml.scalars import text_fault, value_of
from spark_impex_runner.manifest.yaml.syntax import NO_CHARACTER, explain
from spark_impex_runner.text import escaped_line

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from spark_impex_runner.manifest.yaml.document import KeyPath

NO_MAPPING = (
    "this is no mapping; a manifest begins with 'version: 1', "
    "a part or an overlay with any key of a manifest"
)
MAX_BYTES = 8 * 2**20
MAX_DEPTH = 40
MAX_VALUES = 500_000

# libyaml reads the same language at many times the speed; where it was not compiled in, do without.
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_MERGE = "tag:yaml.org,2002:merge"
_BEYOND = re.compile(r"\\U(?!000|0010)")
# The end of every such message of libyaml, whose own limit is met before ours in a row of "[".
_LIBYAML_DEPTH = "maximum nesting depth"


def load(path: Path) -> Document:
    """Read the file at ``path`` alone; whatever it includes is not looked at.

    Raises ``ManifestError`` if it is not one YAML mapping.
    """
    with _no_collection():
        return _load(path, File(str(path)))


@contextmanager
def _no_collection() -> Iterator[None]:
    """Keep Python's garbage collector from looking at a growing tree again and again.

    Nothing that is made here is garbage before the end; the looking took three quarters of the
    time that a large manifest needs.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _load(path: Path, unread: File) -> Document:
    """Read the file at ``path``, which messages call by the label of ``unread``."""
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
        place = _mark(root) if root else (1, 1)
        _refuse(file, place, NO_MAPPING)
    walk = _Walk(file)
    data = walk.read(root, (), (1, 1))
    return Document(path, data, walk.spots, tuple(walk.problems))


def _read(path: Path, file: File) -> str:
    """Return the file's text, or say why it cannot be read."""
    try:
        content = read_most(path, MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        number = getattr(error, "errno", None)
        reason = os.strerror(number) if number else str(error)
        _refuse(file, (1, 1), f"cannot read the manifest: {reason}")
    if len(content) > MAX_BYTES:
        _refuse(file, (1, 1), f"the manifest is larger than {MAX_BYTES // 2**20} MiB")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = content[: error.start].decode("utf-8", "replace")
        _refuse(file, _end_of(before), "the text is not UTF-8; save the file as UTF-8")


def _guard(file: File) -> None:
    """Refuse what must not reach the composer, which recurses and follows every alias."""
    depth = documents = 0
    event: Any
    for event in yaml.parse(file.text, Loader=_Loader):
        place = event.start_mark.line + 1, event.start_mark.column + 1
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        documents += isinstance(event, yaml.DocumentStartEvent)
        if depth > MAX_DEPTH:
            _refuse_depth(file, place)
        if documents > 1:
            _refuse(file, place, "a second YAML document begins; a file holds one manifest")
        if getattr(event, "tag", None) is not None:
            # The tag is not named: a secret may begin with '!'.
            message = "YAML tags are not allowed; write plain data, and quote what begins with '!'"
            _refuse(file, place, message)


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
    """Turns nodes into data and notes where each value stood.

    What is wrong with a key is noted, too, so that the rest can be checked as well.
    """

    file: File
    spots: dict[KeyPath, Spot] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    ancestors: list[yaml.Node] = field(default_factory=list)

    def read(self, node: yaml.Node, path: KeyPath, key: tuple[int, int]) -> Any:
        """Return the data of ``node``, which stands at ``path`` under a key at ``key``."""
        file, place = self.file, _mark(node)
        if len(self.spots) >= MAX_VALUES:
            _refuse(file, place, f"aliases unfold to more than {MAX_VALUES} values")
        scalar = isinstance(node, yaml.ScalarNode)
        last = _last_line(node) if scalar else 0
        self.spots[path] = Spot(place, key, node.value if scalar else None, file, path, last)
        if isinstance(node, yaml.ScalarNode):
            self._check_text(node)
            return value_of(node.value, node.tag)
        if any(node is ancestor for ancestor in self.ancestors):
            _refuse(file, place, "an alias stands inside the value that it names")
        if len(self.ancestors) > MAX_DEPTH:
            _refuse(file, place, f"aliases nest more than {MAX_DEPTH} deep")
        self.ancestors.append(node)
        mapping = isinstance(node, yaml.MappingNode)
        data = self._mapping(node, path) if mapping else self._sequence(node, path)
        self.ancestors.pop()
        return data

    def _mapping(self, node: yaml.Node, path: KeyPath) -> dict[str, Any]:
        """Return a mapping's data; its keys must be text and differ."""
        data: dict[str, Any] = {}
        for key_node, value_node in node.value:
            self._check_text(key_node)
            key, place = _key(key_node), _mark(key_node)
            fault, here = _fault_of_key(key_node), (*path, key or "")
            if key in data:
                first = self.spots[here].key[0]
                fault = f"the key {key!r} is already in line {first}; remove one of them"
            elif key is not None:
                data[key] = self.read(value_node, here, place)
            if fault:
                self._note(key_node, value_node, fault)
        return data

    def _sequence(self, node: yaml.Node, path: KeyPath) -> list[Any]:
        """Return a sequence's data."""
        return [
            self.read(item, (*path, index), _mark(item)) for index, item in enumerate(node.value)
        ]

    def _note(self, key: yaml.Node, value: yaml.Node, fault: str) -> None:
        """Note what is wrong with a key; nobody knows what its value is, so it is not shown."""
        row, column = _mark(key)
        problem = Problem(self.file.label, row, column, "", escaped_line(fault))
        begin = _mark(value)
        private = [begin[1]] if begin[0] == row else []
        self.problems.append(shown(problem, self.file, private))

    def _check_text(self, node: yaml.Node) -> None:
        """Refuse what no file and no request can hold: half a character, and NUL."""
        if isinstance(node, yaml.ScalarNode) and (fault := text_fault(node.value)):
            _refuse(self.file, _mark(node), NO_CHARACTER if "half" in fault else f"this {fault}")


def _key(node: yaml.Node) -> str | None:
    """Return what a key is called, None if it is none at all."""
    text = isinstance(node, yaml.ScalarNode) and node.tag != _MERGE
    return str(node.value) if text else None


def _fault_of_key(node: yaml.Node) -> str:
    """Return why a node cannot be a key, nothing if it can."""
    if not isinstance(node, yaml.ScalarNode):
        return "a key must be text, not a list or a mapping"
    if node.tag == _MERGE:
        return "merge keys (<<) are not supported; use 'defaults' or repeat the keys"
    # The key ``on`` is ours, and a boolean for YAML 1.1 only, which editors have left behind.
    if node.value != "on" and not isinstance(value_of(node.value, node.tag), str):
        return f"a key must be text, but YAML reads {node.value!r} as something else: quote it"
    return ""


def _refuse_syntax(error: yaml.MarkedYAMLError, file: File) -> NoReturn:
    """Report a YAML syntax error."""
    place, message = explain(error, file)
    if _LIBYAML_DEPTH in str(error.problem):
        _refuse_depth(file, place)
    _refuse(file, place, message)


def _refuse_depth(file: File, place: tuple[int, int]) -> NoReturn:
    """Refuse values in values in values."""
    _refuse(file, place, f"values are nested more than {MAX_DEPTH} deep")


def _mark(node: yaml.Node) -> tuple[int, int]:
    """Return where a node begins, counted from 1."""
    return node.start_mark.line + 1, node.start_mark.column + 1


def _last_line(node: yaml.Node) -> int:
    """Return the last line of a scalar, counted from 1; a block ends where the next line begins."""
    end = node.end_mark
    return int(end.line + (1 if end.column else 0))


def _end_of(text: str) -> tuple[int, int]:
    """Return line and column of the character that follows ``text``."""
    return File("", text).end


def _problem(file: File, place: tuple[int, int], message: str) -> Problem:
    """Return a mistake in the text itself."""
    return shown(Problem(file.label, *place, "", escaped_line(message)), file)


def _refuse(file: File, place: tuple[int, int], message: str) -> NoReturn:
    """Raise the one mistake that makes the rest unreadable."""
    raise ManifestError([_problem(file, place, message)])
