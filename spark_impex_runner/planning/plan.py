"""Select the targets of a run and build their requests."""

from __future__ import annotations

import os
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from spark_impex_runner import archives, fields
from spark_impex_runner.errors import UriError, UsageError
from spark_impex_runner.models import RECEIPT, Outcome, PlannedTarget, base_name
from spark_impex_runner.planning.labels import labelled
from spark_impex_runner.spark.request import SOURCE_SYSTEM, build_request, encode
from spark_impex_runner.spark.uri import Uri
from spark_impex_runner.spelling import did_you_mean
from spark_impex_runner.text import first_of

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from pathlib import Path

    from spark_impex_runner.hooks.manager import Plugins
    from spark_impex_runner.models import Manifest, Run, Target

# So many names are listed for a choice that matches none.
_NAMED = 10


def select(
    manifest: Manifest,
    names: Sequence[str],
    tags: Sequence[str],
    *,
    alone: bool = False,
    delivered: Collection[str] = (),
) -> tuple[Target, ...]:
    """Return the targets that match any name glob and any tag, and, unless ``alone``, their needs.

    Without globs and tags that is every target; the needs of ``delivered`` targets are left out.
    Raises ``UsageError`` for a glob or a tag that matches nothing.
    """
    by_name = {target.name: target for target in manifest.targets}
    known_tags = sorted({tag for target in manifest.targets for tag in target.tags})
    for glob in names:
        if not any(fnmatchcase(name, glob) for name in by_name):
            hint = did_you_mean(glob, by_name)
            known = first_of(list(by_name), _NAMED)
            raise UsageError(f"--target {glob} matches no target{hint}; known: {known}")
    for tag in tags:
        if tag not in known_tags:
            hint = did_you_mean(tag, known_tags)
            known = first_of(known_tags, _NAMED)
            known = f"known: {known}" if known else "the manifest has no tags"
            raise UsageError(f"--tag {tag} is on no target{hint}; {known}")
    chosen: set[str] = set()
    queue = [t.name for t in manifest.targets if _matches(t, names, tags)]
    while queue:
        name = queue.pop()
        if name not in chosen:
            chosen.add(name)
            queue += () if alone or name in delivered else by_name[name].needs
    if not chosen:
        raise UsageError("no target matches both --target and --tag")
    return tuple(target for target in manifest.targets if target.name in chosen)


def _matches(target: Target, names: Sequence[str], tags: Sequence[str]) -> bool:
    named = not names or any(fnmatchcase(target.name, glob) for glob in names)
    return named and (not tags or any(tag in target.tags for tag in tags))


def make_plan(run: Run, hooks: Plugins) -> tuple[PlannedTarget, ...]:
    """Resolve the URIs of every target and build its request.

    Raises ``UriError`` with the target's name, ``PluginError``, or ``UsageError`` if an address
    or credentials are missing.
    """
    return tuple(plan_target(target, run, hooks) for target in run.targets)


def plan_target(target: Target, run: Run, hooks: Plugins) -> PlannedTarget:
    """Resolve the URIs of one target and build its request; raise as ``make_plan`` does."""
    uris_of = {entry: _resolve(entry, target, run, hooks) for entry in target.services}
    uris = [uri for group in uris_of.values() for uri in group]
    # An empty list would ask for nothing, or, with folders, for less than the manifest says.
    if uris_of and not uris:
        entries = ", ".join(f"'{entry}'" for entry in uris_of)
        raise UriError(f"target {target.name}: {entries} matches no service")
    request = build_request(
        uris,
        folders=target.folders,
        version_ids=target.version_ids,
        file_filter=target.file_filter,
        version_filter=target.version_filter,
        source_system=target.source_system or SOURCE_SYSTEM,
        correlation_id=target.correlation_id,
        file_name=target.file_name,
    )
    request = labelled(request, run, target)
    kept = target.if_exists == "keep" and _is_delivered(target, run.manifest.name)
    url = f"{run.connect(target.connection).url}/api/v4/export"
    resolved = {entry: tuple(map(str, group)) for entry, group in uris_of.items()}
    changed = {entry: group for entry, group in resolved.items() if group != (entry,)}
    return PlannedTarget(target, request, url, encode(request).decode(), kept, changed)


def _is_delivered(target: Target, manifest: str) -> bool:
    """Return whether the output holds a complete delivery of the target with all of its steps.

    Every artifact must exist with the size in the receipt, and packages must be ZIP files.
    """
    try:
        receipt = fields.parse((target.output / RECEIPT).read_bytes())
        complete = len(receipt["steps"]) == len(target.steps)
        complete = complete and receipt["outcome"] == Outcome.SUCCEEDED.value
        owner = receipt["target"], base_name(receipt.get("manifest", manifest))
        complete = complete and owner == (target.name, base_name(manifest))
        return complete and all(_is_intact(target.output, each) for each in receipt["artifacts"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False


def _is_intact(output: Path, artifact: Mapping[str, Any]) -> bool:
    """Return whether a file or folder in a receipt exists and can be read."""
    path = output / artifact["name"]
    if artifact["name"].endswith("/"):
        return path.is_dir() and os.access(path, os.R_OK | os.X_OK)
    if not path.is_file() or path.stat().st_size != artifact["size"]:
        return False
    with path.open("rb") as stream:
        if artifact["made_by"] == "download":
            try:
                archives.opened(stream).close()
            except archives.BROKEN:
                return False
    return True


def _resolve(entry: str, target: Target, run: Run, hooks: Plugins) -> list[Uri]:
    answer = hooks.call("impex_resolve_uri", uri=entry, target=target, run=run)
    if not isinstance(answer, (list, tuple)) or not all(isinstance(uri, str) for uri in answer):
        raise hooks.invalid_answer("impex_resolve_uri", answer, "a list of service URIs")
    try:
        return [Uri.parse(uri) for uri in answer]
    except UriError as error:
        raise UriError(f"target {target.name}: {error}") from error
