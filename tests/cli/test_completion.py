"""Real shells complete the commands, and what they offer comes from the manifest itself."""

from __future__ import annotations

import argparse
import os
import re
import select
import shutil
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from spark_impex_runner.cli import history, main, selection
from spark_impex_runner.cli.suggestions import suggest
from spark_impex_runner.clock import Clock
from spark_impex_runner.hooks.discovery import BUILT_IN
from spark_impex_runner.manifest.expand import MAX_TARGETS
from spark_impex_runner.masking import Masker
from spark_impex_runner.models import RunOptions
from spark_impex_runner.planning.load import load
from spark_impex_runner.state.migrations import MIGRATIONS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

MANIFEST = """\
version: 1
vars: {motor_version: "1.4.2", region: emea}
connections: {here: {sandbox: acme}}
defaults: {tags: [everything]}
targets:
  - {name: motor, services: [motor/pricing], tags: [release, nightly]}
  - {name: life, matrix: {folder: [life, "health care", 1.10]}, folders: ["of ${matrix.folder}"]}
"""
PATIENCE = 300
# What is typed, and what the line then is: words that shells cut in their own ways.
TYPED = {
    "impex val": "impex validate ",
    "impex-run m.yaml --fail": "impex-run m.yaml --fail-fast ",
    "impex-run m.yaml -t life@he": "impex-run m.yaml -t life@health-care ",
    "impex plan m.yaml --var mo": "impex plan m.yaml --var motor_version=",
    "impex-run m.yaml -p no:unz": "impex-run m.yaml -p no:unzip ",
    "impex-run m.y": "impex-run m.yaml ",
    "cd . && impex-run m.yaml -t mo": "cd . && impex-run m.yaml -t motor ",
    "A=1 impex-run m.yaml -t mo": "A=1 impex-run m.yaml -t motor ",
    "impex-run unreadable.yaml -t no": "impex-run unreadable.yaml -t no",
}
# What a person who typed less is shown.
LISTED = {
    "impex-run m.yaml -t ": {"motor", "life@*", "life@life", "life@health-care", "life@1.10"},
    "impex ": {"run", "plan", "validate"},
}
# What the commands answer is the same for all shells, so one of them asks for the rest.
ONCE = {
    "impex-run m.yaml -t mo": "impex-run m.yaml -t motor ",
    "impex-run m.yaml --tag ni": "impex-run m.yaml --tag nightly ",
    "impex-run m.yaml --report js": "impex-run m.yaml --report json=",
    "cd . && impex validate m.yaml -t mo": "cd . && impex validate m.yaml -t motor ",
    "impex-run nowhere.yaml -t no": "impex-run nowhere.yaml -t no",
    "impex jobs m.yaml -c he": "impex jobs m.yaml -c here ",
    "impex jobs -m m.yaml he": "impex jobs -m m.yaml here ",
    "impex cancel m.y": "impex cancel m.yaml ",
}
LISTED_ONCE = {
    "impex-run m.yaml --tag ": {"release", "nightly", "everything"},
    "impex-run m.yaml --var ": {"motor_version=", "region="},
    "impex validate m.yaml --ta": {"--target", "--tag"},
}


class Prompt(Protocol):
    """A shell's prompt, at which somebody types and presses the tab key."""

    def completed(self, lines: Iterable[str]) -> dict[str, str]:
        """Return what the tab key makes of each line."""

    def listed(self, expected: dict[str, set[str]]) -> dict[str, set[str]]:
        """Return which of the words that are expected for each line are shown."""


@pytest.fixture
def require(install: Callable[..., None]) -> Callable[[str], str]:
    """Give a function that returns the path of a shell, which is installed where it is not yet."""

    def require(shell: str) -> str:
        if not shutil.which(shell):
            install(shell)
        found = shutil.which(shell)
        assert found
        return found

    return require


