"""Find changes of the core modules that the suite does not notice: a mutation test.

``python benchmarks/mutants.py`` draws changes at random (see ``mutation.py``), makes each in a
copy of the tree, runs the tests that execute the changed line, and prints the changes that all of
them passed, with the score. Some of these change nothing that anybody could notice; each of the
others lacks a test. ``--seed`` draws the same changes again, ``--count`` so many, ``--only`` those
of files or of ``file:line``. Which lines a test executes is recorded once and kept in
``build/mutants`` until these modules change; after a change of tests only their files run again.
``--tests`` takes some files of tests only.
"""

from __future__ import annotations

import argparse
import fnmatch
import hashlib
import json
import math
import os
import random
import resource
import secrets
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from mutation import Mutant, mutants_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

HERE = Path(__file__).resolve().parent
PACKAGE = "spark_impex_runner"
MODULES = (
    f"{PACKAGE}/masking.py",
    f"{PACKAGE}/state/store.py",
    f"{PACKAGE}/delivery/attempt.py",
    f"{PACKAGE}/spark/completeness.py",
    f"{PACKAGE}/delivery/create.py",
    f"{PACKAGE}/delivery/export.py",
    f"{PACKAGE}/delivery/poll.py",
    f"{PACKAGE}/manifest/expand.py",
    f"{PACKAGE}/quantity.py",
    f"{PACKAGE}/spark/failures.py",
    f"{PACKAGE}/spark/download/hashes.py",
    f"{PACKAGE}/spark/download/partial.py",
    f"{PACKAGE}/spark/http/retry.py",
    f"{PACKAGE}/spark/status.py",
    f"{PACKAGE}/spark/uri.py",
    f"{PACKAGE}/spark/waiting.py",
    "plugins/import_to/importer.py",
    "plugins/import_to/lock.py",
    "plugins/unzip/entries.py",
    "plugins/upload/retention.py",
)
# What runs in processes of its own, where no line is recorded, runs for long, or reads the files.
SLOW = (
    "tests/acceptance/*",
    "tests/fuzz/*",
    "tests/sandbox/*",
    "tests/schemas/*",
    "tests/testing/*",
    "tests/test_architecture.py",
    "tests/test_benchmarks.py",
    "tests/test_docs.py",
    "tests/test_examples.py",
    "tests/test_mutants.py",
    "tests/test_packaging.py",
)
COPIED = (PACKAGE, "plugins", "schemas", "tests", "examples", "docs", "benchmarks")
MEMORY = 6 << 30


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a mutant; ``by`` is the test that noticed it."""

    mutant: Mutant
    noticed: bool
    by: str
    seconds: float

    def __str__(self) -> str:
        word = "noticed " if self.noticed else "SURVIVED"
        return f"{word} {self.seconds:5.1f} s  {self.mutant}  [{self.by}]"


@dataclass
class Tree:
    """A copy of the project, in which the modules are changed one at a time."""

    root: Path
    work: Path
    modules: Sequence[str] = MODULES
    tests: Sequence[str] = ()
    record: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def copy(self) -> Path:
        """The folder of the copy."""
        return self.work / "tree"

    def prepare(self) -> None:
        """Copy the tree, the plugins inside of the package as in a wheel."""
        shutil.rmtree(self.copy, ignore_errors=True)
        for name in COPIED:
            if (self.root / name).is_dir():
                ignored = shutil.ignore_patterns("__pycache__", ".*", "exports", "out")
                shutil.copytree(self.root / name, self.copy / name, ignore=ignored)
        for path in self.root.glob("*.*"):
            if path.is_file() and not path.name.startswith("."):
                shutil.copy2(path, self.copy)
        for name in ("plugins", "schemas"):
            if (self.copy / name).is_dir():
                (self.copy / name).rename(self.copy / PACKAGE / name)
                (self.copy / name).symlink_to(f"{PACKAGE}/{name}")

    def real(self, module: str) -> Path:
        """Return the path of a module in the copy."""
        return (self.copy / module).resolve()

    # ---- which lines does a test execute? ----

    def learn(self) -> None:
        """Record what every test executes, as far as it is not known from an earlier run."""
        known_file = self.work / "record.json"
        known = json.loads(known_file.read_text()) if known_file.is_file() else {}
        paths = sorted((self.copy / "tests").rglob("*.py"))
        shared = [path for path in paths if not path.name.startswith("test_")]
        base = self._digest(*shared, *map(self.real, self.modules))
        files = {
            name: base + self._digest(path)
            for path in paths
            if path.name.startswith("test_") and self._is_wanted(name := self._name(path))
        }
        kept = {name: known[name] for name, digest in files.items() if _has(known, name, digest)}
        missing = [name for name in files if name not in kept]
        if missing:
            print(f"recording the lines that {len(missing)} files of tests execute", flush=True)
        for names in _batches(missing):
            for name, tests in self._recorded(names).items():
                kept[name] = {"digest": files[name], "tests": tests}
            known_file.write_text(json.dumps({**known, **kept}))
        self.record = {test: d for each in kept.values() for test, d in each["tests"].items()}
        failed = [test for test, details in self.record.items() if not details["passed"]]
        if failed:
            print(f"left out, as they fail without any change: {', '.join(failed)}", flush=True)

    def _recorded(self, names: Sequence[str]) -> dict[str, dict[str, Any]]:
        """Run files of tests and return what each of their tests executes."""
        asked = self.work / "asked.json"
        paths = {str(self.real(module)): module for module in self.modules}
        asked.write_text(json.dumps({"modules": list(paths)}))
        asked.with_suffix(".record").unlink(missing_ok=True)
        said = self._pytest(names, {"MUTANTS_RECORD": str(asked), "COVERAGE_CORE": "ctrace"})[1]
        if not asked.with_suffix(".record").is_file():
            raise SystemExit(f"pytest recorded nothing:\n{said[-2000:]}")
        found: dict[str, dict[str, Any]] = {name: {} for name in names}
        for test, details in json.loads(asked.with_suffix(".record").read_text()).items():
            lines = {paths[path]: numbers for path, numbers in details["lines"].items()}
            found[test.partition("::")[0]][test] = {**details, "lines": lines}
        return found

    def _is_wanted(self, name: str) -> bool:
        if any(fnmatch.fnmatch(name, pattern) for pattern in SLOW):
            return False
        return not self.tests or any(fnmatch.fnmatch(name, f"*{each}*") for each in self.tests)

    def _name(self, path: Path) -> str:
        return path.relative_to(self.copy).as_posix()

    def _digest(self, *paths: Path) -> str:
        whole = hashlib.sha256(repr(self.modules).encode())
        for path in paths:
            whole.update(self._name(path).encode() + path.read_bytes())
        return whole.hexdigest()[:16]

    # ---- one change ----

    def mutants(self) -> list[Mutant]:
        """Return every change of the modules."""
        return [
            mutant
            for module in self.modules
            for mutant in mutants_of(module, self.real(module).read_bytes())
        ]

    def chosen(self, mutant: Mutant, budget: float) -> list[dict[str, float]]:
        """Return the tests for a mutant with their time: its module's own, then quick ones.

        As many as take ``budget`` seconds of processor time together. What runs while the module
        is imported belongs to no test: there all tests of the module are taken.
        """
        stem, folder = PurePosixPath(mutant.file).stem, PurePosixPath(mutant.file).parent.name
        lines = {
            test: set(details["lines"].get(mutant.file, ()))
            for test, details in self.record.items()
            if details["passed"]
        }
        reaching = [test for test in lines if lines[test] & mutant.reach]
        found = []
        for test in reaching or lines:
            if lines[test]:
                path = PurePosixPath(test.partition("::")[0])
                near = stem in path.stem or folder in path.stem, folder in path.parts
                found.append((not near[0], not near[1], self.record[test]["processor"], test))
        parts: tuple[dict[str, float], ...] = ({}, {})
        total = 0.0
        for far, _, processor, test in sorted(found):
            total += processor
            if total <= budget or not any(parts):
                parts[far][test] = 20.0 + 10 * self.record[test]["seconds"]
        return [part for part in parts if part]

    def judge(self, mutant: Mutant, budget: float) -> Verdict:
        """Make a change, run its tests and take the change back."""
        begin = time.monotonic()
        chosen = self.chosen(mutant, budget)
        if not chosen:
            return Verdict(mutant, noticed=False, by="no test executes it", seconds=0.0)
        path = self.real(mutant.file)
        before, state = path.read_bytes(), path.stat()
        path.write_bytes(mutant.of(before))
        # Another date than that of the compiled module, which has a resolution of a second.
        os.utime(path, (state.st_atime, state.st_mtime + 60))
        try:
            found = filter(None, map(self._noticed_by, chosen))
            by = next(found, "")
        finally:
            path.write_bytes(before)
            os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
        passed = f"{sum(map(len, chosen))} tests passed"
        return Verdict(mutant, bool(by), by or passed, time.monotonic() - begin)

    def _noticed_by(self, chosen: dict[str, float]) -> str:
        """Run tests until one fails; return which, nothing where all pass."""
        plan = self.work / "chosen.json"
        plan.write_text(json.dumps(chosen))
        names = list(dict.fromkeys(test.partition("::")[0] for test in chosen))
        environ = {"MUTANTS_CHOSEN": str(plan), "PYTHONDONTWRITEBYTECODE": "1"}
        code, said = self._pytest(names, environ, "-x", "--hypothesis-seed=0")
        if code == 0:
            return ""
        failed = [line.split()[1] for line in said.splitlines() if line.startswith("FAILED ")]
        if code in {1, 2} or "Timeout (" in said or code < 0:
            return failed[0] if failed else "an endless loop, or an import that fails"
        raise SystemExit(f"pytest ended with {code}:\n{said[-2000:]}")

    def _pytest(
        self, names: Iterable[str], environ: dict[str, str], *options: str
    ) -> tuple[int, str]:
        """Run pytest in the copy, with all that it starts in a session of its own."""
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
        command += ["-p", "no:faulthandler", "-p", "mutants_plugin", *options, *names]
        path = os.pathsep.join([str(self.copy), str(HERE)])
        process = subprocess.Popen(
            command,
            cwd=self.copy,
            env={**os.environ, **environ, "PYTHONPATH": path},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
            preexec_fn=partial(resource.setrlimit, resource.RLIMIT_AS, (MEMORY, MEMORY)),  # noqa: PLW1509 - this program has one thread
        )
        try:
            said = process.communicate()[0]
        finally:
            end_all(process)
        return process.returncode, said


def end_all(process: subprocess.Popen[str]) -> None:
    """End what a run of tests has left behind."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _has(known: dict[str, Any], name: str, digest: str) -> bool:
    return name in known and known[name]["digest"] == digest


