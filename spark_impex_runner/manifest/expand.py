"""Expand a manifest's data: apply defaults, multiply matrices, replace references."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from itertools import product
from math import prod
from typing import TYPE_CHECKING, Any

from spark_impex_runner.manifest.references import (
    Table,
    UnresolvedText,
    Value,
    refers_outside,
    resolve,
)
from spark_impex_runner.manifest.yaml.document import Finding
from spark_impex_runner.manifest.yaml.scalars import path_fault, text_fault

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from spark_impex_runner.manifest.references import Resolved, Sources
    from spark_impex_runner.manifest.schema.walker import ScalarLocation
    from spark_impex_runner.manifest.yaml.document import Document, KeyPath
    from spark_impex_runner.masking import Masker

# A matrix multiplies: five keys of twenty values would make three million targets.
MAX_TARGETS = 20_000

_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9._-]+")
_WHOLE = re.compile(r"-?(0|[1-9][0-9]{0,17})")
_FRACTION = re.compile(r"-?(0|[1-9][0-9]{0,17})\.[0-9]{1,18}")
_BOOLEANS = {"true": True, "false": False}


@dataclass(frozen=True, slots=True)
class SelectedTargets:
    """The expanded names of the targets that a run selects, and the connections that they use."""

    targets: frozenset[str]
    connections: frozenset[str]


@dataclass(frozen=True, slots=True)
class ExpansionInput:
    """The values from outside the manifest.

    ``overrides`` are variables from the command line; ``output`` is the folder to which relative
    outputs refer. ``keep_secrets`` keeps references to secrets as they are written; ``selected``
    keeps them outside the targets and connections that it names.
    """

    sources: Sources
    masker: Masker
    overrides: Mapping[str, str]
    run: Mapping[str, Value]
    output: Path
    keep_secrets: bool
    selected: SelectedTargets | None


@dataclass(frozen=True, slots=True)
class ExpandedTarget:
    """A target of the run; ``base`` and ``index`` are its name and index in the manifest."""

    name: str
    base: str
    index: int
    output: Path
    data: dict[str, Any] = field(repr=False)
    own_keys: frozenset[str] = frozenset()

    def origin(self, rest: KeyPath) -> KeyPath:
        """Return the manifest's path of the value at ``rest`` of the data."""
        inherited = bool(rest) and rest[0] not in self.own_keys and rest[0] in self.data
        return ("defaults", *rest) if inherited else ("targets", self.index, *rest)


