"""An approval of an import covers the bytes that waited and what is done with them, once."""

from __future__ import annotations

import json
import re
import shutil
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from spark_impex_runner.errors import UsageError
from spark_impex_runner.masking import Masker
from spark_impex_runner.models import ExportedVersions, Outcome, RunOptions
from spark_impex_runner.planning.approvals import Approvals
from spark_impex_runner.planning.load import load
from spark_impex_runner.spark.imports import Imports

if TYPE_CHECKING:
    from spark_impex_runner.models import RunResult, TargetResult
    from tests.plugins.conftest import World

GATE = "{uses: import, with: {to: prod, gate: manual, if_present: add_version%s}}"
PROD = frozenset({"prod"})


def only(result: RunResult) -> TargetResult:
    """Return the one target of a run."""
    [target] = result.results
    return target


def digest_of(result: RunResult, digits: int = 12) -> str:
    """Return the beginning of the digest that waits."""
    return only(result).digests[0][:digits]


def exports(world: World) -> int:
    """Return how many exports were asked for."""
    return [r.method for r in world.tenants["sit"].requests].count("POST")


def test_held_import_is_approved_once(world: World) -> None:
    """The next run imports the bytes that waited; the one after it exports and holds again."""
    held = world.run(GATE % "")

    done = world.run(GATE % "", approved=PROD)
    world.tenants["prod"]._tree.put("motor", "pricing", ())
    again = world.run(GATE % "", approved=PROD)

    assert [each.exit_code for each in (held, done, again)] == [9, 0, 9]
    assert [sha256 for _, sha256 in world.sent] == list(only(held).digests)
    assert only(done).approved == (f"prod@{only(held).digests[0]}",)
    assert "no earlier run held it" in only(again).error


def test_identical_import_awaits_no_approval(world: World) -> None:
    """Nothing is sent that the destination has; what it does not have is in the line that waits."""
    world.run(GATE % "")
    world.run(GATE % "", approved=PROD)

    same = world.run(GATE % "", fresh=True)
    more = world.run(GATE % "", "folders: [motor, life]")

    assert [each.exit_code for each in (same, more)] == [0, 9]
    assert only(same).steps[-1].message == (
        "package.zip: nothing sent, prod has identical versions of motor/pricing[1.4.2]"
    )
    assert len(world.imports("prod")) == 1
    assert (
        only(more)
        .error.split(" for the import to prod: ")[1]
        .startswith(
            "motor/pricing[1.4.2]: identical: nothing to do (same version id, module, workbook); "
            "life/annuity[1.0.0]: new (1.0.0)"
        )
    )


def test_identical_package_is_locked_with_an_approval(world: World) -> None:
    """Nothing is imported, but the lock lets the package into the next tenant."""
    world.run(GATE % "")
    world.run(GATE % "", approved=PROD)
    lock = world.folder / "l.json"
    to_uat = ", {uses: import, with: {to: uat, lock: ./l.json, only_locked: true}}"

    held = world.run(GATE % ", lock: l.json" + to_uat, fresh=True)
    assert not lock.exists()
    done = world.run(GATE % ", lock: l.json" + to_uat, approved=PROD)

    assert [each.exit_code for each in (held, done)] == [9, 0]
    awaits = " awaits approval to lock it for the import to uat (prod has identical versions of "
    assert awaits in only(held).error
    assert world.holds("uat") == ["motor/pricing[1.4.2]"]
    [package] = json.loads(lock.read_text())["packages"]
    [entry] = package["imports"]
    assert (entry["job_id"], "approval" in entry) == ("", True)
    assert len(world.imports("prod")) == 1


def test_nightly_identical_import_awaits_nothing(world: World) -> None:
    """No step takes the package from the lock file: it is not locked, and its line says so."""
    (world.folder / "prod/acme/motor/pricing/1.4.2").mkdir(parents=True)
    world.serve("prod")
    gated = GATE % ", lock: l.json, four_eyes: true"

    done = world.run(gated)

    assert done.exit_code == 0, only(done).error
    assert only(done).steps[0].message == (
        "package.zip: nothing sent, prod has identical versions of motor/pricing[1.4.2]; not "
        "locked, as that would need an approval"
    )
    assert not (world.folder / "l.json").exists()
    assert not world.sent


