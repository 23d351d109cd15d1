"""What a run may replace: only what earlier runs of the same target have put there."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from spark_impex_runner.models import Outcome, RemoteFile
from spark_impex_runner.spark import status

if TYPE_CHECKING:
    from collections.abc import Callable

    from spark_impex_runner.models import RunResult, TargetResult

TARGET = """
- name: a
  folders: [life]
  output: out
  steps: [{uses: unzip}, {uses: checksum}]
"""


@pytest.fixture
def deliver(run: Any, serve: Callable[..., Any]) -> Callable[..., RunResult]:
    """Deliver the target once more from the same tenant."""
    tenant = serve()

    def start(text: str = TARGET, **options: Any) -> RunResult:
        result: RunResult = run(tenant, text, **options)
        return result

    return start


def forget_records(run: Any) -> None:
    """Make the state that of the version that kept no records."""
    with closing(sqlite3.connect(run.folder / ".impex" / "state.db")) as link, link:
        link.execute("DELETE FROM memories")


def forget_state(run: Any) -> None:
    """Lose the state."""
    shutil.rmtree(run.folder / ".impex")


def forget_receipt(run: Any) -> None:
    """Lose the receipt."""
    (run.folder / "out" / "impex-receipt.json").unlink()


@pytest.mark.parametrize("forgotten", [[], [forget_records], [forget_state], [forget_receipt]])
@pytest.mark.parametrize("added", [False, True])
def test_own_delivery_is_replaced(
    run: Any, deliver: Any, only: Any, forgotten: list[Callable[[Any], None]], added: bool
) -> None:
    """A delivery known by the state or by the receipt is replaced."""
    assert only(deliver()).outcome is Outcome.SUCCEEDED
    for forget in forgotten:
        forget(run)
    if added:
        (run.folder / "out" / "files" / "mine").touch()

    result: TargetResult = only(deliver())

    assert result.outcome is (Outcome.FAILED if added else Outcome.SUCCEEDED), result.error
    assert (run.folder / "out" / "files" / "mine").exists() is added
    assert not added or ("out/files" in result.error and not result.job_id)


def test_users_file_is_kept(run: Any, deliver: Any, only: Any) -> None:
    """A user's file with a package's name is not replaced, and the error names it."""
    (run.folder / "out").mkdir()
    (run.folder / "out" / "package.zip").write_text("mine")

    result = only(deliver())

    assert result.outcome is Outcome.FAILED
    assert "out/package.zip is not replaced" in result.error
    assert (run.folder / "out" / "package.zip").read_text() == "mine"


def test_output_of_other_target(run: Any, deliver: Any, only: Any) -> None:
    """A folder with another target's receipt is not touched, and no job is created."""
    alone = "- {name: a, folders: [life], output: out}"
    deliver(alone)
    before = (run.folder / "out" / "impex-receipt.json").read_bytes()

    result = only(deliver(alone.replace("name: a", "name: b")))

    assert "holds the delivery of the target 'a'" in result.error
    assert not result.job_id
    assert (run.folder / "out" / "impex-receipt.json").read_bytes() == before


def test_output_of_other_manifest(run: Any, deliver: Any, only: Any) -> None:
    """A target of the same name in another manifest is another target."""
    alone = "- {name: a, folders: [life], output: out}"
    deliver(alone)
    receipt = run.folder / "out" / "impex-receipt.json"
    data = json.loads(receipt.read_text())
    receipt.write_text(json.dumps(data | {"manifest": f"{data['manifest']}-2"}))

    result = only(deliver(alone))

    assert f"the target 'a' of the manifest '{data['manifest']}-2'" in result.error
    assert not result.job_id


@pytest.mark.parametrize("receipt", [False, True])
def test_unusable_output_is_found_first(run: Any, deliver: Any, only: Any, receipt: bool) -> None:
    """A broken link and a folder in the place of the receipt are no output."""
    output = run.folder / "out"
    if receipt:
        (output / "impex-receipt.json").mkdir(parents=True)
    else:
        output.symlink_to("nowhere")

    result = only(deliver())

    assert ("is a folder" if receipt else "is not a writable folder") in result.error
    assert not result.job_id


