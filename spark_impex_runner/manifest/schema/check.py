"""Data to findings: everything that a manifest's schema has to say about it."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from functools import lru_cache, partial
from itertools import chain
from typing import TYPE_CHECKING, Any, TypeVar

import jsonschema

from spark_impex_runner.errors import PluginError
from spark_impex_runner.hooks.registry import Offer, Registry
from spark_impex_runner.manifest.schema.compose import (
    REFERENCE,
    compose,
    pointers,
    without_references,
)
from spark_impex_runner.manifest.schema.places import Walker, follow, homes
from spark_impex_runner.manifest.schema.wording import Hints, Mistake, say, unknown_key
from spark_impex_runner.manifest.yaml.document import Finding
from spark_impex_runner.paths import url_problem
from spark_impex_runner.version import DISTRIBUTION

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

    from spark_impex_runner.manifest.schema.places import Place
    from spark_impex_runner.manifest.yaml.document import KeyPath

# A jsonschema.ValidationError. Its stubs hedge every attribute with an Unset that iter_errors
# never leaves behind.
_Error = Any
_Offer = TypeVar("_Offer", bound=Offer)


def _pattern(_: Any, pattern: str, value: Any, __: Any) -> Iterator[jsonschema.ValidationError]:
    """Judge text by a pattern: ``$`` is its very end, for Python also before a last line break."""
    if pattern.endswith("$") and not pattern.endswith(r"\$"):
        pattern = rf"{pattern[:-1]}\Z"
    if isinstance(value, str) and not re.search(pattern, value):
        yield jsonschema.ValidationError("")


def _path(_: Any, kind: Any, value: Any, ___: Any) -> Iterator[jsonschema.ValidationError]:
    """Judge the path of a local file or folder: a URL is none, unless it may be ``either``."""
    if not isinstance(value, str) or (kind == "either" and "://" in value):
        return
    if url_problem(value):
        yield jsonschema.ValidationError("")


# The stubs leave extend without types.
_extend: Callable[[Any, dict[str, Any]], Any] = jsonschema.validators.extend


@dataclass(frozen=True, slots=True)
class _Judged:
    """What was judged already, by schema and spelled-out value: so is what is equal to it.

    Thousands of targets repeat a few steps, tags and choices. A value with mistakes is judged
    wherever it stands, for its errors carry their places.
    """

    fits: dict[tuple[int, str], bool] = field(default_factory=dict, repr=False)

    def validator(self) -> Any:
        """Return the class of validators; their schemas must live as long as this memory."""
        keywords = {"pattern": _pattern, "properties": self._properties, "if": self._if}
        return _extend(jsonschema.Draft202012Validator, {**keywords, "x-path": _path})

    def is_valid(self, validator: Any, schema: Any, value: Any) -> bool:
        """Tell whether ``value`` fits ``schema``, a part of the validator's schema."""
        key = id(schema), repr(value)
        fits = self.fits.get(key)
        if fits is None:
            fits = self.fits[key] = next(validator.descend(value, schema), None) is None
        return fits

    def _properties(self, validator: Any, parts: Any, value: Any, _: Any) -> Iterator[_Error]:
        """Judge the values of a mapping by their keys."""
        for key, part in parts.items() if isinstance(value, dict) else ():
            if key in value and not self.is_valid(validator, part, value[key]):
                yield from validator.descend(value[key], part, path=key, schema_path=key)

    def _if(self, validator: Any, condition: Any, value: Any, schema: Any) -> Iterator[_Error]:
        """Judge by ``then`` or ``else``."""
        branch = "then" if self.is_valid(validator, condition, value) else "else"
        if branch in schema:
            yield from validator.descend(value, schema[branch], schema_path=branch)


@dataclass(frozen=True, slots=True)
class _Compiled:
    """A composed schema, ready for use: as written, and for values without references."""

    judged: _Judged
    written: Any
    resolved: Any
    walker: Walker
    homes: Mapping[str, Sequence[str]]


@lru_cache(maxsize=8)
def _compile(text: str) -> _Compiled:
    """Return a composed schema's validators, which take longer to make than to use."""
    composed, judged = json.loads(text), _Judged()
    validator = judged.validator()
    written, resolved = validator(composed), validator(without_references(composed))
    walker = Walker(composed, partial(judged.is_valid, written))
    return _Compiled(judged, written, resolved, walker, homes(composed))


class Schema:
    """The compiled schema of manifests that may use what ``registry`` offers."""

    def __init__(self, registry: Registry) -> None:
        # A broken plugin is no trouble for a manifest that does not use it.
        self._faults: dict[str, str] = {}
        steps = _set_aside(registry.steps, self._faults)
        strategies = _set_aside(registry.strategies, self._faults)
        notifiers = _set_aside(registry.notifiers, self._faults)
        sane = replace(registry, steps=steps, strategies=strategies, notifiers=notifiers)
        self._compiled = _compile(json.dumps(compose(sane), default=str))
        # Values of one manifest resemble one another, those of the next are unknown.
        self._compiled.judged.fits.clear()
        self.homes = self._compiled.homes

    def places(self, data: Any) -> list[Place]:
        """Return every scalar of a manifest's data with what the schema says about it."""
        return list(self._compiled.walker.scalars(data))

    def check(self, data: Any, view: View) -> list[Finding]:
        """Return what is wrong with a manifest as written, references and all.

        Raises ``PluginError`` if it uses something whose own schema is broken.
        """
        for name in _used(data) if self._faults else ():
            if name in self._faults:
                raise PluginError(self._faults[name])
        return view.findings(self._compiled.written.iter_errors(data))

    def check_resolved(self, data: Any, view: View) -> list[Finding]:
        """Return what is wrong with a manifest whose references have been replaced."""
        return view.findings(self._compiled.resolved.iter_errors(data))


