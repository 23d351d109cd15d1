"""The documentation says what the code does: generated pages, links, snippets, real output."""

from __future__ import annotations

import inspect
import re
import shlex
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import create_autospec

import pytest

from spark_impex_runner import errors
from spark_impex_runner.cli import main
from spark_impex_runner.engine.run import run_manifest
from spark_impex_runner.hooks import specs
from spark_impex_runner.hooks.manager import make_plugin_manager
from spark_impex_runner.hooks.registry import StepOffer
from spark_impex_runner.manifest.build import Settings, read_manifest
from spark_impex_runner.manifest.yaml.load import load
from spark_impex_runner.masking import Masker
from spark_impex_runner.models import Outcome, RunOptions
from spark_impex_runner.report import receipt
from spark_impex_runner.sandbox.server import Sandbox
from spark_impex_runner.tools.http import HttpClient

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parent.parent
EXAMPLES = [*ROOT.glob("examples/*.md"), *ROOT.glob("examples/*/README.md")]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *EXAMPLES])
RUN_AS_A_WHOLE = {
    "docs/tutorial/manifest.md",
    "docs/tutorial/first-plugin.md",
    "docs/how-to/prove-a-promotion.md",
}
HOOKS = sorted(name for name in vars(specs) if name.startswith("impex_"))
ERRORS = sorted(
    name
    for name, kind in vars(errors).items()
    if inspect.isclass(kind) and issubclass(kind, Exception)
)


def read(path: str) -> str:
    """Return a page."""
    return (ROOT / path).read_text(encoding="utf-8")


