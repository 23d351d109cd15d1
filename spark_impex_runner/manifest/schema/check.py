"""Validate a manifest's data against its schema."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from functools import lru_cache, partial
from itertools import chain
from typing import TYPE_CHECKING, Any, TypeVar

from spark_impex_runner.errors import PluginError
from spark_impex_runner.hooks.registry import Offer, Registry, summary_of
from spark_impex_runner.manifest.schema.compose import (
    REFERENCE,
    compose,
    pointers,
    without_references,
)
from spark_impex_runner.manifest.schema.library import jsonschema
from spark_impex_runner.manifest.schema.messages import (
    SchemaViolation,
    Suggestions,
    message_for,
    unknown_key,
)
from spark_impex_runner.manifest.schema.walker import Walker, follow, key_locations
from spark_impex_runner.manifest.yaml.document import Finding
from spark_impex_runner.paths import url_problem
from spark_impex_runner.version import DISTRIBUTION

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

    from spark_impex_runner.manifest.schema.walker import ScalarLocation
    from spark_impex_runner.manifest.yaml.document import KeyPath

# A jsonschema.ValidationError. Its stubs hedge every attribute with an Unset that iter_errors
# never leaves behind.
_Error = Any
# How many results are cached: of ten thousand targets most are unlike any other.
_MOST_CACHED = 4096
_MOST_COMPILED = 8
# A file without these keys may be an overlay.
_NOT_IN_OVERLAYS = {"version", "connections"}
_OVERLAY_HINT = "; if the file is an overlay, give it with -f, after its manifest"
_Offer = TypeVar("_Offer", bound=Offer)


def _pattern(_: Any, pattern: str, value: Any, __: Any) -> Iterator[jsonschema.ValidationError]:
    """Match a pattern; unlike in Python, ``$`` does not match before a final line break."""
    if pattern.endswith("$") and not pattern.endswith(r"\$"):
        pattern = rf"{pattern[:-1]}\Z"
    if isinstance(value, str) and not re.search(pattern, value):
        yield jsonschema.ValidationError("")


def _path(_: Any, kind: Any, value: Any, ___: Any) -> Iterator[jsonschema.ValidationError]:
    """Refuse a URL as a local path, unless the option takes ``either``."""
    if isinstance(value, str) and url_problem(value, str(kind)):
        yield jsonschema.ValidationError("")


# The stubs leave extend without types.
_extend: Callable[[Any, dict[str, Any]], Any] = jsonschema.validators.extend


@dataclass(frozen=True, slots=True)
class _ValidationCache:
    """Caches which values are valid, by schema and ``repr`` of the value.

    Thousands of targets repeat a few steps and options. An invalid value is validated again at each
    of its paths, since its errors carry them.
    """

    fits: dict[tuple[int, str], bool] = field(default_factory=dict, repr=False)

    def validator(self) -> Any:
        """Return the class of validators; the keys are ids, so their schemas must not be freed."""
        keywords = {"pattern": _pattern, "properties": self._properties, "if": self._if}
        return _extend(jsonschema.Draft202012Validator, {**keywords, "x-path": _path})

    def is_valid(self, validator: Any, schema: Any, value: Any) -> bool:
        """Return True if ``value`` is valid for ``schema``, a part of the validator's schema."""
        key = id(schema), repr(value)
        fits = self.fits.get(key)
        if fits is None:
            if len(self.fits) >= _MOST_CACHED:
                self.fits.clear()
            fits = self.fits[key] = next(validator.descend(value, schema), None) is None
        return fits

    def _properties(self, validator: Any, parts: Any, value: Any, _: Any) -> Iterator[_Error]:
        """Validate the values of a mapping."""
        for key, part in parts.items() if isinstance(value, dict) else ():
            if key in value and not self.is_valid(validator, part, value[key]):
                yield from validator.descend(value[key], part, path=key, schema_path=key)

    def _if(self, validator: Any, condition: Any, value: Any, schema: Any) -> Iterator[_Error]:
        """Validate against ``then`` or ``else``."""
        branch = "then" if self.is_valid(validator, condition, value) else "else"
        if branch in schema:
            yield from validator.descend(value, schema[branch], schema_path=branch)


