"""Each check that strategies, resolvers and sources inherit finds its own fault."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from spark_impex_runner.testing import (
    ResolverConformance,
    SourceConformance,
    StrategyConformance,
)
from spark_impex_runner.testing.options import OptionsConformance

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Check = Callable[[Any, str], None]

HEAD = """
import pathlib, socket, threading
from spark_impex_runner import errors, hookimpl

state = {}


def send():
    try:
        socket.create_connection(("127.0.0.1", 9)).close()
    except OSError:
        pass

"""
STRATEGY = (
    HEAD
    + """
@hookimpl
def impex_register(registry):
    registry.strategy("steady", "Waits as long each time.")


@hookimpl
def impex_poll_delay(poll):
    if poll.strategy != "steady":
        return None
    wait = poll.retry_interval or 20.0
    # BODY
    return max(wait, poll.retry_after or 0.0)
"""
)
RESOLVER = (
    HEAD
    + """
def check(entry, folder):
    if not entry.startswith("tag:"):
        return None
    # CHECK
    return "" if entry[4:] else f"'{entry}' names no tag"


@hookimpl
def impex_register(registry):
    registry.resolver("tags", "Services by tag.", check)


@hookimpl
def impex_resolve_uri(uri, target, run):
    if not uri.startswith("tag:"):
        return None
    tag = uri[4:]
    # BODY
    return [f"motor/{tag}"]
"""
)
SOURCE = (
    HEAD
    + """
def read(key):
    folder = pathlib.Path(__file__).parent / "drawer"
    # BODY
    try:
        return (folder / key).read_text()
    except OSError:
        raise LookupError(f"there is no {key} in the drawer") from None


@hookimpl
def impex_register(registry):
    registry.source("drawer", "Values from a folder.", read)
