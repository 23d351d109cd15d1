"""The step ``import``: a package goes on to another tenant, once, whatever happens on the way."""

from __future__ import annotations

import importlib
import json
import re
import signal
from dataclasses import replace
from datetime import timedelta
from importlib.resources import files
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from jsonschema import validate

from spark_impex_runner.errors import ManifestError, StepError
from spark_impex_runner.models import Artifact, Outcome, ServiceVersion, Step
from spark_impex_runner.sandbox import faults
from spark_impex_runner.sandbox.faults import parse_fault
from spark_impex_runner.sandbox.tenant import placement
from spark_impex_runner.spark.imports import Imports

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from spark_impex_runner.models import RunResult, StepResult, TargetResult
    from tests.plugins.conftest import World


def target_of(result: RunResult) -> TargetResult:
    """Return the one target of a run."""
    [target] = result.results
    return target


def last(result: RunResult) -> StepResult:
    """Return the last step of the one target."""
    return target_of(result).steps[-1]


UAT = "{uses: import, with: {to: uat%s}}"


def test_package_is_imported_with_results(world: World) -> None:
    """The services really are there, and receipt and report say what became of each."""
    result = world.run(UAT % "")

    assert (result.exit_code, world.holds("uat")) == (0, ["motor/pricing[1.4.2]"])
    assert last(result).message.startswith("package.zip: imported to uat by job ")
    assert last(result).message.endswith(": motor/pricing[1.4.2] added")
    receipt = json.loads((target_of(result).target.output / "impex-receipt.json").read_text())
    assert receipt["steps"][0]["message"] == last(result).message
    [(sent, sha256)] = world.sent
    assert sha256 == target_of(result).artifacts[0].sha256
    assert sent["inputs"]["services_modify"] == [
        {
            "service_uri_source": "motor/pricing[1.4.2]",
            "service_uri_destination": "motor/pricing",
            "update_version_type": "minor",
        }
    ]
    assert sent["services_existing"] == "abort"


def test_one_mapping_covers_all_versions(world: World) -> None:
    """Two of one service are named by the service alone, which means all that came."""
    result = world.run(UAT % "", "folders: [motor, life], version_filter: all")

    assert world.holds("uat") == [
        "life/annuity[1.0.0]",
        "motor/pricing[1.4.1]",
        "motor/pricing[1.4.2]",
    ]
    sources = [each["service_uri_source"] for each in world.sent[0][0]["inputs"]["services_modify"]]
    assert sorted(sources) == ["life/annuity[1.0.0]", "motor/pricing"]
    assert "life/annuity[1.0.0] added" in last(result).message


def test_mappings_rename_services(world: World) -> None:
    """Another folder and name; versions count on from what is there, by the upgrade."""
    world.serve("uat")
    world.run(UAT % "", "services: ['motor/pricing[1.4.1]']")
    moved = "{source: 'motor/pricing[1.4]', target: motor/pricing, upgrade: major}"
    services = f", if_present: add_version, source_system: train, services: [{moved}, life/annuity]"

    result = world.run(UAT % services, "folders: [motor, life]")

    assert world.holds("uat") == [
        "life/annuity[1.0.0]",
        "motor/pricing[1.4.1]",
        "motor/pricing[2.0.0]",
    ]
    assert "motor/pricing[1.4.2] added as motor/pricing[2.0.0]" in last(result).message
    assert world.sent[1][0]["source_system"] == "train"


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (
            ", services: [motor/claims]",
            r"motor/claims is not in the package, which holds motor/pricing\[1.4.2\]",
        ),
        (", services: ['motor/pricing[1.4.1]']", r"motor/pricing\[1.4.1\] is not in the package"),
        (", max_size: 10", "package.zip has .* bytes, more than max_size \\(10\\)"),
        (
            ", lock: l.json, only_locked: true",
            "package.zip is not in .*l.json: sha256 [0-9a-f]{64} is not locked",
        ),
        (", lock: bad.json", "bad.json is not a lock file of version 1"),
        (", lock: bad.json, only_locked: true", "bad.json is not a lock file of version 1"),
    ],
)
def test_invalid_import_is_refused_early(world: World, options: str, text: str) -> None:
    """Even before an approval is asked for."""
    (world.folder / "bad.json").write_text('{"version": 2, "packages": []}')

    result = world.run(UAT % f", gate: manual{options}")

    assert target_of(result).outcome is Outcome.FAILED
    assert re.search(text, target_of(result).error)
    assert not world.imports("uat")