@dataclass(frozen=True, slots=True)
class _Compiled:
    """The validators of a composed schema, for data with references and for resolved data."""

    cache: _ValidationCache
    written: Any
    resolved: Any
    walker: Walker
    key_locations: Mapping[str, Sequence[str]]


def _compiled(registry: Registry) -> _Compiled:
    """Return the compiled schema, cached: to compose it takes longer than to validate."""
    kinds = (registry.steps, registry.strategies, registry.notifiers, registry.reports)
    offers = [
        (name, summary_of(offer), getattr(offer, "options", None))
        for kind in kinds
        for name, offer in kind.items()
    ]
    key = repr(([len(kind) for kind in kinds], offers))
    if key not in _COMPILED:
        if len(_COMPILED) >= _MOST_COMPILED:
            _COMPILED.clear()
        _COMPILED[key] = _compile(json.dumps(compose(registry), default=str))
    return _COMPILED[key]


def _compile(text: str) -> _Compiled:
    composed, cache = json.loads(text), _ValidationCache()
    validator = cache.validator()
    written, resolved = validator(composed), validator(without_references(composed))
    walker = Walker(composed, partial(cache.is_valid, written))
    return _Compiled(cache, written, resolved, walker, key_locations(composed))


# By the text of all that a schema is made of.
_COMPILED: dict[str, _Compiled] = {}


class Schema:
    """The compiled schema of manifests that may use what ``registry`` offers."""

    def __init__(self, registry: Registry) -> None:
        # A manifest that does not use a broken plugin must still be valid.
        self._faults: dict[str, str] = {}
        steps = _without_broken(registry.steps, self._faults)
        strategies = _without_broken(registry.strategies, self._faults)
        notifiers = _without_broken(registry.notifiers, self._faults)
        usable = replace(registry, steps=steps, strategies=strategies, notifiers=notifiers)
        self._compiled = _compiled(usable)
        # Values repeat within a manifest, but hardly between manifests: clear to bound the memory.
        self._compiled.cache.fits.clear()
        self.key_locations = self._compiled.key_locations

    def scalars(self, data: Any) -> list[ScalarLocation]:
        """Return each scalar of a manifest's data with the schema's annotations for it."""
        return list(self._compiled.walker.scalars(data))

    def check(self, data: Any, view: ErrorView) -> list[Finding]:
        """Return the findings for a manifest with references.

        Raises ``PluginError`` if it uses an offer whose option schema is broken.
        """
        for name in _used_names(data) if self._faults else ():
            if name in self._faults:
                raise PluginError(self._faults[name])
        return view.findings(self._compiled.written.iter_errors(data))

    def check_resolved(self, data: Any, view: ErrorView) -> list[Finding]:
        """Return the findings for a manifest whose references are replaced."""
        return view.findings(self._compiled.resolved.iter_errors(data))


@dataclass(frozen=True, slots=True)
class ErrorView:
    """Turns errors of jsonschema into findings at paths of the manifest.

    ``origin`` maps a path of the data to the manifest's, ``text`` returns a scalar's source text.
    Values at the paths ``secrets`` are never shown.
    """

    origin: Callable[[KeyPath], KeyPath]
    text: Callable[[KeyPath], str | None]
    secrets: Collection[KeyPath]
    key_locations: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def findings(self, errors: Iterable[_Error]) -> list[Finding]:
        """Return each finding once."""
        found = (finding for error in errors for finding in self._read(error))
        return list(dict.fromkeys(found))

    def _read(self, error: _Error) -> Iterator[Finding]:
        """Yield the findings of one error."""
        path = self.origin(tuple(error.absolute_path))
        if "propertyNames" in error.absolute_schema_path:
            yield Finding((*path, str(error.instance)), message_for(_violation(error)), at_key=True)
        elif error.validator == "required":
            # jsonschema yields one error for each missing key, but names it only in its message.
            missing = [key for key in error.validator_value if key not in error.instance]
            overlay = not path and _NOT_IN_OVERLAYS.isdisjoint(error.instance)
            for key in missing:
                hint = _OVERLAY_HINT if overlay and key == "version" else ""
                yield Finding((*path, key), f"this key is missing{hint}")
        elif error.validator == "additionalProperties":
            yield from _extra_keys(error, path, self.key_locations)
        # x-form describes all alternatives at once; else the best one explains the error.
        elif error.context and "x-form" not in error.schema:
            yield from chain.from_iterable(map(self._read, _best_branch(error)))
        else:
            yield Finding(
                path, message_for(_violation(error, self.text(path), secret=path in self.secrets))
            )


