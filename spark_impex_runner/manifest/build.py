"""Turn a manifest's data into models: validate, expand, validate again, build."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from spark_impex_runner.errors import ManifestError
from spark_impex_runner.manifest import construct
from spark_impex_runner.manifest.expand import (
    Expansion,
    ExpansionInput,
    SelectedTargets,
    literal_secrets,
)
from spark_impex_runner.manifest.needs import Graph
from spark_impex_runner.manifest.references import Sources, Value, escaped, refers_outside
from spark_impex_runner.manifest.rules import (
    check_addresses,
    check_connection_options,
    check_connections,
    check_steps,
    check_targets,
    check_uris,
    connections_in_options,
)
from spark_impex_runner.manifest.schema.check import ErrorView, Schema
from spark_impex_runner.manifest.schema.messages import yaml_trap
from spark_impex_runner.manifest.yaml.document import AmbiguousScalar, Finding, without_invalid
from spark_impex_runner.manifest.yaml.placeholders import unfilled
from spark_impex_runner.models import Manifest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from spark_impex_runner.hooks.registry import Registry
    from spark_impex_runner.manifest.expand import ExpandedTarget
    from spark_impex_runner.manifest.schema.walker import ScalarLocation
    from spark_impex_runner.manifest.yaml.document import Document, KeyPath
    from spark_impex_runner.masking import Masker


_SUGGESTION = re.compile(r"did you mean '([^']+)'")
_SECRET_WORD = re.compile("token|secret|key|auth|pass|cred", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings for reading a manifest.

    ``variables`` override those of the manifest; ``output`` replaces the manifest's folder as the
    base of relative outputs. ``entry_error`` returns what is wrong with an entry of ``services``,
    or '': this package does not know the API's URIs. ``invalid_locations`` likewise yields the keys
    of a connection that name a missing file or an invalid address, with the reason.
    ``keep_secrets`` keeps references to secrets as they are written; ``asks`` False does not read
    secret sources; ``placeholders`` is that of ``Sources``.
    """

    registry: Registry
    masker: Masker
    variables: Mapping[str, str] = field(default_factory=dict)
    environ: Mapping[str, str] = field(default_factory=dict, repr=False)
    run_id: str = ""
    run_date: str = ""
    output: Path | None = None
    entry_error: Callable[[str], str] = lambda _: ""
    invalid_locations: Callable[[Mapping[str, Any]], Iterable[tuple[str, str]]] = lambda _: ()
    keep_secrets: bool = False
    selected: SelectedTargets | None = None
    asks: bool = True
    placeholders: dict[str, str] | None = None


@dataclass(frozen=True, slots=True)
class _ResolvedParts:
    """The resolved data of a manifest.

    ``connection_options`` are the paths of options that name a connection.
    """

    name: str
    connections: dict[str, Any]
    targets: list[ExpandedTarget]
    reports: dict[str, Any]
    notify: list[Any]
    sign: dict[str, Any]
    graph: Graph
    connection_options: frozenset[KeyPath]

    def data(self) -> dict[str, Any]:
        """Return the data as a manifest in which nothing is left to expand."""
        return {
            "version": 1,
            "name": self.name,
            "connections": self.connections,
            "targets": [target.data for target in self.targets],
            "report": self.reports,
            "notify": self.notify,
            **({"sign": self.sign} if self.sign else {}),
        }

    def origin(self, path: KeyPath) -> KeyPath:
        """Return the manifest's path of the value at ``path`` of the data."""
        if path[:1] == ("targets",) and len(path) > 1:
            return self.targets[int(path[1])].origin(path[2:])
        return path


def read_manifest(document: Document, settings: Settings) -> Manifest:
    """Validate, expand and build a loaded manifest.

    Raises ``ManifestError`` with all errors, and ``PluginError`` if a plugin's option schema or
    source of references is broken. Adds the secrets to ``settings.masker``.
    """
    return _build(document, _validated_parts(document, settings))


def read_resolved(document: Document, settings: Settings) -> tuple[Manifest, dict[str, Any]]:
    """Return a manifest, and its expanded data with references in place of secrets.

    Targets have their expanded names. Raises what ``read_manifest`` raises, except for missing
    secrets: they are not read.
    """
    parts = _validated_parts(document, replace(settings, keep_secrets=True, asks=False))
    data = parts.data()
    data["requires"] = document.data.get("requires")
    data["targets"] = [_resolved_target(target, parts.graph) for target in parts.targets]
    shown: dict[str, Any] = escaped({key: value for key, value in data.items() if value})
    return _build(document, parts), shown


