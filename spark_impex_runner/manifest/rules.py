"""What a schema cannot say: names that must exist, or differ, and keys that exclude one another."""

from __future__ import annotations

import os
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from spark_impex_runner.manifest.references import Written
from spark_impex_runner.manifest.schema.wording import Hints, listed
from spark_impex_runner.manifest.yaml.document import Finding
from spark_impex_runner.spelling import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

    from spark_impex_runner.hooks.registry import StepOffer
    from spark_impex_runner.manifest.expand import Expanded
    from spark_impex_runner.manifest.yaml.document import Document, KeyPath

_PLACES = ("base_url", "env", "sandbox")
_SCHEMES = ("token", "api_key", "oauth")
_EXPORTS = ("services", "folders", "version_ids")
_EMPTY = "the target exports nothing; give it services, folders or version_ids"


def check_connections(connections: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield what is wrong between the keys of a connection."""
    for name, connection in connections.items():
        if isinstance(connection, dict):
            path = ("connections", name)
            yield from _exclusive(connection, _PLACES, path)
            yield from _tenant(connection, path)
            yield from _scheme(connection.get("auth"), (*path, "auth"))


def check_places(
    connections: Mapping[str, Any],
    faults: Callable[[Mapping[str, Any]], Iterable[tuple[str, str]]],
) -> Iterator[Finding]:
    """Yield a finding for each key of a connection with which ``faults`` finds one."""
    for name, connection in connections.items():
        for key, reason in faults(connection) if isinstance(connection, dict) else ():
            yield Finding(("connections", name, key), reason)


def check_targets(
    targets: Sequence[Expanded], connections: Mapping[str, Any], added: Collection[KeyPath]
) -> Iterator[Finding]:
    """Yield what is wrong between targets, and between a target and the connections.

    ``added`` is where targets stand that only an overlay has: a wrong name is likely there.
    """
    names: dict[str, Expanded] = {}
    outputs: dict[str, Expanded] = {}
    hints = Hints(connections)
    others = Hints(each.name for each in targets if each.origin(()) not in added)
    for target in targets:
        first = names.setdefault(target.name, target)
        if first is not target:
            yield _taken(target, first)
            continue
        yield from _connection(target, connections, hints, added)
        if not any(target.data.get(key) or _unsound(target, key) for key in _exports(target)):
            place = target.origin(())
            hint = others.of(target.name) if place in added else ""
            yield Finding(place, _EMPTY + hint)
        other = outputs.setdefault(os.path.normpath(target.output), target)
        if other is not target:
            message = f"the targets {other.name!r} and {target.name!r} would write to one output"
            yield Finding(target.origin(("output",)), message)


def check_named(
    targets: Sequence[Expanded], connections: Mapping[str, Any], naming: Collection[KeyPath]
) -> Iterator[Finding]:
    """Yield a finding for each option, at a place in ``naming``, that names no connection."""
    hints = Hints(connections)
    for target in targets if connections else ():
        for place, name in named_connections(target, naming):
            if name not in connections:
                yield Finding(place, _no_connection(name, hints))


def named_connections(
    target: Expanded, naming: Collection[KeyPath]
) -> Iterator[tuple[KeyPath, str]]:
    """Yield the connections that a target's options name, and where each of them is written."""
    for key in ("steps", "polling") if naming else ():
        for place, value in _leaves(target.data.get(key), target.origin((key,))):
            if place in naming and isinstance(value, str):
                yield place, value


def _leaves(data: Any, path: KeyPath) -> Iterator[tuple[KeyPath, Any]]:
    """Yield every scalar in ``data``, which stands at ``path``."""
    if not isinstance(data, (dict, list)):
        yield path, data
        return
    for key, value in data.items() if isinstance(data, dict) else enumerate(data):
        yield from _leaves(value, (*path, key))


def check_steps(targets: Sequence[Expanded], steps: Mapping[str, StepOffer]) -> Iterator[Finding]:
    """Yield a finding for each step that cannot work on its packages, or as often as it is to."""
    for target in targets:
        written = target.data.get("steps")
        exported = target.data.get("file_filter", "migrate")
        known = exported and not isinstance(exported, Written)
        for index, step in enumerate(written if isinstance(written, list) else ()):
            offer = steps.get(str(step.get("uses"))) if isinstance(step, dict) else None
            if offer and known and offer.file_filter not in (None, exported):
                message = (
                    f"the step {offer.name!r} works on packages of file_filter "
                    f"{offer.file_filter!r}, this target exports {exported!r}"
                )
                yield Finding(target.origin(("steps", index, "uses")), message)
            if offer and not offer.idempotent and _is_repeated(step):
                place = target.origin(("steps", index, "retry", "attempts"))
                message = f"the step {offer.name!r} must not be done twice, so it has one attempt"
                yield Finding(place, message)


def _is_repeated(step: Mapping[str, Any]) -> bool:
    """Tell whether a step is to be tried again."""
    retry = step.get("retry")
    return isinstance(retry, dict) and str(retry.get("attempts", 1)) not in {"0", "1"}


def check_unused(document: Document, names: Iterable[str]) -> Iterator[Finding]:
    """Yield a warning for each variable of the command line or an overlay that changes nothing."""
    known = document.data.get("vars") or {}
    for name in names:
        if name not in known and not _is_used(document, name):
            message = f"--var {name}=… sets no variable of this manifest"
            yield Finding(("vars",), message + did_you_mean(name, known), severity="warning")
    own = [name for name in known if ("vars", name) not in document.added]
    for name in known.keys() - set(own):
        if not _is_used(document, name):
            message = f"no reference uses this variable{did_you_mean(name, own)}"
            yield Finding(("vars", name), message, at_key=True, severity="warning")


def _is_used(document: Document, variable: str) -> bool:
    """Tell whether a reference names a variable."""
    reference = f"${{var:{variable}}}"
    return any(reference in (spot.text or "") for spot in document.spots.values())


def check_uris(targets: Sequence[Expanded], fault: Callable[[str], str]) -> Iterator[Finding]:
    """Yield a finding for each entry of ``services`` with which ``fault`` finds one."""
    for target in targets:
        entries = target.data.get("services")
        for index, entry in enumerate(entries if isinstance(entries, list) else ()):
            if isinstance(entry, str) and (reason := fault(entry)):
                yield Finding(target.origin(("services", index)), reason)


def _exports(target: Expanded) -> list[str]:
    """Return the keys that say what a target exports, and unknown ones that are meant so."""
    meant = [key for key in target.data if get_close_matches(key, _EXPORTS, cutoff=0.75)]
    return [*_EXPORTS, *meant]


def _unsound(target: Expanded, key: str) -> bool:
    """Tell whether a key is there, with a value that has been found wrong already."""
    return key in target.data and target.data[key] is None


def _taken(target: Expanded, first: Expanded) -> Finding:
    """Return the finding for a name that two targets have."""
    if target.index == first.index:
        message = f"two combinations of the matrix make the name {target.name!r}"
        return Finding(target.origin(("matrix",)), message)
    message = f"the name {target.name!r} is already taken"
    return Finding(target.origin(("name",)), message, see=first.origin(("name",)))


def _connection(
    target: Expanded, connections: Mapping[str, Any], hints: Hints, added: Collection[KeyPath]
) -> Iterator[Finding]:
    """Yield a finding unless it is clear which connection a target uses."""
    if _unsound(target, "connection") or not connections:
        return
    name = target.data.get("connection")
    new = [other for other in connections if ("connections", other) in added]
    if name is None and len(connections) - len(new) == 1 and new:
        hint = did_you_mean(new[0], connections.keys() - set(new))
        message = f"only this overlay has the connection {new[0]!r}, and a target names none{hint}"
        yield Finding(("connections", new[0]), message, at_key=True)
    elif name is None and len(connections) > 1:
        message = f"there are several connections, name one of them: {listed(connections)}"
        yield Finding(target.origin(("connection",)), message)
    elif isinstance(name, str) and name not in connections:
        yield Finding(target.origin(("connection",)), _no_connection(name, hints))


def _no_connection(name: str, hints: Hints) -> str:
    """Return the line for a name that no connection has."""
    return f"there is no connection {name!r}{hints.of(name) or f'; known: {listed(hints)}'}"


def _exclusive(
    data: Mapping[str, Any], keys: Sequence[str], path: tuple[str, ...]
) -> Iterator[Finding]:
    """Yield a finding for each of ``keys`` after the first that is there."""
    first, *others = [key for key in data if key in keys] or [""]
    for key in others:
        yield Finding((*path, key), f"{first} and {key} exclude one another", at_key=True)


def _tenant(connection: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[Finding]:
    """Yield a finding where only one of ``env`` and ``tenant`` is there."""
    if "env" in connection and "tenant" not in connection:
        yield Finding((*path, "env"), "env needs the key tenant beside it", at_key=True)
    if "tenant" in connection and "env" not in connection:
        yield Finding((*path, "tenant"), "tenant needs the key env beside it", at_key=True)


def _scheme(auth: Any, path: tuple[str, ...]) -> Iterator[Finding]:
    """Yield a finding unless credentials have one scheme."""
    if not isinstance(auth, dict):
        return
    yield from _exclusive(auth, _SCHEMES, path)
    if not auth:
        yield Finding(path, f"no credentials; give one of {', '.join(_SCHEMES)}")
