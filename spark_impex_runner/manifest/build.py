"""The one way from a manifest's file to models: load, check, expand, check again, build."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spark_impex_runner.errors import ManifestError
from spark_impex_runner.manifest.expand import Expansion, Given, literal_secrets
from spark_impex_runner.manifest.load import load
from spark_impex_runner.manifest.quantity import seconds
from spark_impex_runner.manifest.references import Named, Sources
from spark_impex_runner.manifest.schema import Schema, View
from spark_impex_runner.models import Auth, Connection, Manifest, Polling, Step, Target

if TYPE_CHECKING:
    from collections.abc import Mapping

    from spark_impex_runner.manifest.document import Document, Finding
    from spark_impex_runner.manifest.expand import Expanded
    from spark_impex_runner.masking import Masker
    from spark_impex_runner.registry import Registry


@dataclass(frozen=True, slots=True)
class Settings:
    """What a manifest is read with.

    ``variables`` override those of the manifest; ``output`` replaces the manifest's folder as
    the one that relative outputs are taken from.
    """

    registry: Registry
    masker: Masker
    variables: Mapping[str, str] = field(default_factory=dict)
    environ: Mapping[str, str] = field(default_factory=dict, repr=False)
    run_id: str = ""
    run_date: str = ""
    output: Path | None = None


@dataclass(frozen=True, slots=True)
class Requires:
    """What a manifest needs before it can be validated, as written.

    ``runner`` is a version specifier or empty. ``plugins`` None means that any may be loaded.
    """

    runner: str = ""
    plugins: tuple[str, ...] | None = None
    local_plugins: bool = False


def read_requires(path: Path) -> Requires:
    """Read only ``requires``, whose plugins decide what the rest of the manifest may say.

    Whatever is wrong in it besides is left for ``read_manifest``. Raises ``ManifestError`` if
    the file is no YAML mapping.
    """
    data = load(path).data.get("requires")
    if not isinstance(data, dict):
        return Requires()
    runner, plugins = data.get("runner"), data.get("plugins")
    return Requires(
        runner=runner if isinstance(runner, str) else "",
        plugins=_texts(plugins) if "plugins" in data else None,
        local_plugins=data.get("local_plugins") is True,
    )


def _texts(items: Any) -> tuple[str, ...]:
    """Return the texts of a list; what is no list allows nothing."""
    return tuple(item for item in items if isinstance(item, str)) if isinstance(items, list) else ()


def read_manifest(path: Path, settings: Settings) -> Manifest:
    """Read, check, expand and build the manifest at ``path``.

    Raises ``ManifestError`` with every mistake, and ``PluginError`` when a plugin's option schema
    or source of references is broken. Secrets are added to ``settings.masker``.
    """
    document = load(path)
    data = document.data
    schema = Schema(settings.registry)
    places = {place.path: place for place in schema.places(data)}
    secrets = {where for where, place in places.items() if place.secret}
    view = View(lambda p: p, document.text, secrets)
    _stop_at(document, schema.check(data, view) + literal_secrets(places))
    folder = Path(path).absolute().parent
    sources = Sources(settings.environ, folder, settings.registry.sources)
    run = {
        "run.id": Named(settings.run_id, settings.run_id),
        "run.date": Named(settings.run_date, settings.run_date),
    }
    given = Given(sources, settings.masker, settings.variables, run, settings.output or folder)
    expansion = Expansion(document, places, given)
    expansion.set_variables(data.get("vars", {}))
    targets = list(expansion.targets(data["targets"], data.get("defaults", {})))
    connections = expansion.plain("connections", data.get("connections", {}))
    reports = expansion.plain("report", data.get("report", {}))
    name = expansion.plain("name", data.get("name", path.stem))
    _stop_at(document, expansion.findings)
    return Manifest(
        path=path,
        name=name,
        connections={key: _connection(key, value, folder) for key, value in connections.items()},
        targets=tuple(_target(target, tuple(connections)) for target in targets),
        reports={kind: folder / file for kind, file in reports.items()},
    )


def _stop_at(document: Document, findings: list[Finding]) -> None:
    """Raise ``ManifestError`` if there are findings."""
    if findings:
        raise ManifestError([document.problem(finding) for finding in findings])


def _connection(name: str, data: dict[str, Any], folder: Path) -> Connection:
    """Build one connection."""
    rest = dict(data)
    auth, sandbox = rest.pop("auth", None), rest.pop("sandbox", None)
    if "timeout" in rest:
        rest["timeout"] = seconds(rest["timeout"])
    if rest.get("jobs") == "auto":
        del rest["jobs"]
    if isinstance(rest.get("verify_tls"), str):
        rest["verify_tls"] = str(folder / rest["verify_tls"])
    return Connection(
        name=name,
        sandbox=folder / sandbox if sandbox else None,
        auth=_auth(auth) if auth else None,
        **rest,
    )


def _auth(data: dict[str, Any]) -> Auth:
    """Build the credentials of one connection."""
    return Auth(
        token=data.get("token"),
        api_key=data.get("api_key"),
        **data.get("oauth", {}),
    )


def _target(expanded: Expanded, connections: tuple[str, ...]) -> Target:
    """Build one target."""
    rest: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value
        for key, value in expanded.data.items()
        if key not in {"name", "output"}
    }
    rest.setdefault("connection", connections[0] if connections else "")
    if "retry_interval" in rest:
        rest["retry_interval"] = seconds(rest["retry_interval"])
    if "polling" in rest:
        rest["polling"] = _polling(rest["polling"])
    if "steps" in rest:
        rest["steps"] = tuple(_step(step) for step in rest["steps"])
    return Target(name=expanded.name, output=expanded.output, **rest)


def _polling(data: dict[str, Any]) -> Polling:
    """Build how a target's job is waited for."""
    rest = dict(data)
    options = rest.pop("with", {})
    for key in ("deadline", "stall_after"):
        if key in rest:
            rest[key] = seconds(rest[key])
    return Polling(options=options, **rest)


def _step(data: dict[str, Any]) -> Step:
    """Build one step."""
    retry = data.get("retry", {})
    return Step(
        uses=data["uses"],
        options=data.get("with", {}),
        attempts=retry.get("attempts", 1),
        interval=seconds(retry.get("interval", 1)),
        on_failure=data.get("on_failure", "fail"),
    )