def _violation(error: _Error, text: str | None = None, *, secret: bool = False) -> SchemaViolation:
    """Return the violated keyword and value of an error, without its message."""
    keyword, rule = str(error.validator), error.validator_value
    return SchemaViolation(keyword, rule, error.schema, error.instance, text, secret)


def _extra_keys(
    error: _Error, path: KeyPath, key_locations: Mapping[str, Sequence[str]]
) -> Iterator[Finding]:
    """Yield a finding for each unknown key of the mapping at ``path``."""
    known = error.schema.get("properties", {})
    patterns = error.schema.get("patternProperties", {})
    hints = Suggestions(sorted(known))
    for key in error.instance:
        if key not in known and not any(re.search(pattern, key) for pattern in patterns):
            message = unknown_key(key, hints, _other_locations(key_locations.get(key, ()), path))
            yield Finding((*path, key), message, at_key=True)


def _other_locations(key_locations: Sequence[str], path: KeyPath) -> Sequence[str]:
    """Return the other locations of a key; none if ``path`` is one of its own."""
    here = "".join("[]" if isinstance(part, int) else f".{part}" for part in path).lstrip(".")
    known = any(fnmatchcase(here, location.replace("[]", "[[]]")) for location in key_locations)
    return () if known else key_locations


def _best_branch(error: _Error) -> list[_Error]:
    """Return the errors of the ``anyOf`` branch that the value fits best.

    The branch for references is left out: an invalid value was not meant as a reference.
    """
    branches: dict[int, list[_Error]] = {}
    for inner in error.context or ():
        number = int(inner.relative_schema_path[0])
        if error.validator_value[number] != REFERENCE:
            branches.setdefault(number, []).append(inner)
    return min(branches.values(), key=lambda branch: _distance(branch, error), default=[])


def _distance(branch: list[_Error], error: _Error) -> tuple[bool, int]:
    """Rank a branch: the right type first, then fewer errors."""
    here = len(error.absolute_path)
    other = any(inner.validator == "type" and len(inner.absolute_path) == here for inner in branch)
    return other, len(branch)


def _schema_fault(options: Mapping[str, Any]) -> str:
    """Return why ``options`` is no JSON Schema of type object; '' if it is one."""
    try:
        return _fault_of(json.dumps(options, default=str))
    except (TypeError, ValueError, RecursionError):
        return "it is no JSON"


@lru_cache(maxsize=256)
def _fault_of(text: str) -> str:
    options = json.loads(text)
    try:
        jsonschema.Draft202012Validator.check_schema(options)
        for pointer in pointers(options):
            follow(options, pointer)
    except jsonschema.SchemaError as error:
        return f"at {error.json_path}, {error.validator} is broken"
    except (LookupError, TypeError, ValueError):
        return f"the $ref {pointer!r} leads nowhere"
    return "" if options.get("type") == "object" else "the type is not 'object'"


def _without_broken(offers: dict[str, _Offer], faults: dict[str, str]) -> dict[str, _Offer]:
    """Return ``offers`` with any options where the schema is broken; add those to ``faults``."""
    usable = dict(offers)
    for name, offer in offers.items():
        # A check takes milliseconds, and the tests check the built-in plugins.
        fault = "" if offer.provider == DISTRIBUTION else _schema_fault(offer.options)
        if fault:
            faults[name] = f"plugin {offer.provider}: the options schema of {name!r}: {fault}"
            usable[name] = replace(offer, options={"type": "object"})
    return usable


def _used_names(data: Any) -> Iterator[str]:
    """Yield the names of steps, strategies and notifiers that a manifest uses."""
    if isinstance(data, dict):
        yield from (str(data[key]) for key in ("uses", "strategy") if key in data)
    if isinstance(data, (dict, list)):
        yield from chain.from_iterable(
            map(_used_names, data.values() if isinstance(data, dict) else data)
        )
