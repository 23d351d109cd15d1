"""Walk data and schema side by side, to find each scalar's annotations and types."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from spark_impex_runner.manifest.schema.compose import Schema
    from spark_impex_runner.manifest.yaml.document import KeyPath


@dataclass(frozen=True, slots=True)
class ScalarLocation:
    """A scalar of a manifest, with its annotations and types from the schema."""

    path: KeyPath
    value: Any
    secret: bool
    types: frozenset[str]
    connection: bool = False


class _SchemaNode:
    """All subschemas that apply to one value; ``conditions`` are those with an undecided ``if``.

    Values with the same subschemas share a node. ``branches`` caches the nodes by the outcome of
    the conditions, ``inner`` those of contained values by key or index.
    """

    def __init__(self, parts: tuple[Schema, ...], conditions: list[Schema]) -> None:
        self.parts = parts
        self.conditions = conditions
        self.secret = any(schema.get("x-secret") is True for schema in parts)
        self.connection = any(schema.get("x-connection") is True for schema in parts)
        self.types = frozenset(kind for schema in parts for kind in _types(schema))
        # All items behind the longest prefixItems share one node.
        self.prefix = max((len(schema.get("prefixItems", ())) for schema in parts), default=0)
        self.branches: dict[tuple[bool, ...], _SchemaNode] = {}
        self.inner: dict[str | int, _SchemaNode] = {}


@dataclass(slots=True)
class Walker:
    """Walks data and schema side by side. ``matches(schema, value)`` decides an ``if``."""

    root: Schema
    matches: Callable[[Schema, Any], bool]
    _nodes: dict[tuple[int, ...], _SchemaNode] = field(default_factory=dict)

    def scalars(self, data: Any) -> Iterator[ScalarLocation]:
        """Yield each scalar of ``data``, in order."""
        return self._walk(data, (), self._node((), [self.root]), secret=False)

    def _walk(
        self, value: Any, path: KeyPath, node: _SchemaNode, *, secret: bool
    ) -> Iterator[ScalarLocation]:
        """Yield the scalars of the value at ``path``, to which ``node`` applies."""
        while node.conditions:
            node = self._branch(node, value)
        secret = secret or node.secret
        if not isinstance(value, (dict, list)):
            yield ScalarLocation(path, value, secret, node.types, node.connection)
            return
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from self._walk(item, (*path, key), self._inner(node, key), secret=secret)

    def _branch(self, node: _SchemaNode, value: Any) -> _SchemaNode:
        """Return ``node`` with its conditions decided for ``value``."""
        fits = tuple(self.matches(schema["if"], value) for schema in node.conditions)
        if fits not in node.branches:
            choices = zip(node.conditions, fits, strict=True)
            chosen = [schema.get("then" if fit else "else") for schema, fit in choices]
            node.branches[fits] = self._node(node.parts, chosen)
        return node.branches[fits]

    def _inner(self, node: _SchemaNode, key: str | int) -> _SchemaNode:
        """Return the node of the value at ``key`` of a mapping or list."""
        position = min(key, node.prefix) if isinstance(key, int) else key
        if position not in node.inner:
            schemas = [part for schema in node.parts for part in _schemas_of(schema, position)]
            node.inner[position] = self._node((), schemas)
        return node.inner[position]

    def _node(self, parts: tuple[Schema, ...], schemas: list[Any]) -> _SchemaNode:
        """Return the shared node of ``parts``, whose conditions are decided, and ``schemas``."""
        fresh = [part for schema in schemas for part in self._applied(schema)]
        known = (len(parts), *map(id, parts), *map(id, fresh))
        if known not in self._nodes:
            self._nodes[known] = _SchemaNode(
                (*parts, *fresh), [part for part in fresh if "if" in part]
            )
        return self._nodes[known]

    def _applied(self, schema: Any) -> Iterator[Schema]:
        """Yield ``schema`` and each subschema that it applies to the same value."""
        if not isinstance(schema, dict):
            return
        yield schema
        inner = [part for key in ("allOf", "anyOf", "oneOf") for part in schema.get(key, ())]
        inner += schema.get("dependentSchemas", {}).values()
        if "$ref" in schema:
            inner.append(follow(self.root, schema["$ref"]))
        for part in inner:
            yield from self._applied(part)


def follow(root: Schema, pointer: str) -> Any:
    """Return the target of a local ``$ref``. Raises ``LookupError`` or ``TypeError``."""
    found: Any = root
    for step in pointer.removeprefix("#").split("/")[1:]:
        key = step.replace("~1", "/").replace("~0", "~")
        found = found[int(key)] if isinstance(found, list) else found[key]
    return found


def _schemas_of(schema: Schema, position: str | int) -> list[Any]:
    """Return the subschemas for the value at one key or index."""
    return _of_index(schema, position) if isinstance(position, int) else _of_key(schema, position)


def _of_key(schema: Schema, key: str) -> list[Any]:
    """Return the subschemas for one key of a mapping."""
    properties = schema.get("properties", {})
    named = [properties[key]] if key in properties else []
    patterns = schema.get("patternProperties", {})
    named += [part for pattern, part in patterns.items() if re.search(pattern, key)]
    return named or [schema.get("additionalProperties"), schema.get("unevaluatedProperties")]


def _of_index(schema: Schema, index: int) -> list[Any]:
    """Return the subschemas for one item of a list."""
    first = schema.get("prefixItems", [])
    named = [first[index]] if index < len(first) else [schema.get("items")]
    return [*named, schema.get("contains"), schema.get("unevaluatedItems")]


def _types(schema: Schema) -> list[str]:
    """Return the types that a schema allows."""
    types = schema.get("type", [])
    return [types] if isinstance(types, str) else types


def key_locations(root: Schema) -> dict[str, list[str]]:
    """Return the locations of each key: ``deadline`` under ``targets[].polling``."""
    found: dict[str, list[str]] = {}
    _find_key_locations(root, root, "", found)
    return found


def _find_key_locations(root: Schema, part: Any, path: str, found: dict[str, list[str]]) -> None:
    """Add the keys of ``part`` at ``path``, except under ``defaults``, which repeats targets."""
    while isinstance(part, dict) and "$ref" in part:
        part = follow(root, part["$ref"])
    if not isinstance(part, dict):
        return
    for schema in (part, *(rule.get("then", {}) for rule in part.get("allOf", ()))):
        for key, inner in schema.get("properties", {}).items():
            location = path or "the top level"
            if location not in found.setdefault(key, []):
                found[key].append(location)
            if key != "defaults":
                _find_key_locations(root, inner, f"{path}.{key}" if path else key, found)
    _find_key_locations(root, part.get("items"), f"{path}[]", found)
    _find_key_locations(root, part.get("additionalProperties"), f"{path}.*", found)
