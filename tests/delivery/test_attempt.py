"""Which earlier attempt is resumed, and which of its files still hold."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from spark_impex_runner.delivery import attempt
from spark_impex_runner.masking import Masker
from spark_impex_runner.models import Artifact, Request, Step
from spark_impex_runner.state import keys
from spark_impex_runner.state.models import Attempt, Intent
from spark_impex_runner.state.opening import open_state
from spark_impex_runner.state.runs import PastRun
from spark_impex_runner.user import Actors

if TYPE_CHECKING:
    from collections.abc import Iterator

    from spark_impex_runner.state.store import State

NOON = datetime(2026, 1, 2, 12, tzinfo=timezone.utc)
EARLIER = Attempt(1, "m/a", "https://t", "print", "id", "run", NOON, held="")
WANTED = ("https://t", "print")
REQUEST = Request(("life",), ("motor/pricing",), ("id-1",), "migrate", "latest")


@pytest.mark.parametrize(
    ("wanted", "idle", "held", "fresh", "why"),
    [
        (WANTED, 0, "", False, ""),
        (WANTED, 12 * 3600, "", False, ""),
        (WANTED, 12 * 3600 + 1, "", False, "older than twelve hours"),
        (WANTED, 12 * 3600 + 1, "prod", False, ""),
        (WANTED, 0, "", True, "--fresh"),
        (("https://u", "print"), 0, "", False, "it ran on https://t"),
        (("https://t", "other"), 0, "prod", False, "another request"),
    ],
)
def test_reasons_not_to_resume(
    wanted: tuple[str, str], idle: int, held: str, fresh: bool, why: str
) -> None:
    """Tenant, request, age and command decide; an approval may take longer."""
    earlier = replace(EARLIER, held=held)

    assert (
        attempt.reason_not_to_resume(earlier, wanted, timedelta(seconds=idle), fresh=fresh) == why
    )


@pytest.mark.parametrize(
    ("held", "package", "file", "why"),
    [
        ("prod", "old", "new", "held in old, replaced by an export to new"),
        ("prod", "new", "old", ""),
        ("", "old", "old", ""),
    ],
)
def test_held_package_elsewhere_is_replaced(held: str, package: str, file: str, why: str) -> None:
    """The folder of the packages decides, not that of what a step has made."""
    made = Artifact(Path(file, "SHA256SUMS"), "SHA256SUMS", made_by="checksum")
    artifacts = made, Artifact(Path(package, "p.zip"), "p.zip")
    state: Any = SimpleNamespace(artifacts=lambda _: artifacts)
    job: Any = SimpleNamespace(target=SimpleNamespace(output=Path("new")))

    assert attempt.reason_replaced(replace(EARLIER, held=held), job, state) == why


def test_newest_part_gives_the_age() -> None:
    """A request that was split before midnight is resumed while its last part is young."""
    part = replace(EARLIER, id=2, intended=NOON + timedelta(hours=11))
    state: Any = SimpleNamespace(open_parts=lambda _: (part,))

    assert attempt.age(EARLIER, state, NOON + timedelta(hours=13)) == timedelta(hours=2)
    assert attempt.latest_part(EARLIER, state) == part


@pytest.mark.parametrize(
    ("overlays", "line"),
    [((), "'my m.yaml'"), (("a.yaml", "b c.yaml"), "'my m.yaml' -f a.yaml -f 'b c.yaml'")],
)
def test_manifest_as_command_line(overlays: tuple[str, ...], line: str) -> None:
    """A manifest is named with its overlays, and quoted for a shell."""
    manifest: Any = SimpleNamespace(path=Path("my m.yaml"), overlays=overlays)

    assert keys.command_line(manifest) == line


@pytest.mark.parametrize(
    ("changed", "same"),
    [
        ({"correlation_id": "x", "source_system": "y", "file_name": "z"}, True),
        ({"folders": ("motor",)}, False),
        ({"services": ()}, False),
        ({"version_ids": ("id-2",)}, False),
        ({"file_filter": "onpremises"}, False),
        ({"version_filter": "all"}, False),
    ],
)
def test_fingerprint_ignores_labels(changed: dict[str, Any], same: bool) -> None:
    """Only what decides which services are delivered changes the fingerprint."""
    job: Any = SimpleNamespace(request=REQUEST)
    other: Any = SimpleNamespace(request=replace(REQUEST, **changed))

    assert (keys.fingerprint(job) == keys.fingerprint(other)) is same


def test_size_class_counts_entries() -> None:
    """The size class counts what a request asks for, together with its filters."""
    job: Any = SimpleNamespace(request=replace(REQUEST, folders=("a", "b")))

    assert keys.size_class(job) == "4 migrate latest"


@pytest.fixture
def package(tmp_path: Path) -> Artifact:
    """Return a package in the output folder, and a file and a folder of steps beside it."""
    (tmp_path / "p.zip").write_bytes(b"package")
    (tmp_path / "folder").mkdir()
    digest = hashlib.sha256(b"package").hexdigest()
    return Artifact(tmp_path / "p.zip", "p.zip", 7, digest)


@pytest.mark.parametrize(
    ("changed", "holds"),
    [
        ({}, True),
        ({"size": 8}, False),
        ({"sha256": "0" * 64}, False),
        ({"name": "q.zip"}, False),
    ],
)
def test_recorded_bytes_still_hold(package: Artifact, changed: dict[str, Any], holds: bool) -> None:
    """A file holds in the target's output, under its name, with the recorded bytes."""
    job: Any = SimpleNamespace(target=SimpleNamespace(output=package.path.parent))

    assert attempt.are_intact(job, [replace(package, **changed)]) is holds
    assert attempt.are_intact(job, [package, replace(package, **changed)]) is holds


