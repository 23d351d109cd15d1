"""Makes what a release has besides sdist, wheel and schemas: ``make.py WHEEL FOLDER``.

``impex.pyz`` (one file, for every system with Python 3.10 or newer), ``impex.1`` and
``impex-run.1`` (manual pages), ``sbom.cdx.json`` (CycloneDX) and ``SHA256SUMS`` of all files of the
folder. With ``SOURCE_DATE_EPOCH`` and the same versions of all libraries the bytes are the same.

The extra ``dist`` has the tools, and the interpreter that runs this has the wheel installed.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import uv
from argparse_manpage.manpage import Manpage

from spark_impex_runner.cli import main as command_line
from spark_impex_runner.version import __version__

if TYPE_CHECKING:
    import argparse

ROOT = Path(__file__).resolve().parent.parent
# In an environment of its own: beside what it installs, `import jsonschema` takes two seconds, and
# so would each of our commands there.
BILL_OF_MATERIALS = "cyclonedx-bom>=7"
NAME = "spark-impex-runner"
OLDEST_PYTHON = "3.10"
# A zip file knows no time before 1980.
EPOCH = max(int(os.environ.get("SOURCE_DATE_EPOCH", "0")), 315532800)
MAIN = """from spark_impex_runner.cli.main import main

if __name__ == "__main__":
    main()
"""
# What depends on the machine that installed the libraries, besides what is compiled.
LOCAL = {"RECORD", "INSTALLER", "REQUESTED", "direct_url.json", "uv_cache.json", "uv_build.json"}


def run(*command: str | Path) -> None:
    """Run a command, which has to succeed."""
    variables = {**os.environ, "SOURCE_DATE_EPOCH": str(EPOCH)}
    subprocess.run([str(each) for each in command], check=True, env=variables)


def make_archive(wheel: Path, out: Path) -> None:
    """Write the runner and its dependencies as one file that Python runs from where it is.

    Nothing in it is compiled, so it fits every system and version, and is unpacked nowhere:
    PyYAML and charset-normalizer bring modules in Python beside the compiled ones, ``rpds`` is
    replaced, and ``isal`` is optional.
    """
    with tempfile.TemporaryDirectory() as folder:
        site = Path(folder)
        install = (uv.find_uv_bin(), "pip", "install", "--quiet", "--no-config")
        # The oldest version has the most dependencies, such as typing-extensions.
        run(*install, "--python-version", OLDEST_PYTHON, "--target", site, wheel)
        for name in ("rpds", "isal", "bin"):
            shutil.rmtree(site / name, ignore_errors=True)
        for pattern in ("rpds*-info", "isal*-info"):
            for unused in site.glob(pattern):
                shutil.rmtree(unused)
        shutil.copy(ROOT / "release" / "rpds.py", site)
        (site / "__main__.py").write_text(MAIN)
        write_archive(site, out / "impex.pyz")


def write_archive(site: Path, to: Path) -> None:
    """Write the files of a folder as a program; zipapp would write times and order of the disk."""
    with to.open("wb") as file:
        file.write(b"#!/usr/bin/env python3\n")
        with zipfile.ZipFile(file, "w") as archive:
            for path in sorted(site.rglob("*")):
                name = path.relative_to(site)
                if path.is_file() and belongs(name):
                    info = zipfile.ZipInfo(name.as_posix(), time.gmtime(EPOCH)[:6])
                    info.external_attr = 0o644 << 16
                    archive.writestr(info, path.read_bytes(), zipfile.ZIP_DEFLATED)
    to.chmod(0o755)


def belongs(path: Path) -> bool:
    """Return whether a file belongs into the archive: not compiled, and not about this machine."""
    if path.suffix in {".so", ".pyd", ".pyc", ".pyi", ".lock"} or path.name.startswith("."):
        return False
    return path.name not in LOCAL


def make_bill_of_materials(wheel: Path, out: Path, *, validate: bool = True) -> None:
    """Write what the wheel installs without extras, as CycloneDX; to validate takes 10 s."""
    with tempfile.TemporaryDirectory() as folder:
        python = Path(folder) / "bin" / "python"
        run(uv.find_uv_bin(), "venv", "--quiet", "--clear", "--python", sys.executable, folder)
        # The tool takes name and version of the root from here, and knows no dynamic version.
        project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
        root = Path(folder) / "pyproject.toml"
        root.write_text(re.sub("(?m)^dynamic = .*$", f'version = "{__version__}"', project))
        run(uv.find_uv_bin(), "pip", "install", "--quiet", "--python", python, wheel)
        run(
            *(uv.find_uv_bin(), "tool", "run", "--quiet", "--from", BILL_OF_MATERIALS),
            *("cyclonedx-py", "environment", "--output-reproducible"),
            *("--pyproject", root, "--output-file", out / "sbom.cdx.json"),
            *(["--validate"] if validate else ["--no-validate"]),
            python,
        )


def make_manual_pages(out: Path) -> None:
    """Write the manual pages of both commands, from the parser that prints their help."""
    for program in ("impex", "impex-run"):
        # All commands are chosen, so that each has its options.
        parser = command_line._parser(list(command_line.COMMANDS), program)
        (out / f"{program}.1").write_text(manual_page(parser), encoding="utf-8")


def manual_page(parser: argparse.ArgumentParser) -> str:
    """Return a parser as a manual page."""
    codes, parser.epilog = parser.epilog or "", None
    data = {
        "project_name": NAME,
        "version": __version__,
        "manual_title": "User Commands",
        "date": time.strftime("%Y-%m-%d", time.gmtime(EPOCH)),
        "description": (parser.description or "").rstrip("."),
    }
    page = Manpage(parser, data, format="single-commands-section")
    # As it is: the table of exit codes is no paragraph.
    table = codes.partition("\n")[2].replace("\\", "\\\\").replace("-", "\\-")
    page.add_section("exit status", ">", f".nf\n{table}\n.fi")
    return str(page)


def make_checksums(out: Path) -> None:
    """Write the digests of all files of the folder, for ``sha256sum --check``."""
    sums = out / "SHA256SUMS"
    sums.unlink(missing_ok=True)
    lines = [
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n"
        for path in sorted(out.iterdir())
    ]
    sums.write_text("".join(lines))


def main(wheel: Path, out: Path) -> None:
    """Make all of it."""
    out.mkdir(parents=True, exist_ok=True)
    make_archive(wheel, out)
    make_bill_of_materials(wheel, out)
    make_manual_pages(out)
    make_checksums(out)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
