"""Compose the manifest's schema from the core and the options of plugins.

The published file is the core. The options of each step and strategy become a ``$defs`` entry,
which an if/then on ``uses`` or ``strategy`` applies: a misspelt option then gets its own message,
where ``oneOf`` would only report that no alternative matches.
"""

from __future__ import annotations

import json
from importlib import resources
from typing import TYPE_CHECKING, Any

from spark_impex_runner.hooks.registry import summary_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from spark_impex_runner.hooks.registry import Offer, Registry, Report


Schema = dict[str, Any]

REFERENCE = {"$ref": "#/$defs/reference"}
_CONSTRAINTS = ("enum", "const", "pattern", "format", "maxLength")
_NESTED = ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas")
_INNER = (
    *("items", "contains", "unevaluatedItems"),
    *("additionalProperties", "unevaluatedProperties", "then", "else"),
)
_ANNOTATIONS = (
    *("title", "description", "default", "examples"),
    *("x-secret", "x-form", "x-connection", "x-path"),
)
_COMPLETENESS = ("required", "if", "else", "minItems", "minProperties")
_OVERLAY = {
    "$id": "urn:spark-impex-runner:overlay:1",
    "title": "Part of a manifest of spark-impex-runner",
    "description": (
        "What a file given with -f changes in a manifest, or what a file under include adds to it: "
        "any of a manifest's keys. Of vars, defaults, report and requires, a file given with -f "
        "changes the keys that it has."
    ),
}
_OVERLAY_DESCRIPTIONS = {
    "connections": (
        "Connections, by name. A file given with -f changes those that the manifest has, key by "
        "key; a key's value is replaced as a whole. The address - base_url, env with tenant, or "
        "sandbox - counts as one value."
    ),
    "targets": (
        "Targets, by name. A file given with -f changes those that the manifest has, key by key; a "
        "key's value is replaced as a whole. A target that the manifest does not have is added."
    ),
}


def published() -> Schema:
    """Return the published core schema, without the options of plugins."""
    text = resources.files("spark_impex_runner.schemas").joinpath("manifest.schema.json")
    schema: Schema = json.loads(text.read_text(encoding="utf-8"))
    return schema


def compose(registry: Registry) -> Schema:
    """Return the schema of manifests that may use all offers of ``registry``."""
    schema = published()
    definitions = schema["$defs"]
    _add_offers(definitions, "step", "uses", registry.steps)
    _add_offers(definitions, "polling", "strategy", registry.strategies)
    _add_offers(definitions, "notification", "uses", registry.notifiers)
    _add_reports(schema["properties"]["report"], registry.reports)
    return schema


def overlay(schema: Schema) -> Schema:
    """Return the schema of overlays and included files, from that of a manifest.

    Only the top level is less strict: no key is required, and lists that are merged by name may be
    empty. A value that replaces another must be complete.
    """
    part = _without(schema, _COMPLETENESS) | _OVERLAY
    part["properties"] = dict(part["properties"])
    for key, description in _OVERLAY_DESCRIPTIONS.items():
        part["properties"][key] = {
            **_without(part["properties"][key], _COMPLETENESS),
            "description": description,
        }
    return part


def _without(schema: Schema, keys: Collection[str]) -> Schema:
    """Return ``schema`` without ``keys``."""
    return {key: value for key, value in schema.items() if key not in keys}


def printed(schema: Schema) -> str:
    """Return ``schema`` as the text of a file."""
    return json.dumps(schema, indent=2, ensure_ascii=False)