def blocks(page: Path, language: str) -> Iterator[str]:
    """Yield the fenced blocks of a page in one language."""
    pattern = rf"^```{language}\n(.*?)^```"
    yield from re.findall(pattern, page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


GENERATED = (
    "manifest.md cli.md hooks.md models.md tools.md modules.md testing.md".split()  # noqa: SIM905
)


@pytest.mark.parametrize("name", GENERATED)
def test_a_generated_page_is_what_the_code_says(load_script: Any, name: str) -> None:
    """Schema, commands and hooks cannot drift from their pages; mend: python docs/generate.py."""
    assert read(f"docs/reference/{name}") == load_script(ROOT / "docs/generate.py").pages()[name]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_within_the_project_leads_somewhere(page: Path) -> None:
    """Relative links name files that exist, where the tests hold the whole project."""
    links = re.findall(r"\]\(([^)#\s]+)", page.read_text(encoding="utf-8"))

    for link in links:
        inside = not re.match(r"[a-z]+:", link)
        if inside and "schemas/" not in link:
            assert (page.parent / link).exists(), link


def manifests() -> list[tuple[str, str]]:
    """Return every whole manifest that a page shows, but of pages that are run from end to end."""
    return [
        (f"{page.relative_to(ROOT)}-{number}", block)
        for page in PAGES
        if page.relative_to(ROOT).as_posix() not in RUN_AS_A_WHOLE
        for number, block in enumerate(blocks(page, "yaml"))
        if re.match(r"(#.*\n)*version:", block)
    ]


@pytest.mark.parametrize("text", [m[1] for m in manifests()], ids=[m[0] for m in manifests()])
def test_every_manifest_that_a_page_shows_is_valid(tmp_path: Path, text: str) -> None:
    """A snippet can be copied and works; its own plugins are taken as installed."""
    (tmp_path / "tenant").mkdir()
    for file in ("id", "key"):
        (tmp_path / file).write_text("x")
    text = text.replace("/run/secrets/", f"{tmp_path}/")
    (tmp_path / "m.yaml").write_text(text)
    registry = make_plugin_manager().registry
    registry.steps["note"] = StepOffer("note", "of the how-to page", "impex-note")

    manifest = read_manifest(load(tmp_path / "m.yaml"), Settings(registry, Masker()))

    assert manifest.targets


@pytest.mark.parametrize("hook", HOOKS)
def test_every_hook_is_documented_with_its_signature(hook: str) -> None:
    """The page shows the specification's own signature."""
    signature = str(inspect.signature(getattr(specs, hook))).replace("'", "")

    assert f"def {hook}{signature}" in read("docs/reference/hooks.md")


@pytest.mark.parametrize("name", ERRORS)
def test_every_error_is_documented_with_its_exit_code(name: str) -> None:
    """Class and code stand in one row of the table."""
    code = getattr(errors, name).exit_code
    page = read("docs/reference/exit-codes.md")

    assert re.search(rf"^\| `{name}` \| {code}\b", page, re.MULTILINE)


def test_every_exit_code_is_documented() -> None:
    """All of them have a row in the table."""
    cells = re.findall(r"^\| ([\d, ]+) \|", read("docs/reference/exit-codes.md"), re.MULTILINE)
    codes = set(re.findall(r"\d+", " ".join(cells)))

    assert codes == {"0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "130", "143"}


def test_every_event_is_documented() -> None:
    """The log page lists each event name that the code has, and no other."""
    package = Path(inspect.getfile(run_manifest)).parent.parent
    parts = ("delivery", "engine", "hooks", "cli")
    files = (path for part in parts for path in (package / part).glob("*.py"))
    source = "".join(path.read_text(encoding="utf-8") for path in files)
    kinds = "(?:job|package|step|target|run|download|plugin|notification)"
    named = set(re.findall(rf'"({kinds}\.[a-z_]+)"', source))
    named -= {"package.zip", "run.id", "run.date"}  # a file, and references of manifests
    named |= {f"step.{outcome}" for outcome in ("succeeded", "warned", "failed", "held")}
    named |= {f"target.{outcome.value}" for outcome in Outcome}
    named |= {"log", *re.findall(r'event="([a-z]+)"', source)}
    named |= set(re.findall(r'self\._log\([a-z."]+, "([a-z]+)"', source))
    table = read("docs/reference/log.md").partition("| event |")[2]

    listed = re.findall(r"^\|(.*?)\|", table, re.MULTILINE)
    assert {name for cell in listed for name in re.findall(r"`([a-z._]+)`", cell)} == named


def test_every_environment_variable_is_documented() -> None:
    """The page lists each variable that the code names, and no other of these prefixes."""
    package = Path(inspect.getfile(run_manifest)).parent.parent
    prefixes = "(?:CSPARK|IMPEX|GITHUB|GITLAB|BUILD|VAULT)"
    quoted = re.compile(rf'"({prefixes}_[A-Z_]+)"')
    files = [*package.rglob("*.py"), *(ROOT / "plugins").rglob("*.py")]
    named = {name for path in files for name in quoted.findall(path.read_text(encoding="utf-8"))}
    rows = re.findall(r"^\|(.*?)\|", read("docs/reference/environment.md"), re.MULTILINE)

    listed = set(re.findall(rf"`({prefixes}_[A-Z_]+)", " ".join(rows)))
    assert listed == named - {"IMPEX_VAR_"} | {"IMPEX_VAR_NAME"}


@pytest.mark.parametrize("page", ["reliability", "security"])
def test_every_proof_of_a_promise_exists(page: str) -> None:
    """The pages of promises name tests and files that are there."""
    text = read(f"docs/explanation/{page}.md")
    tests = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("*.py"))

    files, names = re.findall(r"`(tests/[\w/.]+)`", text), re.findall(r"`(test_\w+)`", text)

    assert len(names) > 10
    assert [name for name in names if f"def {name}(" not in tests] == []
    assert [name for name in files if not (ROOT / name).exists()] == []


def plain(text: str) -> str:
    """Return output without what differs from run to run."""
    text = re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "JOB", text)
    text = re.sub(r"\d{8}T\d{6}Z-[0-9a-f]{8}", "RUN", text)
    return re.sub(r" +[\d.]+ (kB|s)\b", " N", text)