def test_sandbox_folder_identifies_tenant(world: World) -> None:
    """An approval covers a sandbox that starts anew with each run, but no other folder's."""
    for name in ("sit", "uat", "prod"):
        number = "1.4.2" if name == "sit" else "1.4.1"
        (world.folder / name / "motor/pricing" / number).mkdir(parents=True)
    places = "\n".join(f"  {name}: {{sandbox: {name}}}" for name in ("sit", "uat", "prod"))
    path = world.folder / "m.yaml"
    steps = f"steps: [{GATE % ''}]"
    text = f"version: 1\nconnections:\n{places}\ntargets:\n"
    text += f"  - {{name: motor, connection: sit, services: [motor/pricing], {steps}}}\n"
    path.write_text(text)
    held = world.go(path)
    path.write_text(text.replace("sandbox: prod", "sandbox: uat"))
    elsewhere = world.go(path, approved=PROD)
    path.write_text(text)

    done = [world.go(path, approved=PROD), world.go(path, approved=PROD)]

    assert [each.exit_code for each in (held, elsewhere, *done)] == [9, 9, 9, 0]
    assert "packages.package.zip.tenant: sandbox:" in only(elsewhere).error
    assert only(done[-1]).approved == (f"prod@{only(held).digests[0]}",)


def test_unlisted_destination_is_held_and_imported(world: World) -> None:
    """The line says that nothing is known of it, and why; only the tenant decides."""
    world.serve("prod", "exists@*=403")

    held = world.run(GATE % "")
    done = world.run(GATE % "", approved=PROD)

    assert (held.exit_code, done.exit_code) == (9, 0)
    assert "import to prod: motor/pricing[1.4.2]: unknown: GET api/v3/folders/" in only(held).error
    assert "HTTP 403" in only(held).error
    assert world.holds("prod") == ["motor/pricing[1.4.2]"]


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (", if_present: replace", "options.if_present: add_version -> replace"),
        (", services: [{source: motor/pricing, target: life/x}]", "motor/pricing -> life/x"),
        (
            ", services: [{source: motor/pricing, upgrade: major}]",
            "packages.package.zip.does.mapping[0].upgrade: absent -> major",
        ),
        (", source_system: other", "options.source_system: absent -> other"),
        (", lock: l.json", "options.lock: absent -> l.json"),
        (", deadline: 1h", "options.deadline: absent -> 1h"),
    ],
)
def test_changed_work_is_held_again(world: World, options: str, text: str) -> None:
    """Another mapping or option than the one that was held is named, and nothing is imported."""
    steps = (GATE % options).replace("if_present: add_version, if_present", "if_present")
    held = world.run(GATE % "")

    changed = world.run(steps, approved=PROD)

    assert (held.exit_code, changed.exit_code, world.imports("prod")) == (9, 9, [])
    assert f"changed since run {held.run_id} held it: " in only(changed).error
    assert text in only(changed).error
    assert exports(world) == 1


def test_next_run_approves_changed_work(world: World) -> None:
    """What was held again can be approved as it is now, and the older work no more."""
    world.run(GATE % "")
    world.run(GATE % ", source_system: other")

    old = world.run(GATE % "", approved=PROD)
    world.run(GATE % ", source_system: other")
    new = world.run(GATE % ", source_system: other", approved=PROD)

    assert (old.exit_code, new.exit_code, exports(world)) == (9, 0, 1)
    assert [entity["source_system"] for entity, _ in world.sent] == ["other"]


@pytest.mark.parametrize("given", ["prod", "prod@%s"])
def test_changed_tenant_is_held(world: World, given: str) -> None:
    """A connection that leads elsewhere than before is named with both tenants."""
    held = world.run(GATE % "")
    world.aliases = {"prod": "uat", "uat": "prod"}

    swapped = world.run(GATE % "", approved=frozenset({given.replace("%s", digest_of(held))}))

    assert swapped.exit_code == 9
    prod, uat = (world.tenants[name].base_url for name in ("prod", "uat"))
    assert f"tenant: {prod} -> {uat}" in only(swapped).error
    assert not world.imports("prod") + world.imports("uat")