def without_references(schema: Any) -> Any:
    """Return ``schema`` for values in which all references are replaced."""
    if isinstance(schema, list):
        return [without_references(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    bare = {key: without_references(value) for key, value in schema.items()}
    if schema.get("$ref") == REFERENCE["$ref"]:
        bare = {**bare, "type": "string"}
        del bare["$ref"]
    if REFERENCE in schema.get("anyOf", ()):
        del bare["anyOf"]
        rest = [without_references(item) for item in schema["anyOf"] if item != REFERENCE]
        bare = {**rest[0], **bare} if len(rest) == 1 else {**bare, "anyOf": rest}
    return bare


def pointers(schema: Any) -> Iterator[str]:
    """Yield every ``$ref`` in ``schema``."""
    if isinstance(schema, dict) and isinstance(schema.get("$ref"), str):
        yield schema["$ref"]
    if isinstance(schema, (dict, list)):
        for part in schema.values() if isinstance(schema, dict) else schema:
            yield from pointers(part)


def _add_offers(definitions: Schema, kind: str, key: str, offers: Mapping[str, Offer]) -> None:
    """Add ``offers``, selected by ``key``, to the definition of ``kind``."""
    definition = definitions[kind]
    chooser = definition["properties"][key]
    chooser["enum"] = sorted(offers)
    # Not a keyword of JSON Schema, but VS Code's YAML extension shows it beside each value.
    chooser["enumDescriptions"] = [summary_of(offers[name]) for name in sorted(offers)]
    rules = []
    for name, offer in sorted(offers.items()):
        definition_name = f"{kind}-{name}"
        definitions[definition_name] = _options(offer, definition_name)
        # An absent key means the default, so only the default's rule applies without the key.
        needed = {} if chooser.get("default") == name else {"required": [key]}
        must = {"required": ["with"]} if offer.options.get("required") else {}
        rules.append(
            {
                "if": {"properties": {key: {"const": name}}, **needed},
                "then": {"properties": {"with": {"$ref": f"#/$defs/{definition_name}"}}, **must},
            }
        )
    if rules:
        definition["allOf"] = rules


def _add_reports(schema: Schema, reports: Mapping[str, Report]) -> None:
    """Add the report formats of plugins to the keys of ``report``."""
    known, schema["additionalProperties"] = schema["properties"], False
    for name in sorted(reports.keys() - known.keys()):
        known[name] = {
            "title": f"{name} report",
            "description": summary_of(reports[name]),
            "type": "string",
            "minLength": 1,
            "x-path": "write",
            "examples": [f"out/report.{name}"],
        }


def _options(offer: Offer, definition_name: str) -> Schema:
    """Return the options of ``offer`` as a definition at ``#/$defs/definition_name``."""
    # An $id would become the base of the $refs below it.
    options = _without(dict(offer.options), ("$schema", "$id"))
    schema = _with_references(_with_ref_prefix(options, f"#/$defs/{definition_name}"))
    for option in schema.get("properties", {}).values():
        # Only here: within alternatives, the loader's check for literal secrets words it better.
        if option == {**option, "type": "string", "x-secret": True}:
            option.update(REFERENCE)
    return {"title": f"Options of {offer.name}", "description": summary_of(offer), **schema}


def _with_ref_prefix(schema: Any, root: str) -> Any:
    """Return a copy of ``schema`` with its local ``$ref`` prefixed by ``root``."""
    if isinstance(schema, list):
        return [_with_ref_prefix(item, root) for item in schema]
    if not isinstance(schema, dict):
        return schema
    moved = {key: _with_ref_prefix(value, root) for key, value in schema.items()}
    target = schema.get("$ref")
    if isinstance(target, str) and target.startswith("#"):
        moved["$ref"] = root + target[1:]
    return moved


def _with_references(schema: Any) -> Any:
    """Return ``schema`` with references accepted as an alternative to constrained scalars."""
    if not _wants_scalar(schema):
        return _with_inner_references(schema)
    # Around the whole schema: within oneOf, a reference would match several alternatives.
    annotations = {key: value for key, value in schema.items() if key in _ANNOTATIONS}
    constraints = {key: value for key, value in schema.items() if key not in _ANNOTATIONS}
    return {**annotations, "anyOf": [_with_inner_references(constraints), REFERENCE]}


def _with_inner_references(schema: Any) -> Any:
    """Return ``schema`` with references accepted in contained values, not for the value itself."""
    if not isinstance(schema, dict):
        return schema
    inside = dict(schema)
    for key, value in schema.items():
        if key in _NESTED and isinstance(value, dict):
            inside[key] = {name: _with_references(item) for name, item in value.items()}
        elif key in _INNER:
            inside[key] = _with_references(value)
        elif key in {"allOf", "prefixItems"}:
            inside[key] = [_with_references(item) for item in value]
        elif key in {"anyOf", "oneOf"}:
            inside[key] = [_with_inner_references(item) for item in value]
    return inside


def _wants_scalar(schema: Any) -> bool:
    """Return True if ``schema`` wants a scalar that the text of a reference does not match."""
    if not isinstance(schema, dict):
        return False
    types = schema.get("type", [])
    types = {types} if isinstance(types, str) else set(types)
    if any(key in schema for key in _CONSTRAINTS):
        return True
    if any(_wants_scalar(part) for key in ("anyOf", "oneOf") for part in schema.get(key, ())):
        return True
    return "string" not in types and bool(types & {"integer", "number", "boolean"})