def test_the_quick_start_prints_what_the_readme_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The README's output is that of the run, but for ids, times and sizes."""
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    shutil.rmtree(tmp_path / "examples/exports", ignore_errors=True)
    monkeypatch.chdir(tmp_path)

    with pytest.raises(SystemExit) as exit_:
        main.run(["examples/quickstart.yaml"])

    shown = next(block for block in blocks(ROOT / "README.md", "text") if "quickstart" in block)
    assert exit_.value.code == 0
    assert plain(capsys.readouterr().out) == plain(shown)
    for folder in Path("examples/exports/quickstart").iterdir():
        names = {path.name for path in folder.iterdir()}
        assert names == {"package.zip", "SHA256SUMS", "files", "impex-receipt.json"}
        assert receipt.verify(folder) == []


def test_the_readme_is_short_and_begins_with_a_picture() -> None:
    """A picture stands above the fold, and at most 100 lines before the links."""
    lines = read("README.md").splitlines()

    assert any(line.startswith("![") for line in lines[:8])
    assert lines.index("## Where to go next") <= 100


def test_page_shows_a_real_rehearsal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The output of the page's first command, but for ids and times."""
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    monkeypatch.chdir(tmp_path / "examples")

    with pytest.raises(SystemExit) as exit_:
        main.main(["plan", "--simulate", "promotion.yaml"])

    page = read("docs/how-to/rehearse.md")
    shown = page.partition("promotion.yaml\n")[2].partition("$ echo $?")[0]
    assert plain(shown) == plain(capsys.readouterr().out)
    assert exit_.value.code == 0


def test_the_readme_shows_a_real_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its manifest with a typo prints its line, to the letter."""
    manifest = next(blocks(ROOT / "README.md", "yaml")).replace("onpremises", "onprem")
    (tmp_path / "release.yaml").write_text(manifest)
    monkeypatch.chdir(tmp_path)

    with pytest.raises(SystemExit) as exit_:
        main.run(["release.yaml"])

    shown = next(block for block in blocks(ROOT / "README.md", "text") if "onprem" in block)
    assert exit_.value.code == 2
    assert capsys.readouterr().err == shown


def console(line: str) -> int:
    """Run a line of a console block, up to a semicolon; return its exit code."""
    words = shlex.split(line.partition(";")[0])
    if words[0] == "mkdir":
        for folder in words[2:]:
            Path(folder).mkdir(parents=True)
        return 0
    entry = {"impex": main.main, "impex-run": main.run}[words[0]]
    with pytest.raises(SystemExit) as exit_:
        entry(words[1:])
    return int(exit_.value.code or 0)


def test_the_manifest_page_prints_what_it_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each of its files is written, each command run, and each output compared, in their order."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SIT_ID", raising=False)
    text, codes, compared = read("docs/tutorial/manifest.md"), [], 0
    for language, block in re.findall(r"^```(\w+)\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
        if language == "yaml":
            path = Path(block.partition("\n")[0].removeprefix("# "))
            path.parent.mkdir(exist_ok=True)
            path.write_text(block)
        elif language == "console":
            capsys.readouterr()
            codes += [console(line.removeprefix("$ ")) for line in block.splitlines()]
        else:
            captured = capsys.readouterr()
            assert captured.out + captured.err == block
            compared += 1

    assert compared == 8
    assert codes[-3:] == [8, 0, 0]


def test_the_plugin_that_a_page_shows_works(tmp_path: Path, clock: Any) -> None:
    """Copied from the page, it runs as a step."""
    page = ROOT / "docs/how-to/write-a-plugin.md"
    code = next(block for block in blocks(page, "python") if "impex_run_step" in block)
    (tmp_path / "note.py").write_text(code)
    (tmp_path / "tenant/life/annuity/1.0.0").mkdir(parents=True)
    (tmp_path / "m.yaml").write_text(
        "version: 1\nconnections: {demo: {sandbox: tenant}}\n"
        "targets: [{name: a, folders: [life], steps: [{uses: note}]}]\n"
    )

    result = run_manifest(
        tmp_path / "m.yaml", RunOptions(plugin_files=(tmp_path / "note.py",)), clock=clock
    )

    assert [step.outcome for step in result.results[0].steps] == ["succeeded"]
    assert (tmp_path / "exports/a/note.txt").read_text().startswith("package.zip ")


def test_the_reports_and_notifiers_that_the_page_shows_work(
    tmp_path: Path, clock: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Copied from the page, the report is written and the notifier called, by the keys it shows."""
    page = read("docs/how-to/write-a-plugin.md")
    code = next(
        block
        for block in blocks(ROOT / "docs/how-to/write-a-plugin.md", "python")
        if "registry.notifier" in block
    )
    report, notify = re.findall(r"`(report: \{.*?\}|notify: \[.*?\])`", page)
    (tmp_path / "pager.py").write_text(code)
    (tmp_path / "tenant/life/annuity/1.0.0").mkdir(parents=True)
    (tmp_path / "m.yaml").write_text(
        "version: 1\nconnections: {demo: {sandbox: tenant}}\n"
        f"targets: [{{name: a, services: [motor/nothing]}}]\n{report}\n{notify}\n"
    )
    monkeypatch.setenv("ON_CALL", "nobody")

    run_manifest(
        tmp_path / "m.yaml", RunOptions(plugin_files=(tmp_path / "pager.py",)), clock=clock
    )

    assert (tmp_path / "out/result.csv").read_text() == "a,failed\n"
    assert "notify[0] (pager): the number may only contain digits" in caplog.text