@dataclass(frozen=True, slots=True)
class View:
    """How checked data relates to the text: each value's path there, and its spelling.

    What stands at a path in ``secrets`` is never shown.
    """

    origin: Callable[[KeyPath], KeyPath]
    text: Callable[[KeyPath], str | None]
    secrets: Collection[KeyPath]
    homes: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def findings(self, errors: Iterable[_Error]) -> list[Finding]:
        """Return each mistake once, wherever it shows."""
        found = (finding for error in errors for finding in self._read(error))
        return list(dict.fromkeys(found))

    def _read(self, error: _Error) -> Iterator[Finding]:
        """Yield the findings behind one error of the library."""
        path = self.origin(tuple(error.absolute_path))
        if "propertyNames" in error.absolute_schema_path:
            yield Finding((*path, str(error.instance)), say(_mistake(error)), at_key=True)
        elif error.validator == "required":
            missing = [key for key in error.validator_value if key not in error.instance]
            yield from (Finding((*path, key), "this key is missing") for key in missing)
        elif error.validator == "additionalProperties":
            yield from _extra_keys(error, path, self.homes)
        elif error.context and "x-form" not in error.schema:
            yield from chain.from_iterable(map(self._read, _likeliest(error)))
        else:
            yield Finding(path, say(_mistake(error, self.text(path), secret=path in self.secrets)))


def _mistake(error: _Error, text: str | None = None, *, secret: bool = False) -> Mistake:
    """Return what an error says, without the library's words."""
    keyword, rule = str(error.validator), error.validator_value
    return Mistake(keyword, rule, error.schema, error.instance, text, secret)


def _extra_keys(
    error: _Error, path: KeyPath, homes: Mapping[str, Sequence[str]]
) -> Iterator[Finding]:
    """Yield a finding for each key, of the mapping at ``path``, that its schema does not know."""
    known = error.schema.get("properties", {})
    patterns = error.schema.get("patternProperties", {})
    hints = Hints(sorted(known))
    for key in error.instance:
        if key not in known and not any(re.search(pattern, key) for pattern in patterns):
            told = unknown_key(key, hints, _elsewhere(homes.get(key, ()), path))
            yield Finding((*path, key), told, at_key=True)


def _elsewhere(homes: Sequence[str], path: KeyPath) -> Sequence[str]:
    """Return ``homes``, none if this is one: the key belongs here, but not beside another."""
    here = "".join("[]" if isinstance(part, int) else f".{part}" for part in path).lstrip(".")
    known = any(fnmatchcase(here, home.replace("[]", "[[]]")) for home in homes)
    return () if known else homes


def _likeliest(error: _Error) -> list[_Error]:
    """Return the errors of the branch that was most likely meant.

    The alternative of a reference is never what a wrong value was meant to be.
    """
    branches: dict[int, list[_Error]] = {}
    for inner in error.context or ():
        number = int(inner.relative_schema_path[0])
        if error.validator_value[number] != REFERENCE:
            branches.setdefault(number, []).append(inner)
    return min(branches.values(), key=lambda branch: _distance(branch, error), default=[])


def _distance(branch: list[_Error], error: _Error) -> tuple[bool, int]:
    """Rank a branch: one that fits the value's type, and has fewer errors, comes first."""
    here = len(error.absolute_path)
    other = any(inner.validator == "type" and len(inner.absolute_path) == here for inner in branch)
    return other, len(branch)


def _fault(options: Mapping[str, Any]) -> str:
    """Return why ``options`` is no JSON Schema of a mapping, nothing if it is one."""
    try:
        jsonschema.Draft202012Validator.check_schema(options)
        for pointer in pointers(options):
            follow(dict(options), pointer)
    except jsonschema.SchemaError as error:
        return f"at {error.json_path}, {error.validator} is broken"
    except (LookupError, TypeError, ValueError):
        return f"the $ref {pointer!r} leads nowhere"
    return "" if options.get("type") == "object" else "the type is not 'object'"


def _set_aside(offers: dict[str, _Offer], faults: dict[str, str]) -> dict[str, _Offer]:
    """Return ``offers`` with open options where theirs are broken; note those in ``faults``."""
    sane = dict(offers)
    for name, offer in offers.items():
        # The tests have checked those of the built-in plugins, and a check takes milliseconds.
        fault = "" if offer.provider == DISTRIBUTION else _fault(offer.options)
        if fault:
            faults[name] = f"plugin {offer.provider}: the options schema of {name!r}: {fault}"
            sane[name] = replace(offer, options={"type": "object"})
    return sane


def _used(data: Any) -> Iterator[str]:
    """Yield the names of all steps, strategies and notifiers in a manifest's data."""
    if isinstance(data, dict):
        yield from (str(data[key]) for key in ("uses", "strategy") if key in data)
    if isinstance(data, (dict, list)):
        yield from chain.from_iterable(
            map(_used, data.values() if isinstance(data, dict) else data)
        )
