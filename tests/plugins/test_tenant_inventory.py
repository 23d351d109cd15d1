"""The step tenant_inventory: what it saves, what it leaves out, and what it says is missing."""

from __future__ import annotations

import importlib
import json
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from spark_impex_runner.engine.run import run_manifest
from spark_impex_runner.models import RECEIPT, RunOptions, RunResult
from spark_impex_runner.report import receipt
from spark_impex_runner.sandbox.faults import parse_fault
from spark_impex_runner.sandbox.server import Sandbox, Settings

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Inventory = Callable[..., RunResult]

inventories = importlib.import_module("spark_impex_runner.plugins.tenant_inventory.inventory")
FILES = ("tenant-folders.json", "tenant-transforms.json")
ROUTE = {"transform_type": "JSONtransforms_v1.0.1", "input_body_transform": "$"}
MANIFEST = """version: 1
connections: {sit: {base_url: "${env:SIT_URL}", auth: {token: "${env:SIT}"}}}
targets:
  - name: motor
    services: ["motor/*"]
    output: out
    steps: [{uses: tenant_inventory, with: %s}]
"""


@pytest.fixture
def inventory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Inventory:
    """Run the step on a tenant of three folders; settings are those of the sandbox."""
    for folder in ("motor", "life", "rest"):
        (tmp_path / "sit" / folder / "pricing/1.0.0").mkdir(parents=True)
    about: dict[str, Any] = {
        "category": "Motor",
        "description": "Cars",
        "transforms": {"route": ROUTE},
    }
    (tmp_path / "sit/motor/folder.json").write_text(json.dumps(about))
    (tmp_path / "m.yaml").write_text(MANIFEST % "{}")

    def run(
        options: str = "{}", *, faults: tuple[str, ...] = (), leak: bool = False, **settings: Any
    ) -> RunResult:
        (tmp_path / "m.yaml").write_text(MANIFEST % options)
        scripted = tuple(map(parse_fault, faults))
        with Sandbox(tmp_path / "sit", Settings(faults=scripted, **settings)) as sandbox:
            monkeypatch.setenv("SIT_URL", sandbox.base_url)
            monkeypatch.setenv("SIT", sandbox.token)
            if leak:
                document = {**ROUTE, "input_body_transform": [f"Bearer {sandbox.token}"]}
                about.update(description=sandbox.token, transforms={"route": document})
                sandbox._tree._about["motor"] = about
            return run_manifest(tmp_path / "m.yaml", RunOptions(fresh=True))

    return run


def saved(tmp_path: Path) -> tuple[Any, Any]:
    """Return what the two files hold."""
    folders, transforms = (json.loads((tmp_path / "out" / name).read_bytes()) for name in FILES)
    return folders, transforms


@pytest.mark.parametrize("form", ["content", "document"])
def test_folders_and_transforms_are_saved(inventory: Inventory, tmp_path: Path, form: str) -> None:
    """Those of the exported services alone, beside the package, and listed in the receipt."""
    result = inventory(transforms=form)

    folders, transforms = saved(tmp_path)
    assert list(folders) == ["motor"]
    assert (folders["motor"]["category"], folders["motor"]["description"]) == ("Motor", "Cars")
    assert transforms == {"motor": {"route": ROUTE}}
    [step] = result.results[0].steps
    assert step.message == "1 folder, 1 transform document saved"
    listed = json.loads((tmp_path / "out" / RECEIPT).read_bytes())["artifacts"]
    assert {*FILES} < {each["name"] for each in listed}
    assert receipt.verify(tmp_path / "out") == []


def test_patterns_choose_folders(inventory: Inventory, tmp_path: Path) -> None:
    """Also folders whose services the target does not export."""
    inventory("{folders: [motor, l*]}")

    assert [list(each) for each in saved(tmp_path)] == [["life", "motor"]] * 2


