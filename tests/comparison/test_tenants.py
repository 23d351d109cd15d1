"""What differs between two tenants, by their listings and without a job."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from spark_impex_runner.cli import main
from spark_impex_runner.sandbox.faults import parse_fault
from spark_impex_runner.sandbox.server import Sandbox, Settings
from spark_impex_runner.sandbox.tenant import details

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

ABOUT = {
    "inputs": [{"name": "value", "address": "B2", "default": 1}],
    "outputs": [{"name": "premium", "address": "B6"}, {"name": "tax", "address": "B7"}],
}
TARGETS = """
targets:
  - {name: motor, connection: sit, folders: [motor]}
  - {name: old, connection: sit, services: ['motor/pricing[1.4]']}
  - {name: ids, connection: sit, services: ['service/0f2b0a34-0000-4000-8000-00000000000a']}
"""


def serve(root: Path, versions: dict[str, dict[str, Any]]) -> None:
    """Write a served tree."""
    for version, about in versions.items():
        (root / version).mkdir(parents=True)
        (root / version / "service.json").write_text(json.dumps({**ABOUT, **about}))


@pytest.fixture
def tenants(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Callable[..., Any]]:
    """Give a function that serves two trees, compares them and returns code, stdout and stderr."""
    running: list[Sandbox] = []

    def diff(
        old: dict[str, Any], new: dict[str, Any], *options: str, **settings: Any
    ) -> tuple[int, str, str]:
        lines = ["version: 1", "connections:"]
        for name, versions in (("sit", old), ("uat", new)):
            serve(tmp_path / f"{name}-{len(running)}", versions)
            folder = tmp_path / f"{name}-{len(running)}"
            running.append(sandbox := Sandbox(folder, Settings(**settings)))
            sandbox.__enter__()
            monkeypatch.setenv(f"{name.upper()}_TOKEN", sandbox.token)
            auth = f"auth: {{token: '${{env:{name.upper()}_TOKEN}}'}}"
            lines.append(f"  {name}: {{base_url: '{sandbox.base_url}', {auth}}}")
        lines.append("  prod: {env: prod, tenant: t, auth: {token: '${env:NOT_HERE}'}}")
        (tmp_path / "m.yaml").write_text("\n".join(lines) + TARGETS)
        with pytest.raises(SystemExit) as end:
            main.main(["diff", "sit:", "uat:", "-m", str(tmp_path / "m.yaml"), *options])
        return (int(end.value.code or 0), *capsys.readouterr())

    diff.running = running  # type: ignore[attr-defined]
    yield diff
    for sandbox in running:
        sandbox.__exit__(None, None, None)


SIT = {"motor/pricing/1.4.1": {}, "life/term/1.0.0": {}}


def test_equal_tenants_print_nothing(tenants: Any) -> None:
    """Tenants of other names have other ids and hosts; no job is created."""
    assert tenants(SIT, SIT) == (0, "", "")

    paths = {request.path for sandbox in tenants.running for request in sandbox.requests}
    assert not [path for path in paths if "export" in path]


def test_metadata_of_latest_versions_are_compared(tenants: Any) -> None:
    """Inputs, outputs with their types, defaults, and the hashes of module and workbook."""
    outputs = [
        {"name": "premium", "address": "B6", "type": "text"},
        {"name": "tax", "address": "B7", "type": "text"},
    ]
    inputs = [*ABOUT["inputs"], {"name": "age", "address": "B3", "default": "x"}]
    changed = {"inputs": inputs, "outputs": outputs}

    code, out, _ = tenants(SIT, {"motor/pricing/1.4.2": changed, "home/new/2.0.0": {}})

    assert code == 8
    assert [line.partition(": ")[0] for line in out.splitlines()[:3]] == [
        "home/new 2.0.0",
        "life/term 1.0.0",
        "motor/pricing 1.4.1 -> 1.4.2",
    ]
    assert ": 1 input added, 2 outputs changed type, module and workbook changed" in out
    assert '  + input age: type text, default "x", cell B3' in out.splitlines()
    assert "  ~ output tax: type number -> text" in out.splitlines()


def test_older_versions_are_compared_by_number(tenants: Any) -> None:
    """Their details are not requested: a tenant may have thousands."""
    old = {"motor/pricing/1.4.1": {}, "motor/pricing/1.4.2": {}}
    new = {"motor/pricing/1.4.1": {"outputs": []}, "motor/pricing/1.4.2": {}}

    assert tenants(old, new)[0] == 0
    code, out, _ = tenants(old, {"motor/pricing/1.4.0": {}, **new})
    assert (code, out) == (8, "motor/pricing: 1 version added\n  + version 1.4.0\n")


def test_targets_choose_services(tenants: Any) -> None:
    """Only what they export is compared; a version by its first components."""
    new = {"motor/pricing/1.4.1": {}, "motor/pricing/1.5.0": {}, "motor/other/1.0.0": {}}

    assert tenants(SIT, new, "-t", "old")[0] == 0
    _, out, _ = tenants(SIT, new, "-t", "motor")
    assert [line.partition(":")[0] for line in out.splitlines()[:2]] == [
        "motor/other 1.0.0",
        "motor/pricing 1.4.1 -> 1.5.0",
    ]


def test_ids_cannot_choose_services(tenants: Any) -> None:
    """Two tenants have two ids for the same service."""
    code, _, err = tenants(SIT, SIT, "-t", "ids")

    assert code == 2
    assert "target ids names services by id, which differ between tenants" in err


def test_refused_details_are_unknown(tenants: Any) -> None:
    """Credentials that may list but not read: the versions are equal, the rest is not compared."""
    code, out, _ = tenants(SIT, SIT, faults=(parse_fault("details@*=403"),))

    assert code == 3
    assert out.splitlines()[0] == (
        "life/term 1.0.0: inputs, defaults, outputs, settings, module, workbook not compared"
    )
    assert "HTTP 403" in out


def test_refused_listing_is_an_error(tenants: Any) -> None:
    """Wrong credentials are 6, as for every command."""
    code, out, err = tenants(SIT, SIT, faults=(parse_fault("search@*=401"),))

    assert (code, out) == (6, "")
    assert "services/search" in err


def test_details_may_be_incomplete(tenants: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a reply does not state is unknown; an envelope around it does not matter."""
    replies = [
        {"data": {"xlInputs": [], "xOutput": [{"name": "a"}]}},
        {"data": {"xlInputs": [], "xOutput": [{"name": "a"}]}, "status": "Success"},
        {"xlInputs": [{}], "metadata": {"engineInformation": {"compiledOutputHash": "?"}}},
        {},
    ]
    monkeypatch.setattr(details, "_details", lambda *_: replies.pop())

    code, out, _ = tenants({"a/b/1": {}, "a/c/1": {}}, {"a/b/1": {}, "a/c/1": {}})

    assert code == 3
    assert "? inputs: not compared; " in out
    assert "? module: not compared; the tenant states no hash of it" in out