@pytest.mark.parametrize(
    ("name", "holds"), [("folder/", True), ("folder", False), ("gone/", False), ("gone", False)]
)
def test_folder_of_step_must_exist(package: Artifact, name: str, holds: bool) -> None:
    """A folder, whose name ends with a slash, holds while it exists."""
    output = package.path.parent
    job: Any = SimpleNamespace(target=SimpleNamespace(output=output))

    assert attempt.are_intact(job, [Artifact(output / name, name)]) is holds


def test_one_file_elsewhere(package: Artifact, tmp_path: Path) -> None:
    """A delivery lies elsewhere if one of its files or folders does."""
    job: Any = SimpleNamespace(target=SimpleNamespace(output=tmp_path))
    folder, other = Artifact(tmp_path / "f", "f/"), replace(package, name="q.zip")

    assert not attempt.is_elsewhere(job, [])
    assert not attempt.is_elsewhere(job, [package, folder])
    assert not attempt.is_elsewhere(job, [Artifact(tmp_path / "MAX", "MAX/")])
    assert attempt.is_elsewhere(job, [package, other])


def test_differences_name_both_digests(package: Artifact, tmp_path: Path) -> None:
    """At most five changed files are named, each with the old and the new digest."""
    job: Any = SimpleNamespace(target=SimpleNamespace(output=tmp_path))
    changed = replace(package, sha256="ab")
    gone = Artifact(tmp_path / "gone", "gone", 1, "cd")

    assert attempt.describe_changes(job, [package]) == "nothing was recorded"
    assert attempt.describe_changes(job, [package, changed, gone]) == (
        f"p.zip: sha256 ab -> {package.sha256}, gone: sha256 cd -> no file"
    )
    assert attempt.describe_changes(job, [gone] * 9).count("gone") == 5


def test_step_digest() -> None:
    """The digest of a step depends on its name, options and packages, not on secrets."""
    masker = Masker()
    masker.add("hunter2")
    masker.add("hunter3")
    packages = [Artifact(Path("p.zip"), "p.zip", 7, "ab")]
    first = Step("upload", {"to": "s3://b", "key": "hunter2"})

    def digest(step: Step, packages: list[Artifact] = packages) -> str:
        return attempt.step_digest(step, packages, masker)

    assert digest(first) == digest(Step("upload", {"key": "hunter3", "to": "s3://b"}))
    assert digest(first) != digest(Step("unzip", first.options))
    assert digest(Step("upload", {"at": NOON})) != digest(Step("upload", {"at": NOON.date()}))
    assert digest(first) != digest(Step("upload", {"to": "s3://c", "key": "hunter2"}))
    assert digest(first) != digest(first, [replace(packages[0], sha256="cd")])
    assert digest(first) != digest(first, [replace(packages[0], name="q.zip")])


