"""Who runs this process, a person or the CI system's user, and that user's cache folder."""

from __future__ import annotations

import getpass
import os
from pathlib import Path

# GitHub Actions, GitLab CI, Azure Pipelines.
_CI_VARIABLES = ("GITHUB_ACTOR", "GITLAB_USER_LOGIN", "BUILD_REQUESTEDFOR")


def current_user() -> str:
    """Return the CI system's name of the user, else the operating system's, empty if unknown."""
    named = (os.environ.get(variable, "") for variable in _CI_VARIABLES)
    return next(filter(None, named), "") or _system_user()


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
