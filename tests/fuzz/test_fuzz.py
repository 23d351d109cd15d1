from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from packaging.requirements import Requirement

if TYPE_CHECKING:
    from collections.abc import Callable

    Fuzzer = Callable[..., "subprocess.CompletedProcess[str]"]

SCRIPT = Path(__file__).parent / "fuzz_manifest.py"


def wanted() -> bool:
    """Tell whether the extra ``test`` asks for atheris on this machine."""
    requirements = map(Requirement, metadata.requires("spark-impex-runner") or ())
    markers = [found.marker for found in requirements if found.name == "atheris"]
    return any(marker.evaluate({"extra": "test"}) for marker in markers if marker)


pytestmark = pytest.mark.skipif(
    not wanted(), reason="atheris has wheels for CPython on Linux with x86-64 only"
)


@pytest.fixture
def fuzz(tmp_path: Path) -> Fuzzer:
    """Run the fuzzer, with the same chance each time."""

    def fuzz(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, SCRIPT, *arguments, "-seed=4", f"-artifact_prefix={tmp_path}/"],
            env={**os.environ, "PYTHONHASHSEED": "0"},
            cwd=tmp_path,
            stderr=subprocess.STDOUT,
            stdout=subprocess.PIPE,
            text=True,
            errors="replace",
            check=False,
        )

    return fuzz


def test_no_bytes_end_in_anything_but_an_error_of_ours(fuzz: Fuzzer) -> None:
    """A short run finds nothing, and does reach the package's code."""
    done = fuzz("-runs=800")

    assert done.returncode == 0, done.stdout[-3000:]
    edges = [int(count) for count in re.findall(r"cov: (\d+)", done.stdout)]
    assert "Done 800 runs" in done.stdout
    assert edges[-1] > 600


def test_a_crash_that_no_case_meets_is_found(fuzz: Fuzzer) -> None:
    """What is broken only for manifests that nobody has written is met by changing others."""
    done = fuzz("--break", "crash", "-runs=20000")

    cases, _, changes = done.stdout.partition("INITED")
    assert done.returncode != 0
    assert "Uncaught Python exception" not in cases
    assert "Uncaught Python exception" in changes
    assert "KeyError" in changes


@pytest.mark.parametrize(
    ("mistake", "said"),
    [
        ("leak", "a secret is shown"),
        ("place", "there is no such line"),
        ("lines", "not one printable line"),
    ],
)
def test_what_a_problem_may_not_be_is_found(fuzz: Fuzzer, mistake: str, said: str) -> None:
    """The fuzzer judges what is said, too."""
    done = fuzz("--break", mistake, "-runs=0")

    assert done.returncode != 0
    assert said in done.stdout
