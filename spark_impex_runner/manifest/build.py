"""The one way from a manifest's data to models: check, expand, check again, build."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from spark_impex_runner.errors import ManifestError
from spark_impex_runner.manifest import construct
from spark_impex_runner.manifest.expand import Expansion, Given, Wanted, literal_secrets
from spark_impex_runner.manifest.needs import Graph
from spark_impex_runner.manifest.references import Named, Sources, escaped, refers_outside
from spark_impex_runner.manifest.rules import (
    check_connections,
    check_named,
    check_places,
    check_steps,
    check_targets,
    check_uris,
    named_connections,
)
from spark_impex_runner.manifest.schema.check import Schema, View
from spark_impex_runner.manifest.schema.wording import trap
from spark_impex_runner.manifest.yaml.document import Finding, Odd, sound
from spark_impex_runner.manifest.yaml.marks import unfilled
from spark_impex_runner.models import Manifest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from spark_impex_runner.hooks.registry import Registry
    from spark_impex_runner.manifest.expand import Expanded
    from spark_impex_runner.manifest.schema.places import Place
    from spark_impex_runner.manifest.yaml.document import Document, KeyPath
    from spark_impex_runner.masking import Masker


_MEANT = re.compile(r"did you mean '([^']+)'")
_SECRET_WORD = re.compile("token|secret|key|auth|pass|cred", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Settings:
    """What a manifest is read with.

    ``variables`` override those of the manifest; ``output`` replaces the manifest's folder as
    the one that relative outputs are taken from. ``entry_error`` tells what is wrong with an entry
    of ``services``, in a few words, or nothing: this stage does not know the API's URIs.
    ``invalid_locations`` likewise names the keys of a connection that lead nowhere, and why.
    ``keep_secrets`` leaves the references of secrets as they are written; ``asks`` False leaves
    those to secret sources, whose values are then not asked for.
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
    wanted: Wanted | None = None
    asks: bool = True


@dataclass(frozen=True, slots=True)
class Requires:
    """What a manifest needs before it can be validated, as written.

    ``runner`` is a version specifier or empty. ``plugins`` None means that any may be loaded.
    """

    runner: str = ""
    plugins: tuple[str, ...] | None = None
    local_plugins: bool = False


@dataclass(frozen=True, slots=True)
class _Parts:
    """A manifest's data, resolved, before it becomes a model.

    ``naming`` are the places in the text at which an option names a connection.
    """

    name: str
    connections: dict[str, Any]
    targets: list[Expanded]
    reports: dict[str, Any]
    notify: list[Any]
    graph: Graph
    naming: frozenset[KeyPath]

    def data(self) -> dict[str, Any]:
        """Return the data as one more manifest, in which nothing is left to expand."""
        return {
            "version": 1,
            "name": self.name,
            "connections": self.connections,
            "targets": [target.data for target in self.targets],
            "report": self.reports,
            "notify": self.notify,
        }

    def origin(self, path: KeyPath) -> KeyPath:
        """Return where the value at ``path`` of the data is written."""
        if path[:1] == ("targets",) and len(path) > 1:
            return self.targets[int(path[1])].origin(path[2:])
        return path


def read_requires(document: Document) -> Requires:
    """Read only ``requires``, whose plugins decide what the rest of the manifest may say.

    Whatever is wrong in it besides is left for ``read_manifest``.
    """
    data = document.data.get("requires")
    if not isinstance(data, dict):
        return Requires()
    runner, plugins = data.get("runner"), data.get("plugins")
    return Requires(
        runner=runner if isinstance(runner, str) else "",
        plugins=_texts(plugins) if "plugins" in data else None,
        local_plugins=data.get("local_plugins") is True,
    )


def read_manifest(document: Document, settings: Settings) -> Manifest:
    """Check, expand and build a manifest that was loaded.

    Raises ``ManifestError`` with every mistake, and ``PluginError`` when a plugin's option schema
    or source of references is broken. Secrets are added to ``settings.masker`` on the way.
    """
    return _build(document, _checked(document, settings))