def test_files_do_not_change_by_themselves(inventory: Inventory, tmp_path: Path) -> None:
    """Two runs write the same bytes, without ids, counts and links."""
    texts = []
    for _ in range(2):
        inventory('{folders: ["*"]}')
        texts.append([(tmp_path / "out" / name).read_text() for name in FILES])

    assert texts[0] == texts[1]
    for word in ("totalServiceCount", "coverImagePath", "lastModified", "isStarred", "updatedAt"):
        assert word not in "".join(texts[0])


@pytest.mark.parametrize(
    ("settings", "why", "kept"),
    [
        ({"transforms": "none"}, "transforms of motor: ", "category"),
        ({"transforms": "other"}, "transforms of motor: ", "category"),
        ({"faults": ("transforms@*=403",)}, "transforms of motor: ", "category"),
        ({"faults": ("transform@*=404",)}, "transform motor/route: ", "category"),
        ({"faults": ("transform@*=html",)}, "transform motor/route: ", "category"),
        ({"faults": ("folders@*=403",)}, "folders' properties: ", "transform_type"),
        ({"faults": ("folders@*=text",)}, "folders' properties: ", "transform_type"),
    ],
)
def test_what_cannot_be_saved_is_said(
    inventory: Inventory, tmp_path: Path, settings: dict[str, Any], why: str, kept: str
) -> None:
    """The step succeeds with one line, and saves the rest."""
    warned = inventory(**settings)

    [step] = warned.results[0].steps
    assert warned.exit_code == 0
    assert f"; not saved: {why}" in step.message
    assert "\n" not in step.message
    assert kept in "".join((tmp_path / "out" / name).read_text() for name in FILES)


def test_what_cannot_be_saved_fails_if_wanted(inventory: Inventory) -> None:
    """With ``missing: fail`` the target fails by the same words."""
    failed = inventory("{missing: fail}", faults=("transforms@*=403",))

    assert failed.exit_code == 4
    assert "step tenant_inventory: not saved: transforms of motor: " in failed.results[0].error


def test_unlisted_folder_is_said() -> None:
    """A folder that was exported and is not listed has no properties."""
    spark = SimpleNamespace(list_folders=lambda: [{"name": "life", "category": "Life", "id": 1}])
    found = inventories.Inventory()

    found._read_folders(spark, ["motor", "life"])

    assert found.folders == {"life": {"category": "Life"}}
    assert found.missing == ["properties of motor: the tenant lists no such folder"]


def test_brackets_in_a_name_are_no_pattern() -> None:
    """A folder that is listed by this name is meant, and no other."""
    rows = [{"name": "a[b]", "category": "Yes"}, {"name": "ab", "category": "No"}]
    found = inventories.Inventory()

    found._read_folders(SimpleNamespace(list_folders=lambda: rows), ["a[b]"])

    assert (found.folders, found.missing) == ({"a[b]": {"category": "Yes"}}, [])


@pytest.mark.parametrize("pattern", ["motro", "motro*"])
def test_pattern_without_folders_is_said(inventory: Inventory, pattern: str) -> None:
    """A misspelt one must not look like a whole inventory."""
    failed = inventory(f"{{folders: ['{pattern}'], missing: fail}}")

    assert failed.exit_code == 4
    message = f"not saved: properties of {pattern}: the tenant lists no such folder"
    assert message in failed.results[0].error


def test_named_folders_need_no_listing(inventory: Inventory, tmp_path: Path) -> None:
    """Their transform documents are read without it."""
    inventory("{folders: [motor]}", faults=("folders@*=403",))

    assert saved(tmp_path) == ({}, {"motor": {"route": ROUTE}})


def test_secrets_are_masked(inventory: Inventory, tmp_path: Path) -> None:
    """A document that repeats a secret of the run is saved without it."""
    inventory(leak=True)

    folders, transforms = saved(tmp_path)
    assert folders["motor"]["description"] == "***"
    assert transforms["motor"]["route"]["input_body_transform"] == ["Bearer ***"]