def _batches(names: Sequence[str]) -> Iterator[list[str]]:
    """Yield the names folder by folder: what is recorded of one is kept if the next is stopped."""
    for folder in dict.fromkeys(name.rpartition("/")[0] for name in names):
        yield [name for name in names if name.rpartition("/")[0] == folder]


def _wanted(mutant: Mutant, patterns: Sequence[str]) -> bool:
    places = mutant.file, f"{mutant.file}:{mutant.line}"
    return not patterns or any(
        fnmatch.fnmatch(place, f"*{pattern}") for pattern in patterns for place in places
    )


def test(tree: Tree, drawn: Sequence[Mutant], budget: float) -> list[Verdict]:
    """Judge mutants and tell of each."""
    verdicts = []
    for number, mutant in enumerate(drawn, 1):
        verdict = tree.judge(mutant, budget)
        if not verdict.noticed:  # it may be noticed by a test that the budget left out
            verdict = tree.judge(mutant, math.inf)
        verdicts.append(verdict)
        print(f"{number:3}/{len(drawn)} {verdict}", flush=True)
    return verdicts


def summary(verdicts: Sequence[Verdict]) -> Iterator[str]:
    """Yield the survivors, and the score."""
    survivors = [each for each in verdicts if not each.noticed]
    yield from ("", f"{len(survivors)} survived:")
    yield from (f"  {each.mutant}  [{each.by}]" for each in survivors)
    noticed = len(verdicts) - len(survivors)
    yield f"{noticed} of {len(verdicts)} noticed: {noticed / max(len(verdicts), 1):.1%}"


def main(words: Sequence[str] | None = None) -> None:
    """Draw, judge, and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--seed", type=int, default=secrets.randbelow(10_000))
    parser.add_argument("--count", type=int, default=120)
    parser.add_argument(
        "--budget",
        type=float,
        default=30.0,
        help="processor seconds a mutant; one that survives gets all of its tests",
    )
    parser.add_argument("--only", action="append", default=[], help="FILE or FILE:LINE, a pattern")
    parser.add_argument("--tests", action="append", default=[], help="only files of this name")
    given = parser.parse_args(words)
    tree = Tree(HERE.parent, HERE.parent / "build" / "mutants", tests=given.tests)
    tree.prepare()
    tree.learn()
    every = [each for each in tree.mutants() if _wanted(each, given.only)]
    drawn = random.Random(given.seed).sample(every, min(given.count, len(every)))  # noqa: S311
    print(f"{len(drawn)} of {len(every)} mutants, seed {given.seed}", flush=True)
    print(*summary(test(tree, drawn, given.budget)), sep="\n")


if __name__ == "__main__":
    main()