def read_resolved(document: Document, settings: Settings) -> tuple[Manifest, dict[str, Any]]:
    """Return a manifest, and its data as a run takes it: secrets as the references they are.

    Targets have the names that the run gives them. Raises what ``read_manifest`` raises, except
    for secrets that are not there: they are not asked for.
    """
    parts = _checked(document, replace(settings, keep_secrets=True, asks=False))
    data = parts.data()
    data["requires"] = document.data.get("requires")
    data["targets"] = [_resolved_target(target, parts.graph) for target in parts.targets]
    shown: dict[str, Any] = escaped({key: value for key, value in data.items() if value})
    return _build(document, parts), shown


def _resolved_target(target: Expanded, graph: Graph) -> dict[str, Any]:
    """Return a target's data with the name and the needs that it has in the run."""
    needs = list(graph.needs(target.name))
    return {**target.data, "name": target.name, **({"needs": needs} if needs else {})}


def _checked(document: Document, settings: Settings) -> _Parts:
    """Return the parts of a manifest in which nothing is wrong."""
    schema = Schema(settings.registry)
    places = {place.path: place for place in schema.places(document.data)}
    secrets = {where for where, place in places.items() if place.secret}
    view = View(lambda where: where, document.text, secrets, schema.homes)
    findings = _check_written(places, schema.check(document.data, view))
    expansion = Expansion(document, places, given(document, settings))
    data = sound(document.data, findings)
    parts = _expand(expansion, data)
    findings += expansion.findings
    if not findings:
        resolved = View(parts.origin, lambda _: None, secrets)
        judged = schema.check_resolved(parts.data(), resolved)
        findings += [finding for finding in judged if finding.path not in expansion.kept]
    judged = [
        *check_places(parts.connections, settings.invalid_locations),
        *_check_relations(parts, data, document),
        *check_steps(parts.targets, settings.registry.steps),
        *check_uris(parts.targets, settings.entry_error),
    ]
    findings += [finding for finding in judged if finding.path not in expansion.kept]
    open_ = tuple(unfilled(document, settings.environ))
    if findings or document.problems or open_:
        document = replace(document, problems=(*document.problems, *open_))
        raise _error(document, findings, places, settings.masker)
    return parts


def _check_written(places: Mapping[KeyPath, Place], known: list[Finding]) -> list[Finding]:
    """Return what is wrong with the text as it stands; ``known`` is what its schema says."""
    literals = literal_secrets(places)
    # Whatever else is wrong with a secret in the clear is of no interest, and might show it.
    shadowed = {finding.path for finding in literals}
    findings = literals + [finding for finding in known if finding.path not in shadowed]
    return findings + _unquoted(places, {finding.path for finding in findings})


def _unquoted(places: Mapping[KeyPath, Place], known: set[KeyPath]) -> list[Finding]:
    """Return findings for YAML's traps where a plugin's schema lets anything pass."""
    return [
        Finding(path, trap(place.value))
        for path, place in places.items()
        if isinstance(place.value, Odd) and path not in known and not str(path[0]).startswith("x-")
    ]


def given(document: Document, settings: Settings) -> Given:
    """Return what the expansion takes from outside the manifest."""
    folder = document.path.absolute().parent
    return Given(
        sources=Sources(
            settings.environ,
            folder,
            settings.registry.sources,
            keep=settings.masker.add,
            asks=settings.asks,
        ),
        masker=settings.masker,
        overrides=settings.variables,
        run={
            "run.id": Named(settings.run_id, settings.run_id),
            "run.date": Named(settings.run_date, settings.run_date),
        },
        output=(settings.output or folder).absolute(),
        keep_secrets=settings.keep_secrets,
        wanted=settings.wanted,
    )


def _expand(expansion: Expansion, data: Mapping[str, Any]) -> _Parts:
    """Return the data of a manifest without variables, defaults, matrices and references."""
    expansion.set_variables(data.get("vars") or {})
    targets = list(expansion.targets(data.get("targets") or [], data.get("defaults") or {}))
    name = expansion.plain("name", data.get("name")) or expansion.document.path.stem
    return _Parts(
        name=f"{name}{expansion.document.suffix}",
        connections=expansion.plain("connections", data.get("connections") or {}),
        targets=targets,
        reports=expansion.plain("report", data.get("report") or {}),
        notify=expansion.plain("notify", data.get("notify") or []),
        graph=Graph(targets),
        naming=frozenset(place.path for place in expansion.places.values() if place.connection),
    )


