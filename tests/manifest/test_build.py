from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from spark_impex_runner.errors import ManifestError
from spark_impex_runner.manifest.build import Requires, read_requires
from spark_impex_runner.models import Auth, Connection, Polling, Step, Target

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from spark_impex_runner.models import Manifest

    Reader = Callable[..., Manifest]
    Case = Callable[[str], Manifest]


def test_the_smallest_manifest_takes_every_default(tmp_path: Path, read: Reader) -> None:
    """A connection and a target with a service are enough."""
    manifest = read("""
        version: 1
        connections:
          sit: {base_url: "https://excel.sit.coherent.global/acme"}
        targets:
          - name: pricing
            services: ["motor/pricing[1.4.2]"]
        """)

    assert manifest.name == "release"
    assert manifest.connections == {
        "sit": Connection("sit", base_url="https://excel.sit.coherent.global/acme")
    }
    assert manifest.targets == (
        Target(
            name="pricing",
            connection="sit",
            output=tmp_path / "exports" / "pricing",
            services=("motor/pricing[1.4.2]",),
        ),
    )


def test_a_full_manifest_fills_every_model(read_case: Case) -> None:
    """Every key of the manifest arrives in its field, in the model's units."""
    manifest = read_case("full")
    motor, life, health = manifest.targets
    sit, uat = manifest.connections.values()

    assert sit.auth == Auth(client_id="runner", client_secret="hunter2-file")
    assert (uat.env, uat.tenant, uat.auth) == ("uat.us", "acme", Auth(api_key="hunter2-key"))
    assert (sit.jobs, sit.timeout, sit.requests_per_second) == (None, 60.0, 10)
    assert motor.services[0] == "motor/pricing[1.4.2]"
    assert motor.polling == Polling("adaptive", {}, 1800.0, 1320.0, "leave")
    assert (motor.max_retries, motor.retry_interval) == (200, 3.0)
    assert motor.output == manifest.path.parent / "exports" / "2026-11-24" / "motor"
    assert motor.steps[2] == Step("upload", {"to": "s3://acme-backup/2026-11-24/"}, 4, 2.0, "warn")
    assert [life.name, health.name] == ["life-onprem@life", "life-onprem@health"]
    assert (life.folders, life.needs, life.connection) == (("life",), ("motor",), "sit")
    assert manifest.reports["junit"] == manifest.path.parent / "out" / "report.xml"


def test_no_secret_is_in_the_repr_of_a_manifest(read_case: Case) -> None:
    """A model may be logged."""
    assert "hunter2" not in repr(read_case("full"))


def test_paths_are_relative_to_the_manifest(tmp_path: Path, read: Reader) -> None:
    """Wherever the run was started, a manifest means the folder that it lies in."""
    manifest = read("""
        version: 1
        connections: {local: {sandbox: tenant/, verify_tls: ca.pem}}
        targets: [{name: a, folders: [life]}]
        report: {json: out/report.json}
        """)
    local = manifest.connections["local"]

    assert local.sandbox == tmp_path / "tenant"
    assert local.verify_tls == str(tmp_path / "ca.pem")
    assert manifest.reports == {"json": tmp_path / "out" / "report.json"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("version: 1", Requires()),
        ("requires: {plugins: []}", Requires(plugins=())),
        (
            "requires: {runner: '>=1', plugins: [impex-a], local_plugins: true}",
            Requires(">=1", ("impex-a",), local_plugins=True),
        ),
        ("requires: {runner: 0.1, plugins: no, local_plugins: 'yes'}", Requires("", ())),
        ("requires: {plugins: [impex-a, 5]}\ntargets: nonsense", Requires("", ("impex-a",))),
        ("requires: [1]", Requires()),
    ],
)
def test_requires_is_read_before_all_else(tmp_path: Path, text: str, expected: Requires) -> None:
    """Other mistakes do not matter yet, and a mistake in it never lets more plugins in."""
    path = tmp_path / "release.yaml"
    path.write_text(text)

    assert read_requires(path) == expected


def test_requires_of_a_file_that_is_no_yaml_is_refused(tmp_path: Path) -> None:
    """Without a mapping there is nothing to go by."""
    path = tmp_path / "release.yaml"
    path.write_text("{")

    with pytest.raises(ManifestError):
        read_requires(path)
