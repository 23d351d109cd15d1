"""A URL in place of a path: refused wherever a local file or folder is meant."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from spark_impex_runner import Spark
from spark_impex_runner.cli.main import COMMANDS, _parser, main
from spark_impex_runner.engine.run import run_manifest
from spark_impex_runner.errors import UsageError
from spark_impex_runner.hooks.manager import make_plugin_manager
from spark_impex_runner.manifest.schema.compose import compose
from spark_impex_runner.models import RunOptions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

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
        ("output: out", "output: S3:/x", 5),
        ("output: out", "output: ' s3://b'", 5),
        ("output: out", "output: 'https:x'", 5),
        ("output: out", "output: '${env:PLACE}/${target.name}'", 5),
        ("output: out", "output: '${matrix.to}', matrix: {to: ['gs://b']}", 5),
        ("targets:", "defaults: {output: 's3://b/${target.name}'}\ntargets:", 4),
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
        ("targets:", "report: {html: '${env:PLACE}/r.html'}\ntargets:", 4),
        ("s3://b", "${file:https://h/x}", 2),
    ],
)
def test_manifest_refuses_urls(
    validated: Callable[[str, str], str],
    monkeypatch: pytest.MonkeyPatch,
    old: str,
    new: str,
    line: int,
) -> None:
    """Each is named with file, line and column, also where a reference leads to a URL."""
    monkeypatch.setenv("PLACE", "s3://b")

    output = validated(old, new)

    assert f"m.yaml:{line}:" in output
    assert "is a URL, not a local path; " in output or "not a file's name without a" in output


@pytest.mark.parametrize("name", ["./a:b", "a:b", "./s3:/b", "C:\\x"])
def test_colons_in_names_are_local(
    tree: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    """A run writes its packages, its report and its state to folders with such names."""
    monkeypatch.chdir(tree.parent)
    text = MANIFEST.format(tree=tree).replace("output: out", f"output: '{name}/out'")
    Path("m.yaml").write_text(f"report: {{json: '{name}/report.json'}}\n{text}")

    with pytest.raises(SystemExit) as ended:
        main(["run", "m.yaml", "--state", f"{name}/state", "--report", f"junit={name}/r.xml"])

    assert ended.value.code == 0, capsys.readouterr().err
    assert {"out", "report.json", "state", "r.xml"} == {each.name for each in Path(name).iterdir()}


def test_overlay_names_its_own_line(
    tree: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A URL in an overlay is found there."""
    monkeypatch.chdir(tree.parent)
    Path("m.yaml").write_text(MANIFEST.format(tree=tree))
    Path("o.yaml").write_text("targets:\n  - {name: a, output: 's3://b'}\n")

    with pytest.raises(SystemExit):
        main(["validate", "m.yaml", "-f", "o.yaml"])

    assert "o.yaml:2:23: targets[0].output: 's3://b' is a URL" in capsys.readouterr().err


def test_every_path_argument_refuses_urls() -> None:
    """No option or argument that names a file or a folder takes a URL for one."""
    checked = set()
    for parser in _parsers():
        for action in parser._actions:
            metavar = str(action.metavar or "").removesuffix("|URL")
            # That of `impex jobs` may be a tenant's address; its own test is below.
            if (
                not re.search(r"\b(DIR|FILE|MANIFEST|OVERLAY)\b", metavar)
                or "CONNECTION" in metavar
            ):
                continue
            text = re.sub(r"\b(DIR|FILE|MANIFEST|OVERLAY)\b", "s3:/b", metavar).split("|")[-1]
            assert callable(action.type), action
            with pytest.raises(argparse.ArgumentTypeError, match="is a URL, not a local path; "):
                action.type(text)
            checked.add(action.dest)

    assert checked >= {"manifests", "output", "state", "overlay", "plugin", "report", "folders"}


def test_every_path_option_refuses_urls() -> None:
    """No key or step option that is described as a path lacks the check."""
    schema = compose(make_plugin_manager().registry)

    unchecked = [
        each["title"]
        for each in _described(schema)
        if re.search(r"relative to the (manifest|target)|the path of a", each["description"])
        and each["title"] not in {"Include", "Reports", "Checksum file", "Against"}
        and "x-path" not in each
    ]

    assert not unchecked


def _described(schema: Any) -> Iterator[dict[str, Any]]:
    """Yield every part of a schema that has a title and a description."""
    if isinstance(schema, dict) and "description" in schema and "title" in schema:
        yield schema
    for part in schema.values() if isinstance(schema, dict) else schema:
        if isinstance(part, (dict, list)):
            yield from _described(part)


def _parsers() -> Iterator[argparse.ArgumentParser]:
    """Yield the parser of every command."""
    for command in COMMANDS:
        parser = _parser([command], "impex")
        groups = (each for each in parser._actions if each.nargs == argparse.PARSER)
        yield next(iter(groups)).choices[command]  # type: ignore[index, call-overload]


@pytest.mark.parametrize(
    "args",
    [
        ["run", "https://h/m.yaml"],
        ["run", "m.yaml", "--output", "s3://b/x"],
        ["run", "m.yaml", "--state", "s3a://b/x"],
        ["run", "m.yaml", "--report", "json=s3://b/x"],
        ["run", "m.yaml", "-f", "https://h/o.yaml"],
        ["run", "m.yaml", "-p", "https://h/p.py"],
        ["validate", "S3:/m.yaml"],
        ["render", "file:m.yaml"],
        ["status", "--state", "gs:/b"],
        ["history", "--state", "gcs://b"],
        ["verify", "s3://b/out"],
        ["diff", "s3://b/old.zip", "new.zip"],
        ["diff", "old.zip", "file:///new.zip"],
        ["init", "s3://b/m.yaml"],
        ["init", "--sandbox", "s3://b"],
        ["sandbox", "http://h/x"],
        ["jobs", "s3://b/m.yaml"],
        ["state", "migrate", "ftp://h/x", "new"],
        ["state", "migrate", "old", "s3:/b/x"],
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
    assert "is a URL, not a local path; " in capsys.readouterr().err
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


@pytest.mark.parametrize(
    "call",
    [
        lambda spark: spark.impex.export(services=["life/x"], to="s3://b"),
        lambda spark: spark.impex.exports.download(["https://h/p.zip"], to="s3://b"),
        lambda spark: spark.impex.import_({"source": "life/x"}, "https://h/p.zip"),
        lambda _: Spark(base_url="https://h/t", oauth="https://h/client.json"),
        lambda _: Spark(base_url="https://h/t", token="t", verify_tls="https://h/ca.pem"),
    ],
)
def test_client_refuses_urls(
    call: Callable[[Spark], object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before anything is sent, and no folder of such a name is made."""
    monkeypatch.chdir(tmp_path)

    with (
        Spark(base_url="http://127.0.0.1:1/t", token="t") as spark,
        pytest.raises(UsageError, match="is a URL, not a local path; "),
    ):
        call(spark)

    assert not list(tmp_path.iterdir())


def test_environment_refuses_urls(monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable that names a file takes no URL."""
    monkeypatch.setenv("CSPARK_OAUTH_PATH", "https://h/client.json")

    with pytest.raises(UsageError, match="is a URL, not a local path; "):
        Spark(base_url="https://h/t")
