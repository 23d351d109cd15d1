"""Rules that a schema cannot express: names that must exist or differ, and exclusive keys."""

from __future__ import annotations

import os
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from spark_impex_runner.manifest.references import UnresolvedText
from spark_impex_runner.manifest.schema.messages import Suggestions, listed
from spark_impex_runner.manifest.yaml.document import Finding
from spark_impex_runner.spelling import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

    from spark_impex_runner.hooks.registry import StepOffer
    from spark_impex_runner.manifest.expand import ExpandedTarget
    from spark_impex_runner.manifest.yaml.document import Document, KeyPath

_ADDRESS_KEYS = ("base_url", "env", "sandbox")
_AUTH_KEYS = ("token", "api_key", "oauth")
_EXPORT_KEYS = ("services", "folders", "version_ids")
_NOTHING_TO_EXPORT = "the target exports nothing; give it services, folders or version_ids"


def check_connections(connections: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield a finding for each conflict between the keys of a connection."""
    for name, connection in connections.items():
        if isinstance(connection, dict):
            path = ("connections", name)
            yield from _check_exclusive(connection, _ADDRESS_KEYS, path)
            yield from _check_tenant(connection, path)
            yield from _check_auth(connection.get("auth"), (*path, "auth"))


def check_addresses(
    connections: Mapping[str, Any],
    faults: Callable[[Mapping[str, Any]], Iterable[tuple[str, str]]],
) -> Iterator[Finding]:
    """Yield a finding for each key of a connection for which ``faults`` yields a reason."""
    for name, connection in connections.items():
        for key, reason in faults(connection) if isinstance(connection, dict) else ():
            yield Finding(("connections", name, key), reason)


def check_targets(
    targets: Sequence[ExpandedTarget], connections: Mapping[str, Any], added: Collection[KeyPath]
) -> Iterator[Finding]:
    """Yield the conflicts between targets, and between targets and connections.

    ``added`` are the paths that only an overlay has: its targets may have misspelt names.
    """
    names: dict[str, ExpandedTarget] = {}
    outputs: dict[str, ExpandedTarget] = {}
    hints = Suggestions(connections)
    target_names = Suggestions(each.name for each in targets if each.origin(()) not in added)
    for target in targets:
        first = names.setdefault(target.name, target)
        if first is not target:
            yield _name_taken(target, first)
            continue
        yield from _check_connection(target, connections, hints, added)
        if not any(
            target.data.get(key) or _is_invalid(target, key) for key in _export_keys_of(target)
        ):
            place = target.origin(())
            hint = target_names.of(target.name) if place in added else ""
            yield Finding(place, _NOTHING_TO_EXPORT + hint)
        # Equal for two spellings of one folder, without looking at the disk.
        other = outputs.setdefault(os.path.normpath(target.output), target)
        if other is not target:
            message = f"the targets {other.name!r} and {target.name!r} would write to one output"
            yield Finding(target.origin(("output",)), message)


def check_connection_options(
    targets: Sequence[ExpandedTarget],
    connections: Mapping[str, Any],
    connection_options: Collection[KeyPath],
) -> Iterator[Finding]:
    """Yield a finding for each option in ``connection_options`` that names no connection."""
    hints = Suggestions(connections)
    for target in targets if connections else ():
        for place, name in connections_in_options(target, connection_options):
            if name not in connections:
                yield Finding(place, _no_connection(name, hints))


def connections_in_options(
    target: ExpandedTarget, connection_options: Collection[KeyPath]
) -> Iterator[tuple[KeyPath, str]]:
    """Yield path and name of each connection in a target's options."""
    for key in ("steps", "polling") if connection_options else ():
        for place, value in _leaves(target.data.get(key), target.origin((key,))):
            if place in connection_options and isinstance(value, str):
                yield place, value


def _leaves(data: Any, path: KeyPath) -> Iterator[tuple[KeyPath, Any]]:
    """Yield path and value of each scalar in the data at ``path``."""
    if not isinstance(data, (dict, list)):
        yield path, data
        return
    for key, value in data.items() if isinstance(data, dict) else enumerate(data):
        yield from _leaves(value, (*path, key))


def check_steps(
    targets: Sequence[ExpandedTarget], steps: Mapping[str, StepOffer]
) -> Iterator[Finding]:
    """Yield a finding for each step with packages or retries that it does not support."""
    for target in targets:
        written = target.data.get("steps")
        exported = target.data.get("file_filter", "migrate")
        known = exported and not isinstance(exported, UnresolvedText)
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
    """Return True for a step with more than one attempt."""
    retry = step.get("retry")
    return isinstance(retry, dict) and str(retry.get("attempts", 1)) not in {"0", "1"}


def check_unused(document: Document, names: Iterable[str]) -> Iterator[Finding]:
    """Yield a warning for each variable of the command line or an overlay that is not used."""
    known = document.data.get("vars") or {}
    for name in names:
        if not is_variable(document, name):
            message = f"--var {name}=… sets no variable of this manifest"
            yield Finding(("vars",), message + did_you_mean(name, known), severity="warning")
    # A variable that only an overlay sets, and no reference uses, is probably misspelt.
    own = [name for name in known if ("vars", name) not in document.added]
    for name in known.keys() - set(own):
        if not _is_used(document, name):
            message = f"no reference uses this variable{did_you_mean(name, own)}"
            yield Finding(("vars", name), message, at_key=True, severity="warning")


def is_variable(document: Document, name: str) -> bool:
    """Return whether a manifest sets or uses a variable."""
    return name in (document.data.get("vars") or {}) or _is_used(document, name)


def _is_used(document: Document, variable: str) -> bool:
    """Return True if a reference names the variable."""
    reference = f"${{var:{variable}}}"
    return any(reference in (position.text or "") for position in document.positions.values())


def check_uris(targets: Sequence[ExpandedTarget], fault: Callable[[str], str]) -> Iterator[Finding]:
    """Yield a finding for each entry of ``services`` for which ``fault`` returns a reason."""
    for target in targets:
        entries = target.data.get("services")
        for index, entry in enumerate(entries if isinstance(entries, list) else ()):
            if isinstance(entry, str) and (reason := fault(entry)):
                yield Finding(target.origin(("services", index)), reason)


def _export_keys_of(target: ExpandedTarget) -> list[str]:
    """Return the keys that select what a target exports, with likely misspellings of them."""
    # A misspelt key has its own finding; "exports nothing" beside it would only confuse.
    meant = [key for key in target.data if get_close_matches(key, _EXPORT_KEYS, cutoff=0.75)]
    return [*_EXPORT_KEYS, *meant]


def _is_invalid(target: ExpandedTarget, key: str) -> bool:
    """Return True if a key has a value that has a finding already."""
    return key in target.data and target.data[key] is None


def _name_taken(target: ExpandedTarget, first: ExpandedTarget) -> Finding:
    """Return the finding for two targets with one name."""
    if target.index == first.index:
        message = f"two combinations of the matrix make the name {target.name!r}"
        return Finding(target.origin(("matrix",)), message)
    message = f"the name {target.name!r} is already taken"
    return Finding(target.origin(("name",)), message, see=first.origin(("name",)))


def _check_connection(
    target: ExpandedTarget,
    connections: Mapping[str, Any],
    hints: Suggestions,
    added: Collection[KeyPath],
) -> Iterator[Finding]:
    """Yield a finding if a target's connection is missing, unknown or ambiguous."""
    if _is_invalid(target, "connection") or not connections:
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


def _no_connection(name: str, hints: Suggestions) -> str:
    return f"there is no connection {name!r}{hints.of(name) or f'; known: {listed(hints)}'}"


def _check_exclusive(
    data: Mapping[str, Any], keys: Sequence[str], path: tuple[str, ...]
) -> Iterator[Finding]:
    """Yield a finding for each of ``keys`` but the first that ``data`` has."""
    first, *target_names = [key for key in data if key in keys] or [""]
    for key in target_names:
        yield Finding((*path, key), f"{first} and {key} exclude one another", at_key=True)


def _check_tenant(connection: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[Finding]:
    """Yield a finding if only one of ``env`` and ``tenant`` is set."""
    if "env" in connection and "tenant" not in connection:
        yield Finding((*path, "env"), "env needs the key tenant beside it", at_key=True)
    if "tenant" in connection and "env" not in connection:
        yield Finding((*path, "tenant"), "tenant needs the key env beside it", at_key=True)


def _check_auth(auth: Any, path: tuple[str, ...]) -> Iterator[Finding]:
    """Yield a finding unless the credentials have exactly one scheme."""
    if not isinstance(auth, dict):
        return
    yield from _check_exclusive(auth, _AUTH_KEYS, path)
    if not auth:
        yield Finding(path, f"no credentials; give one of {', '.join(_AUTH_KEYS)}")