def _check_relations(
    parts: _Parts, written: Mapping[str, Any], document: Document
) -> list[Finding]:
    """Return what is wrong between the parts of a manifest."""
    targets = written.get("targets") or []
    all_named = all(isinstance(target, dict) and target.get("name") for target in targets)
    return [
        *check_connections(parts.connections),
        *check_targets(parts.targets, parts.connections, document.added),
        *check_named(parts.targets, parts.connections, parts.naming),
        *parts.graph.check(all_named=all_named),
    ]


def _error(
    document: Document, findings: list[Finding], places: Mapping[KeyPath, Place], masker: Masker
) -> ManifestError:
    """Return the error with every finding once, and no secret in it."""
    private = _private(document, findings, places)
    problems = list(document.problems)
    for finding in dict.fromkeys(findings):
        masked = replace(finding, message=masker.mask(finding.message))
        problems.append(document.problem(masked, private))
    return ManifestError(list(dict.fromkeys(problems)))


def _private(
    document: Document, findings: list[Finding], places: Mapping[KeyPath, Place]
) -> dict[tuple[str, int], list[int]]:
    """Return the columns, by file and line, of values that may be secrets in the wrong place."""
    unknown = {finding.path for finding in findings if finding.at_key and not _is_harmless(finding)}
    columns: dict[tuple[str, int], list[int]] = {}
    for path, place in places.items():
        literal = place.secret and not refers_outside(place.value)
        lost = any(path[:end] in unknown for end in range(1, len(path) + 1))
        if literal or (lost and not place.types) or _may_hold_secrets(place):
            spot = document.spot(path)
            columns.setdefault((spot.file.label, spot.value[0]), []).append(spot.value[1])
            for row in range(spot.value[0] + 1, spot.last + 1):
                columns.setdefault((spot.file.label, row), []).append(1)
    return columns


def _is_harmless(finding: Finding) -> bool:
    """Tell whether an unknown key is likely meant to be one whose value is no secret."""
    meant = _MEANT.search(finding.message)
    return meant is not None and not _SECRET_WORD.search(meant[1])


def _may_hold_secrets(place: Place) -> bool:
    """Tell whether a scalar stands for a mapping, or a plugin's list, in which secrets may be."""
    if place.types & {"string", "number", "integer", "boolean"}:
        return False
    return "object" in place.types or ("array" in place.types and "with" in place.path)


def _build(document: Document, parts: _Parts) -> Manifest:
    """Return the model of a manifest in which nothing was found wrong."""
    folder = document.path.absolute().parent
    default = next(iter(parts.connections))
    targets = []
    for target in parts.targets:
        needs = parts.graph.needs(target.name)
        connection = target.data.get("connection", default)
        # A name that was not asked for is none of ours.
        named = [name for _, name in named_connections(target, parts.naming)]
        known = [name for name in dict.fromkeys(named) if name in parts.connections]
        own = connection if connection in parts.connections else default
        ties = construct.Ties(own, needs, tuple(known))
        targets.append(construct.target(target, ties))
    connections = {
        name: construct.connection(name, data, folder, _place_of_address(document, name, data))
        for name, data in parts.connections.items()
    }
    return Manifest(
        path=document.path,
        name=parts.name,
        connections=connections,
        targets=tuple(targets),
        reports={kind: folder / file for kind, file in parts.reports.items()},
        notify=tuple(construct.notification(data) for data in parts.notify),
    )


def _place_of_address(document: Document, name: str, data: Mapping[str, Any]) -> str:
    """Return the file and the line that say where the tenant of a connection is."""
    key = next((key for key in ("base_url", "env") if key in data), "")
    spot = document.spot(("connections", name, *([key] if key else [])))
    return f"{spot.file.label}:{spot.value[0]}"


def _texts(items: Any) -> tuple[str, ...]:
    """Return the texts of a list; what is no list allows nothing."""
    return tuple(item for item in items if isinstance(item, str)) if isinstance(items, list) else ()
