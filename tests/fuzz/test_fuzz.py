from __future__ import annotations

import json
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
    from collections.abc import Callable, Iterator

    Fuzzer = Callable[..., tuple[int, str]]

SCRIPT = Path(__file__).parent / "fuzz_manifest.py"
# Each line of the input is the words of one run; its status is printed, what it says is a file.
FORKS = """
import json, os, sys
sys.path.insert(0, sys.argv[1])
import fuzz_manifest

for line in sys.stdin:
    child = os.fork()
    if not child:
        file = os.open("said", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(file, 1)
        os.dup2(file, 2)
        sys.argv = json.loads(line)
        fuzz_manifest.main()
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


def wanted() -> bool:
    """Tell whether the extra ``test`` asks for atheris on this machine."""
    requirements = map(Requirement, metadata.requires("spark-impex-runner") or ())
    markers = [found.marker for found in requirements if found.name == "atheris"]
    return any(marker.evaluate({"extra": "test"}) for marker in markers if marker)


pytestmark = pytest.mark.skipif(
    not wanted(), reason="atheris has wheels for CPython on Linux with x86-64 only"
)


@pytest.fixture(scope="module")
def fuzz(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fuzzer]:
    """Run the fuzzer, with the same chance each time: in forks, for its imports take a while."""
    folder = tmp_path_factory.mktemp("fuzz")
    server = subprocess.Popen(
        [sys.executable, "-c", FORKS, SCRIPT.parent],
        env={**os.environ, "PYTHONHASHSEED": "0"},
        cwd=folder,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert server.stdin
    assert server.stdout

    def fuzz(*arguments: str) -> tuple[int, str]:
        words = [str(SCRIPT), *arguments, "-seed=4", f"-artifact_prefix={folder}/"]
        print(json.dumps(words), file=server.stdin, flush=True)
        status = int(server.stdout.readline())
        return status, (folder / "said").read_text(errors="replace")

    with server:
        yield fuzz
        server.stdin.close()


def test_no_bytes_end_in_anything_but_an_error_of_ours(fuzz: Fuzzer) -> None:
    """A short run finds nothing, and does reach the package's code."""
    status, said = fuzz("-runs=500")

    assert status == 0, said[-3000:]
    edges = [int(count) for count in re.findall(r"cov: (\d+)", said)]
    # One that reads a new input from its folder again counts that, too.
    assert [int(count) >= 500 for count in re.findall(r"Done (\d+) runs", said)] == [True]
    assert edges[-1] > 600


def test_a_crash_that_no_case_meets_is_found(fuzz: Fuzzer) -> None:
    """What is broken only for manifests that nobody has written is met by changing others."""
    status, said = fuzz("--break", "crash", "-runs=20000")

    cases, _, changes = said.partition("INITED")
    assert status != 0
    assert "Uncaught Python exception" not in cases
    assert "Uncaught Python exception" in changes
    assert "KeyError" in changes


@pytest.mark.parametrize(
    ("mistake", "words"),
    [
        ("leak", "a secret is shown"),
        ("place", "there is no such line"),
        ("lines", "not one printable line"),
    ],
)
def test_what_a_problem_may_not_be_is_found(fuzz: Fuzzer, mistake: str, words: str) -> None:
    """The fuzzer judges what is said, too."""
    status, said = fuzz("--break", mistake, "-runs=0")

    assert status != 0
    assert words in said
