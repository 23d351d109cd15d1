"""The name of the user who runs a process."""

from __future__ import annotations

import getpass
from pathlib import Path

import pytest

from spark_impex_runner.user import current_user, user_cache


@pytest.fixture(autouse=True)
def _no_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GITHUB_ACTOR", "GITLAB_USER_LOGIN", "BUILD_REQUESTEDFOR"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("variable", ["GITHUB_ACTOR", "GITLAB_USER_LOGIN", "BUILD_REQUESTEDFOR"])
def test_ci_system_names_the_user(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    """The operating system's user is the CI system's own."""
    monkeypatch.setenv(variable, "alice")

    assert current_user() == "alice"


def test_operating_system_names_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty text stands for a user without a name, as in some containers."""
    monkeypatch.setattr(getpass, "getuser", lambda: "bob")
    assert current_user() == "bob"

    def unknown() -> str:
        raise KeyError("uid not found: 1234")

    monkeypatch.setattr(getpass, "getuser", unknown)
    assert current_user() == ""


def test_cache_folder_of_the_user(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As the environment says, or below the home directory; none without one."""
    for name in ("XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    assert user_cache() == tmp_path / ".cache" / "spark-impex-runner"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert user_cache() is None
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "x"))
    assert user_cache() == tmp_path / "x" / "spark-impex-runner"

    def no_home() -> Path:
        raise RuntimeError

    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(Path, "home", no_home)
    assert user_cache() is None
