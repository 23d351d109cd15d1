"""``impex sandbox``."""

from __future__ import annotations

import math
from dataclasses import fields
from typing import TYPE_CHECKING

from spark_impex_runner.cli.key import FORM, key_place, read_key
from spark_impex_runner.cli.selection import local_path

if TYPE_CHECKING:
    import argparse

    from spark_impex_runner.cli.console import CommandContext
    from spark_impex_runner.sandbox.server import Sandbox

_SETTINGS = (
    ("--port", int, "port of the API (default: any free one)"),
    ("--tenant", str, "name of the tenant (default: the folder's)"),
    ("--job-seconds", float, "how long a job is in progress (default 0)"),
    ("--job-limit", int, "export jobs at once (default 1)"),
    ("--hash-form", str, "format of file_hash, such as sha256, md5-upper, none (default sha256)"),
    ("--url-seconds", float, "lifetime of a download link (default 300)"),
    ("--size-limit", int, "maximum size of a package in bytes (default 200 MiB)"),
    ("--over-limit", str, "result of an export over the limit: errors (default), or refuse"),
    ("--transforms", str, "replies about transforms: content (default), document, none, other"),
    ("--webhook", str, "post an event to this URL for each version that an import adds"),
    ("--ending", str, "how jobs end, such as closed, errors, failed, null_outputs, not_zip"),
)
_SWITCHES = (
    ("--hide-jobs", "list only the jobs of the same credentials, as for ordinary users"),
    ("--listed-labels", "list the jobs with their correlation ids"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the folder and the settings that have an option."""
    parser.add_argument("folder", metavar="DIR", type=local_path, help="folders/services/versions")
    for flag, kind, summary in _SETTINGS:
        parser.add_argument(flag, type=kind, help=summary)
    for flag, summary in _SWITCHES:
        parser.add_argument(flag, action="store_true", help=summary)
    parser.add_argument(
        "--webhook-key",
        type=key_place,
        metavar=FORM,
        help="where the key is that such a post has in its header x-api-key",
    )
    parser.add_argument(
        "--fault",
        dest="faults",
        action="append",
        default=[],
        metavar="PLACE@WHICH=WHAT",
        help="inject a fault, such as status@2=503 or create@1=swallow (repeatable)",
    )


def execute(arguments: argparse.Namespace, context: CommandContext) -> int:
    """Serve the folder until interrupted, and print the variables that connect to it."""
    from spark_impex_runner.clock import Clock
    from spark_impex_runner.errors import UsageError
    from spark_impex_runner.sandbox import server
    from spark_impex_runner.sandbox.faults import parse_fault

    names = {field.name for field in fields(server.Settings)}
    given = {k: v for k, v in vars(arguments).items() if k in names and v is not None}
    try:
        if arguments.webhook_key:
            given["webhook_key"] = read_key(arguments.webhook_key)
            context.masker.add(given["webhook_key"])
        given["faults"] = tuple(parse_fault(text) for text in arguments.faults)
        sandbox = server.Sandbox(arguments.folder, server.Settings(**given))
        sandbox.start()
    except (OSError, ValueError) as error:
        raise UsageError(str(error)) from error
    try:
        context.console.result(_how_to_reach(sandbox))
        Clock().wait(math.inf)
    finally:
        sandbox.close()
    return 0


def _how_to_reach(sandbox: Sandbox) -> str:
    return f"""\
# an emulated tenant; Ctrl-C ends it; paste into a shell, with one kind of credentials:
export CSPARK_BASE_URL={sandbox.base_url}
export CSPARK_BEARER_TOKEN={sandbox.token}
# export CSPARK_API_KEY={sandbox.api_key}
# export CSPARK_CLIENT_ID={sandbox.client_id} CSPARK_CLIENT_SECRET={sandbox.client_secret}"""
