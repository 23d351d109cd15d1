"""Which parts of a schema speak about a value: where secrets stand, where text may be a number."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from spark_impex_runner.manifest.schema.compose import Schema
    from spark_impex_runner.manifest.yaml.document import KeyPath


@dataclass(frozen=True, slots=True)
class Place:
    """One scalar of a manifest and what its schema says about it."""

    path: KeyPath
    value: Any
    secret: bool
    types: frozenset[str]
    connection: bool = False


class _Layer:
    """All schemas that speak about one value; ``conditions`` are those with an ``if`` to decide.

    Values of one kind share their layer, and so does what is found in it: the layers of their
    ``branches`` by the answers to the conditions, and those ``inner`` by key or index.
    """

    def __init__(self, parts: tuple[Schema, ...], conditions: list[Schema]) -> None:
        self.parts = parts
        self.conditions = conditions
        self.secret = any(schema.get("x-secret") is True for schema in parts)
        self.connection = any(schema.get("x-connection") is True for schema in parts)
        self.types = frozenset(kind for schema in parts for kind in _types(schema))
        # All items after the longest list of particular ones are alike.
        self.prefix = max((len(schema.get("prefixItems", ())) for schema in parts), default=0)
        self.branches: dict[tuple[bool, ...], _Layer] = {}
        self.inner: dict[str | int, _Layer] = {}


@dataclass(slots=True)
class Walker:
    """Walks data and schema side by side. ``matches(schema, value)`` decides an ``if``."""

    root: Schema
    matches: Callable[[Schema, Any], bool]
    _layers: dict[tuple[int, ...], _Layer] = field(default_factory=dict)

    def scalars(self, data: Any) -> Iterator[Place]:
        """Yield every scalar of ``data``, in its order."""
        return self._walk(data, (), self._layer((), [self.root]), secret=False)

    def _walk(self, value: Any, path: KeyPath, layer: _Layer, *, secret: bool) -> Iterator[Place]:
        """Yield the scalars of ``value``, about which the schemas of ``layer`` speak."""
        while layer.conditions:
            layer = self._branch(layer, value)
        secret = secret or layer.secret
        if not isinstance(value, (dict, list)):
            yield Place(path, value, secret, layer.types, layer.connection)
            return
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from self._walk(item, (*path, key), self._inner(layer, key), secret=secret)

    def _branch(self, layer: _Layer, value: Any) -> _Layer:
        """Return ``layer`` with what its conditions say about ``value`` in their place."""
        fits = tuple(self.matches(schema["if"], value) for schema in layer.conditions)
        if fits not in layer.branches:
            choices = zip(layer.conditions, fits, strict=True)
            chosen = [schema.get("then" if fit else "else") for schema, fit in choices]
            layer.branches[fits] = self._layer(layer.parts, chosen)
        return layer.branches[fits]

    def _inner(self, layer: _Layer, key: str | int) -> _Layer:
        """Return what ``layer`` says about the value at ``key`` in its mapping or list."""
        place = min(key, layer.prefix) if isinstance(key, int) else key
        if place not in layer.inner:
            schemas = [part for schema in layer.parts for part in _about(schema, place)]
            layer.inner[place] = self._layer((), schemas)
        return layer.inner[place]

    def _layer(self, parts: tuple[Schema, ...], schemas: list[Any]) -> _Layer:
        """Return the one layer of ``parts``, whose conditions are decided, and ``schemas``."""
        fresh = [part for schema in schemas for part in self._applied(schema)]
        known = (len(parts), *map(id, parts), *map(id, fresh))
        if known not in self._layers:
            self._layers[known] = _Layer((*parts, *fresh), [part for part in fresh if "if" in part])
        return self._layers[known]

    def _applied(self, schema: Any) -> Iterator[Schema]:
        """Yield ``schema`` and every schema that it applies to the same value, whatever that is."""
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
    """Return what a ``$ref`` within ``root`` points at. Raises ``LookupError`` or ``TypeError``."""
    found: Any = root
    for step in pointer.removeprefix("#").split("/")[1:]:
        key = step.replace("~1", "/").replace("~0", "~")
        found = found[int(key)] if isinstance(found, list) else found[key]
    return found


def _about(schema: Schema, place: str | int) -> list[Any]:
    """Return what a schema says about the value at one key or index."""
    return _of_index(schema, place) if isinstance(place, int) else _of_key(schema, place)


def _of_key(schema: Schema, key: str) -> list[Any]:
    """Return what a mapping's schema says about one key."""
    properties = schema.get("properties", {})
    named = [properties[key]] if key in properties else []
    patterns = schema.get("patternProperties", {})
    named += [part for pattern, part in patterns.items() if re.search(pattern, key)]
    return named or [schema.get("additionalProperties"), schema.get("unevaluatedProperties")]


def _of_index(schema: Schema, index: int) -> list[Any]:
    """Return what a list's schema says about one item."""
    first = schema.get("prefixItems", [])
    named = [first[index]] if index < len(first) else [schema.get("items")]
    return [*named, schema.get("contains"), schema.get("unevaluatedItems")]


def _types(schema: Schema) -> list[str]:
    """Return the types that one schema asks for."""
    types = schema.get("type", [])
    return [types] if isinstance(types, str) else types


def homes(root: Schema) -> dict[str, list[str]]:
    """Return where each key of a manifest belongs: ``deadline`` under ``targets[].polling``."""
    found: dict[str, list[str]] = {}
    _find_homes(root, root, "", found)
    return found


def _find_homes(root: Schema, part: Any, path: str, found: dict[str, list[str]]) -> None:
    """Add the keys of ``part``, which stands at ``path``; the defaults are those of a target."""
    while isinstance(part, dict) and "$ref" in part:
        part = follow(root, part["$ref"])
    if not isinstance(part, dict):
        return
    for schema in (part, *(rule.get("then", {}) for rule in part.get("allOf", ()))):
        for key, inner in schema.get("properties", {}).items():
            place = path or "the top level"
            if place not in found.setdefault(key, []):
                found[key].append(place)
            if key != "defaults":
                _find_homes(root, inner, f"{path}.{key}" if path else key, found)
    _find_homes(root, part.get("items"), f"{path}[]", found)
    _find_homes(root, part.get("additionalProperties"), f"{path}.*", found)
