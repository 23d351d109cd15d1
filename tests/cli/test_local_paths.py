"""A URL in place of a path: refused wherever a local file or folder is meant."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from spark_impex_runner.cli.main import main
from spark_impex_runner.engine.run import run_manifest
from spark_impex_runner.errors import UsageError
from spark_impex_runner.models import RunOptions

if TYPE_CHECKING:
    from collections.abc import Callable

MANIFEST = """\
version: 1
vars: {{place: "s3://b"}}
connections: {{sit: {{sandbox: {tree}}}}}
targets:
  - {{name: a, folders: [life], output: out}}
"""
TARGET = "{name: a, folders: [life], output: out"


@pytest.fixture
def validated(
    tree: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[[str, str], str]:
    """Validate the manifest with one text in the place of another; return what is said."""
    monkeypatch.chdir(tree.parent)

    def start(old: str, new: str) -> str:
        text = MANIFEST.format(tree=tree)
        Path("m.yaml").write_text(text.replace(old.replace("{tree}", str(tree)), new))
        with pytest.raises(SystemExit) as ended:
            main(["validate", "m.yaml"])
        assert ended.value.code == 2
        return capsys.readouterr().err

    return start


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("output: out", "output: 's3://b/${run.date}'", 5),
        ("output: out", "output: '${var:place}/x'", 5),
        ("output: out", "output: FILE:/srv/x", 5),
        (TARGET, TARGET + ", steps: [{uses: unzip, with: {to: 'gs://b'}}]", 5),
        (TARGET, TARGET + ", steps: [{uses: checksum, with: {file: 'az://b'}}]", 5),
        (TARGET, TARGET + ", steps: [{uses: upload, with: {to: 's3:/b/x'}}]", 5),
        (TARGET, TARGET + ", steps: [{uses: upload, with: {to: x, known_hosts: 'http://h/k'}}]", 5),
        (TARGET, TARGET + ", steps: [{uses: import, with: {to: sit, lock: 'sftp://h/l'}}]", 5),
        ("folders: [life]", "services: ['@https://h/s.txt']", 5),
        ("sandbox: {tree}", "sandbox: 'http://h/t'", 3),
        ("sandbox: {tree}", "base_url: 'https://h/t', verify_tls: 'file:///ca.pem'", 3),
        ("targets:", "report: {json: 's3://b/r.json'}\ntargets:", 4),
        ("targets:", "include: ['https://h/x.yaml']\ntargets:", 4),
        (
            "targets:",
            "notify: [{uses: webhook, with: {url: '${env:HOME}', verify_tls: 'ftp://y'}}]\ntargets:",
            4,
        ),
        ("s3://b", "${file:https://h/x}", 2),
    ],
)
def test_manifest_refuses_urls(
    validated: Callable[[str, str], str], old: str, new: str, line: int
) -> None:
    """Each is named with file, line and column, also where a reference leads to a URL."""
    output = validated(old, new)

    assert f"m.yaml:{line}:" in output
    assert "is a URL, not a local path" in output or "not a file's name without a folder" in output


@pytest.mark.parametrize(
    "args",
    [
        ["run", "https://h/m.yaml"],
        ["run", "m.yaml", "--output", "s3://b/x"],
        ["run", "m.yaml", "--state", "s3://b/x"],
        ["run", "m.yaml", "--report", "json=s3://b/x"],
        ["run", "m.yaml", "-f", "https://h/o.yaml"],
        ["run", "m.yaml", "-p", "https://h/p.py"],
        ["validate", "S3:/m.yaml"],
        ["render", "file:m.yaml"],
        ["status", "--state", "gs://b"],
        ["history", "--state", "gs://b"],
        ["verify", "s3://b/out"],
        ["init", "s3://b/m.yaml"],
        ["init", "--sandbox", "s3://b"],
        ["sandbox", "http://h/x"],
        ["plugins", "--trace", "http://h/x"],
    ],
)
def test_commands_refuse_urls(
    args: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The command line is refused with exit code 2, and no folder of such a name is made."""
    monkeypatch.chdir(tmp_path)

    with pytest.raises(SystemExit) as ended:
        main(args)

    assert ended.value.code == 2
    assert "is a URL, not a local path" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "options",
    [
        {"output": Path("s3://b/x")},
        {"state": Path("s3://b/x")},
        {"reports": {"json": Path("s3://b/x")}},
        {"overlays": (Path("https://h/o.yaml"),)},
        {"plugin_files": (Path("https://h/p.py"),)},
    ],
)
def test_python_interface_refuses_urls(options: dict[str, object]) -> None:
    """Nothing is read before."""
    with pytest.raises(UsageError, match="is a URL, not a local path"):
        run_manifest("m.yaml", RunOptions(**options))  # type: ignore[arg-type]
