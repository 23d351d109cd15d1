"""Which parts of a schema speak about a value: where secrets stand, where text may be a number."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from spark_impex_runner.manifest.compose import Schema
    from spark_impex_runner.manifest.document import KeyPath


@dataclass(frozen=True, slots=True)
class Place:
    """One scalar of a manifest and what its schema says about it."""

    path: KeyPath
    value: Any
    secret: bool
    types: frozenset[str]


@dataclass(frozen=True, slots=True)
class Walker:
    """Walks data and schema side by side. ``matches(schema, value)`` decides an ``if``."""

    root: Schema
    matches: Callable[[Schema, Any], bool]

    def scalars(self, data: Any) -> Iterator[Place]:
        """Yield every scalar of ``data``, in its order."""
        return self._walk(data, (), [self.root], secret=False)

    def _walk(
        self, value: Any, path: KeyPath, schemas: list[Schema], *, secret: bool
    ) -> Iterator[Place]:
        """Yield the scalars of ``value``, about which ``schemas`` speak."""
        schemas = [part for schema in schemas for part in self._parts(schema, value)]
        secret = secret or any(schema.get("x-secret") is True for schema in schemas)
        if isinstance(value, dict):
            for key, item in value.items():
                inner = [part for schema in schemas for part in _of_key(schema, key)]
                yield from self._walk(item, (*path, key), inner, secret=secret)
        elif isinstance(value, list):
            for index, item in enumerate(value):
                inner = [part for schema in schemas for part in _of_index(schema, index)]
                yield from self._walk(item, (*path, index), inner, secret=secret)
        else:
            types = frozenset(kind for schema in schemas for kind in _types(schema))
            yield Place(path, value, secret, types)

    def _parts(self, schema: Any, value: Any) -> Iterator[Schema]:
        """Yield ``schema`` and every schema that it applies to the same value."""
        if not isinstance(schema, dict):
            return
        yield schema
        inner = [part for key in ("allOf", "anyOf", "oneOf") for part in schema.get(key, ())]
        inner += schema.get("dependentSchemas", {}).values()
        if "$ref" in schema:
            inner.append(follow(self.root, schema["$ref"]))
        if "if" in schema:
            inner.append(schema.get("then" if self.matches(schema["if"], value) else "else"))
        for part in inner:
            yield from self._parts(part, value)


def follow(root: Schema, pointer: str) -> Any:
    """Return what a ``$ref`` within ``root`` points at. Raises ``LookupError`` or ``TypeError``."""
    found: Any = root
    for step in pointer.removeprefix("#").split("/")[1:]:
        key = step.replace("~1", "/").replace("~0", "~")
        found = found[int(key)] if isinstance(found, list) else found[key]
    return found


def _of_key(schema: Schema, key: str) -> list[Any]:
    """Return what a mapping's schema says about one key."""
    named = [part for name, part in schema.get("properties", {}).items() if name == key]
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
