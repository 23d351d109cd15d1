"""Completions for the values of arguments: names in the manifest, and paths.

A person waits for them at the prompt, with an unfinished manifest. So this reads the text of the
manifest and the ids of runs in the state: no plugin, schema, reference, secret or tenant. What
cannot be read is omitted without a message, which would garble the prompt.
"""

from __future__ import annotations

import os
from contextlib import suppress
from itertools import islice, product
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spark_impex_runner.cli.selection import PATHS, state_place
from spark_impex_runner.errors import ManifestError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator

    from spark_impex_runner.manifest.yaml.document import Document, KeyPath

_YAML = (".yaml", ".yml")
_HINT_LENGTH = 60


def suggest(action: argparse.Action, prefix: str, arguments: argparse.Namespace) -> dict[str, str]:
    """Return the completions of an argument, each with a hint that may be empty.

    ``arguments`` were parsed from the line before it. The metavar of an option that takes a path
    decides which paths fit.
    """
    if read := _FROM_MANIFEST.get(action.dest):
        found: dict[str, str] = {}
        for document in _documents(arguments):
            found |= read(document)
        return found
    if action.dest == "plugin":
        return _plugins() | dict.fromkeys(_paths(prefix, (".py",)), "")
    if action.dest in _NAMED:  # a path, or a connection of the manifest on the line
        end, suffixes = _NAMED[action.dest]
        found = {
            f"{name}{end}": "" for each in _documents(arguments) for name in _connections(each)
        }
        return found | dict.fromkeys(_paths(prefix, suffixes), "")
    if action.dest == "report":
        return dict.fromkeys(_reports(prefix), "")
    is_path = action.type in (Path, *PATHS)
    found = dict.fromkeys(_paths(prefix, _suffixes(action)), "") if is_path else {}
    # Of `impex history MANIFEST RUN` the manifest may be left out.
    is_history = action.dest == "manifest" and getattr(arguments, "command", "") == "history"
    return found | (_runs(arguments) if is_history or action.dest == "run" else {})


def _runs(arguments: argparse.Namespace) -> dict[str, str]:
    """Return the ids of the last runs in the state directory, each with its manifest."""
    from spark_impex_runner.state.database import FILE
    from spark_impex_runner.state.place import STATE_FOLDER
    from spark_impex_runner.state.runs import recent_ids

    beside = arguments.manifest.parent if arguments.manifest else Path()
    place = arguments.state or beside / STATE_FOLDER
    return {} if isinstance(place, str) else recent_ids(place / FILE)  # no request at the prompt


def _suffixes(action: argparse.Action) -> tuple[str, ...]:
    """Return the suffixes of files that fit an argument; without any, only folders fit."""
    if action.metavar == "DIR" or action.type is state_place:
        return ()
    return _YAML if action.metavar == "MANIFEST" or action.dest == "overlay" else ("",)


def _documents(arguments: argparse.Namespace) -> Iterator[Document]:
    """Yield the readable manifests on the line, with their overlays if these are readable."""
    from spark_impex_runner.manifest.assemble import assemble
    from spark_impex_runner.manifest.yaml.load import load

    overlays = [path for path in getattr(arguments, "overlay", None) or () if path.is_file()]
    named = getattr(arguments, "manifests", None) or [getattr(arguments, "manifest", None)]
    if source := getattr(arguments, "source", None):
        named = [*named, Path(source)]
    for path in (path for path in named if isinstance(path, Path)):
        # With an error in an overlay, or a name that two files define, the manifest alone.
        try:
            yield assemble(path, overlays)
        except (ManifestError, OSError):
            with suppress(ManifestError, OSError):
                yield load(path)


def _targets(document: Document) -> dict[str, str]:
    """Return the targets' names; for a matrix its glob and the name of each combination."""
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
    """Return the values of each key of a target's matrix, as they are spelt.

    References are omitted: only a run resolves them.
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
    """Return a scalar as written; an empty text for a reference, which only a run resolves."""
    text = value if isinstance(value, str) else document.text(path)
    return text if text and "${" not in text else ""


def _tags(document: Document) -> dict[str, str]:
    """Return the tags of all targets."""
    inherited = _mapping(document.data.get("defaults")).get("tags")
    lists = [target.get("tags", inherited) for _, target in _written_targets(document)]
    tags = [tag for tags in lists if isinstance(tags, list) for tag in tags]
    return {tag: "" for tag in tags if isinstance(tag, str) and "${" not in tag}


def _connections(document: Document) -> dict[str, str]:
    """Return the names of the connections."""
    names = map(str, _mapping(document.data.get("connections")))
    return dict.fromkeys(filter(str.isprintable, names), "")


def _variables(document: Document) -> dict[str, str]:
    """Return ``NAME=`` for each variable, with its value in the manifest as the hint."""
    names = _mapping(document.data.get("vars"))
    return {f"{name}=": _hint(document.text(("vars", name))) for name in names}


def _written_targets(document: Document) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield each target that is a mapping, with its index."""
    targets = document.data.get("targets")
    for index, target in enumerate(targets if isinstance(targets, list) else ()):
        if isinstance(target, dict):
            yield index, target


def _mapping(value: Any) -> dict[str, Any]:
    """Return ``value`` if it is a mapping, else an empty one."""
    return value if isinstance(value, dict) else {}


def _hint(text: str | None) -> str:
    """Return a text shortened for one line beside a name."""
    return " ".join((text or "").split())[:_HINT_LENGTH]


def _plugins() -> dict[str, str]:
    """Return ``no:NAME`` for each plugin that can be blocked, without loading any."""
    from spark_impex_runner.hooks.discovery import PluginChoice, candidates

    infos = (candidate.info for candidate in candidates(PluginChoice()))
    return {f"no:{info.name}": info.distribution for info in infos if info.origin != "essential"}


def _reports(prefix: str) -> Iterator[str]:
    """Yield the built-in reports, or paths after ``NAME=``, without loading a plugin."""
    format_, separator, path = prefix.partition("=")
    if not separator:
        return (f"{name}=" for name in ("json", "junit", "html"))
    return (f"{format_}={found}" for found in _paths(path, ("",)))


def _paths(prefix: str, suffixes: tuple[str, ...]) -> Iterator[str]:
    """Yield folders, and files with these suffixes, whose paths begin with ``prefix``."""
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
    "connection": _connections,
}
# Of `impex diff` and `impex jobs`: what follows a connection's name, and the files that fit.
_NAMED = {"old": (":", (".zip",)), "new": (":", (".zip",)), "source": ("", _YAML)}
