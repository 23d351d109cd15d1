"""``impex state``: a state moves to another place, and the runs with it."""

from __future__ import annotations

from typing import Any


def test_migrated_state_resumes_job(shell: Any, left: str) -> None:
    """A plan with the new place resumes the job, and history lists the run; the old one stays."""
    done = shell("impex", "state", "migrate", ".impex", "moved")
    again = shell("impex", "state", "migrate", ".impex", "moved")

    assert (done.code, done.out) == (
        0,
        "1 target and 1 run copied; use --state moved from now on\n",
    )
    assert again.out.startswith("0 targets and 0 runs copied")
    assert f"life: resume job {left} (" in shell("impex", "plan", "m.yaml", "--state", "moved").out
    for command in ("status", "history"):
        words = ("impex", command, "--format", "json", "--state")
        assert shell(*words, "moved").out == shell(*words, ".impex").out != "[]\n"


def test_state_that_is_not_there_is_named(shell: Any) -> None:
    """Nothing is created for it."""
    done = shell("impex", "state", "migrate", "old", "new")

    assert (done.code, done.err) == (2, "error: no state in old: check FROM\n")
    assert not (shell.folder / "new").exists()
    assert not (shell.folder / "old").exists()


def test_other_urls_are_no_places(shell: Any) -> None:
    """Not even where the state comes from."""
    done = shell("impex", "state", "migrate", "https://h/state", "new")

    assert done.code == 2
    assert "FROM: 'https://h/state' is a URL, not a local path; give a local folder" in done.err
