"""What CI systems take from this project: it fits its schemas, and its scripts run a manifest."""

from __future__ import annotations

import os
import re
import runpy
import shutil
import subprocess
import sys
import threading
from concurrent import futures
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any

import check_jsonschema
import pytest
import yaml
from click.testing import CliRunner

from spark_impex_runner.clock import Clock
from spark_impex_runner.version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parent.parent.parent
COMPONENT = ROOT / "templates/impex/template.yml"
AZURE = ["--data-transform", "azure-pipelines", "--regex-variant", "nonunicode"]
FILES = [
    ("vendor.github-actions", "action.yml", []),
    ("vendor.azure-pipelines", "examples/azure/impex.yml", AZURE),
    ("vendor.azure-pipelines", "examples/azure/azure-pipelines.yml", AZURE),
]


def problems(schema: str, path: Path, *options: str) -> str:
    """Return what check-jsonschema finds in a file."""
    words = ["--builtin-schema", schema, *options, str(path)]
    done = CliRunner().invoke(check_jsonschema.main, words)
    return done.output if done.exit_code else ""


@pytest.mark.parametrize(("schema", "name", "options"), FILES, ids=str)
def test_files_fit_their_schemas(schema: str, name: str, options: list[str]) -> None:
    """Those that the systems publish."""
    assert problems(schema, ROOT / name, *options) == ""


def test_component_fits_the_schema_of_gitlab(tmp_path: Path) -> None:
    """Its header, and its jobs with the inputs in their places; the schema finds a misspelt key."""
    header, jobs = COMPONENT.read_text().split("\n---\n")
    for name, text in {
        "header": header,
        "jobs": jobs,
        "bad": jobs.replace("retry:", "retri:"),
    }.items():
        (tmp_path / f"{name}.yml").write_text(text)

    assert problems("vendor.gitlab-ci", tmp_path / "header.yml") == ""
    assert problems("vendor.gitlab-ci", tmp_path / "jobs.yml") == ""
    assert "retri" in problems("vendor.gitlab-ci", tmp_path / "bad.yml")