def _resolved_target(target: ExpandedTarget, graph: Graph) -> dict[str, Any]:
    """Return a target's data with its expanded name and needs."""
    needs = list(graph.needs(target.name))
    return {**target.data, "name": target.name, **({"needs": needs} if needs else {})}


def _validated_parts(document: Document, settings: Settings) -> _ResolvedParts:
    """Return the resolved parts of a valid manifest. Raises ``ManifestError`` otherwise."""
    schema = Schema(settings.registry)
    scalars = {scalar.path: scalar for scalar in schema.scalars(document.data)}
    secrets = {where for where, scalar in scalars.items() if scalar.secret}
    view = ErrorView(lambda where: where, document.text, secrets, schema.key_locations)
    findings = _check_as_written(scalars, schema.check(document.data, view))
    expansion = Expansion(document, scalars, expansion_input(document, settings))
    data = without_invalid(document.data, findings)
    parts = _expand(expansion, data)
    findings += expansion.findings
    # Otherwise values that had findings are None now, and the schema would report them again.
    if not findings:
        resolved = ErrorView(parts.origin, lambda _: None, secrets)
        found = schema.check_resolved(parts.data(), resolved)
        findings += [finding for finding in found if finding.path not in expansion.unresolved]
    # A need may name a target whose own name is invalid, and reported already.
    targets = data.get("targets") or []
    all_named = all(isinstance(target, dict) and target.get("name") for target in targets)
    found = [
        *check_addresses(parts.connections, settings.invalid_locations),
        *check_connections(parts.connections),
        *check_targets(parts.targets, parts.connections, document.added),
        *check_connection_options(parts.targets, parts.connections, parts.connection_options),
        *parts.graph.check(all_named=all_named),
        *check_steps(parts.targets, settings.registry.steps),
        *check_uris(parts.targets, settings.entry_error),
    ]
    findings += [finding for finding in found if finding.path not in expansion.unresolved]
    placeholders = tuple(unfilled(document, settings.environ))
    if findings or document.problems or placeholders:
        document = replace(document, problems=(*document.problems, *placeholders))
        raise _error(document, findings, scalars, settings.masker)
    return parts


def _check_as_written(
    scalars: Mapping[KeyPath, ScalarLocation], known: list[Finding]
) -> list[Finding]:
    """Return the findings before expansion; ``known`` are those of the schema."""
    literals = literal_secrets(scalars)
    # Any other finding for a literal secret might show it.
    shadowed = {finding.path for finding in literals}
    findings = literals + [finding for finding in known if finding.path not in shadowed]
    return findings + _unquoted(scalars, {finding.path for finding in findings})


def _unquoted(scalars: Mapping[KeyPath, ScalarLocation], known: set[KeyPath]) -> list[Finding]:
    """Return findings for ambiguous scalars where a plugin's schema accepts any value."""
    return [
        Finding(path, yaml_trap(scalar.value))
        for path, scalar in scalars.items()
        if isinstance(scalar.value, AmbiguousScalar)
        and path not in known
        and not str(path[0]).startswith("x-")
    ]


def expansion_input(document: Document, settings: Settings) -> ExpansionInput:
    """Return the values from outside the manifest."""
    folder = document.path.absolute().parent
    return ExpansionInput(
        sources=Sources(
            settings.environ,
            folder,
            settings.registry.sources,
            keep=settings.masker.add,
            asks=settings.asks,
            placeholders=settings.placeholders,
        ),
        masker=settings.masker,
        overrides=settings.variables,
        run={
            "run.id": Value(settings.run_id, settings.run_id),
            "run.date": Value(settings.run_date, settings.run_date),
        },
        output=(settings.output or folder).absolute(),
        keep_secrets=settings.keep_secrets,
        selected=settings.selected,
    )


