"""``impex init``."""

from __future__ import annotations

import json
import os
import shlex
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from spark_impex_runner.cli.selection import local_path

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from spark_impex_runner.cli.console import Surroundings
    from spark_impex_runner.masking import Masker
    from spark_impex_runner.models import Connection

# How long a person waits for a list that is only a convenience, in seconds.
PATIENCE = 8.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the file, and what the environment may not know."""
    parser.add_argument(
        "file",
        metavar="FILE",
        nargs="?",
        type=local_path,
        help="the manifest to write (default: release.yaml)",
    )
    place = parser.add_mutually_exclusive_group()
    place.add_argument(
        "--base-url", metavar="URL", help="the tenant's address (default: CSPARK_BASE_URL)"
    )
    place.add_argument(
        "--sandbox",
        type=local_path,
        metavar="DIR",
        help="a folder to serve as an emulated tenant",
    )
    place.add_argument(
        "--plugin",
        metavar="NAME",
        help="write a plugin's distribution into a new folder NAME instead of a manifest",
    )


def execute(arguments: argparse.Namespace, surroundings: Surroundings) -> int:
    """Write a plugin's distribution, or a manifest and its schema.

    The tenant is asked for its folders, and nobody what it knows.
    """
    if arguments.plugin is not None:
        return _plugin(arguments, surroundings)
    from spark_impex_runner.cli.draft import SCHEMA_FILE, Known, draft
    from spark_impex_runner.models import Connection
    from spark_impex_runner.spark.http.credentials import chosen_variables

    file = arguments.file or Path("release.yaml")
    schema = file.parent / SCHEMA_FILE
    _require_room(file, schema)
    if arguments.sandbox:
        served = os.path.relpath(arguments.sandbox, file.parent)
        folders = _folders(Connection("sandbox", sandbox=arguments.sandbox), surroundings.masker)
        known = Known(sandbox=Path(served).as_posix(), folders=folders)
    else:
        base_url = _base_url(arguments.base_url)
        folders = _reachable_folders(base_url, surroundings.masker) if base_url else ()
        known = Known(base_url, "", chosen_variables(os.environ), folders)
    _write(schema, _schema())
    _tell(f"{schema}: written, with the options of the installed plugins")
    _write(file, draft(known))
    surroundings.console.result(_next_steps(file, known.folders))
    return 0


def _plugin(arguments: argparse.Namespace, surroundings: Surroundings) -> int:
    """Write a plugin's distribution, and tell how to go on."""
    from spark_impex_runner.cli.scaffold import write_distribution
    from spark_impex_runner.errors import UsageError
    from spark_impex_runner.version import __version__

    if arguments.file:
        raise UsageError("--plugin NAME names the folder to write; leave out FILE")
    folder = write_distribution(arguments.plugin, __version__)
    lines = [
        f"{folder}: written; what to do next:",
        f"  cd {folder}",
        "  pip install -e '.[test]'",
        "  pytest",
    ]
    surroundings.console.result("\n".join(lines))
    return 0


def _require_room(file: Path, schema: Path) -> None:
    """Raise ``UsageError`` where something of somebody else's would be overwritten."""
    from spark_impex_runner.errors import UsageError
    from spark_impex_runner.manifest.schema.compose import published

    if file.is_dir():
        raise UsageError(f"{file} is a folder; name the file to write in it")
    if file.exists():
        raise UsageError(f"{file} exists already; name another file, or move it away")
    if schema.exists():
        try:
            found = json.loads(schema.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            found = None
        if not isinstance(found, dict) or found.get("$id") != published()["$id"]:
            raise UsageError(
                f"{schema} exists already and is not a manifest's schema; "
                "move it away, or write the manifest into another folder"
            )


def _base_url(given: str | None) -> str:
    """Return the tenant's address, nothing where nobody knows it; asks only on a terminal."""
    from spark_impex_runner.spark.tenant import TenantUrl

    text = given or os.environ.get("CSPARK_BASE_URL") or ""
    if not text and sys.stdin and sys.stdin.isatty() and sys.stderr.isatty():
        sys.stderr.write("base URL (https://excel.ENV.coherent.global/TENANT): ")
        sys.stderr.flush()
        text = sys.stdin.readline().strip()
    if not text:
        _tell("the tenant is left to fill in; set CSPARK_BASE_URL, or give --base-url")
        return ""
    return TenantUrl.parse(text).base


def _reachable_folders(base_url: str, masker: Masker) -> tuple[str, ...]:
    """Return the tenant's folders, or none and a line that says why."""
    from spark_impex_runner.errors import ImpexError
    from spark_impex_runner.models import Connection

    try:
        connection = Connection("tenant", base_url=base_url, timeout=PATIENCE)
        folders = _within(PATIENCE, lambda: _folders(connection, masker))
    except ImpexError as error:
        _tell(f"the folders are left to fill in: {error}")
        return ()
    if not folders:
        _tell("the folders are left to fill in: these credentials see none")
    return folders


def _folders(connection: Connection, masker: Masker) -> tuple[str, ...]:
    """Return the names of a tenant's folders that a file can hold; raises ``ImpexError``."""
    from spark_impex_runner.clock import Clock
    from spark_impex_runner.manifest.yaml.scalars import text_fault
    from spark_impex_runner.planning.connections import Connections
    from spark_impex_runner.spark.listing import folders

    connections = Connections({connection.name: connection}, Clock(), masker)
    try:
        found = folders(connections.client(connection.name).session, once=True)
        # What was half a character in the reply would name another folder.
        return tuple(
            name
            for name in found
            if not text_fault(name) and "\N{REPLACEMENT CHARACTER}" not in name
        )
    finally:
        connections.close()


def _within(seconds: float, call: Callable[[], tuple[str, ...]]) -> tuple[str, ...]:
    """Return what ``call`` returns; ``TransportError`` when it takes longer, whatever it waits for.

    No limit of the client covers all of it: the look-up of the host's name, tokens, repeats.
    """
    from spark_impex_runner.errors import TransportError

    answers: list[tuple[str, ...] | Exception] = []

    def ask() -> None:
        try:
            answers.append(call())
        except Exception as error:  # noqa: BLE001 - raised again below, by the thread that waits
            answers.append(error)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(seconds)
    if not answers:
        raise TransportError(f"the tenant has not answered within {seconds:g} s")
    if isinstance(answers[0], Exception):
        raise answers[0]
    return answers[0]


def _schema() -> str:
    """Return the schema that ``impex schema --with-plugins`` prints."""
    from spark_impex_runner.hooks.manager import make_plugin_manager
    from spark_impex_runner.manifest.schema.compose import compose

    document = compose(make_plugin_manager().registry)
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _write(path: Path, text: str) -> None:
    from spark_impex_runner.atomic import write_text
    from spark_impex_runner.errors import UsageError

    try:
        write_text(path, text)
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror or error}") from None


def _next_steps(file: Path, folders: tuple[str, ...]) -> str:
    found = f"{len(folders)} folder{'' if len(folders) == 1 else 's'}" if folders else ""
    quoted = shlex.quote(str(file))
    lines = [
        f"{file}: written, {found or 'look for FILL IN'}; what to do next:",
        *(f"  {command} {quoted}" for command in ("impex validate", "impex plan", "impex-run")),
    ]
    return "\n".join(lines)


def _tell(what: str) -> None:
    """Say something beside the result."""
    import logging

    logging.getLogger(__name__).info("%s", what)
