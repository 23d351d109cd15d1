"""What the plan says of an import is what the import does: 60 cases between two tenants."""

from __future__ import annotations

import importlib
from dataclasses import replace
from itertools import product
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from spark_impex_runner.errors import HeldError, SparkError
from spark_impex_runner.masking import Masker
from spark_impex_runner.models import Artifact, Held, Job, Manifest, Request, Run, Step, Target
from spark_impex_runner.sandbox.server import Sandbox, Settings
from spark_impex_runner.sandbox.tenant.tree import Version
from spark_impex_runner.spark.client import Spark
from spark_impex_runner.testing.fake_clock import FakeClock

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from spark_impex_runner.models import ServiceForecast

plugin = importlib.import_module("spark_impex_runner.plugins.import_to")
SERVICES = ("motor/pricing", "life/term")
UPGRADES = ("major", "minor", "patch")


class Case(NamedTuple):
    """What is at the destination, and what is asked for."""

    there: str
    if_present: str
    approved: bool
    target: str
    upgrade: str

    def __str__(self) -> str:
        approved = "approved" if self.approved else "not-approved"
        return f"{self.there}-{self.if_present}-{approved}-{self.target}"


CASES = [
    Case(*each, upgrade=UPGRADES[number % 3])
    for number, each in enumerate(
        product(
            ("absent", "same", "older", "newer", "folder-missing"),
            ("abort", "add_version", "replace"),
            (True, False),
            ("motor/pricing", "uk/prices"),
        )
    )
]


class Tenants(NamedTuple):
    """Two tenants, their clients, and the package of the first."""

    source: Sandbox
    destination: Sandbox
    clients: dict[str, Spark]
    package: Artifact


@pytest.fixture(scope="module")
def tenants(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tenants]:
    """Serve both tenants for all cases, and export once."""
    root, clock = tmp_path_factory.mktemp("matrix"), FakeClock()
    for version in ("motor/pricing/1.4.1", "motor/pricing/1.4.2", "life/term/1.0.0"):
        (root / "sit" / version).mkdir(parents=True)
        (root / "sit" / version / "book.xlsx").write_bytes(version.encode())
    (root / "prod/other/thing/1.0.0").mkdir(parents=True)
    settings = Settings(tenant="acme")
    with (
        Sandbox(root / "sit", settings, clock=clock.monotonic) as source,
        Sandbox(root / "prod", settings, clock=clock.monotonic) as destination,
        Spark(base_url=source.base_url, token=source.token, clock=clock, masker=Masker()) as sit,
        Spark(
            base_url=destination.base_url, token=destination.token, clock=clock, masker=Masker()
        ) as prod,
    ):
        [exported] = sit.impex.export(services=list(SERVICES), to=root / "out")
        package = Artifact(exported.path, exported.path.name, exported.path.stat().st_size)
        yield Tenants(source, destination, {"sit": sit, "prod": prod}, package)


def furnish(tenants: Tenants, case: Case) -> None:
    """Give the destination what the case says, and nothing else."""
    folder, service = case.target.split("/")
    mine = {each.number: each for each in tenants.source._tree.versions("motor", "pricing")}
    numbers = {"older": ["1.4.1"], "same": ["1.4.2"], "newer": ["1.4.2", "1.5.0"]}
    versions = tuple(
        Version(
            folder,
            service,
            number,
            mine[number].id if number in mine else "5b1f8c1e-0000-4000-8000-000000000001",
            "5b1f8c1e-0000-4000-8000-000000000002",
            mine["1.4.2" if number == "1.5.0" else number].path,
        )
        for number in numbers.get(case.there, ())
    )
    tree = tenants.destination._tree
    tree._folders = {"life": {}} if case.there == "folder-missing" else {"life": {}, folder: {}}
    if versions:
        tree.put(folder, service, versions)
    tenants.destination.requests.clear()


def held_numbers(tenants: Tenants, target: str) -> list[str]:
    """Return the numbers of a service at the destination, oldest first."""
    return [each.number for each in tenants.destination._tree.versions(*target.split("/"))]