"""
)


class Steady(StrategyConformance):
    """What an author would write of the strategy."""

    name = "steady"


class Tags(ResolverConformance):
    """What an author would write of the resolver."""

    name = "tags"
    good_entries = ("tag:pricing", "tag:claims")
    bad_entries = ("tag:",)


class Drawer(SourceConformance):
    """What an author would write of the source."""

    name = "drawer"
    values = {"one": "value-of-the-first", "two": "value-of-the-second"}  # noqa: RUF012


AMONG_THREADS = """state["now"] = {0}
    threading.Event().wait(0.002)
    {0} = state["now"]"""
KINDS: dict[str, tuple[type[Any], str]] = {
    "strategy": (Steady, STRATEGY),
    "resolver": (Tags, RESOLVER),
    "source": (Drawer, SOURCE),
}
FAULTS: dict[str, tuple[str, str, str, str, str]] = {
    "an answer to other strategies": (
        *("strategy", "test_it_answers_for_its_own_name_only"),
        *('if poll.strategy != "steady"', "if False", "not its own"),
    ),
    "a wait that is no number": (
        *("strategy", "test_every_wait_is_a_number_of_seconds"),
        *("# BODY", "return 'soon'", "it answers 'soon'"),
    ),
    "a wait below nothing": (
        *("strategy", "test_every_wait_is_a_number_of_seconds"),
        *("# BODY", "return min(poll.remaining - 1, 5)", "it answers -1"),
    ),
    "no waits at all": (
        *("strategy", "test_the_server_is_not_hammered"),
        *("or 20.0", "or 0.0", "more than 500 requests"),
    ),
    "waiting itself": (
        *("strategy", "test_the_server_is_not_hammered"),
        *("# BODY", "threading.Event().wait(0.05)", "answers took"),
    ),
    "a deaf ear": (
        *("strategy", "test_what_the_server_asks_for_is_kept"),
        *("max(wait, poll.retry_after or 0.0)", "wait", "77 were asked for"),
    ),
    "a memory of other jobs": (
        *("strategy", "test_no_state_is_kept_between_jobs"),
        *("# BODY", 'state["n"] = state.get("n", 0) + 1; wait += state["n"]', "then"),
    ),
    "a wait in a global variable": (
        *("strategy", "test_it_is_thread_safe"),
        *("# BODY", AMONG_THREADS.format("wait"), "among threads"),
    ),
    "a file of a strategy's own": (
        *("strategy", "test_it_writes_and_sends_nothing"),
        *("# BODY", "pathlib.Path('x').touch()", "working/x"),
    ),
    "a strategy that asks somebody": (
        *("strategy", "test_it_writes_and_sends_nothing"),
        *("# BODY", "send()", "it connects to"),
    ),
    "a strategy that raises": (
        *("strategy", "test_a_run_waits_by_it"),
        *("# BODY", "raise errors.JobError('no')", "with: {}: no"),
    ),
    "a good entry left to others": (
        *("resolver", "test_good_entries_are_claimed"),
        *("# CHECK", "return None", "check says None of 'tag:pricing'"),
    ),
    "a bad entry claimed": (
        *("resolver", "test_bad_entries_are_refused_in_one_line"),
        *("# CHECK", "return ''", "check says '' of 'tag:'"),
    ),
    "two lines about a bad entry": (
        *("resolver", "test_bad_entries_are_refused_in_one_line"),
        *("names no tag", "names\\nno tag", "instead of one line"),
    ),
    "somebody else's entry checked": (
        *("resolver", "test_it_answers_for_its_own_form_only"),
        *("        return None\n    # CHECK", "        return ''\n    # CHECK", "not its own"),
    ),
    "somebody else's entry resolved": (
        *("resolver", "test_it_answers_for_its_own_form_only"),
        *("        return None\n    tag", "        return []\n    tag", "it answers"),
    ),
    "a check that sends": (
        *("resolver", "test_a_check_sends_nothing"),
        *("# CHECK", "send()", "check connects to"),
    ),
    "something that is no URI": (
        *("resolver", "test_entries_become_service_uris"),
        *("motor/{tag}", "motor", "becomes 'motor'"),
    ),
    "nothing": (
        *("resolver", "test_entries_become_service_uris"),
        *("# BODY", "return []", "becomes \\[\\] instead"),
    ),
    "a memory of other entries": (
        *("resolver", "test_no_state_is_kept_between_entries"),
        *("# BODY", "state[tag] = state.get(tag, 0) + 1; tag += str(state[tag])", "then"),
    ),
    "a tag in a global variable": (
        *("resolver", "test_it_is_thread_safe"),
        *("# BODY", AMONG_THREADS.format("tag"), "among threads"),
    ),
    "a file beside the manifest": (
        *("resolver", "test_it_writes_nothing"),
        *("# CHECK", "(folder / 'x').touch()", "it writes x"),
    ),
    "a file in the working folder": (
        *("resolver", "test_it_writes_nothing"),
        *("# BODY", "pathlib.Path('x').touch()", "working/x"),
    ),
    "another value": (
        *("source", "test_each_key_yields_its_value"),
        *("# BODY", "return 'other'", "'one' yields another value"),
    ),
    "a value that is no text": (
        *("source", "test_each_key_yields_its_value"),
        *("read_text()", "read_bytes()", "yields bytes"),
    ),
    "an error of another kind": (
        *("source", "test_a_missing_key_is_told_in_one_line"),
        *("raise LookupError(", "raise OSError(", "raises OSError"),
    ),
    "a value of nothing": (
        *("source", "test_a_missing_key_is_told_in_one_line"),
        *(
            'raise LookupError(f"there is no {key} in the drawer") from None',
            "return ''",
            "yields a",
        ),
    ),
    "a missing key without its name": (
        *("source", "test_a_missing_key_is_told_in_one_line"),
        *("no {key} in", "nothing in", "without 'no-such-key'"),
    ),
    "a missing key with a secret": (
        *("source", "test_a_missing_key_is_told_in_one_line"),
        *("in the drawer", "beside value-of-the-first", "a secret is in what it says"),
    ),
    "a key in a global variable": (
        *("source", "test_it_is_thread_safe"),
        *("# BODY", AMONG_THREADS.format("key"), "among threads"),
    ),
    "a secret left in a file": (
        *("source", "test_it_writes_nothing"),
        *("# BODY", "pathlib.Path('x').write_bytes((folder / key).read_bytes())", "working/x"),
    ),
    "a secret on the terminal": (
        *("source", "test_no_secret_is_in_any_output"),
        *("# BODY", "print((folder / key).read_text())", "value of 'one' is in stdout"),
    ),
}
CHECKED = {name for name in dir(OptionsConformance) if name.startswith("test_")}


def prepared(folder: Path, kind: str, old: str = "", new: str = "") -> Any:
    """Write a plugin, with one text in place of another; return the class of its tests."""
    conformance, code = KINDS[kind]
    assert old in code
    (folder / "plugin").mkdir()
    file = folder / "plugin" / "it.py"
    file.write_text(code.replace(old, new) if old else code)
    if kind == "source":
        (folder / "plugin" / "drawer").mkdir()
        for key, value in Drawer.values.items():
            (folder / "plugin" / "drawer" / key).write_text(value)
    return type("It", (conformance,), {"plugin_files": (file,)})()


def checks(kind: str) -> list[str]:
    """Return the names of the tests that a kind inherits."""
    return sorted(name for name in dir(KINDS[kind][0]) if name.startswith("test_"))


@pytest.mark.parametrize(("kind", "name"), [(k, name) for k in KINDS for name in checks(k)])
def test_one_that_is_right_passes(tmp_path: Path, check: Check, kind: str, name: str) -> None:
    """No check finds fault with it."""
    check(prepared(tmp_path, kind), name)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_found_by_its_check(tmp_path: Path, check: Check, fault: str) -> None:
    """The same plugin with this fault fails, and the message says what is wrong."""
    kind, name, old, new, message = FAULTS[fault]

    with pytest.raises(AssertionError, match=message):
        check(prepared(tmp_path, kind, old, new), name)


def test_a_class_without_examples_fails() -> None:
    """Tests that would say nothing do not pass."""
    with pytest.raises(AssertionError, match="good_entries is empty"):
        ResolverConformance().test_good_and_bad_entries_are_given()
    with pytest.raises(AssertionError, match="values is empty"):
        SourceConformance().test_values_are_given()


@pytest.mark.parametrize("kind", KINDS)
def test_every_check_has_a_fault(kind: str) -> None:
    """Those of options have theirs among the steps'."""
    found = {name for each, name, *_ in FAULTS.values() if each == kind}

    assert found | CHECKED >= set(checks(kind)) - {
        "test_good_and_bad_entries_are_given",
        "test_values_are_given",
    }
