"""Libraries that are not installed: named before anything is sent."""

from __future__ import annotations

import sys
from typing import Any

import pytest

MANIFEST = """\
version: 1
connections: {c: {sandbox: acme}}
defaults: {steps: [{uses: upload, with: {to: "%s"}}]}
targets:
  - {name: a, folders: [motor], matrix: {x: [1, 2]}, output: "out/${matrix.x}"}
  - {name: b, folders: [motor], steps: []}
"""


@pytest.fixture
def lacking(shell: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a shell in which no extra is installed."""
    for name in ("obstore", "botocore", "paramiko", "apprise"):
        monkeypatch.setitem(sys.modules, name, None)
    for name in [name for name in sys.modules if ".plugins.upload." in name]:
        monkeypatch.delitem(sys.modules, name)
    return shell


@pytest.mark.parametrize(
    ("to", "extra"),
    [
        ("s3://b/x", "s3"),
        ("az://b/x", "azure"),
        ("sftp://h/x", "sftp"),
        ("S3://b/x", "s3"),
        ("s3a://b/x", "s3"),
        ("abfs://b/x", "azure"),
        ("gcs://b/x", "gcs"),
    ],
)
@pytest.mark.parametrize("command", [("impex-run", "-q"), ("impex", "validate")])
def test_a_missing_library_is_found_first(
    lacking: Any, command: tuple[str, ...], to: str, extra: str
) -> None:
    """The place is named, once, with the command that installs it; nothing is exported."""
    (lacking.folder / "m.yaml").write_text(MANIFEST % to)

    done = lacking(*command, "m.yaml")

    assert done.code == 7
    assert done.err.startswith("m.yaml:3:27: defaults.steps[0].uses: upload: ")
    assert done.err.endswith(f"pip install 'spark-impex-runner[{extra}]'\n")
    assert done.err.count("\n") == 1
    assert not (lacking.folder / "out").exists()


@pytest.mark.parametrize(
    "line", [("-t", "b"), ("--until", "download", "-t", "a@1")], ids=["target", "download"]
)
def test_unused_libraries_may_be_missing(lacking: Any, line: tuple[str, ...]) -> None:
    """Targets that are not chosen, and steps that are not run, need nothing."""
    (lacking.folder / "m.yaml").write_text(MANIFEST % "sftp://h/x")

    assert lacking("impex-run", "-q", "m.yaml", *line).code == 0


def test_missing_notifier_library_is_found_first(
    lacking: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the end of a run it would be too late."""
    monkeypatch.setenv("URL", "json://localhost")
    notify = 'notify: [{uses: apprise, on: [always], with: {urls: ["${env:URL}"]}}]\n'
    (lacking.folder / "m.yaml").write_text(MANIFEST % "here" + notify)

    done = lacking("impex", "validate", "m.yaml")

    assert done.code == 7
    assert done.err.startswith("m.yaml:7:17: notify[0].uses: apprise: Apprise is not installed")


@pytest.mark.parametrize(
    ("to", "fault"),
    [
        ("sftp://bob@h/x", "to: sftp://h/…: a URL must not contain credentials"),
        ("s3://b/../x", "'.' and '..' are not supported in a path"),
        ("https://h/x?q=1", "a query or a fragment is not supported"),
        ('https://h/x", keep: {last: 2}, prefix: "p', "keep: not an option for https://"),
        ('s3://b/x", prefix: "..', "prefix: '..' is not a folder name"),
    ],
)
@pytest.mark.parametrize("command", [("impex-run", "-q"), ("impex", "validate")])
def test_options_that_cannot_work_are_found_first(
    shell: Any, command: tuple[str, ...], to: str, fault: str
) -> None:
    """The manifest shows it: exit code 2 with the place, and nothing is exported."""
    (shell.folder / "m.yaml").write_text(MANIFEST % to)

    done = shell(*command, "m.yaml")

    assert done.code == 2
    assert done.err.startswith("m.yaml:3:")
    assert fault in done.err
    assert not (shell.folder / "out").exists()
