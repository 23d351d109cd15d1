"""The text of a first manifest: what is known stands in it, what is not says so."""

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
class Known:
    """What is known of the tenant; an empty value is not.

    ``sandbox`` is a folder to serve, relative to the manifest; ``credentials`` are the names of
    the variables that they are taken from.
    """

    base_url: str = ""
    sandbox: str = ""
    credentials: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()


def draft(known: Known) -> str:
    """Return the manifest, one target for each folder."""
    targets = _targets(known.folders) if known.folders else _placeholder()
    lines = [
        f"# yaml-language-server: $schema={SCHEMA_FILE}",
        "# What is exported from Coherent Spark, and where to. An editor with a YAML language",
        "# server explains each key; so does impex schema --with-plugins.",
        "version: 1",
        "",
        "connections:",
        *_connection(known),
        "",
        "targets:",
        *targets,
    ]
    return "\n".join(lines) + "\n"


def _connection(known: Known) -> list[str]:
    if known.sandbox:
        served = f"    sandbox: {scalar(known.sandbox)} # an emulated tenant"
        return ["  sandbox:", served]
    if known.credentials:
        credentials = f"credentials: {' and '.join(known.credentials)} in the environment"
    else:
        credentials = "FILL IN the credentials: set CSPARK_BEARER_TOKEN, CSPARK_API_KEY or"
    rest = [] if known.credentials else ["CSPARK_CLIENT_ID and CSPARK_CLIENT_SECRET"]
    comments = [f"    # {line}" for line in (credentials, *rest)]
    if not known.base_url:
        place = '{base_url: "https://excel.ENV.coherent.global/TENANT"}'
        return [f"  tenant: {{}} # FILL IN {place}, or set CSPARK_BASE_URL", *comments]
    host = _OWN_HOST.match(known.base_url)
    name = host[1].replace(".", "-") if host else "tenant"
    return [f"  {name}:", f"    base_url: {scalar(known.base_url)}", *comments]


def _placeholder() -> list[str]:
    return [
        f"  - name: {_TARGET}",
        '    folders: ["FOLDER"] # FILL IN a folder, or services: ["folder/service[1.2.3]"]',
        *_rest(),
    ]


def _targets(folders: Sequence[str]) -> list[str]:
    """Return a matrix of the folders, and one more target of those whose names would collide."""
    names = {folder: expanded_name(_TARGET, [folder]).casefold() for folder in sorted(folders)}
    uses = Counter(names.values())
    alone = [folder for folder, name in names.items() if uses[name] == 1]
    shared = [folder for folder, name in names.items() if uses[name] > 1]
    lines = []
    if alone:
        example = expanded_name(_TARGET, alone[:1])
        lines += [
            f"  # One target for each folder, such as {example}; take out what you do not want.",
            f"  - name: {_TARGET}",
            "    matrix:",
            "      folder:",
            *_items(alone, 8),
            '    folders: ["${matrix.folder}"]',
            *_rest(),
        ]
    if shared:
        lines += [
            "  # The names of these differ only in what the name of a target cannot hold.",
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
    """Return ``text`` as YAML that reads as nothing else: JSON, which YAML contains.

    Line breaks that JSON lets stand and YAML folds are escaped, and so is what would be a
    reference.
    """
    quoted = json.dumps(text.replace("${", "$${"), ensure_ascii=False)
    return "".join(char if char.isprintable() else _escaped(char) for char in quoted)


def _escaped(char: str) -> str:
    return f"\\u{ord(char):04x}" if ord(char) < 0x1_0000 else f"\\U{ord(char):08x}"