@pytest.mark.parametrize(
    ("setup", "options", "text"),
    [
        ({"size_limit": 100}, "", "EXCEEDED_FILE_SIZE"),
        ({}, ", services: [{source: motor/pricing, target: nowhere/pricing}]", "FOLDER_NOT_FOUND"),
        ({"faults": ["import@1=invalid"]}, "", "invalid_input|refused|HTTP 500"),
    ],
)
def test_refusal_has_tenants_message(
    world: World, setup: dict[str, Any], options: str, text: str
) -> None:
    """It is sent once, and the next run may try again."""
    faults = setup.pop("faults", [])
    world.serve("uat", *faults, **setup)

    result = world.run(UAT % options)

    assert target_of(result).outcome is Outcome.FAILED
    assert re.search(text, target_of(result).error)
    assert len(world.imports("uat")) == 1
    assert not [r for r in world.tenants["uat"].requests if r.path.endswith("/status")]
    # However much later: of a refused import it is known that it never began.
    world.clock.wait(7200)
    world.run(UAT % options)
    assert len(world.imports("uat")) == 2


def test_existing_service_fails_import(world: World) -> None:
    """To abort is the default, as the API's: the job's own error is told, and nothing changes."""
    world.run(UAT % "", "services: ['motor/pricing[1.4.1]']")

    again = world.run(UAT % "")

    assert "ended as 'closed': SERVICE_ALREADY_EXISTS" in target_of(again).error
    assert target_of(again).outcome is Outcome.FAILED
    replaced = world.run(UAT % ", if_present: replace")
    assert last(replaced).message.endswith(": motor/pricing[1.4.2] added")


def test_package_is_imported_once(world: World) -> None:
    """A later step fails, its options change, the run is repeated: nothing is sent again."""
    first = world.run(UAT % "" + ", {uses: unzip, with: {max_files: 1}}")
    uploaded = len(world.imports("uat"))
    world.tenants["uat"].requests.clear()
    again = world.run("{uses: checksum}, " + UAT % ", if_present: replace")

    assert (first.exit_code, uploaded, again.exit_code) == (4, 1, 0)
    assert not world.tenants["uat"].requests
    assert re.search(
        "already imported to uat by job .* at 2026-01-02T12:.*, not sent again",
        last(again).message,
    )


def test_other_mapping_is_other_import(world: World) -> None:
    """So is another tenant."""
    moved = UAT % ", services: [{source: motor/pricing, target: life/pricing}]"
    result = world.run(", ".join([UAT % "", moved, "{uses: import, with: {to: prod}}"]))

    assert result.exit_code == 0
    assert world.holds("uat") == ["life/pricing[1.4.2]", "motor/pricing[1.4.2]"]
    assert world.holds("prod") == ["motor/pricing[1.4.2]"]


# ---- the wait ----


def test_wait_survives_transient_faults(world: World) -> None:
    """Looks that fail, lists that are null and strange words end nothing."""
    faults = ("imported@1=503", "imported@2=reset", "imported@3=html", "imported@4=word:archiving")
    uat = world.serve("uat", *faults, "imported@5=null-lists", job_seconds=20)

    result = world.run(UAT % ", interval: 2s")

    assert (result.exit_code, len(uat.faults.hits)) == (0, 5)
    assert len(world.imports("uat")) == 1


