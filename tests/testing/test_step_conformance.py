"""Each check that steps inherit finds its own fault, and nothing in a step that is right."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

import pytest

from spark_impex_runner.hooks import specs
from spark_impex_runner.testing import StepConformance

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Check = Callable[[Any, str], None]

RIGHT = """
import logging, os, pathlib, socket, tempfile, threading, time
from spark_impex_runner import StepOutput, errors, hookimpl, models

OPTIONS = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "prefix": {"type": "string", "title": "Prefix", "description": "Of names.", "default": ""},
        "password": {
            "type": "string", "title": "Password", "description": "Of none.", "x-secret": True
        },
    },
}
TRAITS = {"dry_run": True, "rehearse": lambda options, _: options}
seen = []
inside = 0


@hookimpl
def impex_register(registry):
    registry.step("note", "writes notes", OPTIONS, **TRAITS)


@hookimpl
def impex_plan_step(job, step):
    if step.uses != "note":
        return None
    PLAN
    return "a note for each package"


@hookimpl
def impex_run_step(job, step, artifact):
    if step.uses != "note":
        return None
    if job.stopping():
        raise errors.Interrupted
    name = step.options.get("prefix", "") + artifact.name + ".txt"
    path = job.target.output / name
    text = artifact.sha256
    password = step.options.get("password", "")
    size = len(text)
    BODY
    path.write_text(text)
    END
    return StepOutput([models.Artifact(path, name, size)], "written")
"""


def spoilt(*changes: tuple[str, str]) -> str:
    """Return the plugin with some of its text changed; without any, it is right."""
    code = RIGHT
    for old, new in (*changes, ("BODY", "pass"), ("END", "pass"), ("PLAN", "pass")):
        if "\n" in new:
            indent = " " * 4
            new = textwrap.indent(textwrap.dedent(new).strip(), indent).strip()  # noqa: PLW2901
        code = code.replace(old, new)
    return code


SCHEMA = "test_the_schema_is_valid_and_explains_every_option"
GOOD = "test_good_options_are_accepted"
BAD = "test_bad_options_are_refused_by_name"
OWN = "test_it_answers_for_its_own_name_only"
MADE = "test_its_artifacts_are_what_it_made"
AGAIN = "test_a_second_run_changes_nothing"
ORDER = "test_no_state_is_kept_between_packages"
THREADS = "test_it_is_thread_safe"
STOP = "test_it_ends_when_the_run_is_stopped"
BELOW = "test_it_writes_only_below_the_output"
DRY = "test_a_dry_run_writes_and_sends_nothing"
REHEARSAL = "test_a_rehearsal_stays_on_this_machine"
SECRET = "test_no_secret_is_in_any_output"

IN_TURNS = """
global inside
inside = artifact.name + artifact.sha256
time.perf_counter() and threading.Event().wait(0.05)
text = inside
"""
HALF = """
path.write_text(text[:10])
if job.stopping():
    raise errors.Interrupted
