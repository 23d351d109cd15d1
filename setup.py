"""What pyproject.toml cannot say: the page of a package index, and an sdist that can be made again.

``PROJECT_URL`` is the address of the repository, such as ``https://github.com/acme/runner``.
"""

from __future__ import annotations

import gzip
import os
import re
import tarfile
from pathlib import Path
from typing import Any

from setuptools import setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.sdist import sdist

ROOT = Path(__file__).parent
URL = os.environ.get("PROJECT_URL", "").rstrip("/")
VERSION = re.findall(
    '__version__ = "(.+)"', (ROOT / "spark_impex_runner/version.py").read_text(encoding="utf-8")
)[0]
_LINK = re.compile(r"(!?)\[([^\[\]]*)\]\((?![a-z]+:)([^)\s]+)\)")


def readme() -> str:
    """Return the README without relative links, which lead nowhere on the page of an index.

    They become links to the files of this version in the repository; without ``PROJECT_URL``
    their text alone is left, and pictures are left out.
    """

    def link(found: re.Match[str]) -> str:
        picture, text, target = found.groups()
        if not URL:
            return "" if picture else text
        return f"{picture}[{text}]({URL}/{'raw' if picture else 'blob'}/v{VERSION}/{target})"

    return _LINK.sub(link, (ROOT / "README.md").read_text(encoding="utf-8"))


class ReproducibleSdist(sdist):
    """Writes the same bytes for the same files: sorted, without owners, with one time for all."""

    def make_archive(self, base_name: str, _format: str, *_: Any, **settings: Any) -> str:
        """Write the archive of a folder; its time is that of ``SOURCE_DATE_EPOCH``."""
        time = int(os.environ.get("SOURCE_DATE_EPOCH", "315532800"))  # 1980, as in a wheel
        folder = Path(settings["base_dir"])
        name = f"{base_name}.tar.gz"

        def normalised(info: tarfile.TarInfo) -> tarfile.TarInfo:
            info.uid = info.gid = 0
            info.uname = info.gname = ""
            info.mtime = time
            info.mode = 0o755 if info.isdir() or info.mode & 0o100 else 0o644
            return info

        with (
            open(name, "wb") as file,  # noqa: PTH123 - as in the standard library
            # Without a file name, which would be that of a temporary folder.
            gzip.GzipFile("", "wb", fileobj=file, mtime=time) as compressed,
            tarfile.open(fileobj=compressed, mode="w", format=tarfile.PAX_FORMAT) as archive,
        ):
            for path in [folder, *sorted(folder.rglob("*"))]:
                archive.add(path, recursive=False, filter=normalised)
        return name


class ReproducibleWheel(bdist_wheel):
    """Writes the same bytes whatever the checkout's permissions are."""

    def write_wheelfile(self, *args: Any, **settings: Any) -> None:
        """Write the last file of the wheel, and give all of them the same permissions."""
        super().write_wheelfile(*args, **settings)
        for path in Path(self.bdist_dir).rglob("*"):
            path.chmod(0o755 if path.is_dir() else 0o644)


setup(
    cmdclass={"sdist": ReproducibleSdist, "bdist_wheel": ReproducibleWheel},
    long_description=readme(),
    long_description_content_type="text/markdown",
    project_urls={
        "Source": URL,
        "Documentation": f"{URL}/blob/v{VERSION}/docs/index.md",
        "Changelog": f"{URL}/blob/v{VERSION}/CHANGELOG.md",
        "Issues": f"{URL}/issues",
    }
    if URL
    else {},
)
