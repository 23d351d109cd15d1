"""What ``make dist`` makes: an sdist that builds again, one file that runs, pages, an inventory."""

from __future__ import annotations

import json
import os
import re
import runpy
import shutil
import subprocess
import sys
import tarfile
import zipfile
from email.parser import Parser
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from spark_impex_runner.cli.main import COMMANDS
from spark_impex_runner.version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parent.parent
UV = [sys.executable, "-m", "uv"]
# What a run, an editor or Python has left, and no sdist holds.
LEFT = re.compile(r"__pycache__|\.pyc$|/\.impex|/exports/|/out/|\.egg-info|\.cache|_cache/")


@pytest.fixture(scope="module")
def unpacked(dist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of the unpacked sdist."""
    folder = tmp_path_factory.mktemp("sdist")
    with tarfile.open(next(dist.glob("*.tar.gz"))) as archive:
        archive.extractall(folder, filter="data")
    return next(folder.iterdir())


@pytest.fixture(scope="module")
def release(
    dist: Path, tmp_path_factory: pytest.TempPathFactory, load_script: Callable[[Path], Any]
) -> Path:
    """Return the folder of what is made from the wheel."""
    folder = tmp_path_factory.mktemp("release")
    make = load_script(ROOT / "release/make.py")
    wheel = next(dist.glob("*.whl"))
    make.make_archive(wheel, folder)
    make.make_bill_of_materials(wheel, folder, validate=False)  # `make dist` does
    make.make_manual_pages(folder)
    make.make_checksums(folder)
    return folder


def test_rebuild_is_equal_byte_for_byte(dist: Path, unpacked: Path, tmp_path: Path) -> None:
    """The unpacked sdist, elsewhere and with other permissions, builds both again."""
    seconds = int((unpacked / "pyproject.toml").stat().st_mtime)
    subprocess.run(
        [*UV, "build", "--quiet", "--out-dir", str(tmp_path), str(unpacked)],
        check=True,
        capture_output=True,
        env={**os.environ, "SOURCE_DATE_EPOCH": str(seconds)},
        umask=0o077,
    )

    for pattern in ("*.whl", "*.tar.gz"):
        [first], [second] = dist.glob(pattern), tmp_path.glob(pattern)
        assert (first.name, first.read_bytes()) == (second.name, second.read_bytes())


def test_sdist_holds_the_project(unpacked: Path) -> None:
    """Tests, documentation, examples and all that ``make test`` needs, without traces of runs."""
    held = {path.relative_to(unpacked).as_posix() for path in unpacked.rglob("*")}
    folders = ("tests", "docs", "examples", "benchmarks", "release", "schemas", "templates")
    here = {
        path.relative_to(ROOT).as_posix()
        for folder in folders
        for path in (ROOT / folder).rglob("*")
        if path.is_file()
    }
    here = {name for name in here if not LEFT.search(name)}

    assert here - held == set()
    assert {
        "Makefile",
        "LICENSE",
        "Dockerfile",
        "action.yml",
        ".pre-commit-hooks.yaml",
        "CHANGELOG.md",
        "plugins/unzip/__init__.py",
        ".ci/run",
    } <= held
    assert [name for name in held if LEFT.search(name) and "egg-info" not in name] == []


@pytest.mark.parametrize("url", ["", "https://git.example/acme/runner"])
def test_page_of_an_index_has_no_relative_link(
    unpacked: Path, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    """Links lead to the files of this version, or are left out where no repository is known."""
    settings: dict[str, Any] = {}
    command = SimpleNamespace(sdist=object, bdist_wheel=object)
    monkeypatch.setitem(sys.modules, "setuptools", SimpleNamespace(setup=settings.update))
    for name in ("sdist", "bdist_wheel"):
        monkeypatch.setitem(sys.modules, f"setuptools.command.{name}", command)
    monkeypatch.setenv("PROJECT_URL", url)

    runpy.run_path(str(unpacked / "setup.py"))

    targets = re.findall(r"\]\(([^)\s]+)\)", settings["long_description"])
    files = f"{url}/blob/v{__version__}/"
    assert "## Quick start" in settings["long_description"]
    if not url:
        assert (targets, settings["project_urls"]) == ([], {})
        return
    assert len(targets) > 40
    for target in targets:
        path = re.sub(r"^.*?/(blob|raw)/v[^/]+/|#.*", "", target)
        assert target.startswith(url)
        assert (unpacked / path).exists()
    assert settings["project_urls"]["Changelog"] == f"{files}CHANGELOG.md"


def test_wheel_names_its_authors(dist: Path) -> None:
    """The metadata have an author and the README as Markdown."""
    with zipfile.ZipFile(next(dist.glob("*.whl"))) as wheel:
        [name] = (name for name in wheel.namelist() if name.endswith("/METADATA"))
        said = Parser().parsestr(wheel.read(name).decode())

    assert said["Author"] == "The maintainers of spark-impex-runner"
    assert said["Description-Content-Type"] == "text/markdown"


def test_archive_has_nothing_compiled(release: Path) -> None:
    """One file for every system: no native module, no bytecode, no path of this machine."""
    with zipfile.ZipFile(release / "impex.pyz") as archive:
        names = archive.namelist()

    assert [name for name in names if re.search(r"\.(so|pyd|pyc)$|RECORD$", name)] == []
    assert {"rpds.py", "typing_extensions.py", "spark_impex_runner/__init__.py"} <= set(names)


def test_archive_validates_as_the_wheel_does(release: Path, tmp_path: Path) -> None:
    """The replaced library resolves the references of the schema: the same errors to the letter."""
    (tmp_path / "m.yaml").write_text(
        "version: 1\ntargets:\n  - {name: a, folder: [b], retries: x}\n"
    )
    programs = [["-I", "-S", release / "impex.pyz"], ["-m", "spark_impex_runner"]]

    first, second = (
        subprocess.run(
            [sys.executable, *program, "validate", "m.yaml"],
            capture_output=True,
            text=True,
            check=False,
            cwd=tmp_path,
        )
        for program in programs
    )

    assert (first.returncode, first.stdout, first.stderr) == (2, second.stdout, second.stderr)
    assert "m.yaml:3" in first.stderr + first.stdout


@pytest.mark.parametrize("way", ["uvx", "pyz", "module"])
def test_quick_start_runs(dist: Path, release: Path, tmp_path: Path, way: str) -> None:
    """As an installed tool, as one file without any installed library, and as a module."""
    examples = shutil.ignore_patterns("exports", "out", ".impex")
    shutil.copytree(ROOT / "examples", tmp_path / "examples", ignore=examples)
    wheel = next(dist.glob("*.whl"))
    program = {
        "uvx": [*UV, "tool", "run", "--quiet", "--from", wheel, "spark-impex-runner"],
        "pyz": [sys.executable, "-I", "-S", release / "impex.pyz"],
        "module": [sys.executable, "-m", "spark_impex_runner"],
    }[way]

    done = subprocess.run(
        [*program, "run", "examples/quickstart.yaml"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, "2 of 2 targets succeeded" in done.stdout) == (0, True), done.stderr
    assert (tmp_path / "examples/exports/quickstart/pricing/SHA256SUMS").exists()


def test_bill_of_materials_names_what_is_installed(release: Path) -> None:
    """CycloneDX: the runner with its version at the root, and each library with a package URL."""
    bill = json.loads((release / "sbom.cdx.json").read_text())

    root = bill["metadata"]["component"]
    assert (bill["bomFormat"], root["name"]) == ("CycloneDX", "spark-impex-runner")
    assert root["version"] == __version__
    urls = {each["name"].lower(): each["purl"] for each in bill["components"]}
    assert {"requests", "jsonschema", "pyyaml", "pluggy", "urllib3", "certifi"} <= set(urls)
    assert all(url.startswith("pkg:pypi/") for url in urls.values())


def test_manual_pages_come_from_the_parser(release: Path) -> None:
    """Every command and the exit codes; what man shows is what --help says."""
    page = (release / "impex.1").read_text().replace("\\-", "-").replace("\\fB", "")

    assert [name for name in COMMANDS if f"impex {name}" not in page] == []
    assert ".SH EXIT STATUS" in page
    assert "130/143 interrupted" in page
    assert "--approve" in (release / "impex-run.1").read_text().replace("\\-", "-")


def test_checksums_cover_the_release(release: Path) -> None:
    """sha256sum accepts them."""
    command = ["sha256sum", "--check", "SHA256SUMS"]
    said = subprocess.run(command, cwd=release, check=True, capture_output=True, text=True).stdout

    assert len(said.splitlines()) == 4
