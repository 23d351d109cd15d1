"""Every path that the manifest or the command line determines, before anything is sent."""

from __future__ import annotations

import os
import resource
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from spark_impex_runner.clock import Clock
from spark_impex_runner.errors import UsageError
from spark_impex_runner.masking import Masker
from spark_impex_runner.models import RunOptions
from spark_impex_runner.paths import Identities
from spark_impex_runner.planning.disk import check_disk
from spark_impex_runner.planning.load import load
from spark_impex_runner.planning.locations import cache_folder, state_place

if TYPE_CHECKING:
    from collections.abc import Callable

HEAD = """
version: 1
include: [part.yaml]
connections: {{sit: {{sandbox: acme{more}}}}}
targets:
  - {{name: a, folders: [life], output: {output}, steps: [{steps}]}}
  - {{name: b, folders: [life], output: exports/b}}
report: {{{report}}}
"""


@pytest.fixture
def check(tree: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """Validate a manifest with these parts; return what is wrong with it."""
    folder = tree.parent
    monkeypatch.chdir(folder)
    (folder / "part.yaml").write_text("version: 1\nvars: {t: x}\n")
    (folder / "overlay.yaml").write_text("version: 1\nvars: {u: x}\n")
    (folder / "linked.yaml").symlink_to("m.yaml")
    (folder / "again").symlink_to("exports")
    (folder / "away").symlink_to(folder.parent)
    (folder / "ca.pem").touch()

    monkeypatch.setenv("HOOK", "https://hook.example/x")

    def start(report: str = "", steps: str = "", output: str = "out", **options: Any) -> list[str]:
        path = Path("m.yaml")
        more = ", verify_tls: ca.pem" if "verify" in options else ""
        options.pop("verify", None)
        head = options.pop("head", HEAD)
        text = head.format(report=report, steps=steps, output=output, more=more)
        path.write_text(text.replace("acme", str(tree)))
        (folder / "hard.yaml").unlink(missing_ok=True)
        (folder / "hard.yaml").hardlink_to(folder / "m.yaml")
        options = {"overlays": (Path("overlay.yaml"),), "asks": False, **options}
        try:
            given = RunOptions(**options)
            loaded = load(path, given, Clock(), Masker())
            check_disk(loaded, given, state_place(path, given))
        except UsageError as error:
            return str(error).split("\n")
        return []

    return start


@pytest.mark.parametrize(
    "path",
    [
        *("m.yaml", "./sub/../m.yaml", "linked.yaml", "hard.yaml", "part.yaml", "overlay.yaml"),
        *(".impex/state.db", ".impex/r.json", ".impex", "acme/r.json"),
        *("out", "out/impex-receipt.json", "out/Impex-Receipt.JSON", "exports"),
        *("out/files/r.json", "out/SHA256SUMS", "-"),
    ],
)
@pytest.mark.parametrize("option", [False, True])
def test_report_replaces_nothing(check: Any, tree: Path, path: str, option: bool) -> None:
    """A report may not replace a file that the run reads or writes."""
    path = path.replace("acme", tree.name)
    given = {"reports": {"json": Path(path)}} if option else {"report": f"json: '{path}'"}

    [problem] = check(steps="{uses: unzip}, {uses: checksum}", **given)

    assert problem.startswith("--report json=" if option else "m.yaml:8:")
    assert not Path("out").exists()


def test_reports_need_two_files(check: Any) -> None:
    """Two reports to one file are refused; the second names the first."""
    [problem] = check(report="json: r.out, html: ./r.out")

    assert "the report 'html' would replace the report 'json'" in problem


@pytest.mark.parametrize("reports", ["json: y/z, html: y", "html: y, json: y/z"])
def test_report_below_another_report(check: Any, reports: str) -> None:
    """A report may not be where the folder of another one is."""
    [problem] = check(report=reports)

    assert "the report 'html' would be where the folder of the report 'json' is" in problem


def test_files_read_are_guarded(check: Any) -> None:
    """A report may not replace the CA bundle, a file of a reference or a lock file."""
    lock = "{uses: import, with: {to: sit, lock: l.json}}"

    assert "the CA bundle" in check(report="json: ca.pem", verify=True)[0]
    assert "would replace" in check(report="json: l.json", steps=lock)[0]
    assert "m.yaml" in check(steps=lock.replace("l.json", "m.yaml"))[0]


@pytest.mark.parametrize("path", ["services.txt", "sub/../services.txt", "ca.pem"])
def test_lists_are_guarded(check: Any, path: str) -> None:
    """A report may not replace a list of services or a file of a notification."""
    Path("services.txt").write_text("life/term\n")
    hook = 'notify: [{{uses: webhook, with: {{url: "${{env:HOOK}}", verify_tls: ca.pem}}}}]\n'
    head = HEAD.replace("folders: [life], output: {output}", "services: ['@services.txt']")

    [problem] = check(report=f"json: {path}", head=head + hook)

    assert "would replace" in problem
    assert Path("services.txt").read_text() == "life/term\n"


@pytest.mark.parametrize(
    ("output", "steps", "message"),
    [
        (".", "{uses: checksum, with: {file: m.yaml}}", "a file of this manifest"),
        (".", "{uses: unzip, with: {to: exports}}", "the output of target 'b'"),
        (".", "{uses: unzip, with: {to: .impex}}", "is a reserved name"),
        ("out", "{uses: unzip, with: {to: impex-receipt.json}}", "is a reserved name"),
        ("out", "{uses: unzip}, {uses: unzip, with: {to: files/a}}", "two steps of target 'a'"),
        ("out", "{uses: checksum}, {uses: unzip, with: {to: sha256sums}}", "two steps"),
        (".impex", "", "the output would lie in the state"),
        (".impex/x", "", "the output would lie in the state"),
        ("again/b", "", "would write to one output"),
        (".", "{uses: unzip, with: {to: away/x}}", "leads out of"),
    ],
)
def test_step_replaces_nothing(check: Any, output: str, steps: str, message: str) -> None:
    """A conflict of a step is reported with its line before anything is sent."""
    [problem] = check(output=output, steps=steps)

    assert problem.startswith("m.yaml:7:" if "one output" in message else "m.yaml:6:")
    assert message in problem


def test_outputs_that_differ_in_case_are_one(check: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the file system ignores case, the message says so, with both paths."""
    monkeypatch.setattr(Identities, "_ignores_case", lambda *_: True)

    [problem] = check(output="EXPORTS/B")

    assert problem.endswith(
        "the targets 'a' and 'b' would write to one output: EXPORTS/B and exports/b are one "
        "folder, since this file system ignores letter case; choose another folder for one of them"
    )


@pytest.mark.parametrize("name", ["src/precious.py", "SHA256SUMS"])
def test_foreign_file_is_found_first(check: Any, name: str) -> None:
    """A file or folder that no run has written is reported before anything is sent."""
    Path(name).parent.mkdir(exist_ok=True)
    Path(name).write_text("mine")

    problems = check(output=".", steps="{uses: unzip, with: {to: src}}, {uses: checksum}")

    assert [each.startswith("m.yaml:6:") for each in problems] == [True]
    assert Path(name).name in problems[0]


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("file/r.json", "file is not a folder"),
        ("folder", "is not a file"),
        ("fifo", "is not a file"),
        ("link", "is a symbolic link"),
    ],
)
def test_unwritable_report_is_found_first(check: Any, path: str, message: str) -> None:
    """A report that cannot be written is refused before anything is sent."""
    Path("file").touch()
    Path("folder").mkdir()
    os.mkfifo("fifo")
    Path("link").symlink_to("elsewhere")

    assert message in check(report=f"json: {path}")[0]
    assert message in check(reports={"json": Path(path)})[0]


@pytest.mark.parametrize("report", ["new/r.json", "r.json"])
def test_full_disk_is_found_first(check: Any, report: str) -> None:
    """A disk without room is named before anything is sent; an earlier report stays as it was."""
    Path("r.json").write_text("earlier")
    before = sorted(Path().iterdir())
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)

    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limits[1]))
    try:
        problems = check(report=f"html: {report}")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)

    assert problems[0].startswith("m.yaml:8:")
    assert "cannot write to" in problems[0]
    assert "File too large" in problems[0]
    assert Path("r.json").read_text() == "earlier"
    assert {*Path().iterdir()} - {*before} <= {Path("m.yaml"), Path("hard.yaml")}


def test_long_names_are_found_first(check: Any) -> None:
    """Names of outputs, steps' files and reports are limited in bytes."""
    long = "n" * 230 + "é" * 13

    assert "a name may have 255" in check(output=f"out/{long}")[0]
    assert "a name may have 240" in check(steps=f"{{uses: unzip, with: {{to: {long}}}}}")[0]
    assert "a name may have 240" in check(report=f"json: {long}")[0]


def test_ordinary_paths_are_accepted(check: Any) -> None:
    """Reports may be beside packages, and outputs may contain one another."""
    steps = "{uses: unzip}, {uses: checksum, with: {algorithms: [md5, sha1]}}"

    assert check("json: out/report.json, html: exports/b/r.html", steps) == []
    assert check("json: r.json", steps, output=".") == []
    assert check("json: new/folder/r.json", steps, output="exports") == []
    assert check("json: r.json", steps, state=Path()) == []


def test_cache_lies_in_the_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If that is a URL, in the cache folder of the user."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    manifest = tmp_path / "m.yaml"

    assert cache_folder(manifest, RunOptions()) == tmp_path / ".impex" / "cache"
    assert cache_folder(manifest, RunOptions(state=tmp_path / "s")) == tmp_path / "s" / "cache"
    assert cache_folder(manifest, RunOptions(state="s3://a/b")) == tmp_path / "spark-impex-runner"
