"""Uploaded packages are taken apart, and never out of their directory."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from zipfile import ZipFile

import pytest

from spark_impex_runner.sandbox.tenant.package import PackageRequest, build
from spark_impex_runner.sandbox.tenant.tree import Tenant
from spark_impex_runner.sandbox.tenant.unpack import unpack

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

HOME = "acme/life/annuity-rates/0.1.0/"


@pytest.fixture
def package(root: Path, tmp_path: Path) -> Path:
    """Return a ``migrate`` package of one version."""
    versions = Tenant("acme", root).versions("life", "annuity-rates")
    build(
        PackageRequest("acme", "http://x.invalid/acme", "job", versions, workbooks=True),
        tmp_path / "p",
    )
    return tmp_path / "p"


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Return an empty directory to unpack to."""
    path = tmp_path / "deep" / "inside"
    path.mkdir(parents=True)
    return path


def changed(package: Path, name: str, change: Callable[[Any], None]) -> Path:
    """Return a copy of a package in which one JSON file is changed."""
    target = package.with_name(f"{package.name}.changed")
    with ZipFile(package) as old, ZipFile(target, "w") as new:
        for entry in {entry.filename: entry for entry in old.infolist()}.values():
            content = old.read(entry)
            if entry.filename == name:
                data = json.loads(content)
                change(data)
                content = json.dumps(data).encode()
            new.writestr(entry, content)
    return target


def test_unpack_restores_all_files(package: Path, directory: Path) -> None:
    """Names are those of the manifest, files those that a served version may have."""
    (version,) = unpack(package, directory)

    assert (version.folder, version.service, version.number) == ("life", "annuity-rates", "0.1.0")
    assert {path.name for path in version.path.iterdir()} == {
        "CompilerLog.json",
        "DefaultValidations.json",
        "annuity-rates.xlsx",
        "model.data",
        "model.js",
        "model.wasm",
        "service.json",
    }


def test_inputs_keep_their_defaults(package: Path, directory: Path) -> None:
    """A comparison of both tenants finds nothing; validations of another form tell none."""
    name, defaults = f"{HOME}DefaultValidations.json", {"Rate": 0.5, "Name": "x", "Age": None}

    def given(metadata: Any) -> None:
        row = {"Description": "", "Address": "B2"}
        metadata["XInputTable"] = [{**row, "Input Name": each} for each in defaults]

    def ruled(data: Any) -> None:
        data["outputs"] = {each: {"default_value": value} for each, value in defaults.items()}

    one = changed(changed(package, f"{HOME}ModelMetaData.json", given), name, ruled)
    other = changed(one, name, lambda data: data.update(outputs=[]))

    found = []
    for each in (one, other):
        (version,) = unpack(each, directory)
        about = json.loads((version.path / "service.json").read_bytes())
        found.append({row["name"]: row.get("default") for row in about["inputs"]})
    assert found == [defaults, dict.fromkeys(defaults)]


@pytest.mark.parametrize("name", ["", ".", "..", "../x.xlsx", "/x.xlsx", "..\\x.xlsx", "C:x.xlsx"])
def test_a_workbook_cannot_lead_out(package: Path, directory: Path, name: str) -> None:
    """A workbook's name that is more than a name refuses the package."""

    def rename(metadata: Any) -> None:
        metadata["EngineInformation"]["OriginalFileName"] = name

    bad = changed(package, f"{HOME}ModelMetaData.json", rename)

    with pytest.raises(ValueError, match="not a name"):
        unpack(bad, directory)

    assert list(directory.parent.iterdir()) == [directory]


@pytest.mark.parametrize("field", ["folder_source", "service_source", "version_source"])
def test_a_place_cannot_lead_out(package: Path, directory: Path, field: str) -> None:
    """Folder, service and version are single names, too."""

    def rename(manifest: Any) -> None:
        manifest["outputs"]["service_versions"][0][field] = "../up"

    bad = changed(package, "acme/manifest.json", rename)

    with pytest.raises(ValueError, match="not a name"):
        unpack(bad, directory)


@pytest.mark.parametrize("wrong", [{}, {"outputs": None}, {"outputs": {"service_versions": [1]}}])
def test_an_odd_manifest_is_refused(package: Path, directory: Path, wrong: Any) -> None:
    """A manifest in another form is no reason to break."""

    def empty(manifest: Any) -> None:
        manifest.clear()
        manifest.update(wrong)

    bad = changed(package, "acme/manifest.json", empty)

    with pytest.raises(ValueError, match="not a migrate package"):
        unpack(bad, directory)


def test_a_damaged_archive_is_refused(package: Path, directory: Path) -> None:
    """A file with a broken middle is told as no ZIP, never as a fault of the sandbox."""
    data = bytearray(package.read_bytes())
    data[200:600] = bytes(400)
    package.write_bytes(data)

    with pytest.raises(ValueError, match="not a"):
        unpack(package, directory)
