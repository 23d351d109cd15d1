from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spark_impex_runner.errors import ManifestError
from spark_impex_runner.manifest.requires import Requires, read_requires
from spark_impex_runner.manifest.yaml.load import load
from spark_impex_runner.models import Auth, Connection, Polling, Step, Target

if TYPE_CHECKING:
    from collections.abc import Callable

    from spark_impex_runner.manifest.build import Settings
    from spark_impex_runner.models import Manifest

    Reader = Callable[..., Manifest]
    Case = Callable[[str], Manifest]

CASES = Path(__file__).parent.parent / "manifests" / "valid"
SHAPES = [load(CASES / f"{name}.yaml").data for name in ("full", "references", "matrix")]
SCALARS = st.sampled_from(
    [
        None,
        True,
        0,
        -1,
        1.5,
        "",
        "motor",
        "${var:motor_version}",
        "${env:X}",
        "${var:n}",
        "${",
        "30m",
    ]
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2)
    ),
    max_leaves=4,
)


def changed(data: Any, draw: Any) -> Any:
    """Return ``data`` with one value, at a drawn place, replaced by anything."""
    if not isinstance(data, (dict, list)) or not data or draw(st.integers(0, 4)) == 0:
        return draw(VALUES)
    if isinstance(data, list):
        index = draw(st.integers(0, len(data) - 1))
        return [*data[:index], changed(data[index], draw), *data[index + 1 :]]
    key = draw(st.sampled_from(sorted(data)))
    return {**data, key: changed(data[key], draw)}


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
def test_invalid_values_never_crash(
    tmp_path: Path, read: Reader, case_settings: Settings, data: st.DataObject
) -> None:
    """A manifest with anything anywhere is read, or refused with a place in its text."""
    manifest = data.draw(st.sampled_from(SHAPES))
    (tmp_path / "secret.txt").write_text("hunter2")
    for _ in range(data.draw(st.integers(0, 3))):
        manifest = changed(manifest, data.draw)

    try:
        read(json.dumps(manifest), variables={"n": "5"}, environ=case_settings.environ)
    except ManifestError as error:
        problems = error.problems
        assert problems
    else:
        problems = ()
    assert all(problem.line >= 1 and problem.message for problem in problems)


def test_smallest_manifest_has_all_defaults(tmp_path: Path, read: Reader) -> None:
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


def test_full_manifest_fills_all_models(read_case: Case) -> None:
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
    assert motor.max_package == 200_000_000
    assert motor.output == manifest.path.parent / "exports" / "2026-11-24" / "motor"
    assert motor.steps[2] == Step(
        "hand_over", {"to": "s3://acme-backup/2026-11-24/"}, 4, 2.0, "warn"
    )
    assert [life.name, health.name] == ["life-onprem@life", "life-onprem@health"]
    assert (life.folders, life.needs, life.connection) == (("life",), ("motor",), "sit")
    assert manifest.reports["junit"] == manifest.path.parent / "out" / "report.xml"


def test_repr_holds_no_secret(read_case: Case) -> None:
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
def test_requires_is_read_first(tmp_path: Path, text: str, expected: Requires) -> None:
    """Other mistakes do not matter yet, and a mistake in it never lets more plugins in."""
    path = tmp_path / "release.yaml"
    path.write_text(text)

    assert read_requires(load(path)) == expected
