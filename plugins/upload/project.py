"""Identify the project of a manifest: its git repository, or its folder."""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import unquote

from spark_impex_runner import errors

# A manifest from a pipe has no folder of its own.
_PIPES = ("/dev", "/dev/fd", "/proc")
_ORIGIN = re.compile(r'\[\s*(?i:remote)\s+"origin"\s*')
_URL = re.compile(r'(?i:url)\s*=\s*(?:"([^"]*)"|([^#;]*))')
# [user@host:port]:path and user@host:path, which git takes for SSH.
_SCP = re.compile(r"(?:\[([^\]/]+)\]|(?:[^/]*@)?([^@:/\[\]]+)):(?!:)(.*)")
_AUTHORITY = re.compile(
    r"(?:.*@)?(\[?[0-9a-fA-F:]*:[0-9a-fA-F:]*:[0-9a-fA-F:.]*\]?|[^:@]*)(?::\d*)?"
)


def project_of(manifest: Path) -> str:
    """Return the name of a manifest's project.

    It is the remote ``origin`` of its git repository and, after ``//``, the folder in the
    repository; without such a remote, the resolved path of the folder.
    """
    folder = manifest.parent.resolve()
    if folder.as_posix() in _PIPES or folder.is_relative_to("/proc"):
        folder = Path.cwd()
    remote, inner = _remote(folder)
    name = "//".join([remote, *([inner] if inner != "." else [])]) if remote else folder.as_posix()
    # A folder's name may have bytes that are not UTF-8.
    return name.encode(errors="backslashreplace").decode()


def project_from_option(option: str) -> str:
    """Return the project of the option; a URL is reduced to host and path, without credentials."""
    if "://" not in option:
        return option
    name = normalized(option, Path("/"))
    if not name:
        raise errors.StepError("project: not a URL with host and path; use one, or a name")
    return name


def _remote(folder: Path) -> tuple[str, str]:
    """Return the remote of the repository that holds a folder, and the folder's path in it."""
    for root in (folder, *folder.parents):
        config = _config(root / ".git")
        if config:
            return normalized(_origin(config), root), folder.relative_to(root).as_posix()
    return "", ""


def _config(git: Path) -> str:
    """Return the text of a repository's configuration, empty if there is none.

    ``.git`` is a folder or, in a worktree or submodule, a file with the path of one; the folder of
    a worktree names the one that holds the configuration.
    """
    try:
        if git.is_file():
            git = git.parent / _text(git).removeprefix("gitdir:").strip()
        if (git / "commondir").is_file():
            git /= _text(git / "commondir").strip()
        return _text(git / "config")
    except (OSError, ValueError):
        return ""


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8-sig", errors="backslashreplace")


def _origin(config: str) -> str:
    """Return the first URL of the remote ``origin``, empty if there is none."""
    inside = False
    for each in config.splitlines():
        line = each.strip()
        if line.startswith("["):
            section, _, line = line.partition("]")
            inside = bool(_ORIGIN.fullmatch(section))
        if inside and (found := _URL.match(line.strip())):
            return (found[1] or found[2] or "").strip()
    return ""


def normalized(url: str, root: Path) -> str:
    """Return ``host/path`` of a remote's URL, without protocol and credentials.

    A local path, relative to ``root``, becomes absolute. Anything else, such as a remote helper,
    becomes empty.
    """
    scheme, separator, rest = url.partition("://")
    if separator and scheme.lower() != "file":
        return _host_and_path(*_split(rest))
    local = Path(f"/{_split(rest)[1]}" if separator else url)
    found = None if local.is_absolute() else _SCP.fullmatch(url)
    if found:
        return _host_and_path(found[1] or found[2], found[3])
    if not url or "::" in url:
        return ""
    path = Path(os.path.normpath(root / local)).as_posix()
    return path.removesuffix(".git").rstrip("/")


def _split(rest: str) -> tuple[str, str]:
    """Return the authority and the path of a URL without its scheme."""
    authority, _, path = re.split(r"[?#]", rest, maxsplit=1)[0].partition("/")
    return authority, unquote(path)


def _host_and_path(authority: str, path: str) -> str:
    found = _AUTHORITY.fullmatch(authority)
    if not found or not found[1]:
        return ""
    parts = [each for each in path.split("/") if each not in {"", "."}]
    inner = "/".join(parts).removesuffix(".git").rstrip("/")
    return "/".join([found[1].lower().strip("[]"), *([inner] if inner else [])])
