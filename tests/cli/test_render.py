from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from spark_impex_runner.masking import Masker
from spark_impex_runner.models import RunOptions
from spark_impex_runner.planning.load import load

if TYPE_CHECKING:
    from spark_impex_runner.clock import Clock

MANIFEST = """
version: 1
requires: {runner: ">=0"}
vars: {release: "1.10", dollars: "$${env:X}"}
connections:
  sit:
    base_url: https://sit/acme
    jobs: "${env:JOBS}"
    auth: {oauth: {client_id: "${env:ID}", client_secret: "${env:SECRET}"}}
  uat: {env: uat.us, tenant: acme, auth: {token: "${env:TOKEN}"}}
defaults: {connection: sit, tags: [nightly]}
targets:
  - name: pricing
    services: ["motor/pricing[${var:release}]"]
    source_system: "${var:dollars} and ${env:ID}"
    correlation_id: "1:30"
  - name: life
    needs: [pricing]
    connection: uat
    matrix: {folder: [annuity, "no"]}
    folders: ["${matrix.folder}"]
    steps: [{uses: unzip, with: {max_files: "${env:JOBS}"}}]
x-note: mine
"""


@pytest.fixture
def manifest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a manifest whose plain references are set, and no secret."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("JOBS", "3")
    monkeypatch.setenv("ID", "runner")
    path = Path("m.yaml")
    path.write_text(MANIFEST)
    return path


@pytest.mark.usefixtures("manifest")
def test_render_keeps_secret_references(shell: Any) -> None:
    """Variables, defaults and matrices are gone; the secrets need not even be there."""
    done = shell("impex", "render", "m.yaml")

    assert done.code == 0
    assert done.out == (
        """version: 1
name: m
connections:
  sit:
    base_url: https://sit/acme
    jobs: 3
    auth:
      oauth:
        client_id: ${env:ID}
        client_secret: ${env:SECRET}
  uat:
    env: uat.us
    tenant: acme
    auth:
      token: ${env:TOKEN}
targets:
- name: pricing
  connection: sit
  tags:
  - nightly
  services:
  - motor/pricing[1.10]
  source_system: $${env:X} and runner
  correlation_id: '1:30'
- name: life@annuity
  connection: uat
  tags:
  - nightly
  needs:
  - pricing
  folders:
  - annuity
  steps:
  - uses: unzip
    with:
      max_files: 3
- name: life@no
  connection: uat
  tags:
  - nightly
  needs:
  - pricing
  folders:
  - 'no'
  steps:
  - uses: unzip
    with:
      max_files: 3
requires:
  runner: '>=0'
"""
    )


def test_rendered_manifest_is_equivalent(
    shell: Any, manifest: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Read again, it gives the same connections and targets, literal ``${`` included."""
    text = manifest.read_text().replace('    matrix: {folder: [annuity, "no"]}\n', "")
    hook = '{url: "${env:HOOK}", headers: {A: "${env:HOOK}"}}'
    notify = f"notify: [{{uses: webhook, on: [always], timeout: 5s, with: {hook}}}]\n"
    manifest.write_text(text.replace("${matrix.folder}", "no") + notify)
    for name in ("SECRET", "TOKEN", "HOOK"):
        monkeypatch.setenv(name, f"hunter2-{name}")
    before = load(manifest, RunOptions(), clock, Masker()).manifest

    rendered = shell("impex", "render", "m.yaml").out
    manifest.write_text(rendered)
    after = load(manifest, RunOptions(), clock, Masker()).manifest

    assert "hunter2" not in rendered
    assert (after.connections, after.targets) == (before.connections, before.targets)
    assert after.notify == before.notify != ()


@pytest.mark.usefixtures("manifest")
def test_render_masks_repeated_secrets(shell: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is known to be a secret is shown nowhere."""
    monkeypatch.setenv("SECRET", "hunter2")
    monkeypatch.setenv("ID", "hunter2")

    out = shell("impex", "render", "m.yaml").out

    assert "client_id: ${env:ID}\n" in out
    assert "${env:X} and ***\n" in out
    assert "hunter2" not in out


@pytest.mark.usefixtures("manifest")
@pytest.mark.parametrize("secret", ["it's my: secret", "correct horse " * 12, "name", "n"])
def test_masking_keeps_format_valid(
    shell: Any, monkeypatch: pytest.MonkeyPatch, secret: str
) -> None:
    """It is masked before YAML quotes and folds it, and a short one leaves the keys alone."""
    monkeypatch.setenv("SECRET", secret)
    monkeypatch.setenv("ID", secret)

    text = shell("impex", "render", "m.yaml").out
    data = json.loads(shell("impex", "render", "m.yaml", "--format", "json").out)

    assert secret[:12] not in text or len(secret) < 5
    assert "source_system: $${env:X} and ***\n" in text or len(secret) < 5
    assert data["targets"][0]["name"]


@pytest.mark.usefixtures("manifest")
def test_an_empty_secret_is_not_looked_at(shell: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run refuses it; here nobody asks."""
    monkeypatch.setenv("SECRET", "")

    assert shell("impex", "render", "m.yaml").code == 0


DOOR = """
from spark_impex_runner import hookimpl

KEY = {"type": "string", "x-secret": True, "pattern": "^key-", "maxLength": 9}

@hookimpl
def impex_register(registry):
    properties = {"key": KEY, "times": {"type": "integer"}}
    registry.step("door", "Opens it.", {"type": "object", "properties": properties})
    registry.source("safe", "A safe.", lambda key: 1 / 0, secret=True)
"""


@pytest.mark.usefixtures("manifest")
@pytest.mark.parametrize(
    "option", ["key: ${env:DOOR}", "key: ${file:keys/door}", "key: ${safe:k}", "times: ${safe:n}"]
)
def test_plugin_secrets_are_not_resolved(shell: Any, option: str) -> None:
    """The option's pattern, length or type is that of the secret, which is not read."""
    Path("door.py").write_text(DOOR)
    Path("m.yaml").write_text(
        "version: 1\nconnections: {sit: {base_url: https://sit/acme}}\n"
        "targets:\n- name: a\n  folders: [f]\n  steps:\n"
        f"  - uses: door\n    with:\n      {option}\n"
    )

    done = shell("impex", "render", "m.yaml", "-p", "door.py")

    assert (done.code, done.err) == (0, "")
    assert option in done.out


@pytest.mark.usefixtures("manifest")
def test_selection_and_overlay_change_render(shell: Any) -> None:
    """The chosen targets with what they need, as JSON for other tools."""
    Path("prod.yaml").write_text("targets: [{name: pricing, tags: [prod]}]\n")

    done = shell("impex", "render", "m.yaml", "-f", "prod.yaml", "-t", "*@no", "--format", "json")

    targets = json.loads(done.out)["targets"]
    assert [(each["name"], each["tags"]) for each in targets] == [
        ("pricing", ["prod"]),
        ("life@no", ["nightly"]),
    ]


@pytest.mark.usefixtures("manifest")
def test_a_plain_reference_must_be_there(shell: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only credentials are not asked for."""
    monkeypatch.delenv("ID")

    done = shell("impex", "render", "m.yaml")

    assert done.code == 2
    assert done.err == (
        "m.yaml:15:20: targets[0].source_system: the environment variable 'ID' is not set\n"
    )
