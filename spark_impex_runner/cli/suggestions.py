"""What could stand in an argument: the names that a manifest itself holds, and paths.

A person waits for this at the prompt, with a manifest that is not finished. So it reads the text of
the manifest and nothing else: no plugin, no schema, no reference, no secret, no tenant. What cannot
be read is left out in silence.
"""

from __future__ import annotations

import os
from contextlib import suppress
from itertools import islice, product
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spark_impex_runner.cli.selection import local_path
from spark_impex_runner.errors import ManifestError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator

    from spark_impex_runner.manifest.yaml.document import Document, KeyPath

_YAML = (".yaml", ".yml")
_HINT_LENGTH = 60


def suggest(action: argparse.Action, prefix: str, arguments: argparse.Namespace) -> dict[str, str]:
    """Return what may begin with ``prefix`` for an argument, each with a hint or none.

    ``action`` says which argument it is, ``arguments`` what stands before it on the line. An
    option that takes a path needs nothing here: its metavar says what kind of path it is.
    """
    if read := _FROM_MANIFEST.get(action.dest):
        found: dict[str, str] = {}
        for document in _documents(arguments):
            found |= read(document)
        return found
    if action.dest == "plugin":
        return _plugins() | dict.fromkeys(_paths(prefix, (".py",)), "")
    if action.dest == "report":
        return dict.fromkeys(_reports(prefix), "")
    if action.type not in (Path, local_path):
        return {}
    return dict.fromkeys(_paths(prefix, _suffixes(action)), "")


def _suffixes(action: argparse.Action) -> tuple[str, ...]:
    """Return how the files may end that an argument takes; with none, only folders fit."""
    if action.metavar == "DIR":
        return ()
    return _YAML if action.metavar == "MANIFEST" or action.dest == "overlay" else ("",)


def _documents(arguments: argparse.Namespace) -> Iterator[Document]:
    """Yield the manifests that the line names, with their overlays, as far as they can be read."""
    from spark_impex_runner.manifest.assemble import assemble
    from spark_impex_runner.manifest.yaml.load import load

    overlays = [path for path in getattr(arguments, "overlay", None) or () if path.is_file()]
    named = getattr(arguments, "manifests", None) or [getattr(arguments, "manifest", None)]
    for path in (path for path in named if path is not None):
        try:
            yield assemble(path, overlays)
        except (ManifestError, OSError):
            with suppress(ManifestError, OSError):
                yield load(path)


def _targets(document: Document) -> dict[str, str]:
    """Return the targets' names; a matrix has all of its own, and the glob that means them all."""
    from spark_impex_runner.manifest.expand import MAX_TARGETS, expanded_name

    names = []
    for index, target in _written_targets(document):
        base, rows = target.get("name"), _matrix(document, index, target)
        if isinstance(base, str):
            names.append(f"{base}@*" if rows else base)
            combinations = islice(product(*rows), MAX_TARGETS - len(names)) if rows else ()
            names += [expanded_name(base, texts) for texts in combinations]
    return dict.fromkeys(names, "")


def _matrix(document: Document, index: int, target: dict[str, Any]) -> list[list[str]]:
    """Return how the values of each key of a target's matrix are spelt.

    A value that refers to something is left out, as only a run knows what it stands for.
    """
    where: KeyPath = ("targets", index)
    if "matrix" not in target:
        target, where = _mapping(document.data.get("defaults")), ("defaults",)
    return [
        [
            spelling
            for at, value in enumerate(values if isinstance(values, list) else ())
            if (spelling := _spelling(document, value, (*where, "matrix", key, at)))
        ]
        for key, values in _mapping(target.get("matrix")).items()
    ]


def _spelling(document: Document, value: Any, path: KeyPath) -> str:
    """Return a scalar as its target's name takes it in; nothing where only a run could tell."""
    text = value if isinstance(value, str) else document.text(path)
    return text if text and "${" not in text else ""


def _tags(document: Document) -> dict[str, str]:
    """Return the tags of all targets."""
    inherited = _mapping(document.data.get("defaults")).get("tags")
    lists = [target.get("tags", inherited) for _, target in _written_targets(document)]
    tags = [tag for tags in lists if isinstance(tags, list) for tag in tags]
    return {tag: "" for tag in tags if isinstance(tag, str) and "${" not in tag}


def _variables(document: Document) -> dict[str, str]:
    """Return the variables, ready for a value, with the one that the manifest gives as hint."""
    names = _mapping(document.data.get("vars"))
    return {f"{name}=": _hint(document.text(("vars", name))) for name in names}


def _written_targets(document: Document) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield each target that is a mapping, with its index."""
    targets = document.data.get("targets")
    for index, target in enumerate(targets if isinstance(targets, list) else ()):
        if isinstance(target, dict):
            yield index, target


def _mapping(value: Any) -> dict[str, Any]:
    """Return a mapping, an empty one in place of whatever else an unfinished manifest holds."""
    return value if isinstance(value, dict) else {}


def _hint(text: str | None) -> str:
    """Return a text fit to stand in one line beside a name."""
    return " ".join((text or "").split())[:_HINT_LENGTH]


def _plugins() -> dict[str, str]:
    """Return what blocks each plugin that can be blocked; none is loaded."""
    from spark_impex_runner.hooks.discovery import PluginChoice, candidates

    infos = (candidate.info for candidate in candidates(PluginChoice()))
    return {f"no:{info.name}": info.distribution for info in infos if info.origin != "essential"}


def _reports(prefix: str) -> Iterator[str]:
    """Yield our own reports, and behind the name of any the paths; no plugin is loaded."""
    format_, separator, path = prefix.partition("=")
    if not separator:
        return (f"{name}=" for name in ("json", "junit", "html"))
    return (f"{format_}={found}" for found in _paths(path, ("",)))


def _paths(prefix: str, suffixes: tuple[str, ...]) -> Iterator[str]:
    """Yield the folders and the files with these suffixes whose paths begin with ``prefix``."""
    folder, start = os.path.split(prefix)
    head = prefix.removesuffix(start)
    with suppress(OSError, RuntimeError, ValueError):
        for entry in sorted(os.scandir(Path(folder).expanduser()), key=lambda found: found.name):
            if entry.name.startswith(start) and (start or not entry.name.startswith(".")):
                if entry.is_dir():
                    yield f"{head}{entry.name}/"
                elif entry.name.endswith(suffixes):
                    yield f"{head}{entry.name}"


_FROM_MANIFEST: dict[str, Callable[[Document], dict[str, str]]] = {
    "target": _targets,
    "tag": _tags,
    "var": _variables,
}