def test_hook_is_one_of_pre_commit(programs: Callable[..., Path]) -> None:
    """Pre-commit, which has no published schema but its own program, accepts the manifest of it."""
    home = programs("pip", "pre-commit>=4")
    done = subprocess.run(
        [sys.executable, "-m", "pre_commit", "validate-manifest", ROOT / ".pre-commit-hooks.yaml"],
        env={**os.environ, "PYTHONPATH": str(home)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stdout + done.stderr) == (0, "")
    [hook] = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
    assert (hook["id"], hook["entry"]) == ("impex-validate", "impex validate")


def scripts() -> dict[str, str]:
    """Return the script of each system that runs a manifest, without what installs the runner."""
    azure = yaml.safe_load((ROOT / "examples/azure/impex.yml").read_text())["steps"]
    action = yaml.safe_load((ROOT / "action.yml").read_text())["runs"]["steps"]
    job = next(iter(yaml.safe_load(COMPONENT.read_text().split("\n---\n")[1]).values()))
    jenkins = re.findall(
        r"'''(.*?)'''", (ROOT / "examples/jenkins/Jenkinsfile").read_text(), re.DOTALL
    )
    return {
        "github": next(step["run"] for step in action if step.get("id") == "run"),
        "azure": next(step["bash"] for step in azure if step.get("name") == "impex"),
        "gitlab": "\n".join(job["script"]),
        "jenkins": jenkins[0]
        .replace(".venv/bin/impex-run backup.yaml", 'impex-run "$MANIFEST"')
        .replace("s3://acme-impex/state", "state")
        .replace("python -m venv .venv", "")
        .replace(".venv/bin/pip", "pip"),
    }


@pytest.mark.parametrize("system", ["github", "azure", "gitlab", "jenkins"])
@pytest.mark.parametrize(("tenant", "code"), [("tenant", 0), ("missing", 2)])
def test_script_runs_a_manifest(tmp_path: Path, system: str, tenant: str, code: int) -> None:
    """It keeps the reports, and ends with the runner's exit code.

    What it is given has a space, a line end, and a pattern that fits a file, but is for the runner.
    """
    text = (ROOT / "examples/smallest.yaml").read_text().replace("tenant", tenant)
    (tmp_path / "a manifest.yaml").write_text(text)
    shutil.copytree(ROOT / "examples/tenant", tmp_path / "tenant")
    (tmp_path / "prices").touch()
    given = {"MANIFEST": "a manifest.yaml", "ARGS": "--target pric*\n--quiet", "STATE": "a state"}
    done = subprocess.run(
        ["bash", "-e", "-c", f"pip() {{ :; }}\n{scripts()[system]}"],
        cwd=tmp_path,
        env={
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            **given,
            **{f"IMPEX_{name}": value for name, value in given.items()},
            "IMPEX_PACKAGE": "",
            "REPORTS": "out",
            "GITHUB_OUTPUT": str(tmp_path / "outputs"),
            "GITHUB_ACTION_PATH": str(ROOT),
        },
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == code, done.stderr
    assert (tmp_path / "out/impex.json").exists()
    assert ("created" in done.stderr) == (system == "jenkins" and code == 0)  # it is not quiet
    if system == "azure":
        assert f"##vso[task.setvariable variable=exitCode;isOutput=true]{code}" in done.stdout
    if system == "github":
        lines = (tmp_path / "outputs").read_text().splitlines()
        outputs = dict(line.split("=", 1) for line in lines)
        assert outputs["exit-code"] == str(code)
        assert (tmp_path / outputs["receipt"]).is_file() == (code == 0)


@pytest.mark.parametrize("name", ["templates/impex/template.yml", "examples/azure/impex.yml"])
def test_template_installs_its_own_version(name: str) -> None:
    """A template that is named by its tag or commit runs the same code in a year."""
    assert re.search(
        rf'"spark-impex-runner\[\w+\]=={re.escape(__version__)}"', (ROOT / name).read_text()
    )


def stand_in(name: str, **names: Any) -> ModuleType:
    """Return a module with these names, for a library that is too large for a test."""
    module = ModuleType(name)
    vars(module).update(names)
    return module


def block(title: str, folder: Path) -> dict[str, Any]:
    """Run the block of the page that begins with a title, and return its names."""
    page = (ROOT / "docs/how-to/airflow-dagster.md").read_text()
    [text] = re.findall(rf"^```python\n(# {title}\n.*?)^```", page, re.DOTALL | re.MULTILINE)
    text = text.replace("s3://acme-impex/state", "state")
    (folder / title).write_text(text)
    return runpy.run_path(str(folder / title))


class _Operator:
    """The little of Airflow's BaseOperator that an operator uses."""

    def __init__(self, **_: Any) -> None:
        self.log = SimpleNamespace(info=lambda _: None)


def test_airflow_stops_the_run_by_on_kill(
    run: Any, serve: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The operator of the page returns the outputs; when it is killed, the job is cancelled."""
    kinds = ("AirflowException", "AirflowFailException")
    errors = {name: type(name, (Exception,), {}) for name in kinds}
    monkeypatch.setitem(sys.modules, "airflow", stand_in("airflow"))
    for name, names in {"sdk": {"BaseOperator": _Operator}, "sdk.exceptions": errors}.items():
        monkeypatch.setitem(sys.modules, f"airflow.{name}", stand_in(name, **names))
    operator_class = block("impex_operator.py", tmp_path)["ImpexOperator"]
    monkeypatch.setattr(Clock, "wait", lambda clock, _: clock.check())
    sandbox = serve(job_seconds=0)
    path = run.write(sandbox, "- {name: a, folders: [life]}")
    operator = operator_class(manifest=path, state=tmp_path / "state")

    assert set(operator.execute({})) == {"a"}

    hanging = serve(job_seconds=1000)
    path = run.write(hanging, "- {name: b, folders: [life]}")
    killed = operator_class(manifest=path, state=tmp_path / "other")
    monkeypatch.setattr(Clock, "wait", lambda clock, _: (killed.on_kill(), clock.check()))
    with pytest.raises(errors["AirflowException"], match="exit code 143"):
        killed.execute({})
    assert [each.method for each in hanging.requests].count("PATCH") == 1


def test_dagster_stops_the_run_on_an_exception(
    run: Any, serve: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The asset of the page is interrupted: the exception is raised after the run has ended."""
    dagster = stand_in("dagster", asset=lambda function: function, Failure=RuntimeError)
    monkeypatch.setitem(sys.modules, "dagster", dagster)
    names = block("impex_asset.py", tmp_path)
    sandbox = serve(job_seconds=1000)
    run.write(sandbox, "- {name: a, folders: [life]}").rename(tmp_path / "backup.yaml")
    monkeypatch.chdir(tmp_path)

    class Interrupted(names["ThreadPoolExecutor"]):  # type: ignore[misc]
        """Lets the caller's wait end with an exception, as Dagster's signal handler does."""

        def submit(self, *args: Any, **named: Any) -> Any:
            running = super().submit(*args, **named)
            return SimpleNamespace(result=lambda: running.result(0) and None)

    monkeypatch.setitem(names["backup"].__globals__, "ThreadPoolExecutor", Interrupted)
    context = SimpleNamespace(log=SimpleNamespace(info=lambda _: None))

    with pytest.raises(futures.TimeoutError):
        names["backup"](context)
    assert "impex-scheduler" not in {each.name for each in threading.enumerate()}
