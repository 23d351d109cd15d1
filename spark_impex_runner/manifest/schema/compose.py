"""The manifest's schema, joined with the options of what plugins offer.

The published file is the core. Each step's and strategy's options become a ``$defs`` entry, which
an if/then on ``uses`` or ``strategy`` applies: a misspelt option is then named, where ``oneOf``
would only say that nothing fits.
"""

from __future__ import annotations

import copy
import json
from importlib import resources
from typing import TYPE_CHECKING, Any

from spark_impex_runner.hooks.registry import summary_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from spark_impex_runner.hooks.registry import Offer, Registry, Report


Schema = dict[str, Any]

REFERENCE = {"$ref": "#/$defs/reference"}
_SHAPES = ("enum", "const", "pattern", "format", "maxLength")
_NESTED = ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas")
_INNER = (
    *("items", "contains", "unevaluatedItems"),
    *("additionalProperties", "unevaluatedProperties", "then", "else"),
)
_ABOUT = (
    *("title", "description", "default", "examples"),
    *("x-secret", "x-form", "x-connection", "x-path"),
)
_WHOLE = ("required", "if", "else", "minItems", "minProperties")
_OVERLAY = {
    "$id": "urn:spark-impex-runner:overlay:1",
    "title": "Part of a manifest of spark-impex-runner",
    "description": (
        "What a file given with -f changes in a manifest, or what a file under include adds to it: "
        "any of a manifest's keys. Of vars, defaults, report and requires, a file given with -f "
        "changes the keys that it has."
    ),
}
_OVERLAID = {
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
    """Return the core schema as it is published, without any plugin's options."""
    text = resources.files("spark_impex_runner.schemas").joinpath("manifest.schema.json")
    schema: Schema = json.loads(text.read_text(encoding="utf-8"))
    return schema


def compose(registry: Registry) -> Schema:
    """Return the schema of manifests that may use everything in ``registry``."""
    schema = published()
    definitions = schema["$defs"]
    _offer(definitions, "step", "uses", registry.steps)
    _offer(definitions, "polling", "strategy", registry.strategies)
    _offer(definitions, "notification", "uses", registry.notifiers)
    _offer_reports(schema["properties"]["report"], registry.reports)
    return schema


def overlay(schema: Schema) -> Schema:
    """Return the schema of a part of a manifest, from that of a whole one.

    A value that replaces another must be as complete as ever, so only the top level is less strict:
    no key must be there, and no list of what is merged by name needs an entry.
    """
    part = _without(schema, _WHOLE) | _OVERLAY
    part["properties"] = dict(part["properties"])
    for key, description in _OVERLAID.items():
        part["properties"][key] = {
            **_without(part["properties"][key], _WHOLE),
            "description": description,
        }
    return part


def _without(schema: Schema, keys: Collection[str]) -> Schema:
    """Return ``schema`` without ``keys`` of its own."""
    return {key: value for key, value in schema.items() if key not in keys}


def printed(schema: Schema) -> str:
    """Return ``schema`` as the text of a file."""
    return json.dumps(schema, indent=2, ensure_ascii=False)


def without_references(schema: Any) -> Any:
    """Return ``schema`` for values behind which no reference is left."""
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


def _offer(definitions: Schema, kind: str, key: str, offers: Mapping[str, Offer]) -> None:
    """Let the definition of ``kind`` know ``offers``, chosen by its ``key``."""
    definition = definitions[kind]
    chooser = definition["properties"][key]
    chooser["enum"] = sorted(offers)
    # No keyword of JSON Schema: editors show it beside each of the values.
    chooser["enumDescriptions"] = [summary_of(offers[name]) for name in sorted(offers)]
    rules = []
    for name, offer in sorted(offers.items()):
        place = f"{kind}-{name}"
        definitions[place] = _options(offer, place)
        # An absent key means its default, so only the default's rule may hold without the key.
        needed = {} if chooser.get("default") == name else {"required": [key]}
        must = {"required": ["with"]} if offer.options.get("required") else {}
        rules.append(
            {
                "if": {"properties": {key: {"const": name}}, **needed},
                "then": {"properties": {"with": {"$ref": f"#/$defs/{place}"}}, **must},
            }
        )
    if rules:
        definition["allOf"] = rules


def _offer_reports(schema: Schema, reports: Mapping[str, Report]) -> None:
    """Let the keys below ``report`` be our own, which ``schema`` has, and those of plugins."""
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


def _options(offer: Offer, place: str) -> Schema:
    """Return the options of ``offer``, fit to stand at ``#/$defs/place``."""
    options = copy.deepcopy(dict(offer.options))
    for key in ("$schema", "$id"):
        options.pop(key, None)
    schema = _with_references(_moved(options, f"#/$defs/{place}"))
    for option in schema.get("properties", {}).values():
        # Elsewhere, in alternatives above all, a literal is the loader's business alone.
        if option == {**option, "type": "string", "x-secret": True}:
            option.update(REFERENCE)
    return {"title": f"Options of {offer.name}", "description": summary_of(offer), **schema}


def _moved(schema: Any, root: str) -> Any:
    """Return ``schema`` with its local ``$ref`` pointing below ``root``."""
    if isinstance(schema, list):
        return [_moved(item, root) for item in schema]
    if not isinstance(schema, dict):
        return schema
    moved = {key: _moved(value, root) for key, value in schema.items()}
    target = schema.get("$ref")
    if isinstance(target, str) and target.startswith("#"):
        moved["$ref"] = root + target[1:]
    return moved


def _with_references(schema: Any) -> Any:
    """Return ``schema`` with a reference accepted wherever a particular scalar must stand."""
    if not _asks(schema):
        return _inside(schema)
    # Beside the whole of it: a reference inside oneOf would fit several of the alternatives.
    about = {key: value for key, value in schema.items() if key in _ABOUT}
    demand = {key: value for key, value in schema.items() if key not in _ABOUT}
    return {**about, "anyOf": [_inside(demand), REFERENCE]}


def _inside(schema: Any) -> Any:
    """Return ``schema`` with references accepted in the values inside a value, not for itself."""
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
            inside[key] = [_inside(item) for item in value]
    return inside


def _asks(schema: Any) -> bool:
    """Tell whether ``schema`` asks for a scalar that a reference's own text might not be."""
    if not isinstance(schema, dict):
        return False
    types = schema.get("type", [])
    types = {types} if isinstance(types, str) else set(types)
    if any(key in schema for key in _SHAPES):
        return True
    if any(_asks(part) for key in ("anyOf", "oneOf") for part in schema.get(key, ())):
        return True
    return "string" not in types and bool(types & {"integer", "number", "boolean"})
