"""The text of a first manifest; what is not known yet is marked FILL IN."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from spark_impex_runner.manifest.expand import expanded_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

SCHEMA_FILE = "manifest.schema.json"
_TARGET = "export"
_OUTPUT = '    output: "exports/${run.date}/${target.name}" # relative to this file'
_OWN_HOST = re.compile(r"https://excel\.([a-z0-9.-]+)\.coherent\.global/")


@dataclass(frozen=True, slots=True)
class TenantContents:
    """What ``impex init`` has found out about the tenant; empty values are unknown.

    ``sandbox`` is a folder to serve, relative to the manifest; ``credentials`` are the names of
    the variables that they are taken from.
    """

    base_url: str = ""
    sandbox: str = ""
    credentials: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()


def draft(contents: TenantContents) -> str:
    """Return the text of a manifest that exports each folder."""
    targets = _targets(contents.folders) if contents.folders else _placeholder()
    lines = [
        f"# yaml-language-server: $schema={SCHEMA_FILE}",
        "# What is exported from Coherent Spark, and where to. An editor with a YAML language",
        "# server explains each key; so does impex schema --with-plugins.",
        "version: 1",
        "",
        "connections:",
        *_connection(contents),
        "",
        "targets:",
        *targets,
    ]
    return "\n".join(lines) + "\n"


def _connection(contents: TenantContents) -> list[str]:
    if contents.sandbox:
        served = f"    sandbox: {scalar(contents.sandbox)} # an emulated tenant"
        return ["  sandbox:", served]
    if contents.credentials:
        credentials = f"credentials: {' and '.join(contents.credentials)} in the environment"
    else:
        # On one line, which is what validate shows.
        credentials = (
            "FILL IN the credentials: set CSPARK_BEARER_TOKEN, CSPARK_API_KEY, or CSPARK_CLIENT_ID "
            "and CSPARK_CLIENT_SECRET"
        )
    comment = f"    # {credentials}"
    if not contents.base_url:
        place = '{base_url: "https://excel.ENV.coherent.global/TENANT"}'
        return [f"  tenant: {{}} # FILL IN {place}, or set CSPARK_BASE_URL", comment]
    host = _OWN_HOST.match(contents.base_url)
    name = host[1].replace(".", "-") if host else "tenant"
    return [f"  {name}:", f"    base_url: {scalar(contents.base_url)}", comment]


def _placeholder() -> list[str]:
    return [
        f"  - name: {_TARGET}",
        '    folders: ["FOLDER"] # FILL IN a folder, or services: ["folder/service[1.2.3]"]',
        *_rest(),
    ]


def _targets(folders: Sequence[str]) -> list[str]:
    """Return a matrix of the folders, and a second target for names that would collide."""
    # casefold: outputs are named by targets, and Windows and macOS ignore case.
    names = {folder: expanded_name(_TARGET, [folder]).casefold() for folder in sorted(folders)}
    uses = Counter(names.values())
    alone = [folder for folder, name in names.items() if uses[name] == 1]
    shared = [folder for folder, name in names.items() if uses[name] > 1]
    lines = []
    if alone:
        example = expanded_name(_TARGET, alone[:1])
        lines += [
            f"  # One target for each folder, such as {example}; delete those you do not need.",
            f"  - name: {_TARGET}",
            "    matrix:",
            "      folder:",
            *_items(alone, 8),
            '    folders: ["${matrix.folder}"]',
            *_rest(),
        ]
    if shared:
        lines += [
            "  # These names differ only in characters that a target's name cannot have.",
            f"  - name: {_TARGET}-others",
            "    folders:",
            *_items(shared, 6),
            *_rest(),
        ]
    return lines


def _items(values: Iterable[str], indent: int) -> list[str]:
    return [f"{' ' * indent}- {scalar(value)}" for value in values]


def _rest() -> list[str]:
    return [
        "    # version_filter: all # every version instead of the latest",
        "    # file_filter: onpremises # for a runner of your own instead of another tenant",
        _OUTPUT,
        "    steps:",
        "      - uses: checksum # writes SHA256SUMS beside the package",
    ]


def scalar(text: str) -> str:
    """Return ``text`` as a quoted YAML scalar, written as JSON.

    Escapes references (``${``), and line breaks that JSON allows and YAML would fold.
    """
    quoted = json.dumps(text.replace("${", "$${"), ensure_ascii=False)
    return "".join(char if char.isprintable() else _escaped(char) for char in quoted)


def _escaped(char: str) -> str:
    return f"\\u{ord(char):04x}" if ord(char) < 0x1_0000 else f"\\U{ord(char):08x}"