def test_the_request_that_the_page_shows_is_one_of_the_client(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Copied from the page, it calls the client by names that are there."""
    page = ROOT / "docs/how-to/write-a-plugin.md"
    code = next(block for block in blocks(page, "python") if "HttpClient" in block)
    sent = create_autospec(HttpClient.send)
    monkeypatch.setattr(HttpClient, "send", sent)
    names: dict[str, Any] = {}

    exec(code, names)  # noqa: S102 - the page's own code
    names["page"]("112", "hunter2")

    [call] = sent.call_args_list
    assert call.args[1:3] == ("POST", "https://pager.example/112")
    assert call.kwargs == {"attempts": 3}


def test_the_tests_that_a_page_shows_are_those_of_its_plugin(
    pytester: pytest.Pytester,
) -> None:
    """As pytest finds them beside the plugin of the page: one fails, and the page says which."""
    page = ROOT / "docs/how-to/write-a-plugin.md"
    found = [block for block in blocks(page, "python") if "notifier" not in block]
    plugin, tests = (block for block in found if "HttpClient" not in block)
    (pytester.path / "note.py").write_text(plugin)
    (pytester.path / "conftest.py").write_text('pytest_plugins = ["spark_impex_runner.testing"]\n')
    tests = tests.replace('    name = "note"', '    name = "note"\n    plugin_files = FILES')
    tests = tests.replace("run_manifest(MANIFEST)", "run_manifest(MANIFEST, FILES)")
    head = "from pathlib import Path\nFILES = (Path(__file__).with_name('note.py'),)\n"
    (pytester.path / "test_note.py").write_text(head + tests)

    result = pytester.runpytest("-p", "no:cacheprovider")

    result.assert_outcomes(passed=12, skipped=1, failed=1)
    result.stdout.fnmatch_lines(["*a.txt depends on the packages' order*"])


@pytest.fixture
def tutorial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the tutorial's folder as it is after its third section, and work in it."""
    for version in re.findall(r"(tenant/\w+/\w+/[\d.]+)", read("docs/tutorial/first-run.md")):
        (tmp_path / version).mkdir(parents=True)
    manifest = next(blocks(ROOT / "docs/tutorial/first-run.md", "yaml"))
    (tmp_path / "release.yaml").write_text(manifest)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_first_run_delivers_what_the_tutorial_lists(tutorial: Path, clock: Any) -> None:
    """The listing of section 4 is what lies there."""
    result = run_manifest("release.yaml", clock=clock)

    shown = read("docs/tutorial/first-run.md").split("ls exports/pricing\n")[1].split("\n")[0]
    assert result.exit_code == 0
    assert sorted(shown.split()) == sorted(p.name for p in (tutorial / "exports/pricing").iterdir())


def test_the_first_mistake_of_the_tutorial_is_told_as_it_shows(
    tutorial: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A misspelt key, to the letter."""
    manifest = tutorial / "release.yaml"
    manifest.write_text(manifest.read_text().replace("folders: [life]", "folder: [life]"))

    with pytest.raises(SystemExit) as exit_:
        main.run(["release.yaml"])

    assert exit_.value.code == 2
    assert capsys.readouterr().err == next(blocks(ROOT / "docs/tutorial/first-run.md", "text"))


def test_the_second_mistake_of_the_tutorial_spares_the_others(tutorial: Path, clock: Any) -> None:
    """A service that does not exist fails its own target only: exit code 3."""
    with (tutorial / "release.yaml").open("a") as manifest:
        manifest.write(list(blocks(ROOT / "docs/tutorial/first-run.md", "yaml"))[1])

    result = run_manifest("release.yaml", clock=clock)

    outcomes = [each.outcome for each in result.results]
    assert outcomes == [Outcome.SUCCEEDED, Outcome.SUCCEEDED, Outcome.FAILED]
    assert "motor/prcing" in result.results[2].error
    assert result.exit_code == 3


def test_the_python_page_runs_as_it_is_written(
    examples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its blocks, one after the other, on a sandbox in place of the tenant."""
    (tmp_path / "release.yaml").write_text(
        f"version: 1\nconnections: {{demo: {{sandbox: {examples / 'tenant'}}}}}\n"
        "targets: [{name: pricing, services: [motor/pricing]}]\n"
    )
    monkeypatch.chdir(tmp_path)
    first, steps, program, whole, stop = blocks(ROOT / "docs/how-to/use-from-python.md", "python")
    code = first + "".join(f"    {line}\n" for line in steps.splitlines())
    code += "first_packages = packages\n" + program
    with Sandbox(examples / "tenant") as sandbox:
        code = code.replace("https://excel.sit.coherent.global/acme", sandbox.base_url)
        code = code.replace('token="…"', f"token={sandbox.token!r}")
        names: dict[str, Any] = {}
        exec(code, names)  # noqa: S102 - the page's own code
    for found in ("first_packages", "packages"):
        assert [package.status for package in names[found]] == [200]

    with pytest.raises(SystemExit) as exit_:
        exec(whole, names)  # noqa: S102 - the page's own code
    assert exit_.value.code == 0

    exec(stop, names)  # noqa: S102 - the page's own code
    assert names["result"].exit_code == 0


def test_every_dependency_is_explained() -> None:
    """Each that pyproject.toml asks for has its reason on the page."""
    project = read("pyproject.toml").split("[project.scripts]")[0].split("dependencies = [", 1)[1]
    names = set(re.findall(r'^    "([A-Za-z0-9-]+)', project, re.MULTILINE))

    assert {"requests", "cspark"} <= names
    assert (
        names - set(re.findall(r"`([A-Za-z0-9-]+)`", read("docs/explanation/dependencies.md")))
        == set()
    )


def test_set_up_needs_two_commands_only() -> None:
    """The README's own commands are those of the Makefile."""
    makefile = read("Makefile")

    assert set(re.findall(r"make (\w+)", read("README.md"))) == {"demo", "site", "test"}
    assert re.search(r"^demo:", makefile, re.MULTILINE)
    assert re.search(r"^test:", makefile, re.MULTILINE)
