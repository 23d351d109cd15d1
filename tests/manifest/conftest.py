"""What the manifest tests share: a registry of invented plugins and a reader of texts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from textwrap import dedent
from typing import TYPE_CHECKING, Any

import pytest

from spark_impex_runner.hooks.registry import Registry
from spark_impex_runner.manifest.build import Settings, read_manifest
from spark_impex_runner.manifest.yaml.load import load
from spark_impex_runner.masking import Masker

if TYPE_CHECKING:
    from collections.abc import Callable

    from spark_impex_runner.models import Manifest

_CASES = Path(__file__).parent.parent / "manifests"
_ENVIRON = {
    "DOWNLOADS": "8",
    "EMPTY": "",
    "REGION": "emea",
    "SIT_CLIENT_ID": "runner",
    "SIT_TOKEN": "hunter2-token",
    "UAT_KEY": "hunter2-key",
    "VERIFY": "false",
}


def _options(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "additionalProperties": False, "properties": properties}


@pytest.fixture
def registry() -> Registry:
    """Return a registry with the built-in names, an uploader that takes a secret, and a vault."""
    registry = Registry("invented")
    registry.strategy("adaptive", "Waits as long as jobs took before.", _options())
    registry.strategy("fixed", "Waits the same time.", _options(interval={"type": "number"}))
    hashes = {"type": "array", "items": {"enum": ["sha256", "sha512"]}}
    registry.step("checksum", "Sums.", _options(algorithms=hashes, file={"type": "string"}))
    limits = {"max_total": {"type": "string"}, "max_files": {"type": "integer", "minimum": 1}}
    registry.step("unzip", "Unpacks.", _options(to={"type": "string"}, **limits))
    secret = {"type": "string", "x-secret": True}
    hand_over = _options(to={"type": "string"}, token=secret, resume={"type": "boolean"})
    registry.step("hand_over", "Hands over.", {**hand_over, "required": ["to"]})
    promotion = _options(to={"type": "string", "x-connection": True})
    registry.step("import", "Promotes.", promotion, file_filter="migrate", idempotent=False)
    page = {**_options(key=secret, lines={"type": "array", "items": secret}), "required": ["key"]}
    registry.notifier("page", "Calls.", page, lambda _options, _report: None)
    registry.source("vault", "A vault.", {"sit": "vault-secret"}.__getitem__)
    return registry


@pytest.fixture
def settings(registry: Registry) -> Settings:
    """Return settings with an empty environment and a run of a known id and date."""
    return Settings(registry, Masker(), run_id="r1", run_date="2026-11-24")


@pytest.fixture
def case_settings(settings: Settings) -> Settings:
    """Return settings with the environment that the files in tests/manifests speak of."""
    return replace(settings, environ=_ENVIRON)


@pytest.fixture
def read_case(case_settings: Settings) -> Callable[[str], Manifest]:
    """Read a valid case by its name."""
    return lambda name: read_manifest(load(_CASES / "valid" / f"{name}.yaml"), case_settings)


@pytest.fixture
def read(tmp_path: Path, settings: Settings) -> Callable[..., Manifest]:
    """Read a text as the manifest release.yaml, with ``changes`` to the settings."""

    def read(text: str, **changes: Any) -> Manifest:
        path = tmp_path / "release.yaml"
        path.write_text(dedent(text), encoding="utf-8")
        return read_manifest(load(path), replace(settings, **changes))

    return read