"""
FAULTS = {
    "a schema that is none": (SCHEMA, [('"object"', '"thing"')], "schema is not valid"),
    "open options": (SCHEMA, [('Properties": False', 'Properties": True')], "is not false"),
    "no description": (SCHEMA, [('"Of names."', '""')], "prefix has no description"),
    "no title": (SCHEMA, [('"Prefix"', '""')], "prefix has no title"),
    "a default of another type": (SCHEMA, [('"default": ""', '"default": 1')], "does not fit"),
    "good options refused": (
        GOOD,
        [('"default": ""', '"default": "", "maxLength": 1')],
        "x-.*is refused",
    ),
    "bad options accepted": (BAD, [('{"type": "string", "title": "P', '{"title": "P')], "accepted"),
    "unknown options accepted": (BAD, [('Properties": False', 'Properties": True')], "accepted"),
    "an answer to others": (OWN, [('if step.uses != "note"', "if False")], "not its own"),
    "writing for others": (
        OWN,
        [('uses != "note"', 'uses != "note" and not (job.target.output / "x").touch()')],
        "it writes for a step",
    ),
    "no such file": (MADE, [("path.write_text(text)", "pass")], "there is no"),
    "a wrong size": (MADE, [("len(text)", "1")], "size is 1"),
    "a wrong name": (MADE, [("path, name, size", "path, 'other', size")], "is not the name of"),
    "a wrong digest": (MADE, [("name, size)", "name, size, 'ab' * 32)")], "SHA-256 is another"),
    "no list": (
        MADE,
        [("return StepOutput([", "return ([] and ["), ('], "written")', "] or 1)")],
        "1",
    ),
    "growing files": (
        AGAIN,
        [("path.write_text(text)", "\nwith path.open('a') as file:\n    file.write(text)\n")],
        "changes",
    ),
    "a number of its own": (
        AGAIN,
        [("BODY", "\nseen.append(1)\ntext = text + str(len(seen))\n")],
        "a second run changes",
    ),
    "other artifacts": (
        AGAIN,
        [("END", "\nif size in seen: size += 1\nseen.append(size)\n")],
        "other artifacts",
    ),
    "one file for all packages": (
        ORDER,
        [('artifact.name + ".txt"', "'note.txt'")],
        "note.txt depends on the packages' order",
    ),
    "a list of all targets ever": (
        ORDER,
        [("BODY", "\nseen.append(job.target.name)\ntext = ' '.join(sorted({*seen}))\n")],
        "depends on earlier calls",
    ),
    "a global variable": (THREADS, [("BODY", IN_TURNS)], "differs among threads"),
    "going on for long": (
        STOP,
        [("raise errors.Interrupted", "threading.Event().wait(0.4)")],
        "it goes on",
    ),
    "a file half written": (
        STOP,
        [("    if job.stopping():\n        raise errors.Interrupted\n", ""), ("BODY", HALF)],
        "half written",
    ),
    "a file in the working folder": (BELOW, [("BODY", "open('x', 'w').close()")], "working/x"),
    "a file in the home": (BELOW, [("BODY", "(pathlib.Path.home() / 'x').touch()")], "home/x"),
    "a temporary file": (BELOW, [("BODY", "tempfile.mkstemp()")], "temporary/"),
    "a file beside the output": (
        BELOW,
        [("BODY", "(job.target.output.parent / 'x').touch()")],
        "x beside the output",
    ),
    "a changed package": (
        BELOW,
        [("BODY", "artifact.path.write_text('')")],
        "it changes the package",
    ),
    "a dry run that writes": (DRY, [("PLAN", "(job.target.output / 'x').touch()")], "writes x"),
    "a dry run that writes elsewhere": (DRY, [("PLAN", "open('x', 'w').close()")], "leaves"),
    "a dry run that sends": (
        DRY,
        [("PLAN", "\ntry: socket.create_connection(('127.0.0.1', 9))\nexcept OSError: pass\n")],
        "connects to",
    ),
    "a dry run without a word": (DRY, [("a note for each package", "")], "says ''"),
    "a rehearsal that sends": (
        REHEARSAL,
        [("BODY", "\ntry: socket.getaddrinfo('tickets.example', 443)\nexcept OSError: pass\n")],
        "tried to look up tickets.example",
    ),
    "a rehearsal that fails": (
        REHEARSAL,
        [("BODY", "raise errors.StepError('no')")],
        "step note: no",
    ),
    "a secret in a file": (
        SECRET,
        [("BODY", "text = password")],
        r"secret is in .*package.zip.txt",
    ),
    "a secret in a name": (
        SECRET,
        [("BODY", "(job.target.output / ('x' + password)).touch()")],
        "the name of .*x\\*\\*\\*",
    ),
    "a secret on the terminal": (SECRET, [("BODY", "print(password)")], "secret is in stdout"),
    "a run that fails": (SECRET, [("BODY", "raise errors.StepError('no')")], "step note: no"),
}


def conformance(folder: Path, code: str, patience: float = 5.0) -> Any:
    """Return the class that an author would write for the plugin."""
    (folder / "faulty").mkdir()
    file = folder / "faulty" / "note.py"
    file.write_text(code)
    body = {
        "name": "note",
        "plugin_files": (file,),
        "good_options": ({}, {"prefix": "x-", "password": "correct horse"}),
        "bad_options": ({"prefix": 1},),
        "patience": patience,
    }
    return type("Note", (StepConformance,), body)()


@pytest.fixture(autouse=True)
def _planning(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the hook of dry runs, wherever the runner has none yet."""

    @specs.hookspec(firstresult=True)
    def impex_plan_step(job: Any, step: Any) -> str | None:
        """Tell what a step would do."""

    if not hasattr(specs, "impex_plan_step"):
        monkeypatch.setattr(specs, "impex_plan_step", impex_plan_step, raising=False)


CHECKS = sorted(name for name in dir(StepConformance) if name.startswith("test_"))


@pytest.mark.parametrize("name", CHECKS)
def test_a_step_that_is_right_passes(tmp_path: Path, check: Check, name: str) -> None:
    """No check finds fault with it."""
    check(conformance(tmp_path, spoilt()), name)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_found_by_its_check(tmp_path: Path, check: Check, fault: str) -> None:
    """The same step with this fault fails, and the message says what is wrong."""
    name, changes, message = FAULTS[fault]
    code = spoilt(*changes)
    assert code != spoilt()

    # What is not about time has no reason to hurry, however busy the machine is.
    faulty = conformance(tmp_path, code, 0.3 if message == "it goes on" else 5.0)
    with pytest.raises(AssertionError, match=message):
        check(faulty, name)


def test_every_check_has_a_fault() -> None:
    """A check that nothing makes fail would check nothing."""
    assert {name for name, _, _ in FAULTS.values()} == set(CHECKS)
