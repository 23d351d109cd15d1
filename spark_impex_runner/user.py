"""Who runs this process: a person or the CI system's user."""

from __future__ import annotations

import getpass
import os

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
