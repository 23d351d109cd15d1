"""``impex init``."""

from __future__ import annotations

import json
import os
import shlex
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from spark_impex_runner.cli.selection import local_path, written_path

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from spark_impex_runner.cli.console import CommandContext
    from spark_impex_runner.masking import Masker
    from spark_impex_runner.models import Connection

# Seconds that a person waits for the tenant's folders, which are only a convenience.
LISTING_TIMEOUT = 8.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the file to write, and where its contents come from."""
    parser.add_argument(
        "file",
        metavar="FILE",
        nargs="?",
        type=written_path,
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


def execute(arguments: argparse.Namespace, context: CommandContext) -> int:
    """Write a plugin's distribution, or a manifest with the tenant's folders and its schema."""
    if arguments.plugin is not None:
        return _plugin(arguments, context)
    from spark_impex_runner.cli.draft import SCHEMA_FILE, TenantContents, draft
    from spark_impex_runner.models import Connection
    from spark_impex_runner.spark.http.credentials import chosen_variables

    file = arguments.file or Path("release.yaml")
    schema = file.parent / SCHEMA_FILE
    _check_not_existing(file, schema)
    if arguments.sandbox:
        served = os.path.relpath(arguments.sandbox, file.parent)
        folders = _folders(Connection("sandbox", sandbox=arguments.sandbox), context.masker)
        contents = TenantContents(sandbox=Path(served).as_posix(), folders=folders)
    else:
        base_url = _base_url(arguments.base_url)
        folders = _reachable_folders(base_url, context.masker) if base_url else ()
        contents = TenantContents(base_url, "", chosen_variables(os.environ), folders)
    # The schema first: an editor that opens the manifest looks for it.
    _write(schema, _schema())
    _log(f"{schema}: written, with the options of the installed plugins")
    _write(file, draft(contents))
    context.console.result(_next_steps(file, contents.folders))
    return 0


def _plugin(arguments: argparse.Namespace, context: CommandContext) -> int:
    """Write a plugin's distribution, and print the next steps."""
    from spark_impex_runner.cli.scaffold import write_distribution
    from spark_impex_runner.errors import UsageError
    from spark_impex_runner.version import __version__

    if arguments.file:
        raise UsageError("--plugin NAME names the folder to write; leave out FILE")
    folder = write_distribution(arguments.plugin, __version__)
    lines = [
        f"{folder}: written; next steps:",
        f"  cd {folder}",
        "  pip install -e '.[test]'",
        "  pytest",
    ]
    context.console.result("\n".join(lines))
    return 0


def _check_not_existing(file: Path, schema: Path) -> None:
    """Raise ``UsageError`` if a file that ``impex init`` did not write would be overwritten."""
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
    """Return the tenant's address, an empty text if it is unknown; prompt on a terminal only."""
    from spark_impex_runner.spark.tenant import TenantUrl

    text = given or os.environ.get("CSPARK_BASE_URL") or ""
    # stdout may be redirected to a file, where the prompt would be lost.
    if not text and sys.stdin and sys.stdin.isatty() and sys.stderr.isatty():
        sys.stderr.write("base URL (https://excel.ENV.coherent.global/TENANT): ")
        sys.stderr.flush()
        text = sys.stdin.readline().strip()
    if not text:
        _log("no tenant is known, fill it in; or set CSPARK_BASE_URL, or give --base-url")
        return ""
    return TenantUrl.parse(text).base


def _reachable_folders(base_url: str, masker: Masker) -> tuple[str, ...]:
    """Return the tenant's folders; if they cannot be listed, log why and return none."""
    from spark_impex_runner.errors import ImpexError
    from spark_impex_runner.models import Connection

    try:
        connection = Connection("tenant", base_url=base_url, timeout=LISTING_TIMEOUT)
        folders = _call_with_timeout(LISTING_TIMEOUT, lambda: _folders(connection, masker))
    except ImpexError as error:
        _log(f"cannot list the folders, fill them in: {error}")
        return ()
    if not folders:
        _log("these credentials see no folders, fill them in")
    return folders


def _folders(connection: Connection, masker: Masker) -> tuple[str, ...]:
    """Return the names of a tenant's folders that YAML can hold. Raises ``ImpexError``."""
    from spark_impex_runner.clock import Clock
    from spark_impex_runner.manifest.yaml.scalars import text_fault
    from spark_impex_runner.planning.connections import Connections
    from spark_impex_runner.spark.listing import folders

    connections = Connections({connection.name: connection}, Clock(), masker)
    try:
        found = folders(connections.client(connection.name).session, once=True)
        # A name with half a surrogate pair in the reply would name another folder once repaired.
        return tuple(
            name
            for name in found
            if not text_fault(name) and "\N{REPLACEMENT CHARACTER}" not in name
        )
    finally:
        connections.close()


def _call_with_timeout(seconds: float, call: Callable[[], tuple[str, ...]]) -> tuple[str, ...]:
    """Return what ``call`` returns; raise ``TransportError`` if it takes longer.

    No limit of the client covers all of it: name resolution, tokens and retries.
    """
    from spark_impex_runner.errors import TransportError

    answers: list[tuple[str, ...] | Exception] = []

    def ask() -> None:
        try:
            answers.append(call())
        except Exception as error:  # noqa: BLE001 - raised again below, by the thread that waits
            answers.append(error)

    # A daemon: name resolution cannot be interrupted, and must not keep the process alive.
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(seconds)
    if not answers:
        raise TransportError(f"the tenant did not reply within {seconds:g} s")
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
        f"{file}: written, {found or 'look for FILL IN'}; next steps:",
        *(f"  {command} {quoted}" for command in ("impex validate", "impex plan", "impex-run")),
    ]
    return "\n".join(lines)


def _log(message: str) -> None:
    import logging

    logging.getLogger(__name__).info("%s", message)