def _expand(expansion: Expansion, data: Mapping[str, Any]) -> _ResolvedParts:
    """Expand variables, defaults, matrices and references."""
    expansion.set_variables(data.get("vars") or {})
    targets = list(expansion.targets(data.get("targets") or [], data.get("defaults") or {}))
    name = expansion.plain("name", data.get("name")) or expansion.document.path.stem
    return _ResolvedParts(
        name=f"{name}{expansion.document.suffix}",
        connections=expansion.plain("connections", data.get("connections") or {}),
        targets=targets,
        reports=expansion.plain("report", data.get("report") or {}),
        notify=expansion.plain("notify", data.get("notify") or []),
        sign=expansion.plain("sign", data.get("sign") or {}),
        graph=Graph(targets),
        connection_options=frozenset(
            scalar.path for scalar in expansion.scalars.values() if scalar.connection
        ),
    )


def _error(
    document: Document,
    findings: list[Finding],
    scalars: Mapping[KeyPath, ScalarLocation],
    masker: Masker,
) -> ManifestError:
    """Return the error with each finding once, without secrets."""
    private = _hidden_columns(document, findings, scalars)
    problems = list(document.problems)
    for finding in dict.fromkeys(findings):
        # A message may quote a value that is a secret elsewhere in the manifest.
        masked = replace(finding, message=masker.mask(finding.message))
        problems.append(document.problem(masked, private))
    return ManifestError(list(dict.fromkeys(problems)))


def _hidden_columns(
    document: Document, findings: list[Finding], scalars: Mapping[KeyPath, ScalarLocation]
) -> dict[tuple[str, int], list[int]]:
    """Return the columns, by file and line, of values that may be misplaced secrets."""
    unknown = {finding.path for finding in findings if finding.at_key and not _is_harmless(finding)}
    columns: dict[tuple[str, int], list[int]] = {}
    for path, scalar in scalars.items():
        literal_secret = scalar.secret and not refers_outside(scalar.value)
        under_unknown_key = any(path[:end] in unknown for end in range(1, len(path) + 1))
        if literal_secret or (under_unknown_key and not scalar.types) or _may_hold_secrets(scalar):
            position = document.position(path)
            columns.setdefault((position.file.label, position.value[0]), []).append(
                position.value[1]
            )
            # All further lines of a scalar over several lines.
            for row in range(position.value[0] + 1, position.last + 1):
                columns.setdefault((position.file.label, row), []).append(1)
    return columns


def _is_harmless(finding: Finding) -> bool:
    """Return True if an unknown key is probably a misspelt key whose value is no secret."""
    suggested = _SUGGESTION.search(finding.message)
    return suggested is not None and not _SECRET_WORD.search(suggested[1])


def _may_hold_secrets(scalar: ScalarLocation) -> bool:
    """Return True for a scalar where the schema wants a mapping or list that may hold secrets."""
    if scalar.types & {"string", "number", "integer", "boolean"}:
        return False
    return "object" in scalar.types or ("array" in scalar.types and "with" in scalar.path)


def _build(document: Document, parts: _ResolvedParts) -> Manifest:
    """Return the model of a valid manifest."""
    folder = document.path.absolute().parent
    # A target may leave its connection out only where there is one; see ``check_targets``.
    default = next(iter(parts.connections))
    targets = []
    for target in parts.targets:
        needs = parts.graph.needs(target.name)
        connection = target.data.get("connection", default)
        # An option whose secret reference was not read has no connection's name.
        named = [name for _, name in connections_in_options(target, parts.connection_options)]
        known = [name for name in dict.fromkeys(named) if name in parts.connections]
        target_connection = connection if connection in parts.connections else default
        place = _location(document, target.origin(()))
        links = construct.TargetLinks(target_connection, needs, tuple(known), place)
        targets.append(construct.target(target, links))
    connections = {
        name: construct.connection(name, data, folder, _address_location(document, name, data))
        for name, data in parts.connections.items()
    }
    return Manifest(
        path=document.path,
        name=parts.name,
        connections=connections,
        targets=tuple(targets),
        reports={kind: folder / file for kind, file in parts.reports.items()},
        notify=tuple(construct.notification(data) for data in parts.notify),
        sign=construct.signing(parts.sign, folder) if parts.sign else None,
    )


def _address_location(document: Document, name: str, data: Mapping[str, Any]) -> str:
    """Return file and line of a connection's address."""
    key = next((key for key in ("base_url", "env") if key in data), "")
    return _location(document, ("connections", name, *([key] if key else [])))


def _location(document: Document, path: KeyPath) -> str:
    """Return file and line of a value, or of its nearest ancestor that has a position."""
    position = document.position(path)
    return f"{position.file.label}:{position.value[0]}"
