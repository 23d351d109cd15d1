"""Who runs this process, a person or the CI system's user, and that user's cache folder."""

from __future__ import annotations

import getpass
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

# GitHub Actions, GitLab CI, Azure Pipelines.
_CI_VARIABLES = ("GITHUB_ACTOR", "GITLAB_USER_LOGIN", "BUILD_REQUESTEDFOR")
_SYSTEM, _OPTION = "operating system", "--approved-by"


@dataclass(frozen=True, slots=True)
class User:
    """A name, and where it comes from: an option, a variable or the operating system."""

    name: str = ""
    named_by: str = _SYSTEM


@dataclass(frozen=True, slots=True)
class Actors:
    """Who started a run, and who gives its approvals."""

    initiator: User = User()
    approver: User = User()

    @classmethod
    def here(cls, approved_by: str = "") -> Actors:
        """Return who runs this process; ``approved_by`` names another approver."""
        user = _current()
        return cls(user, User(approved_by, _OPTION) if approved_by else user)

    def masked(self, mask: Callable[[str], str]) -> Actors:
        """Return the actors with masked names."""
        both = self.initiator, self.approver
        return Actors(*(replace(each, name=mask(each.name)) for each in both))


def current_user() -> str:
    """Return the CI system's name of the user, else the operating system's, empty if unknown."""
    return _current().name


def _current() -> User:
    for variable in _CI_VARIABLES:
        if name := os.environ.get(variable, ""):
            return User(name, variable)
    return User(_system_user(), _SYSTEM)


def _system_user() -> str:
    try:
        return getpass.getuser()
    except (ImportError, KeyError, OSError):  # such as a container's user without a name
        return ""


def user_cache() -> Path | None:
    """Return the folder for this program's files that can be made again, None without a home."""
    variables = ("XDG_CACHE_HOME", "LOCALAPPDATA")
    named = next(filter(None, (os.environ.get(name, "") for name in variables)), "")
    try:
        base = Path(named) if named else Path.home() / ".cache"
    except RuntimeError:  # a user without a home directory
        return None
    return base / "spark-impex-runner" if base.is_absolute() else None
