"""``before: backup`` of the step ``import``: what it changes is exported first, once."""

from __future__ import annotations

import importlib
import json
import shutil
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import pytest
from jsonschema import validate

from spark_impex_runner import Spark
from spark_impex_runner.errors import StepError
from spark_impex_runner.models import Outcome
from spark_impex_runner.report import receipt
from spark_impex_runner.sandbox.tenant.tree import Tenant

if TYPE_CHECKING:
    from pathlib import Path

    from tests.plugins.conftest import World

BACKED_UP = "{uses: import, with: {to: uat, if_present: add_version, before: backup, lock: l.json}}"


def serve_uat(world: World, *faults: str, **settings: Any) -> None:
    """Serve a second tenant that has one of the services."""
    (world.folder / "uat/acme/motor/pricing/1.0.0").mkdir(parents=True)
    world.serve("uat", *faults, **settings)


def exports(world: World) -> int:
    """Return how many exports the second tenant was asked for."""
    requests = world.tenants["uat"].requests
    return sum(each.method == "POST" and each.path.endswith("export") for each in requests)


def locked(world: World) -> dict[str, Any]:
    """Return the backup of the one import in the lock file, which is valid."""
    lock = json.loads((world.folder / "l.json").read_text())
    schema = files("spark_impex_runner.schemas") / "import-lock.schema.json"
    validate(lock, json.loads(schema.read_text()))
    [package] = lock["packages"]
    [done] = package["imports"]
    return dict(done["backup"])


def folder_of(world: World) -> Path:
    """Return the folder of the backup in the lock file."""
    return (world.folder / locked(world)["receipt"]).parent


def test_backup_holds_what_was_there(world: World) -> None:
    """It is a delivery of its own, an artifact of the target, and the lock file names it."""
    serve_uat(world)

    result = world.run(BACKED_UP, "folders: [motor, life]")

    [target] = result.results
    assert target.outcome is Outcome.SUCCEEDED, target.error
    backup = folder_of(world)
    delivered = receipt.read(backup)
    assert receipt.verify(backup) == receipt.verify(target.target.output) == []
    [version] = delivered["service_versions"]
    assert (version["service"], version["version"]) == ("pricing", "1.0.0")
    assert locked(world)["new"] == ["life/annuity"]
    [made] = [each for each in target.artifacts if not each.is_package]
    assert (target.target.output / made.name.rstrip("/"), made.made_by) == (backup, "import")
    assert exports(world) == 1


def test_backup_does_not_rely_on_the_listing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A search may lack a service that exists; it is exported all the same."""
    serve_uat(world)
    monkeypatch.setattr(Spark, "list_services", lambda _: [])

    world.run(BACKED_UP, "folders: [motor, life]")

    assert locked(world)["new"] == ["life/annuity"]
    assert exports(world) == 1


def test_nothing_is_exported_if_all_is_new(world: World) -> None:
    """The lock file says so, for the API exports no service that is not there."""
    result = world.run(BACKED_UP)

    assert result.exit_code == 0, result.results[0].error
    assert locked(world) == {"receipt": None, "sha256": None, "new": ["motor/pricing"]}
    assert exports(world) == 0


def test_failed_backup_imports_nothing(world: World) -> None:
    """The message says which export failed."""
    serve_uat(world, "create@1=invalid")

    result = world.run(BACKED_UP)

    assert result.results[0].outcome is Outcome.FAILED
    assert "the backup of uat failed, so nothing was imported" in result.results[0].error
    assert not world.imports("uat")


def test_refused_import_is_backed_up_again(world: World) -> None:
    """The destination may have changed until the next run, whose backup is another one."""
    serve_uat(world, "import@1=invalid")
    refused = world.run(BACKED_UP)

    done = world.run(BACKED_UP)

    assert (refused.exit_code, done.exit_code) == (4, 0), done.results[0].error
    assert exports(world) == 2
    assert len(list((done.results[0].target.output / "backup").iterdir())) == 2


def end_before_import(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run the manifest up to the end of its backup."""
    module = importlib.import_module("spark_impex_runner.plugins.import_to.backup")
    before_import = module.before_import

    def ended(*args: Any) -> None:
        before_import(*args)
        raise StepError("the run ends here")

    with monkeypatch.context() as patch:
        patch.setattr(module, "before_import", ended)
        assert world.run(BACKED_UP).exit_code == 4


