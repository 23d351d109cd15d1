"""Secrets of a run: only those that its chosen targets need are asked for."""

from __future__ import annotations

from typing import Any

import pytest

TARGETS = """\
version: 1
connections:
  one: {sandbox: acme, auth: {token: "${env:TOKEN_ONE}"}}
  two: {sandbox: acme, auth: {token: "${env:TOKEN_TWO}"}}
  three: {sandbox: acme, auth: {token: "${vault:secret/three#token}"}}
targets:
  - {name: a, connection: one, folders: [motor]}
  - name: b
    connection: two
    folders: [motor]
    steps:
      - {uses: upload, with: {to: "webdav://127.0.0.1/x", user: me, token: "${env:UPLOAD}"}}
  - {name: c, connection: three, folders: [motor], tags: [night], needs: [a]}
"""


@pytest.fixture
def choosing(shell: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a shell with a manifest of three targets, of which one has its token."""
    (shell.folder / "m.yaml").write_text(TARGETS)
    monkeypatch.setenv("TOKEN_ONE", "hunter2-one")
    for name in ("TOKEN_TWO", "UPLOAD", "VAULT_ADDR"):
        monkeypatch.delenv(name, raising=False)
    return shell


def test_only_chosen_targets_need_their_secrets(choosing: Any) -> None:
    """No variable has to be set, and no Vault asked, for what is not run."""
    done = choosing("impex", "plan", "m.yaml", "-t", "a")

    assert (done.code, done.err) == (0, "")


def test_no_source_is_asked_for_others(choosing: Any) -> None:
    """A secret's source may be slow, or want a password typed: only chosen targets ask it."""
    (choosing.folder / "asked.py").write_text(
        "import pathlib\nfrom spark_impex_runner import hookimpl\n"
        "def read(key):\n"
        "    with pathlib.Path('asked').open('a') as file:\n        file.write(key + ' ')\n"
        "    return 'hunter2'\n"
        "@hookimpl\ndef impex_register(registry):\n"
        "    registry.source('safe', 'keeps secrets', read, secret=True)\n"
    )
    text = TARGETS.replace("env:TOKEN_ONE", "safe:one").replace("vault:", "safe:")
    (choosing.folder / "m.yaml").write_text(text)

    done = choosing("impex", "plan", "m.yaml", "-t", "a", "-p", "asked.py")

    assert (done.code, done.err) == (0, "")
    assert (choosing.folder / "asked").read_text() == "one "


@pytest.mark.parametrize(
    ("args", "missing"),
    [
        (["-t", "b"], ["TOKEN_TWO", "UPLOAD"]),
        (["--tag", "night"], ["VAULT_ADDR"]),
        (["-t", "a", "-t", "b"], ["TOKEN_TWO", "UPLOAD"]),
        ([], ["TOKEN_TWO", "UPLOAD", "VAULT_ADDR"]),
    ],
)
def test_chosen_targets_need_all_of_theirs(
    choosing: Any, args: list[str], missing: list[str]
) -> None:
    """Each that is missing is named with its place, and no other one is."""
    done = choosing("impex", "plan", "m.yaml", *args)

    assert done.code == 2
    named = [name for name in ("TOKEN_TWO", "UPLOAD", "VAULT_ADDR") if name in done.err]
    assert named == missing
    assert len(done.err.splitlines()) == len(missing)


def test_unselected_errors_are_reported(choosing: Any) -> None:
    """A manifest is valid as a whole, or not at all."""
    (choosing.folder / "m.yaml").write_text(TARGETS.replace("needs: [a]", "needs: [x]"))

    done = choosing("impex", "plan", "m.yaml", "-t", "a")

    assert done.code == 2
    assert "targets[2].needs[0]" in done.err
