"""Written data to resolved data: defaults, matrices and references are gone afterwards."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from itertools import product
from math import prod
from typing import TYPE_CHECKING, Any

from spark_impex_runner.manifest.references import Named, Table, Written, refers_outside, resolve
from spark_impex_runner.manifest.yaml.document import Finding
from spark_impex_runner.manifest.yaml.scalars import path_fault, text_fault

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from spark_impex_runner.manifest.references import Resolved, Sources
    from spark_impex_runner.manifest.schema.places import Place
    from spark_impex_runner.manifest.yaml.document import Document, KeyPath
    from spark_impex_runner.masking import Masker

MAX_TARGETS = 20_000

_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9._-]+")
_WHOLE = re.compile(r"-?(0|[1-9][0-9]{0,17})")
_FRACTION = re.compile(r"-?(0|[1-9][0-9]{0,17})\.[0-9]{1,18}")
_BOOLEANS = {"true": True, "false": False}


@dataclass(frozen=True, slots=True)
class Wanted:
    """The targets of a run by the names that it gives them, and the connections that they use."""

    targets: frozenset[str]
    connections: frozenset[str]


@dataclass(frozen=True, slots=True)
class Given:
    """What comes from outside the manifest: its values may replace the manifest's own.

    ``overrides`` are variables from the command line; ``output`` is the folder that relative
    outputs are taken from. ``keep_secrets`` leaves the references of secrets as they are written,
    and so does ``wanted`` outside of the targets and connections that it names.
    """

    sources: Sources
    masker: Masker
    overrides: Mapping[str, str]
    run: Mapping[str, Named]
    output: Path
    keep_secrets: bool = False
    wanted: Wanted | None = None


@dataclass(frozen=True, slots=True)
class Expanded:
    """One target of the run: ``base`` and ``index`` are those of the target it was written as."""

    name: str
    base: str
    index: int
    output: Path
    data: dict[str, Any] = field(repr=False)
    own: frozenset[str] = frozenset()

    def origin(self, rest: KeyPath) -> KeyPath:
        """Return where the value at ``rest`` of the data is written."""
        inherited = bool(rest) and rest[0] not in self.own and rest[0] in self.data
        return ("defaults", *rest) if inherited else ("targets", self.index, *rest)


@dataclass(slots=True)
class Expansion:
    """The work of expanding one document; ``findings`` gathers what references lack.

    ``kept`` holds the places of texts that keep their references: nobody can judge their values.
    """

    document: Document
    places: Mapping[KeyPath, Place]
    given: Given
    findings: list[Finding] = field(default_factory=list)
    kept: set[KeyPath] = field(default_factory=set)
    variables: dict[str, Named] = field(default_factory=dict)
    expanded: int = 0
    # The name of the target that is being expanded.
    current: str = ""

    def set_variables(self, written: Mapping[str, Any]) -> None:
        """Learn the variables: command line before environment before manifest."""
        prefix = "IMPEX_VAR_"
        environ = self.given.sources.environ
        names = {_upper(name): name for name in written}
        for key in environ:
            upper = key.removeprefix(prefix)
            if upper != key:
                name = names.get(upper, upper.lower())
                self._set(name, environ[key], f"the environment variable {key}")
        for name, text in self.given.overrides.items():
            self._set(name, text, f"the value of --var {name}")
        table = Table(self.given.sources, self.given.run, None)
        for name, value in written.items():
            if name not in self.variables:
                self.variables[name] = self._named(value, ("vars", name), table)

    def _set(self, name: str, text: str, what: str) -> None:
        """Set a variable from outside, which may be no text at all."""
        self.variables[name] = Named(text, text)
        if fault := text_fault(text):
            self.findings.append(Finding(("vars", name), f"{what} {fault}"))

    def plain(self, key: str, written: Any) -> Any:
        """Return a top-level value outside the targets, resolved."""
        return self._value(written, (key,), self._table({}))

    def targets(self, written: list[Any], defaults: Mapping[str, Any]) -> Iterator[Expanded]:
        """Yield every target of the run, in the manifest's order."""
        for index, target in enumerate(written):
            if not isinstance(target, dict):
                continue
            # One whose name is wrong has been told of that; what else is wrong with it is next.
            name = target.get("name") or f"targets[{index}]"
            merged = {**defaults, **target}
            frame = Expanded(name, name, index, self.given.output, merged, frozenset(target))
            for values in self._combinations(frame):
                yield self._target(frame, values)

    def _combinations(self, frame: Expanded) -> Iterator[dict[str, Named]]:
        """Yield the values of each expansion of a target: one without any if it has no matrix."""
        matrix = {key: values or [] for key, values in (frame.data.get("matrix") or {}).items()}
        count = prod(len(values) for values in matrix.values())
        self.expanded += count
        if self.expanded > MAX_TARGETS:
            more = f"the matrix makes {count} targets; " if matrix else ""
            message = f"{more}a manifest has at most {MAX_TARGETS} targets"
            self.findings.append(Finding(frame.origin(("matrix",)), message))
            self.expanded -= count
            return
        rows = [
            [
                (key, self._named(value, (*frame.origin(("matrix", key)), index), self._table({})))
                for index, value in enumerate(values)
            ]
            for key, values in matrix.items()
        ]
        yield from map(dict, product(*rows))

    def _named(self, value: Any, path: KeyPath, table: Table) -> Named:
        """Return a value for ``${...}``, which keeps its spelling: 1.10 in a text stays 1.10."""
        resolved = self._value(value, path, table)
        text = resolved if isinstance(resolved, str) else self.document.text(path)
        return Named(resolved, text or "")

    def _target(self, frame: Expanded, values: Mapping[str, Named]) -> Expanded:
        """Return one expansion of a target."""
        texts = [named.text for named in values.values()]
        name = expanded_name(frame.base, texts) if values else frame.base
        scope = {f"matrix.{key}": named for key, named in values.items()}
        scope["target.name"] = Named(name, name)
        written = frame.data.get("output") or f"exports/{name}"
        folder = self._value(written, frame.origin(("output",)), self._table(scope))
        output = self.given.output / str(folder)
        if fault := path_fault(output):
            self.findings.append(Finding(frame.origin(("output",)), fault))
        scope["target.output"] = Named(str(output), str(output))
        table, self.current = self._table(scope), name
        data = {
            key: folder if key == "output" else self._value(value, frame.origin((key,)), table)
            for key, value in frame.data.items()
            if key not in {"name", "matrix"}
        }
        data, self.current = {"name": frame.base, **data}, ""
        return Expanded(name, frame.base, frame.index, output, data, frame.own)

    def _table(self, scope: Mapping[str, Named]) -> Table:
        """Return what may be referred to inside ``scope``."""
        return Table(self.given.sources, {**self.given.run, **scope}, self.variables)

    def _value(self, value: Any, path: KeyPath, table: Table) -> Any:
        """Return ``value``, written at ``path``, with its references replaced."""
        if isinstance(value, dict):
            return {key: self._value(item, (*path, key), table) for key, item in value.items()}
        if isinstance(value, list):
            return [self._value(item, (*path, index), table) for index, item in enumerate(value)]
        if not isinstance(value, str) or "${" not in value:
            return value
        keeps = self._keeps_secrets(path)
        if keeps and not self.given.keep_secrets:
            # Nothing is asked for, and what is not asked for is not remembered as the answer.
            table = replace(table, sources=replace(table.sources, asks=False, known={}))
        resolved = resolve(value, table)
        place = self.places.get(path)
        secret = place is not None and place.secret
        unread = isinstance(resolved.value, Written)
        if secret and not unread:
            self._keep_secret(resolved, path, required=not keeps)
        hidden = keeps and (secret or path[2:3] == ("auth",))
        if hidden or unread:
            self.kept.add(path)
        if hidden:
            return Written(value)
        self.findings += [Finding(path, message) for message in resolved.mistakes]
        return _typed(resolved, place.types if place else frozenset())

    def _keeps_secrets(self, path: KeyPath) -> bool:
        """Tell whether a place keeps the references of secrets, which this run does not need."""
        if self.given.keep_secrets or self.given.wanted is None:
            return self.given.keep_secrets
        if path[0] == "connections":
            return path[1:2] != () and path[1] not in self.given.wanted.connections
        return bool(self.current) and self.current not in self.given.wanted.targets

    def _keep_secret(self, resolved: Resolved, path: KeyPath, *, required: bool) -> None:
        """Have a secret masked from now on."""
        if not resolved.mistakes:
            self.given.masker.add(str(resolved.value))
        if not resolved.value and not resolved.mistakes and required:
            self.findings.append(Finding(path, "the secret behind this reference is empty"))


def expanded_name(base: str, texts: Iterable[str]) -> str:
    """Return the name of the target that a matrix makes of ``base`` with values spelt so."""
    return f"{base}@" + "-".join(_NOT_IN_NAMES.sub("-", text) for text in texts)


def _upper(name: str) -> str:
    """Return the end of the environment variable that overrides a variable."""
    return name.upper().replace("-", "_")


def literal_secrets(places: Mapping[KeyPath, Place]) -> list[Finding]:
    """Return a finding for every secret that the manifest itself holds, in a variable or not."""
    message = (
        "a secret must be a reference to outside of the manifest and nothing beside it, "
        "such as ${env:NAME} or ${file:/path}"
    )
    return [
        Finding(path, message)
        for path, place in places.items()
        if place.secret and place.value is not None and not refers_outside(place.value)
    ]


def _typed(resolved: Resolved, types: frozenset[str]) -> Any:
    """Return a whole reference's text as the number or boolean that its place takes.

    Exactly ``true`` and ``false``, and plain decimal digits, are converted; anything else stays
    text, for the schema to judge.
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