def test_connections_of_a_step() -> None:
    """Any option may name one, whatever the others hold."""
    manifest = SimpleNamespace(connections={"prod": {}})
    connect = {"prod": SimpleNamespace(identity="https://prod")}.__getitem__
    job: Any = SimpleNamespace(run=SimpleNamespace(manifest=manifest, connect=connect))
    options = {"mapping": {"a": "prod"}, "only": ["prod"], "if_present": "add", "to": "prod"}

    assert attempt.tenants_of(Step("import_to", options), job) == ["https://prod"]


@pytest.fixture
def state(tmp_path: Path) -> Iterator[State]:
    """Return a state with two runs."""
    opened = open_state(tmp_path / ".impex")
    for run in ("run", "run-2"):
        opened.begin_run(PastRun(run, "m.yaml", NOON), ["m/a", "m/a#1"])
    yield opened
    opened.close()


def job_of(run: str, part: str = "") -> Any:
    """Return a run's job for target ``m/a``, or for a part of it."""
    target = SimpleNamespace(name="a", output=Path("out"))
    made_by = SimpleNamespace(id=run, manifest=SimpleNamespace(name="m"))
    return SimpleNamespace(run=made_by, target=target, part=part, request=REQUEST)


def context_of(state: State, hours: int = 0) -> Any:
    """Return the context of a run so many hours after noon."""
    clock = SimpleNamespace(now=lambda: NOON + timedelta(hours=hours))
    return SimpleNamespace(state=state, clock=clock, job="", fresh=False, actors=Actors())


@pytest.mark.parametrize(("hours", "resumed"), [(12, True), (13, False)])
def test_open_attempt_is_resumed_or_ended(state: State, hours: int, resumed: bool) -> None:
    """The history shows which run resumed it, or that it was given up, and why."""
    first = attempt.open_attempt(job_of("run"), "https://t", context_of(state)).attempt
    state.note_job(first, "job-1", NOON)

    opened = attempt.open_attempt(job_of("run-2"), "https://t", context_of(state, hours))

    before, after = (state.runs.targets(run)[0] for run in ("run", "run-2"))
    assert (opened.attempt.id == first.id, opened.adopted) == (resumed, resumed)
    if resumed:
        assert opened.warning == "resumes what an earlier run began at 2026-01-02 12:00Z"
        assert [before.outcome, after.outcome] == ["unfinished"] * 2
    else:
        why = "older than twelve hours"
        assert opened.warning.startswith(f"job job-1 of an earlier run is not resumed ({why}); it")
        assert (before.outcome, before.error, after.outcome) == ("abandoned", why, "unfinished")


def test_open_part_is_resumed(state: State) -> None:
    """Each run that worked on it is in the history; its job may be older than the run."""
    whole = state.intend(Intent("run", "m/a", "https://t", "print", "id", "1"), NOON)
    first = attempt.open_part(job_of("run", "1"), whole, context_of(state))

    again = attempt.open_part(job_of("run-2", "1"), whole, context_of(state))

    assert (first.adopted, again) == (False, attempt.OpenedAttempt(first.attempt, adopted=True))
    assert first.attempt.part_of == whole.id
    assert [state.runs.targets(run)[1].outcome for run in ("run", "run-2")] == ["unfinished"] * 2


def test_forgotten_part_stays_a_part(state: State) -> None:
    """The new intent of a part belongs to the same whole, and ends together with it."""
    whole = state.intend(Intent("run", "m/a", "https://t", "print", "id", "1"), NOON)
    state.split(whole, "", {"part-1": REQUEST}, NOON)
    part = Intent("run", "m/a#part-1", "https://t", "print", "id-1", "1", part_of=whole.id)
    earlier = state.note_job(state.intend(part, NOON), "job-1", NOON)

    opened = attempt.start_new_attempt(job_of("run", "part-1"), earlier, context_of(state))

    assert (opened.attempt.part_of, opened.attempt.job_id) == (whole.id, "")
    assert [each.id for each in state.open_parts(whole)] == [opened.attempt.id]
    owner = state.owner("job-1")
    assert owner
    assert owner.outcome == "forgotten"