class Terminal:
    """An interactive shell on a terminal of its own.

    ``setup`` has control-X control-L show the line, and control-U take it away.
    """

    def __init__(self, command: list[str], folder: Path, setup: str) -> None:
        self._screen, theirs = os.openpty()
        environ = {**os.environ, "TERM": "dumb", "PS1": "", "COLUMNS": "200"}
        self._process = subprocess.Popen(
            command, stdin=theirs, stdout=theirs, stderr=theirs, cwd=folder, env=environ,
            start_new_session=True,
        )  # fmt: skip
        os.close(theirs)
        self._seen = ""
        self.send(f"{setup}; echo rea''dy\n")
        self.wait_for("ready")

    def send(self, keys: str) -> None:
        """Press keys."""
        os.write(self._screen, keys.encode())

    def wait_for(self, *texts: str) -> str:
        """Return what was shown as soon as all of ``texts`` are in it."""
        end = time.monotonic() + PATIENCE
        while not all(text in self._seen for text in texts):
            ready, _, _ = select.select([self._screen], [], [], max(end - time.monotonic(), 0))
            assert ready, f"{texts} not in {self._seen!r}"
            self._seen += os.read(self._screen, 65_536).decode(errors="replace").replace("\\", "")
        seen, self._seen = self._seen, ""
        return seen

    def completed(self, lines: Iterable[str]) -> dict[str, str]:
        """Return each line after the tab key; it is taken away before the next."""
        return {typed: self._complete(typed) for typed in lines}

    def _complete(self, typed: str) -> str:
        self.send(f"{typed}\t\x18\x0c")
        line = self.wait_for("<<", ">>").partition("<<")[2].partition(">>")[0]
        self.send("\x15")
        return line

    def listed(self, expected: dict[str, set[str]]) -> dict[str, set[str]]:
        """Return which of the words that are expected are shown; waits for all of them."""
        for typed, values in expected.items():
            self.send(f"{typed}\t")
            self.wait_for(*values)
            self.send("\x15")
        return expected

    def close(self) -> None:
        """Leave the shell."""
        self._process.kill()
        self._process.wait()
        os.close(self._screen)