def test_removed_gate_needs_approval(world: World) -> None:
    """While an import waits it is not done without its gate; given up, it may be done so."""
    world.run(GATE % "")
    open_gate = (GATE % "").replace("gate: manual, ", "")

    plain = world.run(open_gate)
    approved = world.run(open_gate, approved=PROD)
    fresh = world.run(open_gate, fresh=True)

    assert [each.exit_code for each in (plain, approved, fresh)] == [9, 9, 0]
    assert "options.gate: manual -> none" in only(plain).error
    assert exports(world) == 2


def test_gate_of_older_state_stays(world: World) -> None:
    """What an earlier version held, without a record, is not done without its gate either."""
    world.run(GATE % "")
    with closing(sqlite3.connect(world.folder / ".impex/state.db")) as link, link:
        link.execute("DELETE FROM holds")
    open_gate = (GATE % "").replace("gate: manual, ", "")

    plain = world.run(open_gate)
    held = world.run(GATE % "")
    done = world.run(GATE % "", approved=PROD)

    assert [each.exit_code for each in (plain, held, done)] == [9, 9, 0]
    assert "options.gate: manual -> none" in only(plain).error
    assert len(world.imports("prod")) == 1


def test_finished_import_counts_per_tenant(world: World) -> None:
    """A connection that leads elsewhere after the import was done has a gate of its own."""
    failing = "{uses: unzip, with: {max_files: 1}}"
    world.run(f"{GATE % ''}, {failing}")
    world.run(f"{GATE % ''}, {failing}", approved=PROD)
    world.aliases = {"prod": "uat", "uat": "prod"}

    moved = world.run(f"{GATE % ''}, {failing}", approved=PROD)

    assert (moved.exit_code, only(moved).approve) == (9, "prod")
    assert [len(world.imports(name)) for name in ("prod", "uat")] == [1, 0]


def test_step_to_other_connection_is_held(world: World) -> None:
    """An approval for one connection is none for another, even where both wait one by one."""
    world.run(GATE % "")

    other = world.run((GATE % "").replace("prod", "uat"), approved=frozenset({"uat"}))

    assert (other.exit_code, other.results[0].approve) == (9, "uat")
    assert "to: prod -> uat" in only(other).error
    assert not world.imports("uat")


@pytest.mark.parametrize("lost", ["state", "other state", "fresh", "output"])
def test_unheld_import_is_held_first(world: World, lost: str) -> None:
    """Without the record of a hold an approval by name approves nothing."""
    world.run(GATE % "")
    more: dict[str, Any] = {"approved": PROD}
    if lost == "state":
        shutil.rmtree(world.folder / ".impex")
    elif lost == "other state":
        more["state"] = world.folder / "elsewhere"
    elif lost == "fresh":
        more["fresh"] = True
    else:
        more["output"] = world.folder / "elsewhere"

    first = world.run(GATE % "", **more)

    assert (first.exit_code, world.imports("prod"), exports(world)) == (9, [], 2)


def test_removed_output_imports_same_bytes(world: World) -> None:
    """After the release was imported, approving again without its files exports and holds."""
    world.run(GATE % "")
    done = world.run(GATE % "", approved=PROD)
    shutil.rmtree(only(done).target.output)
    world.tenants["prod"]._tree.put("motor", "pricing", ())

    again = world.run(GATE % "", approved=PROD)

    assert (done.exit_code, again.exit_code, len(world.imports("prod"))) == (0, 9, 1)


@pytest.mark.parametrize("way", ["overlay", "variable", "environment"])
def test_overlays_and_variables_are_held_again(world: World, way: str) -> None:
    """Whatever changes the step, its work is not the one that was held."""
    world.serve_all()
    world.monkeypatch.setenv("GOAL", "motor")
    mapped = GATE % ", services: [{source: motor/pricing, target: '${var:goal}/${env:GOAL}'}]"
    target = f"  - {{name: motor, connection: sit, services: [motor/pricing], steps: [{mapped}]}}\n"
    path = world.write(target, "vars: {goal: motor}\n")
    world.go(path)
    more: dict[str, Any] = {"approved": PROD}
    if way == "overlay":
        overlay = world.folder / "o.yaml"
        overlay.write_text("name: release\nvars: {goal: life}\n")
        more["overlays"] = (overlay,)
    elif way == "variable":
        more["variables"] = {"goal": "life"}
    else:
        world.monkeypatch.setenv("GOAL", "other")

    changed = world.go(path, **more)

    assert (changed.exit_code, world.imports("prod")) == (9, [])
    assert re.search(r"mapping\[0\].target: motor/motor -> (life|motor)/", only(changed).error)


