"""What an author of a plugin has: inherited tests, and an environment with the runner in it."""

from __future__ import annotations

import inspect
import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import uv

from spark_impex_runner.hooks.discovery import PluginChoice
from spark_impex_runner.hooks.manager import make_plugin_manager
from spark_impex_runner.testing.real_jobs import real_jobs

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parent.parent.parent
PAGE = ROOT / "docs/tutorial/first-plugin.md"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.DOTALL | re.MULTILINE)
END = "--- end of"
# pip takes most of the time that a fresh environment needs. So the commands run as they are written
# with the pip of uv, which none has to be installed for; where that fails, as with an index that
# only pip is told of, with the pip of the tests.
PIP = f"""pip() {{
    {shlex.quote(uv.find_uv_bin())} pip "$@" ||
        {shlex.quote(sys.executable)} -m pip --python "$VIRTUAL_ENV/bin/python" "$@"
}}
python3() {{
    if [ "$1 $2" = "-m venv" ]; then set -- "$@" --without-pip; fi
    command python3 "$@"
}}
"""
CHANGE = """python3 -c 'import pathlib, sys
name, old, new = sys.argv[1:]
path = pathlib.Path(name)
before = path.read_text()
assert before.count(old) == 1, old
path.write_text(before.replace(old, new))'"""


@dataclass(frozen=True)
class Environment:
    """A virtual environment; a command in it finds its own programs first."""

    folder: Path
    variables: dict[str, str]

    def __call__(self, command: str, folder: Path) -> str:
        """Run a line of a shell in a folder; return what it says. It has to succeed."""
        path = f"{self.folder / 'bin'}{os.pathsep}{self.variables['PATH']}"
        done = subprocess.run(  # noqa: S602 - the lines are those of our documentation
            PIP + command,
            shell=True,
            cwd=folder,
            env={**self.variables, "PATH": path, "VIRTUAL_ENV": str(self.folder)},
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
def runner_wheel(dist: Path) -> Path:
    """Return the runner's wheel."""
    return next(dist.glob("*.whl"))


def script(blocks: list[tuple[str, str]], wheel: Path) -> str:
    """Return the page as lines of a shell; what a console block says ends with its number."""
    lines = []
    for number, (language, text) in enumerate(blocks):
        if language == "console":
            commands = text.replace("$ ", "").replace("spark-impex-runner", str(wheel))
            lines += [*commands.splitlines(), f"echo; echo '{END} {number}'"]
        elif language in {"python", "yaml"}:
            name = text.partition("\n")[0].removeprefix("# ")
            lines += [f"cat > {name} <<'FILE'", text + "FILE"]
        elif language == "diff":
            first, *change = text.splitlines()
            old, new = (line[1:] for line in change)
            args = (first.removeprefix("--- "), old, new)
            lines.append(f"{CHANGE} {' '.join(map(shlex.quote, args))}")
    return "\n".join(lines)


@dataclass(frozen=True)
class Page:
    """The page "Your first plugin": its blocks, where its commands ran, and what they printed."""

    blocks: list[tuple[str, str]]
    folder: Path
    output: str

    def printed(self, number: int) -> str:
        """Return the output of the console block with this number."""
        return self.output.split(f"\n{END} {number}\n")[0].split(END)[-1]


@pytest.fixture(scope="session")
def page(
    tmp_path_factory: pytest.TempPathFactory, runner_wheel: Path, variables: dict[str, str]
) -> Page:
    """Run the page, which makes a fresh environment and installs the runner into it."""
    blocks = BLOCK.findall(PAGE.read_text(encoding="utf-8"))
    folder = tmp_path_factory.mktemp("page")
    done = subprocess.run(
        ["bash", "-c", PIP + script(blocks, runner_wheel)],
        cwd=folder,
        env=variables,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    return Page(blocks, folder, done.stdout)


@pytest.fixture(scope="session")
def environment(page: Page, variables: dict[str, str]) -> Environment:
    """Return the page's environment: the runner, pytest, and setuptools for other plugins."""
    made = Environment(page.folder / "venv", variables)
    made("pip uninstall --yes impex-tally && pip install 'setuptools>=77'", page.folder)
    return made


@pytest.fixture(scope="session")
def mypy(environment: Environment, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Return the words that check types against the environment, with one cache for all."""
    python, cache = environment.folder / "bin" / "python", tmp_path_factory.mktemp("mypy")
    return ["mypy", f"--python-executable={python}", f"--cache-dir={cache}"]


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
        with real_jobs(request.getfixturevalue("run_manifest"), {}) as jobs:
            test(jobs=jobs, **given)

    return run