def test_permanent_refusal_is_not_retried(world: World) -> None:
    """A permanent error of the tenant ends the wait long before its deadline."""
    uat = world.serve("uat", "imported@1-=invalid", job_seconds=20)

    result = world.run(UAT % "")

    assert target_of(result).outcome is Outcome.FAILED
    assert "scripted permanent error" in target_of(result).error
    assert uat.faults.hits.total() == 1


def test_import_past_deadline_is_resumed(world: World) -> None:
    """It is told as one, and the same command finds the job by its id."""
    world.serve("uat", job_seconds=600)

    first = world.run(UAT % ", deadline: 5m")
    second = world.run(UAT % ", deadline: 6m")

    assert (target_of(first).outcome, first.exit_code) == (Outcome.TIMED_OUT, 5)
    assert target_of(first).error.endswith("; it may still run: the same command resumes it")
    assert second.exit_code == 0
    assert len(world.imports("uat")) == 1


def test_interrupted_import_is_resumed(world: World) -> None:
    """SIGTERM ends it at once; the import runs on, and is waited for by the next run."""
    world.serve("uat", job_seconds=60)
    world.clock.at_wait = lambda now: now > 30 and world.clock.stop(signal.SIGTERM)

    first = world.run(UAT % "")
    world.clock.restart()
    second = world.run(UAT % "")

    assert (first.exit_code, second.exit_code) == (143, 0)
    assert len(world.imports("uat")) == 1


def test_busy_tenant_is_retried(world: World) -> None:
    """The package is not uploaded again before its count leaves room."""
    uat = world.serve("uat", "import@1=busy:409")

    result = world.run(UAT % "")

    assert (result.exit_code, sum(uat.faults.hits.values())) == (0, 1)
    assert len(world.imports("uat")) == 2


def test_started_import_needs_no_second_approval(world: World) -> None:
    """The plain command goes on with it, as with everything that was interrupted."""
    world.serve("uat", job_seconds=60)
    world.clock.at_wait = lambda now: now > 30 and world.clock.stop(signal.SIGTERM)

    world.run(UAT % ", gate: manual")
    world.run(UAT % ", gate: manual", approved=frozenset({"uat"}))
    world.clock.restart()
    second = world.run(UAT % ", gate: manual")

    assert second.exit_code == 0
    assert len(world.imports("uat")) == 1


@pytest.mark.parametrize("status", ["Failed", "error", "aborted", "REJECTED", "cancelled"])
def test_rejected_version_fails_import(
    world: World, monkeypatch: pytest.MonkeyPatch, status: str
) -> None:
    """The job ended well, but not for all: each run says so, and nothing is sent again."""
    make = placement._version

    def refused(*arguments: Any) -> dict[str, str]:
        made = make(*arguments)
        return {**made, "status": status} if made["service_source"] == "annuity" else made

    monkeypatch.setattr(placement, "_version", refused)
    folders = "folders: [motor, life]"

    first, second = world.run(UAT % "", folders), world.run(UAT % "", folders)

    for result in (first, second):
        assert target_of(result).error.endswith(f" with --fresh: life/annuity[1.0.0] {status}")
    assert len(world.imports("uat")) == 1


# ---- lost replies ----


def test_lost_reply_is_recovered(world: World) -> None:
    """By its correlation id, within the same run."""
    world.serve("uat", "import@1=swallow", job_seconds=10)

    result = world.run(UAT % "")

    assert result.exit_code == 0
    assert len(world.imports("uat")) == 1