def test_changed_packages_are_held_again(world: World) -> None:
    """Bytes that differ at the gate are named by both digests."""
    world.run(f"{{uses: checksum}}, {GATE % ''}")

    changed = world.run(f"{{uses: tamper}}, {GATE % ''}", approved=PROD)

    assert (changed.exit_code, world.imports("prod")) == (9, [])
    assert "packages.package.zip.sha256: " in only(changed).error


@pytest.mark.parametrize("swap", ["bytes", "link", "missing"])
def test_swapped_packages_stay_held(world: World, swap: str) -> None:
    """Other bytes in the output than those that wait are named by both digests."""
    held = only(world.run(GATE % ""))
    package = held.artifacts[0].path
    content = package.read_bytes()
    other = world.folder / "other.zip"
    other.write_bytes(content[:-1] + b"!")
    package.unlink()
    if swap == "bytes":
        package.write_bytes(other.read_bytes())
    elif swap == "link":
        package.symlink_to(other)

    swapped = world.run(GATE % "", approved=PROD)
    package.unlink(missing_ok=True)
    package.write_bytes(content)
    restored = world.run(GATE % "", approved=PROD)

    assert (swapped.exit_code, restored.exit_code, exports(world)) == (9, 0, 1)
    assert f"package.zip: sha256 {held.digests[0]} -> " in only(swapped).error
    assert [sha256 for _, sha256 in world.sent] == list(held.digests)