@pytest.mark.parametrize("lost", ["impex-receipt.json", "package.zip", ""])
def test_lost_backup_is_made_again(
    world: World, monkeypatch: pytest.MonkeyPatch, lost: str
) -> None:
    """A run ended before its import, and its backup is not whole when the next one starts."""
    serve_uat(world)
    end_before_import(world, monkeypatch)
    [backup] = world.folder.glob("**/backup/*")
    if lost:
        (backup / lost).unlink()
    else:
        shutil.rmtree(backup)

    done = world.run(BACKED_UP)

    assert done.exit_code == 0, done.results[0].error
    assert receipt.verify(folder_of(world)) == []
    assert exports(world) == 2


@pytest.mark.parametrize("added", ["", "motor/pricing/1.1.0"])
def test_outdated_backup_is_made_again(
    world: World, monkeypatch: pytest.MonkeyPatch, added: str
) -> None:
    """A run ended before its import: its backup counts as long as the tenant has what it holds."""
    serve_uat(world)
    end_before_import(world, monkeypatch)
    if added:
        (world.folder / "uat/acme" / added).mkdir(parents=True)
        tree = Tenant("acme", world.folder / "uat/acme")
        world.tenants["uat"]._tree.put("motor", "pricing", tree.versions("motor", "pricing"))

    done = world.run(BACKED_UP)

    assert done.exit_code == 0, done.results[0].error
    held = {each["version"] for each in receipt.read(folder_of(world))["service_versions"]}
    assert held == ({"1.0.0", "1.1.0"} if added else {"1.0.0"})
    assert exports(world) == (2 if added else 1)


def test_targets_do_not_wait_for_one_another(world: World) -> None:
    """A tenant that takes one job at a time makes the backups of several targets in turn."""
    names = [f"s{number}" for number in range(3)]
    for tenant, version in (("sit", "2.0.0"), ("uat", "1.0.0")):
        for name in names:
            (world.folder / tenant / "acme/motor" / name / version).mkdir(parents=True)
    world.serve_all()
    rest = f"connection: sit, steps: [{BACKED_UP}]"
    path = world.write(
        "".join(f"  - {{name: {n}, services: [motor/{n}], {rest}}}\n" for n in names)
    )

    result = world.go(path)

    assert [each.error for each in result.results] == ["", "", ""]
    assert exports(world) == 3
    lock = json.loads((world.folder / "l.json").read_text())
    receipts = {each["imports"][0]["backup"]["receipt"] for each in lock["packages"]}
    assert len(receipts) == 3


def test_identical_services_need_no_backup(world: World) -> None:
    """They are not changed: only what is sent is exported before."""
    for version in ("motor/pricing/1.0.0", "life/annuity/1.0.0"):
        (world.folder / "uat/acme" / version).mkdir(parents=True)
    world.serve("uat")

    result = world.run(BACKED_UP, "folders: [motor, life]")

    [target] = result.results
    assert target.outcome is Outcome.SUCCEEDED, target.error
    assert "; identical there, not sent: life/annuity[1.0.0]; " in target.steps[-1].message
    [version] = receipt.read(folder_of(world))["service_versions"]
    assert (version["service"], locked(world)["new"]) == ("pricing", [])
    [(entity, _)] = world.sent
    [sent] = entity["inputs"]["services_modify"]
    assert sent["service_uri_source"] == "motor/pricing[1.4.2]"
