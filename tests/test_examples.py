"""Every example runs, as it is, and delivers what it says."""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from spark_impex_runner import Spark
from spark_impex_runner.cli import main
from spark_impex_runner.engine.run import run_manifest
from spark_impex_runner.engine.simulate import Simulation
from spark_impex_runner.masking import Masker
from spark_impex_runner.models import RunOptions
from spark_impex_runner.report import receipt
from spark_impex_runner.sandbox.server import Sandbox, Settings

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from spark_impex_runner.models import TargetResult

# Of Apprise's own import, in Python 3.11 and 3.12.
pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")
EXAMPLES = Path(__file__).parent.parent / "examples"
MANIFESTS = sorted(path.name for path in EXAMPLES.glob("*.yaml"))
# What tests of their own run: real tenants, a runner, tests/plugins/upload/test_backup.py.
NEEDS_MORE = {
    "promotion.yaml",
    "calculated-promotion.yaml",
    "secrets.yaml",
    "hybrid-runner.yaml",
    "backup-s3.yaml",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a copy of the examples, so that a test leaves nothing behind."""
    copy = tmp_path / "examples"
    shutil.copytree(EXAMPLES, copy, ignore=shutil.ignore_patterns("exports", "out", ".impex"))
    return copy


@pytest.mark.parametrize("name", [name for name in MANIFESTS if name not in NEEDS_MORE])
def test_an_example_delivers_what_its_receipts_prove(folder: Path, clock: Any, name: str) -> None:
    """All targets succeed, every folder agrees with its receipt, every report is written."""
    result = run_manifest(folder / name, clock=clock)

    assert [(each.target.name, each.error) for each in result.results if not each.good] == []
    for each in result.results:
        assert receipt.verify(each.target.output) == []
        assert each.target.output.is_relative_to(folder)
    assert all(path.is_file() for path in result.manifest.reports.values())


def contents(root: Path) -> dict[Path, tuple[bytes, int]]:
    """Return bytes and time of each file below a folder, and of each folder the time."""
    return {
        path: (path.read_bytes() if path.is_file() else b"", path.stat().st_mtime_ns)
        for path in (root, *root.rglob("*"))
    }


@pytest.mark.parametrize("name", MANIFESTS)
def test_rehearsal_of_an_example_changes_nothing(folder: Path, clock: Any, name: str) -> None:
    """All of its targets would succeed, without credentials, network or any change of a file."""
    before = contents(folder)

    found = Simulation.of(folder / name, RunOptions(), Masker(), clock).run()

    assert [each.error for each in found.targets if each.verdict != "would succeed"] == []
    assert (found.problems, found.refused, found.exit_code) == ((), (), 0)
    assert contents(folder) == before


def test_the_examples_are_at_least_six_and_all_explained() -> None:
    """Each has a comment at its head and a line in the table."""
    table = (EXAMPLES / "README.md").read_text(encoding="utf-8")

    assert len(MANIFESTS) >= 6
    for name in MANIFESTS:
        assert f"[{name}]({name})" in table
        assert (EXAMPLES / name).read_text(encoding="utf-8").startswith("# ")


def test_the_smallest_example_has_three_lines() -> None:
    """Comments apart, that is all a manifest needs."""
    lines = (EXAMPLES / "smallest.yaml").read_text(encoding="utf-8").splitlines()

    assert len([line for line in lines if line and not line.startswith("#")]) == 3


def test_the_secrets_example_is_planned_without_sending_or_showing_anything(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the variables set it is valid; no secret is in the plan."""
    for name in ("SIT_CLIENT_ID", "SIT_CLIENT_SECRET", "UAT_KEY"):
        monkeypatch.setenv(name, f"value-of-{name}")

    with pytest.raises(SystemExit) as exit_:
        main.main(["plan", str(folder / "secrets.yaml")])

    out = capsys.readouterr().out
    assert exit_.value.code == 0
    assert "https://excel.uat.us.coherent.global/acme\n" in out
    assert "value-of-SIT_CLIENT_SECRET" not in out
    assert "value-of-UAT_KEY" not in out


# What a runner reads below its models, by the versions that the two examples ask for.
MODELS = ("life/annuity/3.0.1", "motor/pricing/1.4.2")


def models(root: Path) -> dict[str, bytes]:
    """Return every file below a folder of models by its path."""
    files = (path for path in root.rglob("*") if path.is_file())
    return {str(path.relative_to(root)): path.read_bytes() for path in files}


def expected_models(target: TargetResult) -> set[str]:
    """Return the paths that a runner looks for, from what the tenant says of the versions."""
    ids = {each.uri: each.version_id for each in target.service_versions}
    wanted = {f"tenant/{home}/{ids[uri(home)]}.zip" for home in MODELS}
    files = ("DefaultValidations.json", "ModelMetaData.json", "WASMMetaData.json")
    return wanted | {f"tenant/{home}/{file}" for home in MODELS for file in files}


def uri(home: str) -> str:
    """Return the service URI of a folder of the layout."""
    folder, service, version = home.split("/")
    return f"{folder}/{service}[{version}]"


def test_the_on_premises_example_lays_out_what_a_runner_reads(folder: Path, clock: Any) -> None:
    """The tree is that of the runner, each module has its hash, and an old tree goes as a whole."""
    root = folder / "exports/on-premises/models"
    later = folder / "tenant/life/annuity/3.0.9"
    shutil.copytree(later.with_name("3.0.1"), later)
    run_manifest(folder / "on-premises.yaml", clock=clock)
    assert (root / "tenant/life/annuity/3.0.9").is_dir()
    shutil.rmtree(later)

    result = run_manifest(folder / "on-premises.yaml", clock=clock)

    found = models(root)
    assert found.keys() == expected_models(result.results[0]) | {"tenant/manifest.json"}
    for home in MODELS:
        told = json.loads(found[f"tenant/{home}/ModelMetaData.json"])["EngineInformation"]
        module = found[f"tenant/{home}/{told['ServiceVersionGuid']}.zip"]
        assert hashlib.sha256(module).hexdigest().upper() == told["CompiledOutputHash"]
    assert [path.name for path in root.parent.iterdir() if path.name.startswith(".")] == []


def test_the_runner_example_brings_both_runners_the_same_models(
    folder: Path, clock: Any, hybrid_runner: Any
) -> None:
    """What was unpacked into the folder is, file by file, what the upload brought."""
    options = RunOptions(variables={"runner": hybrid_runner.url})

    result = run_manifest(folder / "hybrid-runner.yaml", options, clock=clock)

    assert [each.error for each in result.results] == ["", ""]
    unpacked = models(folder / "exports/hybrid-runner/models")
    uploaded = models(hybrid_runner.models)
    assert unpacked.keys() == uploaded.keys()
    own = {"tenant/manifest.json"}  # the two jobs have ids of their own
    assert {name for name in unpacked if unpacked[name] != uploaded[name]} <= own
    assert expected_models(result.results[0]) | own == unpacked.keys()


def test_the_runner_example_says_that_no_runner_is_there(
    folder: Path, clock: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """The folder is delivered all the same."""
    options = RunOptions(variables={"runner": "http://127.0.0.1:9"})
    caplog.set_level(logging.INFO, "spark_impex_runner")

    delivered, failed = run_manifest(folder / "hybrid-runner.yaml", options, clock=clock).results

    assert delivered.good
    assert "(Connection refused); check the address and the network" in failed.error
    assert "step runner_upload failed, retrying in 5 s (attempt 3 of 3)" in caplog.text


@pytest.mark.parametrize(
    ("options", "ran"),
    [
        ({"variables": {"pricing": "1.4.1"}}, ["motor/pricing[1.4.1]", "motor/claims[2.1.0]"]),
        ({"tags": ("core",)}, ["motor/pricing[1.4.2]"]),
    ],
)
def test_the_release_example_obeys_its_own_comment(
    folder: Path, clock: Any, options: dict[str, Any], ran: Sequence[str]
) -> None:
    """``--var`` changes the version, ``--tag`` the selection."""
    result = run_manifest(folder / "release.yaml", RunOptions(**options), clock=clock)

    assert [each.service_versions[0].uri for each in result.results] == ran
    assert (folder / "exports/release/pricing").is_dir()


def test_the_example_for_three_places_serves_them(
    folder: Path, clock: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """SIT as it stands, UAT beside it, and PROD as its overlay says."""
    manifest, uat = folder / "places.yaml", folder / "places/uat.yaml"
    sit = run_manifest(manifest, clock=clock)
    other = run_manifest(manifest, RunOptions(overlays=(uat,)), clock=clock)
    monkeypatch.setenv("PROD_CLIENT_ID", "runner")
    with pytest.raises(SystemExit) as exit_:
        main.main(["render", str(manifest), "-f", str(folder / "places/prod.yaml")])

    assert [sit.manifest.name, other.manifest.name] == ["places", "places+places/uat"]
    assert [run.results[0].service_versions[0].version for run in (sit, other)] == [
        "1.4.2",
        "1.4.1",
    ]
    for place in ("sit", "uat"):
        assert receipt.verify(folder / f"exports/places/{place}/pricing") == []
    assert (folder / "out/places.xml").is_file()
    assert exit_.value.code == 0
    assert "client_secret: ${env:PROD_CLIENT_SECRET}" in capsys.readouterr().out


def test_the_example_that_notifies_tells_of_what_went_wrong(
    folder: Path, clock: Any, receiver: Any
) -> None:
    """A good run is silent; a failed one is told to the program and to the people."""
    (folder / "hooks/webhook.txt").write_text(f"{receiver.url}/hook\n")
    (folder / "hooks/chat.txt").write_text(f"{receiver.url}/chat\n".replace("http", "json"))

    run_manifest(folder / "notify.yaml", clock=clock)
    silent = list(receiver.received)
    run_manifest(folder / "notify.yaml", RunOptions(variables={"service": "no"}), clock=clock)

    told = {request.path: json.loads(request.body) for request in receiver.received}
    assert silent == []
    assert told["/hook"]["text"] == "notify: 0 of 1 target succeeded; pricing failed"
    assert told["/chat"]["title"] == told["/hook"]["text"]
    assert told["/chat"]["message"].startswith("pricing failed: ")


def test_the_python_example_runs() -> None:
    """The official SDK's calls, word for word."""
    program = [sys.executable, str(EXAMPLES / "python_api.py")]

    done = subprocess.run(program, capture_output=True, text=True, check=True)

    assert done.stdout.splitlines() == [
        "in one call: [True]",
        "step by step: [200]",
        "to disk: ['package.zip']",
    ]
    assert done.stderr == ""


@pytest.fixture
def old_tenant(tmp_path: Path) -> Path:
    """Return a tenant that lacks the release."""
    tenant = tmp_path / "before"
    shutil.copytree(EXAMPLES / "tenant", tenant)
    shutil.rmtree(tenant / "motor/pricing/1.4.2")
    return tenant


@pytest.fixture
def places(old_tenant: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Sandbox]]:
    """Serve SIT, and UAT and PROD without the release, and tell the promotion where they are."""
    trees = {"sit": EXAMPLES / "tenant", "uat": old_tenant, "prod": old_tenant}
    with ExitStack() as stack:
        served = {
            name: stack.enter_context(Sandbox(tree, Settings(tenant=name)))
            for name, tree in trees.items()
        }
        for name, sandbox in served.items():
            monkeypatch.setenv(f"{name.upper()}_URL", sandbox.base_url)
            monkeypatch.setenv(f"{name.upper()}_TOKEN", sandbox.token)
        yield served


def sent(places: dict[str, Sandbox]) -> dict[str, int]:
    """Return how many jobs were asked of each tenant."""
    return {
        name: [r.method for r in sandbox.requests].count("POST") for name, sandbox in places.items()
    }


def versions(sandbox: Sandbox) -> list[str]:
    """Return the versions of pricing that a tenant has."""
    client = Spark(base_url=sandbox.base_url, token=sandbox.token)
    with client:
        return [each.version for each in client.list_versions("motor", "pricing")]


def test_the_promotion_waits_for_an_approval_and_does_nothing_twice(
    folder: Path, clock: Any, places: dict[str, Sandbox]
) -> None:
    """UAT first; PROD gets the very bytes that UAT has, once; a third run sends nothing."""
    manifest = folder / "promotion.yaml"
    approved = RunOptions(approved=frozenset({"prod"}))
    before = versions(places["prod"])

    held = run_manifest(manifest, clock=clock)
    after_first = sent(places), versions(places["prod"])
    done = run_manifest(manifest, approved, clock=clock)
    again = run_manifest(manifest, approved, clock=clock)

    assert (held.exit_code, held.results[0].approve) == (9, "prod")
    assert after_first == ({"sit": 1, "uat": 1, "prod": 0}, before)
    assert [step.outcome for step in done.results[0].steps] == ["succeeded"] * 3
    assert (done.exit_code, again.exit_code) == (0, 0)
    assert again.results[0].outcome.value == "unchanged"
    assert len(versions(places["uat"])) == len(versions(places["prod"])) == len(before) + 1
    [package] = json.loads((folder / "promotion-2026.1.lock.json").read_text())["packages"]
    assert package["sha256"] == done.results[0].artifacts[0].sha256
    assert receipt.verify(done.results[0].target.output) == []


def test_promotion_holds_changed_bytes(
    folder: Path, clock: Any, places: dict[str, Sandbox]
) -> None:
    """Nothing goes to PROD, and nothing is exported in their place."""
    manifest = folder / "promotion.yaml"
    held = run_manifest(manifest, clock=clock)
    package = held.results[0].artifacts[0].path
    package.write_bytes(package.read_bytes() + b"!")

    changed = run_manifest(manifest, RunOptions(approved=frozenset({"prod"})), clock=clock)

    assert "are not those that wait for --approve prod" in changed.results[0].error
    assert changed.exit_code == 9
    assert sent(places) == {"sit": 1, "uat": 1, "prod": 0}


@pytest.fixture
def prod(old_tenant: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    """Serve SIT, and PROD without the release, and tell the calculated promotion where they are."""
    with (
        Sandbox(EXAMPLES / "tenant", Settings(tenant="sit")) as sit,
        Sandbox(old_tenant, Settings(tenant="prod")) as served,
    ):
        for name, sandbox in (("SIT", sit), ("PROD", served)):
            monkeypatch.setenv(f"{name}_URL", sandbox.base_url)
            monkeypatch.setenv(f"{name}_TOKEN", sandbox.token)
        yield served


MOVED = (
    "step calculate succeeded: motor/pricing[1.4.2]: 10 of 10 cases agreed; 3 of 10 results moved "
    "from motor/pricing[1.4.1], +3.41 % at most (case high risk) (cases sha256 "
)
APPROVED = RunOptions(targets=("release",), approved=frozenset({"prod"}))


def test_calculated_promotion_holds_with_moved_results(
    folder: Path, clock: Any, prod: Sandbox
) -> None:
    """Export, self-test, cases, moves against PROD, hold, approval, import, comparison on PROD."""
    manifest = folder / "calculated-promotion.yaml"
    before = versions(prod)

    held = run_manifest(manifest, clock=clock)
    unchanged = versions(prod)
    done = run_manifest(manifest, APPROVED, clock=clock)

    waits = {each.target.name: each for each in held.results}["release"]
    assert (held.exit_code, waits.approve, unchanged) == (9, "prod", before)
    line = "awaits approval for the import to prod: motor/pricing[1.4.2]: adds 1.5.0 (now 1.4.1)"
    assert f"{line}; step calc" in waits.error
    assert MOVED in waits.error
    [release] = done.results
    assert (done.exit_code, release.error) == (0, "")
    assert len(versions(prod)) == len(before) + 1
    steps = {each.uses: each.message for each in release.steps}
    assert list(steps) == ["package_check", "calculate", "import", "calculate_remote"]
    assert "self-test 1 of 1 outputs at 12 digits" in steps["package_check"]
    assert steps["calculate"] in waits.error
    assert "prod computes as motor/pricing[1.4.2] does: 10 of 10" in steps["calculate_remote"]
    written = receipt.read(release.target.output)["steps"]
    assert {each["uses"]: each["message"] for each in written} == steps
    assert steps["calculate"] in (folder / "out/calculated-promotion.json").read_text()


def test_approval_covers_the_moved_results(folder: Path, clock: Any, prod: Sandbox) -> None:
    """With other cases, the results are others: they are held again, and nothing is imported."""
    manifest, cases = folder / "calculated-promotion.yaml", folder / "cases/pricing.csv"
    before = versions(prod)
    run_manifest(manifest, clock=clock)
    cases.write_text(cases.read_text().replace("high risk,18000,3,2536.00\n", ""))

    changed = run_manifest(manifest, APPROVED, clock=clock)
    unchanged = versions(prod)
    done = run_manifest(manifest, APPROVED, clock=clock)

    [release] = changed.results
    assert changed.exit_code == 9
    assert "9 of 9 cases agreed; 2 of 9 results moved from motor/pricing[1.4.1]" in release.error
    assert "held it: earlier steps[0]: ...motor/pricing[1.4.2]: 10 of 10" in release.error
    assert unchanged == before
    assert done.exit_code == 0