def test_if_exists_keep_needs_own_delivery(deliver: Any, only: Any) -> None:
    """Another target's delivery does not make this target unchanged."""
    deliver("- {name: a, folders: [life], output: out}")

    result = only(deliver("- {name: b, folders: [life], output: out, if_exists: keep}"))

    assert "holds the delivery of the target 'a'" in result.error


@pytest.mark.parametrize(
    ("step", "name"),
    [("{uses: unzip, with: {to: Pricing.zip}}", "package.zip"), ("{uses: unzip}", "pricing.zip")],
)
def test_package_avoids_names_of_steps(deliver: Any, only: Any, step: str, name: str) -> None:
    """A package whose name a step needs is stored under another one."""
    text = f"- {{name: a, folders: [life], output: out, file_name: pricing, steps: [{step}]}}"

    result = only(deliver(text))

    assert result.artifacts[0].name == name
    assert result.outcome is Outcome.SUCCEEDED


def test_package_avoids_report_names(run: Any, deliver: Any, only: Any) -> None:
    """A package with a report's name is stored under another one."""
    run.below = "report: {json: out/package.zip}"

    result = only(deliver())

    assert result.artifacts[0].name == "package-2.zip"
    assert json.loads((run.folder / "out" / "package.zip").read_text())["exit_code"] == 0


def test_linked_partial_file_is_not_followed(run: Any, deliver: Any, only: Any) -> None:
    """A partial file that is a link is replaced, not what it points to."""
    precious = run.folder / "precious"
    precious.write_text("mine")
    (run.folder / "out").mkdir()
    (run.folder / "out" / ".package.zip.part").symlink_to(precious)

    result = only(deliver())

    assert result.outcome is Outcome.SUCCEEDED
    assert precious.read_text() == "mine"


@pytest.mark.parametrize(
    "spoil",
    [
        lambda out: (out / "package.zip").write_bytes(b"PK"),
        lambda out: (out / "package.zip").write_bytes(bytes((out / "package.zip").stat().st_size)),
        lambda out: (out / "package.zip").unlink(),
        lambda out: shutil.rmtree(out / "files"),
    ],
)
def test_unreadable_delivery_is_not_kept(
    deliver: Any, only: Any, run: Any, spoil: Callable[[Any], None]
) -> None:
    """``if_exists: keep`` delivers again what cannot be read."""
    keeping = TARGET.replace("output: out", "output: out\n  if_exists: keep")
    deliver(keeping)
    assert only(deliver(keeping)).outcome is Outcome.UNCHANGED
    spoil(run.folder / "out")

    assert only(deliver(keeping)).outcome is Outcome.SUCCEEDED


@pytest.mark.parametrize("length", [240, 250])
def test_long_package_names(deliver: Any, only: Any, length: int) -> None:
    """A name that the file system takes is delivered; a longer one is reported first."""
    name = "n" * length

    result = only(deliver(f"- {{name: {name}, folders: [life]}}"))

    assert result.outcome is Outcome.SUCCEEDED, result.error


def test_unknown_hash_format_is_named(
    deliver: Any, only: Any, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A tenant's hash in an unknown format is reported, not ignored."""
    monkeypatch.setattr(status, "RemoteFile", lambda url, _: RemoteFile(url, "crc32:00"))

    with caplog.at_level("INFO"):
        result = only(deliver())

    assert result.outcome is Outcome.SUCCEEDED
    assert "the tenant's hash 'crc32:00' is in an unknown notation; not compared" in caplog.text


SWAP = """
from spark_impex_runner import hookimpl


@hookimpl
def impex_job_changed(job, change):
    if change.event == "{event}":
        out = job.target.output
        if out.exists():
            out.rename(out.with_name("aside"))
        (out.with_name("elsewhere")).mkdir(exist_ok=True)
        out.symlink_to("elsewhere")
"""


@pytest.mark.parametrize("event", ["job.created", "package.delivered", "step.succeeded"])
def test_output_replaced_by_link(run: Any, deliver: Any, only: Any, event: str) -> None:
    """Nothing is written where the output leads now; the error says where that is."""
    plugin = run.folder / "swap.py"
    plugin.write_text(SWAP.replace("{event}", event))

    result = only(deliver(plugin_files=(plugin,)))

    assert result.outcome is Outcome.FAILED
    assert f"leads to {run.folder / 'elsewhere'} now" in result.error
    assert not list((run.folder / "elsewhere").glob("[!.]*"))