@dataclass(slots=True)
class Expansion:
    """The expansion of one document; ``findings`` collects the errors of references.

    ``unresolved`` holds the paths of texts that keep their references: they cannot be validated.
    """

    document: Document
    scalars: Mapping[KeyPath, ScalarLocation]
    inputs: ExpansionInput
    findings: list[Finding] = field(default_factory=list)
    unresolved: set[KeyPath] = field(default_factory=set)
    variables: dict[str, Value] = field(default_factory=dict)
    expanded: int = 0
    # The name of the target that is being expanded.
    current: str = ""

    def set_variables(self, written: Mapping[str, Any]) -> None:
        """Set the variables: the command line overrides the environment, and that the manifest."""
        prefix = "IMPEX_VAR_"
        environ = self.inputs.sources.environ
        # In upper case, since Windows has no other names of environment variables.
        names = {_upper(name): name for name in written}
        for key in environ:
            upper = key.removeprefix(prefix)
            if upper != key:
                name = names.get(upper, upper.lower())
                self._set(name, environ[key], f"the environment variable {key}")
        # After the environment, which the command line overrides.
        for name, text in self.inputs.overrides.items():
            self._set(name, text, f"the value of --var {name}")
        table = Table(self.inputs.sources, self.inputs.run, None)
        for name, value in written.items():
            if name not in self.variables:
                self.variables[name] = self._named(value, ("vars", name), table)

    def _set(self, name: str, text: str, what: str) -> None:
        """Set a variable from outside, which may hold characters that no text may."""
        self.variables[name] = Value(text, text)
        if fault := text_fault(text):
            self.findings.append(Finding(("vars", name), f"{what} {fault}"))

    def plain(self, key: str, written: Any) -> Any:
        """Return a top-level value outside the targets, resolved."""
        return self._value(written, (key,), self._table({}))

    def targets(self, written: list[Any], defaults: Mapping[str, Any]) -> Iterator[ExpandedTarget]:
        """Yield every target of the run, in the manifest's order."""
        for index, target in enumerate(written):
            if not isinstance(target, dict):
                continue
            # A wrong name has a finding already; this one lets the other keys be checked, too.
            name = target.get("name") or f"targets[{index}]"
            merged = {**defaults, **target}
            template = ExpandedTarget(
                name, name, index, self.inputs.output, merged, frozenset(target)
            )
            for values in self._combinations(template):
                yield self._target(template, values)

    def _combinations(self, template: ExpandedTarget) -> Iterator[dict[str, Value]]:
        """Yield the matrix values of each expansion of a target; one empty set without a matrix."""
        matrix = {key: values or [] for key, values in (template.data.get("matrix") or {}).items()}
        # Counted before any combination is made: the product may be too large for the memory.
        count = prod(len(values) for values in matrix.values())
        self.expanded += count
        if self.expanded > MAX_TARGETS:
            more = f"the matrix makes {count} targets; " if matrix else ""
            message = f"{more}a manifest has at most {MAX_TARGETS} targets"
            self.findings.append(Finding(template.origin(("matrix",)), message))
            self.expanded -= count
            return
        rows = [
            [
                (
                    key,
                    self._named(value, (*template.origin(("matrix", key)), index), self._table({})),
                )
                for index, value in enumerate(values)
            ]
            for key, values in matrix.items()
        ]
        yield from map(dict, product(*rows))

    def _named(self, value: Any, path: KeyPath, table: Table) -> Value:
        """Return a value with its spelling, so that 1.10 within a text stays 1.10."""
        resolved = self._value(value, path, table)
        text = resolved if isinstance(resolved, str) else self.document.text(path)
        return Value(resolved, text or "")

    def _target(self, template: ExpandedTarget, values: Mapping[str, Value]) -> ExpandedTarget:
        """Return one expansion of a target."""
        texts = [named.text for named in values.values()]
        name = expanded_name(template.base, texts) if values else template.base
        scope = {f"matrix.{key}": named for key, named in values.items()}
        scope["target.name"] = Value(name, name)
        written = template.data.get("output") or f"exports/{name}"
        folder = self._value(written, template.origin(("output",)), self._table(scope))
        output = self.inputs.output / str(folder)
        if fault := path_fault(output):
            self.findings.append(Finding(template.origin(("output",)), fault))
        # Only now: the output must not refer to itself.
        scope["target.output"] = Value(str(output), str(output))
        table, self.current = self._table(scope), name
        data = {
            key: self._value(value, template.origin((key,)), table)
            for key, value in template.data.items()
            if key not in {"name", "matrix"}
        }
        data, self.current = {"name": template.base, **data}, ""
        return ExpandedTarget(name, template.base, template.index, output, data, template.own_keys)

    def _table(self, scope: Mapping[str, Value]) -> Table:
        """Return the references that are valid with the names of ``scope``."""
        return Table(self.inputs.sources, {**self.inputs.run, **scope}, self.variables)

    def _value(self, value: Any, path: KeyPath, table: Table) -> Any:
        """Return the value at ``path`` with its references replaced."""
        if isinstance(value, dict):
            return {key: self._value(item, (*path, key), table) for key, item in value.items()}
        if isinstance(value, list):
            return [self._value(item, (*path, index), table) for index, item in enumerate(value)]
        if not isinstance(value, str) or "${" not in value:
            return value
        unread_secrets = self._keeps_secrets(path)
        if unread_secrets:
            # An empty cache: a placeholder must not be cached as the value of a secret.
            table = replace(table, sources=replace(table.sources, asks=False, known={}))
        resolved = resolve(value, table)
        scalar = self.scalars.get(path)
        secret = scalar is not None and scalar.secret
        unread = isinstance(resolved.value, UnresolvedText)
        if secret and not unread:
            self._mask_secret(resolved, path, required=not unread_secrets)
        hidden = unread_secrets and (secret or path[2:3] == ("auth",))
        if hidden or unread:
            self.unresolved.add(path)
        if hidden:
            return UnresolvedText(value)
        self.findings += [Finding(path, message) for message in resolved.errors]
        return _typed(resolved, scalar.types if scalar else frozenset())

    def _keeps_secrets(self, path: KeyPath) -> bool:
        """Return True if this run does not need the secrets at ``path``."""
        if self.inputs.keep_secrets or self.inputs.selected is None:
            return self.inputs.keep_secrets
        if path[0] == "connections":
            return path[1:2] != () and path[1] not in self.inputs.selected.connections
        return bool(self.current) and self.current not in self.inputs.selected.targets

    def _mask_secret(self, resolved: Resolved, path: KeyPath, *, required: bool) -> None:
        """Add a secret to the masker; an empty one is a finding if it is ``required``."""
        if not resolved.errors:
            self.inputs.masker.add(str(resolved.value))
        if not resolved.value and not resolved.errors and required:
            self.findings.append(Finding(path, "the secret behind this reference is empty"))


def expanded_name(base: str, texts: Iterable[str]) -> str:
    """Return the name of a matrix target: ``base@value-value``."""
    return f"{base}@" + "-".join(_NOT_IN_NAMES.sub("-", text) for text in texts)


def _upper(name: str) -> str:
    """Return a variable's name as the environment variable ``IMPEX_VAR_…`` spells it."""
    return name.upper().replace("-", "_")


def literal_secrets(scalars: Mapping[KeyPath, ScalarLocation]) -> list[Finding]:
    """Return a finding for each secret that is written into the manifest."""
    message = (
        "a secret must be a single reference to a value outside the manifest, "
        "such as ${env:NAME} or ${file:/path}"
    )
    return [
        Finding(path, message)
        for path, scalar in scalars.items()
        if scalar.secret and scalar.value is not None and not refers_outside(scalar.value)
    ]


def _typed(resolved: Resolved, types: frozenset[str]) -> Any:
    """Return the text of a whole reference as the number or boolean that the schema wants there.

    Exactly ``true`` and ``false``, and plain decimal digits, are converted; anything else stays
    text, which the schema then refuses.
    """
    value = resolved.value
    if not resolved.whole or not isinstance(value, str):
        return value
    if "boolean" in types and value in _BOOLEANS:
        return _BOOLEANS[value]
    if types & {"integer", "number"} and _WHOLE.fullmatch(value):
        return int(value)
    if "number" in types and _FRACTION.fullmatch(value):
        return float(value)
    return value