def test_swapped_bytes_are_not_imported(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is sent is hashed while it is sent: other bytes end the upload before its last piece."""
    held = only(world.run(GATE % ""))
    package = held.artifacts[0].path
    content = package.read_bytes()
    initiate = Imports.initiate

    def swapping(self: Imports, *arguments: Any, **options: Any) -> Any:
        package.write_bytes(content[:-1] + b"!")
        return initiate(self, *arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(Imports, "initiate", swapping)
        swapped = world.run(GATE % "", approved=PROD)
    package.write_bytes(content)
    restored = world.run(GATE % "", approved=PROD)

    assert (swapped.exit_code, restored.exit_code) == (4, 0)
    assert "the file has changed: its sha256 is " in only(swapped).error
    assert world.holds("prod") == ["motor/pricing[1.4.2]"]


# ---- digests ----


def moved(world: World) -> None:
    """Be on a second machine: the delivered folder and the manifest, without the state."""
    shutil.rmtree(world.folder / ".impex")


def test_second_machine_imports_delivered_bytes(world: World) -> None:
    """A digest approves them without the state; steps that the receipt lists are not repeated."""
    steps = "{uses: import, with: {to: uat}}, {uses: checksum}, " + GATE % ""
    held = world.run(steps)
    moved(world)

    done = world.run(steps, approved=frozenset({f"prod@{digest_of(held).upper()}"}))

    assert (held.exit_code, done.exit_code, exports(world)) == (9, 0, 1)
    assert [len(world.imports(name)) for name in ("uat", "prod")] == [1, 1]
    assert world.sent[-1][1] == only(held).digests[0]
    assert [step.outcome for step in only(done).steps] == ["succeeded"] * 3
    receipt = json.loads((only(done).target.output / "impex-receipt.json").read_text())
    assert (receipt["outcome"], receipt["job_id"]) == ("succeeded", only(held).job_id)


def test_third_machine_imports_nothing(world: World) -> None:
    """The receipt of the finished import is enough to know that it was done."""
    held = world.run(GATE % "")
    moved(world)
    given = frozenset({f"prod@{digest_of(held)}"})
    world.run(GATE % "", approved=given)
    moved(world)

    again = world.run(GATE % "", approved=given)

    assert (again.exit_code, len(world.imports("prod")), exports(world)) == (0, 1, 1)


@pytest.mark.parametrize("folder", ["other digest", "no receipt", "swapped", "torn receipt"])
def test_digest_without_package_does_nothing(world: World, folder: str) -> None:
    """Where the delivered folder does not hold them, nothing is exported and nothing imported."""
    held = world.run(GATE % "")
    output, given = only(held).target.output, f"prod@{digest_of(held)}"
    moved(world)
    if folder == "other digest":
        given = "prod@0123456789ab"
    elif folder == "no receipt":
        (output / "impex-receipt.json").unlink()
    elif folder == "swapped":
        (output / "package.zip").write_bytes(b"other")
    else:
        receipt = json.loads((output / "impex-receipt.json").read_text())
        receipt["artifacts"][0]["name"] = "../package.zip"
        (output / "impex-receipt.json").write_text(json.dumps(receipt))

    result = world.run(GATE % "", approved=frozenset({given}))

    assert (only(result).outcome, exports(world), world.imports("prod")) == (Outcome.FAILED, 1, [])
    assert "nothing was exported or imported" in only(result).error


def test_digest_does_not_cover_changes(world: World) -> None:
    """Where the state knows what waits, the digest of the bytes alone approves nothing else."""
    held = world.run(GATE % "")

    changed = world.run(
        GATE % ", source_system: x", approved=frozenset({f"prod@{digest_of(held)}"})
    )

    assert (changed.exit_code, world.imports("prod")) == (9, [])
    assert "options.source_system: absent -> x" in only(changed).error


def test_every_package_needs_its_digest(world: World) -> None:
    """Of two packages that wait, the digest of one approves neither."""
    world.serve("sit", size_limit=6000)
    folders = "folders: [motor, life]"
    held = world.run(GATE % "", folders)
    one, two = (f"prod@{each[:12]}" for each in only(held).digests)

    half = world.run(GATE % "", folders, approved=frozenset({one}))
    both = world.run(GATE % "", folders, approved=frozenset({one, two}))

    assert (half.exit_code, both.exit_code) == (9, 0)
    assert "the given digests do not cover every package that waits" in only(half).error
    assert len(world.imports("prod")) == 2


def test_digest_finds_earlier_output(world: World) -> None:
    """The packages that it names are imported from the folder in which they wait."""
    dated = "services: [motor/pricing], output: 'out-${run.id}'"
    held = world.run(GATE % "", dated)

    done = world.run(GATE % "", dated, approved=frozenset({f"prod@{digest_of(held)}"}))

    assert (done.exit_code, exports(world)) == (0, 1)
    assert only(done).target.output == only(held).target.output


# ---- the next release ----

RELEASES = "services: [motor/pricing], output: 'releases/%s'"


def test_the_next_release_replaces_the_held_one(world: World) -> None:
    """It is exported without --fresh, one line says so, and the older can still be approved."""
    first = world.run(GATE % "", RELEASES % 1)

    second = world.run(GATE % "", RELEASES % 2)
    wrong = world.run(GATE % "", RELEASES % 2, approved=frozenset({f"prod@{digest_of(first)}"}))
    older = world.run(GATE % "", RELEASES % 1, approved=frozenset({f"prod@{digest_of(first)}"}))

    assert [each.exit_code for each in (first, second, wrong, older)] == [9, 9, 9, 0]
    [warning] = only(second).warnings
    assert "replaced by an export to " in warning
    assert warning.endswith("its packages no longer wait for --approve prod")
    assert exports(world) == 2


# ---- several targets and connections ----

TWO = """\
  - {{name: a, connection: sit, services: [motor/pricing], steps: [{gate}]}}
  - {{name: b, connection: sit, folders: [life], needs: [a], steps: [{gate}]}}
"""


def test_approval_is_per_target(world: World) -> None:
    """An approval of one target's packages leaves those of another waiting."""
    world.serve_all()
    path = world.write((TWO.format(gate=GATE % "")).replace("needs: [a], ", ""))
    held = world.go(path)
    [digest] = held.results[0].digests

    one = world.go(path, approved=frozenset({f"prod@{digest[:12]}"}))

    assert [each.outcome.value for each in held.results] == ["held", "held"]
    assert [each.outcome.value for each in one.results] == ["succeeded", "held"]
    assert len(world.imports("prod")) == 1


def test_approval_repeats_no_needed_target(world: World) -> None:
    """What a held target needs was delivered before it, and is not exported again."""
    world.serve_all()
    gated = TWO.format(gate=GATE % "").replace(f"services: [motor/pricing], steps: [{GATE % ''}]",
                                               "services: [motor/pricing]")  # fmt: skip
    path = world.write(gated)
    held = world.go(path)

    done = world.go(path, targets=("b",), approved=PROD)

    assert [each.outcome.value for each in held.results] == ["succeeded", "held"]
    assert [each.target.name for each in done.results] == ["b"]
    assert (done.exit_code, exports(world)) == (0, 2)


def test_connections_are_approved_separately(world: World) -> None:
    """A gate that is first reached in the approving run is held, whatever that run approves."""
    both = f"{(GATE % '').replace('prod', 'uat')}, {GATE % ''}"
    world.run(both)

    first = world.run(both, approved=frozenset({"uat", "prod"}))
    second = world.run(both, approved=PROD)

    assert (first.exit_code, only(first).approve, second.exit_code) == (9, "prod", 0)
    assert "no earlier run held it" in only(first).error
    assert [len(world.imports(name)) for name in ("uat", "prod")] == [1, 1]


def test_started_import_is_resumed(world: World) -> None:
    """One whose reply was lost is found by the plain command, and is not sent again."""
    world.serve("prod", "import@1=swallow", "imports@1-6=503")
    world.run(GATE % "")
    lost = world.run(GATE % "", approved=PROD)

    found = world.run(GATE % "")

    assert (lost.exit_code, found.exit_code, len(world.imports("prod"))) == (4, 0, 1)


def test_unused_approval_is_needed_again(world: World) -> None:
    """An import that certainly never began waits, and only a new approval sends it."""
    world.serve("prod", "import@1=reset")
    world.run(GATE % "")
    failed = world.run(GATE % "", approved=PROD)

    plain = world.run(GATE % "")
    done = world.run(GATE % "", approved=PROD)

    assert [each.exit_code for each in (failed, plain, done)] == [4, 9, 0]
    assert world.holds("prod") == ["motor/pricing[1.4.2]"]


def test_package_without_manifest_is_approved(world: World) -> None:
    """What the tenant said of it when it was held counts when it is approved, too."""
    world.monkeypatch.setattr(
        "spark_impex_runner.tools.read_exported", lambda _package: ExportedVersions()
    )
    held = world.run(GATE % "")

    done = world.run(GATE % "", approved=PROD)

    assert (held.exit_code, done.exit_code) == (9, 0)


# ---- what is no approval ----


def test_ambiguous_digest_is_refused() -> None:
    """Digits that two different packages begin with name neither; the same bytes twice are one."""
    approvals = Approvals.of(["prod@" + "a" * 12])
    one, two = ({"to": "prod", "sha256": "a" * 63 + end} for end in "ab")

    assert approvals.uncovered({"p": one, "q": two}) == ["p", "q"]
    assert approvals.uncovered({"p": one, "q": one}) == []
    assert approvals.uncovered({"p": {**one, "to": "uat"}}) == ["p"]


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ("prod@0123456789a", "give 12 to 64 hexadecimal digits"),
        ("prod@", "give 12 to 64 hexadecimal digits"),
        ("prod@0123456789az", "give 12 to 64 hexadecimal digits"),
        ("prod@" + "0" * 65, "give 12 to 64 hexadecimal digits"),
        ("prdo", "names no connection of .*did you mean 'prod'.*waiting: motor for prod"),
        ("pr*", "names no connection of .*waiting: motor for prod"),
        ("*@0123456789ab", "names no connection of "),
        ("", "names no connection of "),
        ("uat", "no step of the chosen targets can wait for uat; waiting: motor for prod"),
        ("sit", "no step of the chosen targets can wait for sit; waiting: motor for prod"),
    ],
)
def test_invalid_approval_is_refused(world: World, given: str, text: str) -> None:
    """Nothing is sent, and what waits is listed with its digest."""
    world.run(GATE % "")
    path = world.folder / "release.yaml"
    before = exports(world)

    with pytest.raises(UsageError, match=text):
        load(path, RunOptions(approved=frozenset({given})), world.clock, Masker())

    assert exports(world) == before


def test_unused_approval_warns(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """A target that is kept as it is waits for nothing: the run says so."""
    kept = "services: [motor/pricing], if_exists: keep"
    world.run(GATE % "", kept)
    world.run(GATE % "", kept, approved=PROD)

    idle = world.run(GATE % "", kept, approved=PROD)

    assert only(idle).outcome is Outcome.UNCHANGED
    assert "--approve prod had no effect: no target waits for prod" in caplog.text