def test_late_listing_is_awaited(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """One look that does not find it is not taken as proof."""
    world.serve("uat", "import@1=swallow")
    find, looks = Imports.find, iter([""])

    def late(self: Imports, correlation_id: str, since: datetime) -> str:
        found = find(self, correlation_id, since)
        return next(looks, found)

    monkeypatch.setattr(Imports, "find", late)

    result = world.run(UAT % "")

    assert (result.exit_code, next(looks, None)) == (0, None)
    assert len(world.imports("uat")) == 1


def test_unstarted_import_may_be_retried(world: World) -> None:
    """The listing does not have it, so retry does not do it twice."""
    world.serve("uat", "import@1=reset")
    step = "{uses: import, retry: {attempts: 2, interval: 1s}, with: {to: uat}}"

    result = world.run(step)

    assert result.exit_code == 0
    assert world.holds("uat") == ["motor/pricing[1.4.2]"]
    assert len({sent["correlation_id"] for sent, _ in world.sent}) == 2


@pytest.mark.parametrize("fault", ["imports@*=503", "imports@*=empty", "imports@*=text"])
def test_uncertain_import_is_not_repeated(world: World, fault: str) -> None:
    """The line says what to look for and how to go on; the next run looks again."""
    world.serve("uat", "import@1=swallow", fault)
    step = "{uses: import, retry: {attempts: 3, interval: 1s}, with: {to: uat}}"

    first = world.run(step)
    world.tenants["uat"].faults._faults = ()
    second = world.run(step)

    assert re.search(
        "an import whose reply was lost, sent at .*Z with correlation id .*, may have arrived: .*"
        "check http.*/acme for motor/pricing: .*remove this step from the manifest.*--fresh",
        target_of(first).error,
    )
    assert (first.exit_code, second.exit_code) == (4, 0)
    assert len(world.imports("uat")) == 1


def test_short_listing_is_inconclusive(world: World) -> None:
    """An hour later an import that is not in it may have ended long ago."""
    world.serve("uat", "import@1=swallow", "imports@1-6=503")
    world.run(UAT % "")
    world.clock.wait(7200)

    result = world.run(UAT % "")

    assert "no longer lists imports of that time" in target_of(result).error
    assert len(world.imports("uat")) == 1


def test_unreachable_tenant_got_no_import(world: World) -> None:
    """Nothing was sent, so nothing can have arrived; the step fails with the connection's line."""
    world.serve("uat").close()

    result = world.run(UAT % "")

    error = target_of(result).error
    assert "connections.uat: cannot connect to 127.0.0.1:" in error
    assert "release.yaml:3); check base_url" in error
    assert "may have arrived" not in error


def test_clock_change_repeats_no_import(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """How long ago a lost import was sent is not known by a clock that was ahead."""

    def unlisted(faulted: Any) -> Any:
        return faults._changed(faulted, in_progress_imports=[], recent_imports=[])

    monkeypatch.setitem(faults.KINDS, "unlisted", unlisted)  # type: ignore[arg-type]
    world.serve("uat", "import@1=swallow", "imports@1-6=503")
    now = world.clock.now
    world.clock.now = lambda: now() + timedelta(hours=2)
    world.run(UAT % "")
    world.clock.now = now
    world.tenants["uat"].faults._faults = (parse_fault("imports@*=unlisted"),)

    result = world.run(UAT % "")

    assert "no longer lists imports of that time" in target_of(result).error
    assert len(world.imports("uat")) == 1


def test_forgotten_job_is_inconclusive(world: World) -> None:
    """What is known of it is told, and it is not sent again."""
    world.serve("uat", "imported@2-=forget", job_seconds=60)

    result = world.run(UAT % "")

    assert re.search("import job .*, sent at .*, may have arrived: ", target_of(result).error)
    assert len(world.imports("uat")) == 1


# ---- lock and gate ----


def locked(world: World) -> Any:
    """Return the lock file, which its published schema describes."""
    data = json.loads((world.folder / "release.lock.json").read_text())
    schema = files("spark_impex_runner.schemas") / "import-lock.schema.json"
    validate(data, json.loads(schema.read_text()))
    return data


LOCKING = UAT % ", lock: release.lock.json"
PROD = "{uses: import, with: {to: prod, lock: release.lock.json, only_locked: true%s}}"


def test_lock_file_lists_imports(world: World) -> None:
    """Bytes, services, where from, where to; a second import of the same is one more entry."""
    result = world.run(f"{LOCKING}, {{uses: import, with: {{to: prod, lock: release.lock.json}}}}")

    target, [package] = target_of(result), locked(world)["packages"]
    assert package["sha256"] == target.artifacts[0].sha256
    assert package["source"]["job_ids"] == [target.job_id]
    assert [each["uri"] for each in package["service_versions"]] == ["motor/pricing[1.4.2]"]
    assert [each["connection"] for each in package["imports"]] == ["uat", "prod"]
    assert package["imports"][0]["tenant"] == world.tenants["uat"].base_url
    world.run(LOCKING.replace("}}", ", if_present: replace}}"), fresh=True)
    assert len(locked(world)["packages"]) == 2


def test_only_locked_package_is_imported(world: World) -> None:
    """What a step has changed after the lock is refused, by file and hash, and nothing is sent."""
    good = world.run(f"{LOCKING}, {PROD % ''}")
    replacing = LOCKING.replace("}}", ", if_present: replace}}")
    changed = world.run(f"{replacing}, {{uses: tamper}}, {PROD % ''}", fresh=True)

    assert good.exit_code == 0
    assert world.holds("prod") == ["motor/pricing[1.4.2]"]
    package = target_of(changed).artifacts[0]
    assert target_of(changed).error.startswith(
        f"step import: package.zip is not in {world.folder / 'release.lock.json'}: "
        f"sha256 {package.sha256} is not locked; "
    )
    assert [len(world.imports(name)) for name in ("uat", "prod")] == [1, 1]


lock = importlib.import_module("spark_impex_runner.plugins.import_to.lock")
Lock = lock.Lock
ENTRY = {"sha256": "ab", "imports": []}


@pytest.mark.parametrize("packages", [[], [ENTRY], [ENTRY, ENTRY]])
def test_valid_lock_file_is_read(tmp_path: Path, packages: list[Any]) -> None:
    """With no package, with one, with several."""
    (tmp_path / "l.json").write_text(json.dumps({"version": 1, "packages": packages}))

    assert Lock(tmp_path / "l.json").read() == packages


@pytest.mark.parametrize(
    "data",
    [
        {"version": 2, "packages": []},
        {"version": 1, "packages": None},
        {"version": 1, "packages": [ENTRY, {"sha256": 1, "imports": []}]},
        {"version": 1, "packages": [{"sha256": "ab", "imports": None}, ENTRY]},
        {"version": 1, "packages": [{"sha256": "ab"}]},
        {"packages": []},
    ],
)
def test_lock_file_with_invalid_entry_is_refused(tmp_path: Path, data: Any) -> None:
    """Whatever else is in it."""
    path = tmp_path / "l.json"
    path.write_text(json.dumps(data))

    with pytest.raises(
        StepError,
        match=r"l\.json is not a lock file of version 1; restore",
    ):
        Lock(path).read()


def test_unwritable_lock_file_is_reported(tmp_path: Path) -> None:
    """An import of which nothing is recorded is no success."""
    (tmp_path / "file").touch()
    path = tmp_path / "file" / "l.json"

    with pytest.raises(StepError, match=re.escape(f"{path}: ")):
        Lock(path).add({"sha256": "ab"}, {"job_id": "1"})


@pytest.mark.parametrize(("parts", "ids"), [((), ["job"]), (("one", "two"), ["one", "two"])])
def test_lock_file_has_package_source(
    tmp_path: Path, parts: tuple[str, ...], ids: list[str]
) -> None:
    """All jobs of a divided request; a version without an id has null."""
    (tmp_path / "p.zip").write_bytes(b"four")
    target = SimpleNamespace(name="motor")
    job = SimpleNamespace(tenant="https://t", parts=parts, id="job", target=target)
    versions = (
        ServiceVersion("f", "s", version="1"),
        ServiceVersion("f", "s", version="2", version_id="v"),
    )

    request = SimpleNamespace(name="p.zip", path=tmp_path / "p.zip", sha256="ab", contents=versions)

    entry = lock.package_entry(job, request)

    assert entry == {
        "sha256": "ab",
        "name": "p.zip",
        "size": 4,
        "source": {"tenant": "https://t", "job_ids": ids, "target": "motor"},
        "service_versions": [
            {"uri": "f/s[1]", "version_id": None},
            {"uri": "f/s[2]", "version_id": "v"},
        ],
    }


def test_unreadable_lock_file_is_reported(tmp_path: Path) -> None:
    """The line has the path and the system's reason."""
    with pytest.raises(StepError, match=re.escape(f"{tmp_path}: Is a directory")):
        Lock(tmp_path).read()


def test_manual_gate_waits_for_approval(world: World) -> None:
    """UAT is done, PROD untouched; the approval imports the same bytes, and nothing twice."""
    steps = f"{LOCKING}, {PROD % ', gate: manual'}"
    held = world.run(steps)
    before = [len(world.imports(name)) for name in ("uat", "prod")]

    done = world.run(steps, approved=frozenset({"prod"}))

    sha256 = target_of(held).artifacts[0].sha256
    assert (held.exit_code, done.exit_code, before) == (9, 0, [1, 0])
    assert f"package.zip (sha256 {sha256}) awaits approval for the import to prod: motor/" in (
        target_of(held).error
    )
    assert [sent for _, sent in world.sent] == [sha256, sha256]
    assert [len(world.imports(name)) for name in ("uat", "prod")] == [1, 1]
    assert [r.method for r in world.tenants["sit"].requests].count("POST") == 1


def test_split_request_imports_each_package(world: World) -> None:
    """Each package is an import of its own, held and approved together, and none twice."""
    world.serve("sit", size_limit=6000)
    steps = f"{LOCKING}, {PROD % ', gate: manual'}"
    folders = "folders: [motor, life]"

    held = world.run(steps, folders)
    done = world.run(steps, folders, approved=frozenset({"prod"}))

    both = ["life/annuity[1.0.0]", "motor/pricing[1.4.2]"]
    assert (held.exit_code, done.exit_code) == (9, 0)
    assert (world.holds("uat"), world.holds("prod")) == (both, both)
    assert [len(world.imports(name)) for name in ("uat", "prod")] == [2, 2]
    packages = locked(world)["packages"]
    assert len({each["sha256"] for each in packages}) == 2
    assert packages[0]["source"]["job_ids"] == list(target_of(done).job_ids)


def test_onpremises_package_is_refused(world: World) -> None:
    """The rule of the manifest: only what was exported for migration can come back."""
    with pytest.raises(ManifestError, match="works on packages of file_filter 'migrate'"):
        world.run(UAT % "", "services: [motor/pricing], file_filter: onpremises")


# ---- the plan ----


def planned(make_job: Any, options: dict[str, Any], *approved: str) -> str:
    """Return what the plan says of the step."""
    job = make_job()
    run = replace(
        job.run,
        connect=lambda name: SimpleNamespace(url=f"https://{name}/acme"),
        approved=frozenset(approved),
    )
    plugin = importlib.import_module("spark_impex_runner.plugins.import_to")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plugin, "predict_plan", lambda *_: ())
        line: str = plugin.impex_plan_step(replace(job, run=run), Step("import", options)).summary
    return line


def test_plan_describes_import(make_job: Any, output: Path) -> None:
    """And what is waited for; nothing is written, nothing is sent."""
    services = ["motor/pricing", {"source": "motor/claims", "target": "uk/claims"}]
    locked = {"lock": "l.json", "only_locked": True, "gate": "manual"}

    assert planned(make_job, {"to": "uat"}) == (
        "everything in the package to uat (https://uat/acme), if_present: abort"
    )
    assert planned(make_job, {"to": "prod", "services": services, **locked}) == (
        "motor/pricing, motor/claims to prod (https://prod/acme), if_present: abort; "
        f"only packages in {output.parent / 'l.json'}; held for --approve prod"
    )
    assert "held" not in planned(make_job, {"to": "prod", **locked}, "prod")


def test_plan_finds_invalid_lock_file(make_job: Any, output: Path) -> None:
    """Before anything is exported in vain."""
    (output.parent / "l.json").write_text("[]")

    with pytest.raises(StepError, match=r"l\.json is not a lock file of version 1"):
        planned(make_job, {"to": "uat", "lock": "l.json"})


# ---- what a package says of itself ----


@pytest.mark.parametrize(
    ("manifest", "services", "expected"),
    [
        (None, ["motor/pricing[1.4]"], "motor/pricing[1.4]"),
        ({"outputs": {"service_versions": "?"}}, ["motor/pricing"], "motor/pricing"),
    ],
)
def test_package_without_contents_uses_services(
    make_job: Any, make_package: Any, manifest: Any, services: list[str], expected: str
) -> None:
    """What is in a migrate package is not published; the tenant judges."""
    entries = [("x.txt", b"x")]
    entries += [("acme/manifest.json", json.dumps(manifest).encode())] if manifest else []
    package = make_package(entries)
    mapping = importlib.import_module("spark_impex_runner.plugins.import_to.mapping")

    contents = mapping.contents_of(make_job(package), package).versions

    assert mapping.mappings_for(services, contents, []) == [
        {"source": expected, "target": "motor/pricing"}
    ]
    with pytest.raises(StepError, match="does not list its services; name them"):
        mapping.mappings_for(None, contents, [])


def test_each_package_imports_own_services() -> None:
    """Two packages of a target are two imports; what neither holds is a mistake."""
    mapping = importlib.import_module("spark_impex_runner.plugins.import_to.mapping")
    one = (ServiceVersion("motor", "pricing", version="1.4.2"),)
    two = (ServiceVersion("life", "term", version="1.0.0"),)
    wanted = ["motor/pricing", "life/term"]

    assert [each["source"] for each in mapping.mappings_for(wanted, one, [two])] == [
        "motor/pricing[1.4.2]"
    ]
    assert mapping.mappings_for(["life/term"], one, [two]) == []
    with pytest.raises(StepError, match="motor/fees is not in the package"):
        mapping.mappings_for(["motor/fees"], one, [two])


@pytest.mark.parametrize("service", ["service/2c1b0a34-0000-4000-8000-000000000001", "services/x"])
def test_service_needs_folder_and_name(service: str) -> None:
    """An import knows no ids, and no words of the notation."""
    mapping = importlib.import_module("spark_impex_runner.plugins.import_to.mapping")

    with pytest.raises(StepError):
        mapping.mappings_for([service], (), [])


def test_invalid_package_is_reported(make_job: Any, output: Path) -> None:
    """One line, and no words of the library beside it."""
    (output / "motor.zip").write_bytes(b"not a zip")
    package = Artifact(output / "motor.zip", "motor.zip")
    mapping = importlib.import_module("spark_impex_runner.plugins.import_to.mapping")

    with pytest.raises(StepError, match=r"motor\.zip: the package is broken: File is not a zip"):
        mapping.contents_of(make_job(package), package)


def test_repeated_import_is_locked_once(tmp_path: Path) -> None:
    """What a killed run wrote is there already; a line holds one value, as diffs need it."""
    lock = Lock(tmp_path / "l.json")
    for _ in range(2):
        lock.add({"name": "p.zip", "sha256": "ab", "services": []}, {"to": "uat", "job_id": "1"})

    text = lock.path.read_text()
    [package] = json.loads(text)["packages"]
    assert package["imports"] == [{"to": "uat", "job_id": "1"}]
    assert text.splitlines()[1:3] == ['  "version": 1,', '  "packages": [']
