"""The step keeps what every step has to; notes, drafts and the summary are what they should be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from spark_impex_runner.testing import StepConformance

if TYPE_CHECKING:
    from pathlib import Path

    import pytest
    from spark_impex_runner.testing import Runner, Server


class TestStep(StepConformance):
    """The tests that every step inherits."""

    name = "release_note"
    good_options = ({}, {"title": "Motor in winter"}, {"drafts": True})
    bad_options = ({"title": ""}, {"title": 2026}, {"drafts": "no"}, {"draft": True})


def manifest(services: str, **options: Any) -> dict[str, Any]:
    """Return a manifest with one target that has the step."""
    target = {
        "name": "release",
        "services": [services],
        "steps": [{"uses": "release_note", "with": options}],
    }
    return {"version": 1, "connections": {"demo": {"sandbox": "acme"}}, "targets": [target]}


def test_the_note_names_services_versions_and_the_package(run_manifest: Runner) -> None:
    """Title, package and each version have their lines."""
    ran = run_manifest(manifest("motor/pricing", title="Motor in winter"))

    [release] = ran.result.results
    package = release.artifacts[0]
    assert (release.target.output / "package.zip.md").read_text(encoding="utf-8") == (
        "# Motor in winter\n\n"
        f"package.zip, {package.size} bytes, SHA-256 `{package.sha256}`\n\n"
        "- motor/pricing[1.4.2]\n"
    )


def test_a_draft_is_not_delivered(tree: Path, run_manifest: Runner) -> None:
    """The package never gets its name, and the error says what to do."""
    (tree / "motor/draft/0.9.0").mkdir(parents=True)

    ran = run_manifest(manifest("motor/draft"))

    [release] = ran.result.results
    assert release.error == (
        "package.zip contains drafts: motor/draft[0.9.0]; allow them with drafts: true"
    )
    assert not (release.target.output / "package.zip").exists()


def test_a_draft_is_delivered_where_it_is_allowed(tree: Path, run_manifest: Runner) -> None:
    """The option says so."""
    (tree / "motor/draft/0.9.0").mkdir(parents=True)

    ran = run_manifest(manifest("motor/draft", drafts=True))

    assert ran.result.exit_code == 0
    assert ran.receipts["release"]["steps"][0]["outcome"] == "succeeded"


def test_the_page_of_the_run_shows_it(
    tmp_path: Path, run_manifest: Runner, serve: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failed target is shown, too."""
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    serve("create@2=400")
    written = manifest("motor/pricing")
    [target] = written["targets"]
    written["connections"] = {"demo": {}}
    written["targets"].append({**target, "name": "refused", "needs": ["release"]})

    run_manifest(written)

    assert (tmp_path / "summary.md").read_text(encoding="utf-8").splitlines()[2:] == [
        "| release | succeeded | motor/pricing[1.4.2] |",
        "| refused | failed |  |",
    ]
