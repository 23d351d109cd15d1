"""The schema of overlays and included files is the manifest's, without what only a whole needs."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest
import yaml

from spark_impex_runner.cli import main
from spark_impex_runner.hooks.manager import make_plugin_manager
from spark_impex_runner.manifest.schema.compose import compose, overlay, published

if TYPE_CHECKING:
    from collections.abc import Iterator

CASES = Path(__file__).parent.parent / "manifests"
VALID = sorted(
    path
    for pattern in ("overlay/valid/*.yaml", "valid/*.yaml", "valid/parts/*.yaml")
    for path in CASES.glob(pattern)
)
INVALID = sorted(CASES.glob("overlay/invalid/*.yaml"))


def faults(path: Path, schema: Any) -> list[str]:
    """Return what a plain validator objects to in a file."""
    data = yaml.safe_load(path.read_text(encoding="utf-8"))
    return [error.message for error in jsonschema.Draft202012Validator(schema).iter_errors(data)]


def strictness(schema: Any, path: str = "$") -> Iterator[str]:
    """Yield each demand for something that must be there, with its place."""
    if isinstance(schema, dict):
        for key in ("required", "minItems", "minProperties"):
            if key in schema and not isinstance(schema[key], dict):
                yield f"{path}.{key}"
    for key, part in schema.items() if isinstance(schema, dict) else enumerate(schema):
        if isinstance(part, (dict, list)):
            yield from strictness(part, f"{path}.{key}")


def test_the_published_file_follows_from_the_manifests_schema() -> None:
    """A key of the manifest is one of an overlay; mend: python docs/generate.py."""
    file = resources.files("spark_impex_runner.schemas").joinpath("overlay.schema.json")

    schema = json.loads(file.read_text(encoding="utf-8"))

    assert schema == overlay(published())
    assert schema["$id"] == "urn:spark-impex-runner:overlay:1"
    assert list(schema["properties"]) == list(published()["properties"])
    jsonschema.Draft202012Validator.check_schema(schema)


def test_only_what_is_merged_may_be_incomplete() -> None:
    """A value that replaces another as a whole is as complete as in a manifest."""
    manifest = compose(make_plugin_manager().registry)

    relaxed = set(strictness(manifest)) - set(strictness(overlay(manifest)))

    assert relaxed == {
        "$.required",
        "$.if.required",
        "$.else.required",
        "$.properties.connections.minProperties",
        "$.properties.targets.minItems",
    }


def test_the_manifests_schema_stays_as_it_was() -> None:
    """Making an overlay's schema changes nothing in the one it is made from."""
    schema = published()

    overlay(schema)

    assert schema == published()


def test_there_are_cases() -> None:
    """A moved folder does not turn the tests below into nothing."""
    assert len(VALID) >= 10
    assert len(INVALID) >= 7


@pytest.mark.parametrize("path", VALID, ids=lambda path: path.stem)
def test_an_overlay_may_say_little_or_all(path: Path) -> None:
    """Overlays, included files and whole manifests fit."""
    assert faults(path, overlay(published())) == []


@pytest.mark.parametrize("path", INVALID, ids=lambda path: path.stem)
def test_a_mistake_in_an_overlay_is_one(path: Path) -> None:
    """Each file in overlay/invalid/ has exactly one mistake."""
    assert len(faults(path, overlay(published()))) == 1


@pytest.mark.parametrize("words", [[], ["--with-plugins"]])
def test_the_command_prints_it(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """``impex schema --overlay`` is the published file; with plugins it knows their options."""
    with pytest.raises(SystemExit) as exit_:
        main.main(["schema", "--overlay", *words])

    assert exit_.value.code == 0
    known = compose(make_plugin_manager().registry) if words else published()
    assert json.loads(capsys.readouterr().out) == overlay(known)
