"""The compiled module of one version, a ZIP file inside the export package."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING
from zipfile import ZipFile

from spark_impex_runner.sandbox.tenant.archive import Writer, compact
from spark_impex_runner.sandbox.tenant.version_files import PLACEHOLDERS

if TYPE_CHECKING:
    from pathlib import Path

    from spark_impex_runner.sandbox.tenant.version_files import VersionFiles

COMPILER = "Neuron_v1.22.3"


def code_name(service: str, suffix: str) -> str:
    """Return the name that a code file has inside the bundle (seen in a genuine package)."""
    return f"_{service.replace('-', '_')}.{suffix}"


def build(source: VersionFiles, target: Path) -> None:
    """Write the bundle to ``target``: code, validations, compiler log and their checksums."""
    service = source.version.service
    sums: dict[str, str] = {}
    with ZipFile(target, "w") as archive:
        writer = Writer(archive)
        for suffix in PLACEHOLDERS:
            name = code_name(service, suffix)
            with source.open_code(suffix) as code:
                sums[name] = writer.stream(name, code, "md5")
        texts = {
            f"{service}DefaultValidations.json": source.validations(),
            f"{service}_CompilerLog.json": source.compiler_log() or compact(_compiler_log()),
        }
        for name, text in texts.items():
            sums[name] = hashlib.md5(text, usedforsecurity=False).hexdigest()
        lines = [f"{sums[name]}  {name}\n" for name in sorted(sums)]
        for name, text in {"checksums.md5": "".join(lines).encode(), **texts}.items():
            writer.text(name, text)


def _compiler_log() -> dict[str, object]:
    return {
        "Infos": ["SANDBOX: nothing was compiled; the module was taken from the served folder."],
        "Warnings": [],
        "Errors": [],
        "CompilerVersion": COMPILER.partition("_v")[2],
    }
