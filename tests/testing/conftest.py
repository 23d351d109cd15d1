"""What an author of a plugin has: inherited tests, and an environment with the runner in it."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from spark_impex_runner.plugincandidates import PluginChoice
from spark_impex_runner.pluginmanager import make_plugin_manager
from spark_impex_runner.testing.live_jobs import live_jobs

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parent.parent.parent


@dataclass(frozen=True)
class Environment:
    """A virtual environment; a command in it finds its own programs first."""

    folder: Path
    variables: dict[str, str]

    def __call__(self, command: str, folder: Path) -> str:
        """Run a line of a shell in a folder; return what it says. It has to succeed."""
        path = f"{self.folder / 'bin'}{os.pathsep}{self.variables['PATH']}"
        done = subprocess.run(  # noqa: S602 - the lines are those of our documentation
            command,
            shell=True,
            cwd=folder,
            env={**self.variables, "PATH": path},
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}"
        return done.stdout


@pytest.fixture(scope="session")
def variables() -> dict[str, str]:
    """Return the variables of the machine, without those that the runner reads."""
    ours = ("CSPARK_", "IMPEX_", "PYTHON")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    # No bytecode of what is never imported.
    return {**kept, "PIP_NO_COMPILE": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}


@pytest.fixture(scope="session")
def runner_wheel(tmp_path_factory: pytest.TempPathFactory, variables: dict[str, str]) -> Path:
    """Return the runner's wheel: the one that make built, or one built from the checkout."""
    found = list((ROOT / "dist").glob("*.whl"))
    if not found:
        out = tmp_path_factory.mktemp("dist")
        command = [sys.executable, "-m", "build", "--wheel", "--outdir", str(out), str(ROOT)]
        subprocess.run(command, check=True, capture_output=True, env=variables)
        found = list(out.glob("*.whl"))
    return found[0]


@pytest.fixture(scope="session")
def environment(
    tmp_path_factory: pytest.TempPathFactory, runner_wheel: Path, variables: dict[str, str]
) -> Environment:
    """Return an environment that holds the runner, and nothing that it does not need."""
    folder = tmp_path_factory.mktemp("environment") / "venv"
    subprocess.run([sys.executable, "-m", "venv", folder], check=True, env=variables)
    made = Environment(folder, variables)
    made(f"pip install --quiet '{runner_wheel}'", folder)
    return made


@pytest.fixture
def check(request: pytest.FixtureRequest) -> Callable[[Any, str], None]:
    """Give a function that runs one inherited test of a class, as pytest would."""

    def run(conformance: Any, name: str) -> None:
        plugins = make_plugin_manager(PluginChoice(files=tuple(conformance.plugin_files)))
        assert [info.error for info in plugins.infos if info.error] == []
        test = getattr(conformance, name)
        wanted = set(inspect.signature(test).parameters)
        given = {name: request.getfixturevalue(name) for name in wanted - {"plugins", "jobs"}}
        given |= {"plugins": plugins} if "plugins" in wanted else {}
        if "jobs" not in wanted:
            test(**given)
            return
        with live_jobs(request.getfixturevalue("run_manifest"), {}) as jobs:
            test(jobs=jobs, **given)

    return run
