"""The example tenant is what the documentation says it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from spark_impex_runner.sandbox.tenant.tree import Tenant
from spark_impex_runner.sandbox.tenant.version_files import VersionFiles

ROOT = Path(__file__).parents[2] / "examples" / "tenant"


@pytest.fixture(scope="module")
def tenant() -> Tenant:
    """Return the example tree."""
    return Tenant("tenant", ROOT)


def test_the_services_of_the_documentation_exist(tenant: Tenant) -> None:
    """What the documentation exports is there."""
    uris = {version.uri for version in tenant.all_versions()}

    assert {
        "motor/pricing[1.4.1]",
        "motor/pricing[1.4.2]",
        "my-folder/my-service[0.4.2]",
    } <= uris
    assert tenant.services("life")
    assert tenant.services("health")
    assert tenant.services("my-other-folder") == ["my-service-2"]


def test_every_module_is_webassembly(tenant: Tenant) -> None:
    """Each ``model.wasm`` begins with the magic word and has content."""
    for version in tenant.all_versions():
        with VersionFiles(version).open_code("wasm") as module:
            code = module.read()
        assert code.startswith(b"\0asm\x01\0\0\0")
        assert len(code) > 8


def test_every_service_is_described(tenant: Tenant) -> None:
    """Each version has a description, inputs and outputs."""
    for version in tenant.all_versions():
        source = VersionFiles(version)
        assert source.about["description"]
        assert source.parameters("inputs")
        assert source.parameters("outputs")


def test_the_example_is_small() -> None:
    """The tree stays below 200 KB."""
    assert sum(path.stat().st_size for path in ROOT.rglob("*") if path.is_file()) < 200_000
