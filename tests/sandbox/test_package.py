"""Packages have the structure of a genuine one, down to the bits of their entries."""

from __future__ import annotations

import hashlib
import io
import json
from typing import TYPE_CHECKING, Any
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile

import pytest

if TYPE_CHECKING:
    from pathlib import Path

HOME = "acme/motor/pricing/1.4.2/"
ASKED = {"inputs": {"services": ["motor/pricing[1.4.2]"]}, "file_filter": "onpremises"}


@pytest.fixture
def package(call: Any) -> ZipFile:
    """Return an ``onpremises`` package of one version."""
    return ZipFile(io.BytesIO(call.package(**ASKED)))


def version_id(package: ZipFile) -> str:
    """Return the id of the one version in the manifest."""
    manifest = json.loads(package.read("acme/manifest.json"))
    return str(manifest["outputs"]["service_versions"][0]["version_id_source"])


def module_of(package: ZipFile) -> bytes:
    """Return the nested bundle of the one version."""
    return package.read(f"{HOME}{version_id(package)}.zip")


def test_the_entries_are_those_of_a_genuine_package(package: ZipFile) -> None:
    """Names and order agree, with the version's directory three times and none for the folder."""
    assert package.namelist() == [
        "acme/",
        "acme/motor/pricing/",
        HOME,
        f"{HOME}DefaultValidations.json",
        HOME,
        f"{HOME}ModelMetaData.json",
        HOME,
        f"{HOME}{version_id(package)}.zip",
        f"{HOME}WASMMetaData.json",
        "acme/manifest.json",
    ]


def test_no_entry_has_a_data_descriptor(package: ZipFile) -> None:
    """Entries come from Unix, without flags and extra fields; only files are deflated."""
    for entry in package.infolist():
        assert entry.flag_bits == 0
        assert entry.extra == b""
        assert entry.create_system == 3
        assert entry.compress_type == (ZIP_STORED if entry.is_dir() else ZIP_DEFLATED)


def test_the_local_headers_hold_the_sizes(call: Any) -> None:
    """A reader of the stream finds each file's flags clear in the local header, too."""
    data = call.package(**ASKED)

    for entry in ZipFile(io.BytesIO(data)).infolist():
        header = data[entry.header_offset : entry.header_offset + 30]
        assert header[:4] == b"PK\x03\x04"
        assert header[6:8] == b"\0\0"
        assert int.from_bytes(header[18:22], "little") == entry.compress_size


def test_the_module_has_the_announced_hash(package: ZipFile) -> None:
    """``CompiledOutputHash`` is the upper-case SHA-256 of the nested bundle."""
    engine = json.loads(package.read(f"{HOME}ModelMetaData.json"))["EngineInformation"]

    assert engine["CompiledOutputHash"] == hashlib.sha256(module_of(package)).hexdigest().upper()


def test_the_checksums_cover_the_module(package: ZipFile) -> None:
    """``checksums.md5`` has a right line for every other file of the bundle."""
    module = ZipFile(io.BytesIO(module_of(package)))
    lines = module.read("checksums.md5").decode().splitlines()

    found = {line[34:]: line[:32] for line in lines if line[32:34] == "  "}

    expected = {
        name: hashlib.md5(module.read(name), usedforsecurity=False).hexdigest()
        for name in module.namelist()
        if name != "checksums.md5"
    }
    assert found == expected


def test_the_module_names_follow_the_service(call: Any) -> None:
    """Code files change hyphens to underscores, JSON files keep them."""
    asked = {"services": ["life/annuity-rates"]}
    package = ZipFile(io.BytesIO(call.package(inputs=asked)))
    nested = next(name for name in package.namelist() if name.endswith(".zip"))

    assert ZipFile(io.BytesIO(package.read(nested))).namelist() == [
        "_annuity_rates.js",
        "_annuity_rates.wasm",
        "_annuity_rates.data",
        "checksums.md5",
        "annuity-ratesDefaultValidations.json",
        "annuity-rates_CompilerLog.json",
    ]


def test_the_manifest_agrees_with_the_status(call: Any) -> None:
    """The package names its job and what is in it as the status did, with null files."""
    status = call.export(**ASKED)
    url = status["outputs"]["files"][0]["file"]
    package = ZipFile(io.BytesIO(call("GET", url, headers={}).body))

    manifest = json.loads(package.read("acme/manifest.json"))

    outputs = {**status["outputs"], "files": None}
    assert manifest == {"object": "export", "id": status["id"], "outputs": outputs}


def test_migrate_adds_the_workbook(call: Any) -> None:
    """A ``migrate`` package is the same and holds a workbook that its metadata describes."""
    package = ZipFile(io.BytesIO(call.package(inputs=ASKED["inputs"])))

    engine = json.loads(package.read(f"{HOME}ModelMetaData.json"))["EngineInformation"]

    workbook = package.read(f"{HOME}{engine['OriginalFileName']}")
    assert engine["FileSize"] == len(workbook)
    assert engine["OriginalServiceHash"] == hashlib.sha256(workbook).hexdigest().upper()
    assert "xl/workbook.xml" in ZipFile(io.BytesIO(workbook)).namelist()


def test_the_files_of_the_tree_are_packed(call: Any, root: Path) -> None:
    """What lies in the version's directory goes into the package as it is."""
    home = root / "motor" / "pricing" / "1.4.2"
    (home / "model.data").write_bytes(b"table" * 1000)
    (home / "Rates 2025.xlsx").write_bytes(b"a workbook")
    (home / "DefaultValidations.json").write_bytes(b"{}")

    package = ZipFile(io.BytesIO(call.package(inputs=ASKED["inputs"])))

    module = ZipFile(io.BytesIO(module_of(package)))
    assert module.read("_pricing.data") == b"table" * 1000
    assert package.read(f"{HOME}Rates 2025.xlsx") == b"a workbook"
    assert package.read(f"{HOME}DefaultValidations.json") == b"{}"


def test_the_tables_come_from_the_description(call: Any, root: Path) -> None:
    """``service.json`` feeds the tables of inputs and outputs and the default values."""
    entry = {"name": "value", "description": "Its value", "address": "B2", "default": 4}
    about = {"inputs": [entry], "outputs": [{"name": "premium"}], "description": "A price."}
    path = root / "motor" / "pricing" / "1.4.2" / "service.json"
    path.write_text(json.dumps(about), encoding="utf-8")

    package = ZipFile(io.BytesIO(call.package(**ASKED)))

    metadata = json.loads(package.read(f"{HOME}ModelMetaData.json"))
    validations = json.loads(package.read(f"{HOME}DefaultValidations.json"))
    row = {"Input Name": "value", "Description": "Its value", "Address": "B2"}
    assert metadata["XInputTable"] == [row]
    assert metadata["XOutputTable"][0]["Output Name"] == "premium"
    assert metadata["EngineInformation"]["Description"] == "A price."
    assert validations["outputs"]["value"]["default_value"] == 4


def test_exports_are_reproducible(call: Any) -> None:
    """The same tree gives the same bytes, the manifest apart."""
    one, other = (ZipFile(io.BytesIO(call.package(**ASKED))) for _ in range(2))

    same = [name for name in one.namelist() if one.read(name) == other.read(name)]

    assert set(one.namelist()) - set(same) == {"acme/manifest.json"}