def job_of(tenants: Tenants, tmp_path: Path, *artifacts: Artifact) -> Job:
    """Return a job of a target that exports both services."""
    now = tenants.clients["sit"].clock.now()
    target = Target("motor", "sit", tenants.package.path.parent)
    manifest = Manifest(tmp_path / "release.yaml", "release", {}, (target,))
    run = Run("r1", "2026-01-31", manifest, (target,), now, tenants.clients.__getitem__)
    request = Request(services=SERVICES)
    return Job(run, target, request, "acme", now, lambda: False, artifacts=artifacts)


def imported(tenants: Tenants, job: Job, step: Step, *, approved: bool) -> str:
    """Run the step, approved if it is held and the case says so; return how it ended."""
    try:
        return str(plugin.impex_run_step(job, step, tenants.package).message)
    except HeldError as error:
        if not approved:
            return f"held: {error}"
        held = Held(error.approve, error.sha256, error.does)
        job = replace(job, approval={tenants.package.name: held})
        try:
            return str(plugin.impex_run_step(job, step, tenants.package).message)
        except SparkError as failure:
            return f"failed: {failure}"


def outcome(
    tenants: Tenants, target: str, before: list[str], ended: str
) -> tuple[str, list[str], int]:
    """Return what became of a service, from the tenant itself: outcome, numbers, replaced."""
    after = held_numbers(tenants, target)
    if ended.startswith("failed"):
        assert after == before
        code = "folder_missing" if "FOLDER_NOT_FOUND" in ended else "would_abort"
        assert code != "would_abort" or "SERVICE_ALREADY_EXISTS" in ended
        return code, [], 0
    if after == before:
        return "identical", after[-1:], 0
    if not before:
        return "new", after, 0
    if after[: len(before)] == before:
        return "adds", after[len(before) :], 0
    return "replaces", after, len(before)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_import_does_what_the_plan_says(tenants: Tenants, tmp_path: Path, case: Case) -> None:
    """Before the export from both listings, in the held line, and by the tenant afterwards."""
    furnish(tenants, case)
    mapping = {"source": "motor/pricing", "target": case.target, "upgrade": case.upgrade}
    options: dict[str, Any] = {
        "to": "prod",
        "if_present": case.if_present,
        "gate": "manual",
        "services": [mapping, "life/term"],
    }
    step = Step("import", options)
    before = held_numbers(tenants, case.target)

    [main, beside] = plugin.impex_plan_step(job_of(tenants, tmp_path), step).services
    job = job_of(tenants, tmp_path, tenants.package)
    ended = imported(tenants, job, step, approved=case.approved)

    assert beside.outcome == "new"
    if not case.approved:
        check_held(tenants, case, [main, beside], ended, before)
        return
    expected = (main.outcome, list(main.versions) if not main.fails else [], main.replaced)
    assert outcome(tenants, case.target, before, ended) == expected
    # One service that ends the import without success ends all of it.
    assert held_numbers(tenants, "life/term") == ([] if main.fails else ["1.0.0"])
    assert main.is_identical == ("; identical there, not sent: motor/pricing[1.4.2]" in ended)


def check_held(
    tenants: Tenants, case: Case, forecasts: list[ServiceForecast], ended: str, before: list[str]
) -> None:
    """Assert that the line that waits says what the plan says, and that nothing was sent."""
    assert ended.startswith("held: ")
    for each in forecasts:
        assert each.line in ended
    assert ("would fail and import nothing" in ended) == any(each.fails for each in forecasts)
    assert held_numbers(tenants, case.target) == before
    requests = tenants.destination.requests
    assert not [each for each in requests if each.path.endswith("/import")]


def test_matrix_has_every_outcome(tenants: Tenants, tmp_path: Path) -> None:
    """The cases are worth their time: each outcome that is known is among them."""
    seen = set()
    for case in CASES:
        if case.approved and case.target == "motor/pricing":
            furnish(tenants, case)
            services = [{"source": "motor/pricing", "target": case.target}]
            options = {"to": "prod", "if_present": case.if_present, "services": services}
            job = job_of(tenants, tmp_path)
            [found] = plugin.impex_plan_step(job, Step("import", options)).services
            seen.add(found.outcome)

    assert seen == {"new", "adds", "replaces", "identical", "folder_missing", "would_abort"}
    assert len(CASES) == 60