class Fish:
    """fish answers without a terminal what it would offer."""

    def __init__(self, path: str, folder: Path) -> None:
        self._path, self._folder = path, folder
        self._script = folder / "impex.fish"
        with self._script.open("w") as file:
            subprocess.run(["impex", "completion", "fish"], stdout=file, check=True)

    def offers(self, lines: Iterable[str]) -> dict[str, list[str]]:
        """Return what may stand in place of the last word of each line."""
        script = "source $argv[1]; for line in $argv[2..]; complete -C $line; echo; end"
        done = subprocess.run(
            [self._path, "--no-config", "-c", script, self._script, *lines],
            cwd=self._folder, capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert done.stderr == ""
        answers = re.findall(r"((?:.+\n)*)\n", done.stdout)
        each = ([line.partition("\t")[0] for line in answer.splitlines()] for answer in answers)
        return dict(zip(lines, each, strict=True))

    def completed(self, lines: Iterable[str]) -> dict[str, str]:
        """Return each line after the tab key, with the blank that fish adds by itself."""
        return {
            typed: self._complete(typed, values) for typed, values in self.offers(lines).items()
        }

    @staticmethod
    def _complete(typed: str, offers: list[str]) -> str:
        head, _, word = typed.rpartition(" ")
        if len(offers) != 1:
            return typed
        assert offers[0].startswith(word)
        return f"{head} {offers[0]}" + ("" if offers[0].endswith("=") else " ")

    def listed(self, expected: dict[str, set[str]]) -> dict[str, set[str]]:
        """Return which of the words that are expected are offered."""
        return {
            typed: expected[typed] & set(values) for typed, values in self.offers(expected).items()
        }

    def close(self) -> None:
        """Nothing is open."""


BASH = (
    "bind 'set show-all-if-ambiguous on'; bind 'set enable-bracketed-paste off';"
    ' bind -x \'"\\C-x\\C-l": printf "<<%s>>" "$READLINE_LINE"\';'
    ' eval "$(impex completion bash)"'
)
ZSH = (
    "autoload -Uz compinit; compinit -u -D; setopt no_beep;"
    ' show() { print -rn -- "<<$BUFFER>>" }; zle -N show; bindkey "^X^L" show;'
    ' bindkey "^U" kill-whole-line; eval "$(impex completion zsh)"'
)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with a manifest, and have the commands under test found first."""
    (tmp_path / "m.yaml").write_text(MANIFEST)
    (tmp_path / "notes.txt").write_text("no manifest")
    (tmp_path / "unreadable.yaml").write_text("targets: [{name: motor, tags: [")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=os.pathsep)
    return tmp_path


@pytest.fixture(params=["bash", "zsh", "fish"])
def prompt(request: pytest.FixtureRequest, folder: Path, require: Any) -> Iterator[Any]:
    """Return each shell's prompt, with the completion read as its documentation says."""
    path = require(request.param)
    if request.param == "fish":
        shell: Any = Fish(path, folder)
    elif request.param == "bash":
        shell = Terminal([path, "--norc", "--noprofile", "-i"], folder, BASH)
    else:
        shell = Terminal([path, "-f", "-i"], folder, ZSH)
    yield shell
    shell.close()


def test_tab_completes_and_lists(prompt: Prompt, request: pytest.FixtureRequest) -> None:
    """Commands, options, targets, tags and variables; nothing where nothing can be known."""
    first = "bash" in request.node.name
    typed, listed = TYPED | (ONCE if first else {}), LISTED | (LISTED_ONCE if first else {})

    assert prompt.completed(typed) == typed
    assert prompt.listed(listed) == listed


def test_options_are_offered_after_a_dash_only(folder: Path, require: Any) -> None:
    """They do not hide the few names that may stand there."""
    offers = Fish(require("fish"), folder).offers(["impex-run ", "impex-run m.yaml -"])

    assert offers["impex-run "] == ["m.yaml", "unreadable.yaml"]
    assert "--target" in offers["impex-run m.yaml -"]


def test_fish_shows_variable_hints(folder: Path, require: Any) -> None:
    """The value stands beside the name; nothing is looked up for that."""
    (folder / "m.yaml").write_text('vars: {version: "1.4.2", key: "${env:HOME}"}')
    shell = require("fish")
    script = 'impex completion fish | source; complete -C "impex-run m.yaml --var "'

    done = subprocess.run([shell, "-N", "-c", script], capture_output=True, text=True, check=True)

    assert done.stdout == "key=\t${env:HOME}\nversion=\t1.4.2\n"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_serves_both_commands(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    """One line in the shell's start-up file is enough."""
    with pytest.raises(SystemExit):
        main.main(["completion", shell])

    script = capsys.readouterr().out
    assert re.search(r"complete\b.* impex\b", script)
    assert re.search(r"complete\b.* impex-run\b", script)


def offered(option: str, text: str, folder: Path, prefix: str = "") -> list[str]:
    """Return what completes an option of a command that was given a manifest of this text."""
    (folder / "m.yaml").write_text(text)
    parser = argparse.ArgumentParser()
    selection.add_manifest_arguments(parser)
    action = next(each for each in parser._actions if option in (*each.option_strings, each.dest))
    return list(suggest(action, prefix, parser.parse_args([str(folder / "m.yaml")])))


def test_completion_offers_run_targets(tmp_path: Path) -> None:
    """Each name that a run knows, as it spells it, and a glob for each matrix."""
    text = MANIFEST.replace("\ntargets:", "\n  matrix: {tier: [gold, 2, yes]}\ntargets:")
    text = text.replace("defaults: {tags: [everything]}", "defaults:\n  tags: [everything]")
    (tmp_path / "acme").mkdir()
    names = offered("--target", text, tmp_path)
    run = load(tmp_path / "m.yaml", RunOptions(), Clock(), Masker())

    assert [name for name in names if "*" not in name] == [target.name for target in run.targets]
    assert [name for name in names if "*" in name] == ["motor@*", "life@*"]


def test_unresolved_values_are_not_offered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """References are not followed: neither the environment nor a file is read."""
    monkeypatch.setenv("FOLDER", "hunter2")
    (tmp_path / "secret").write_text("hunter2")
    text = (
        'targets: [{name: a, tags: ["${env:FOLDER}", b], '
        'matrix: {x: ["${env:FOLDER}", "${file:secret}", y]}}]'
    )

    assert offered("--target", text, tmp_path) == ["a@*", "a@y"]
    assert offered("--tag", text, tmp_path) == ["b"]


@pytest.mark.parametrize(
    ("text", "targets"),
    [
        ("", []),
        ("targets:\n", []),
        ("targets: nothing\nvars: 3\ndefaults: []\n", []),
        ("- a list\n", []),
        ("targets: [\n", []),
        ("targets: [{name: a}, 7, {nam: b}, {name: 3}, {name: c, tags: 1, matrix: x}]", ["a", "c"]),
        ("targets: [{name: a, matrix: {x: , y: [[], {}, 1]}}]", ["a@*"]),
        ("vesion: 9\nunknown: {}\ntargets: [{name: a, folder: b}]", ["a"]),
    ],
)
def test_unfinished_manifest_completes(tmp_path: Path, text: str, targets: list[str]) -> None:
    """Whatever it lacks, nothing is raised."""
    assert offered("--target", text, tmp_path) == targets
    assert offered("--tag", text, tmp_path) == []
    assert offered("--var", text, tmp_path) == []


def test_completion_offers_overlay_targets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An argument called overlay takes YAML files, whose names join those of the manifest."""
    monkeypatch.chdir(tmp_path)
    for name, text in {"m": "targets: [{name: a}]", "prod": "targets: [{name: b}]"}.items():
        (tmp_path / f"{name}.yaml").write_text(text)
    (tmp_path / "notes.txt").touch()
    parser = argparse.ArgumentParser()
    overlay = parser.add_argument("-f", dest="overlay", action="append", type=Path, metavar="FILE")
    target = parser.add_argument("--target")
    parser.add_argument("manifests", nargs="+", type=Path)
    arguments = parser.parse_args(["m.yaml", "-f", "prod.yaml", "-f", "nowhere.yaml"])

    assert list(suggest(overlay, "", arguments)) == ["m.yaml", "prod.yaml"]
    assert list(suggest(target, "", arguments)) == ["a", "b"]


def test_completion_offers_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The ids in the state, with their manifests; the state file is not migrated or created."""
    monkeypatch.chdir(tmp_path)
    parser = argparse.ArgumentParser()
    parser.set_defaults(command="history")
    history.add_arguments(parser)
    manifest, run = (each for each in parser._actions if each.dest in ("manifest", "run"))

    before = suggest(run, "", parser.parse_args([]))
    (tmp_path / ".impex").mkdir()
    with closing(sqlite3.connect(tmp_path / ".impex/state.db")) as link, link:
        link.executescript(f"{MIGRATIONS[0]}; PRAGMA user_version = 1")
        for number in (1, 2):
            values = (f"2026010{number}T0-x", "m.yaml", f"2026-01-0{number}")
            link.execute("INSERT INTO runs (id, manifest, started) VALUES (?, ?, ?)", values)
    (tmp_path / "m.yaml").touch()

    offers = [suggest(each, "", parser.parse_args([])) for each in (run, manifest)]
    with closing(sqlite3.connect(tmp_path / ".impex/state.db")) as link:
        version = link.execute("PRAGMA user_version").fetchone()

    runs = {"20260102T0-x": "m.yaml", "20260101T0-x": "m.yaml"}
    assert before == {}
    assert offers == [runs, {"m.yaml": "", **runs}]
    assert version == (1,)


def test_huge_matrix_is_limited(tmp_path: Path) -> None:
    """A run refuses more than so many targets; a prompt does not wait for more either."""
    rows = ", ".join(f"k{key}: [{', '.join(map(str, range(100)))}]" for key in range(9))
    text = f"targets: [{{name: a, matrix: {{{rows}}}}}]"

    assert len(offered("--target", text, tmp_path)) == MAX_TARGETS


def test_completion_reads_includes_and_overlays(tmp_path: Path) -> None:
    """The names are those of the whole; where a part is missing, those of the file itself."""
    (tmp_path / "part.yaml").write_text("targets: [{name: b}]")
    (tmp_path / "prod.yaml").write_text("targets: [{name: c}, {name: a, tags: [x]}]")
    (tmp_path / "m.yaml").write_text("include: [part.yaml]\ntargets: [{name: a}]")
    parser = argparse.ArgumentParser()
    selection.add_manifest_arguments(parser)
    action = next(each for each in parser._actions if "--target" in each.option_strings)
    line = parser.parse_args([str(tmp_path / "m.yaml"), "-f", str(tmp_path / "prod.yaml")])

    whole = list(suggest(action, "", line))
    (tmp_path / "part.yaml").unlink()

    assert whole == ["b", "a", "c"]
    assert list(suggest(action, "", line)) == ["a"]


@pytest.mark.parametrize(
    ("option", "prefix", "expected"),
    [
        ("manifests", "", ["m.yaml", "sub/", "two.yml"]),
        ("manifests", "sub/", ["sub/deep.yaml"]),
        ("manifests", ".h", [".hidden.yaml"]),
        ("manifests", "nowhere/", []),
        ("--state", "", ["sub/"]),
        (
            "-p",
            "",
            [
                *(f"no:{name}" for name in BUILT_IN),
                "note.py",
                "sub/",
            ],
        ),
    ],
)
def test_paths_are_those_that_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, option: str, prefix: str, expected: list[str]
) -> None:
    """A manifest ends in .yaml or .yml, a plugin's file in .py, and a folder takes no file."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sub").mkdir()
    for name in ("two.yml", "notes.txt", "note.py", ".hidden.yaml", "sub/deep.yaml"):
        (tmp_path / name).touch()

    assert offered(option, "", tmp_path, prefix) == expected


def test_completion_loads_no_plugins(folder: Path) -> None:
    """A person waits at the prompt: only the text of the manifest is loaded."""
    code = (
        "import os, sys\nos._exit = sys.exit\nfrom spark_impex_runner.cli.main import run\n"
        "try:\n    run([])\nexcept SystemExit:\n    print(*sys.modules)"
    )
    line = "impex-run m.yaml -t "
    asked = {"_ARGCOMPLETE": "1", "COMP_LINE": line, "COMP_POINT": str(len(line))}
    asked["_ARGCOMPLETE_STDOUT_FILENAME"] = str(folder / "answer")

    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **asked}, capture_output=True, text=True, check=True,
    )  # fmt: skip

    loaded = set(done.stdout.split())
    assert "life@1.10" in (folder / "answer").read_text()
    assert "yaml" in loaded
    heavy = {"requests", "urllib3", "pluggy", "jsonschema", "http.server"}
    assert not heavy & loaded
    assert not {name for name in loaded if name.startswith("spark_impex_runner.plugins")}
