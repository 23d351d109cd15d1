"""Which project a delivery belongs to: two with the same names are two owners."""

from __future__ import annotations

import importlib
import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spark_impex_runner.errors import StepError

if TYPE_CHECKING:
    from types import ModuleType

LISTING = "impex-upload.json"
HTTPS = "https://github.com/acme/pricing.git"
SECRET = "glpat-s3cret"
REMOTES = {
    HTTPS: "github.com/acme/pricing",
    "https://GitHub.com:443/acme//pricing/": "github.com/acme/pricing",
    f"https://x:{SECRET}@github.com/acme/pricing": "github.com/acme/pricing",
    f"https://{SECRET}@github.com/acme/pricing.git/": "github.com/acme/pricing",
    f"https://github.com/acme/pricing?token={SECRET}": "github.com/acme/pricing",
    f"https://a@b:{SECRET}@github.com/acme/pricing": "github.com/acme/pricing",
    "ssh://git@github.com:22/acme/pricing.git": "github.com/acme/pricing",
    "git@github.com:acme/pricing.git": "github.com/acme/pricing",
    "github.com:/acme/pricing": "github.com/acme/pricing",
    "[git@github.com:22]:acme/pricing.git": "github.com/acme/pricing",
    f"git:{SECRET}@github.com:acme/pricing": "github.com/acme/pricing",
    "git@host:acme/pr@v:2": "host/acme/pr@v:2",
    "https://host/my%20models": "host/my models",
    "host:my models": "host/my models",
    "ssh://[::1]:22/x": "::1/x",
    "/srv/git/x.git": "/srv/git/x",
    "file:///srv/git/my%20x.git/": "/srv/git/my x",
    "../x.git": "/srv/x",
    f"https://user:{SECRET[:5]}#{SECRET}@host/x": "",
    f"https://user:{SECRET}/{SECRET}@host/x": "",
    f"ext::ssh -p {SECRET} host": "",
    "": "",
}
names = st.from_regex(r"[a-z][a-z0-9-]{1,9}", fullmatch=True)


@pytest.fixture
def project(upload: ModuleType) -> ModuleType:
    """Return the module that names projects."""
    return importlib.import_module(f"{upload.__name__}.project")


def repository(folder: Path, url: str = HTTPS) -> Path:
    """Make what git leaves in a folder with a remote."""
    (folder / ".git").mkdir(parents=True)
    config = f'[core]\n\tbare = false\n[Remote "origin"]\n\t\tURL = {url}\n\tfetch = +refs/*\n'
    more = '[remote "other"]\n\turl = https://elsewhere/x\n[remote "origin"]\n\turl = h:second\n'
    (folder / ".git/config").write_text(config + more)
    return folder


def moved(motor: Any, folder: Path) -> Any:
    """Return the target with its manifest in another folder, on another day."""
    return replace(motor, output=folder / "out", day=motor.day + 1)


def owner(place: Any, key: str = "project") -> str:
    """Return what the listing says of its owner."""
    found: str = json.loads(place.read(LISTING))[key]
    return found


@pytest.mark.parametrize(("url", "expected"), REMOTES.items())
def test_remote_is_normalized(project: ModuleType, url: str, expected: str) -> None:
    """Protocol, credentials, port and spelling do not count; what is no address is none."""
    found = project.normalized(url, Path("/srv/here"))

    assert found == expected
    assert SECRET not in found


@given(names, names, names, names, st.integers(1, 65535))
def test_protocols_yield_one_project(
    host: str, group: str, name: str, secret: str, port: int
) -> None:
    """Whichever way and credentials a clone was made with; another path is another project."""
    project = importlib.import_module("spark_impex_runner.plugins.upload.project")
    path = f"{group}/{name}"
    urls = [
        f"https://{host}/{path}",
        f"HTTPS://{secret}:{secret}@{host.upper()}:{port}/{path}.git",
        f"ssh://{secret}@{host}:{port}/{path}.git/",
        f"{secret}@{host}:{path}.git",
        f"{host}:{path}",
    ]

    found = {project.normalized(each, Path("/work")) for each in urls}

    assert found == {f"{host}/{path}"}
    assert project.normalized(f"{urls[0]}-2", Path("/work")) not in found


def test_clones_of_one_repository_are_one_project(local: Any, motor: Any, tmp_path: Path) -> None:
    """Wherever they lie, and whichever protocol they were cloned by."""
    urls = list(REMOTES)[:4]
    clones = [repository(tmp_path / f"clone{n}", each) for n, each in enumerate(urls)]

    for each in clones:
        moved(motor, each / "nightly").deliver(local.options, {"motor.zip": each.name.encode()})
        assert owner(local) == "github.com/acme/pricing//nightly"
        assert SECRET.encode() not in local.read(LISTING)

    assert local.read("motor.zip") == b"clone3"


@pytest.mark.parametrize("second", ["two/b", "one/a"], ids=["repository", "folder"])
def test_other_repository_and_folder_are_other_projects(
    local: Any, motor: Any, tmp_path: Path, second: str
) -> None:
    """Neither replaces, counts nor removes what the other delivered; no secret is shown."""
    repository(tmp_path / "one", f"https://x:{SECRET}@github.com/acme/pricing")
    repository(tmp_path / "two", f"https://x:{SECRET}@github.com/acme/other")
    projects = [moved(motor, tmp_path / each) for each in ("one/b", second)]
    for day in range(3):
        for n, each in enumerate(projects):
            options = {**local.options, "prefix": f"{n}-{day}", "keep": {"last": 1}}
            each.on(day).deliver(options, {"motor.zip": b"%d%d" % (n, day)})
    left = {name: local.read(name) for name in local.names() if name.endswith("zip")}

    with pytest.raises(StepError) as caught:
        projects[1].on(9).deliver({**local.options, "prefix": "0-2"}, {"motor.zip": b"!"})

    assert left == {"0-2/motor.zip": b"02", "1-2/motor.zip": b"12"}
    assert local.read("0-2/motor.zip") == b"02"
    assert "of manifest nightly in project github.com/acme/pricing//b for" in str(caught.value)
    assert SECRET not in str(caught.value)


def test_moved_project_is_refused_until_it_is_named(local: Any, motor: Any, tmp_path: Path) -> None:
    """The message says how; what it names is what the listing holds."""
    motor.deliver(local.options, {"motor.zip": b"1"})
    there = moved(motor, tmp_path / "there")

    with pytest.raises(StepError) as caught:
        there.deliver(local.options, {"motor.zip": b"2"})
    hint = f', or set project: "{tmp_path}" if that one has moved here'
    assert str(caught.value).endswith(hint)
    assert local.read("motor.zip") == b"1"

    there.deliver({**local.options, "project": str(tmp_path)}, {"motor.zip": b"2"})
    assert local.read("motor.zip") == b"2"
    assert owner(local) == str(tmp_path)


def test_hint_is_for_moved_projects_only(local: Any, motor: Any, tmp_path: Path) -> None:
    """Another tenant's delivery does not become one's own by a project."""
    motor.deliver(local.options, {"motor.zip": b"1"})

    with pytest.raises(StepError) as caught:
        replace(moved(motor, tmp_path / "x"), tenant="uat").deliver(local.options, {"a": b"2"})

    assert "set project" not in str(caught.value)


def test_url_as_project_loses_its_credentials(local: Any, motor: Any, tmp_path: Path) -> None:
    """CI systems offer the URL with a token of the job in it."""
    for n in range(2):
        options = {**local.options, "project": f"https://ci:{SECRET}{n}@gitlab.com/acme/x.git"}
        moved(motor, tmp_path / f"build{n}").deliver(options, {"motor.zip": b"%d" % n})
    with pytest.raises(StepError, match=r"^project: not a URL with host and path; use"):
        motor.deliver({**local.options, "project": f"https://ci:{SECRET}"}, {"motor.zip": b"2"})

    assert owner(local) == "gitlab.com/acme/x"
    assert SECRET.encode() not in local.read(LISTING)


def test_worktrees_and_submodules_have_a_project(project: ModuleType, tmp_path: Path) -> None:
    """Their .git is a file that names the folder."""
    git = repository(tmp_path / "main") / ".git"
    tree, module = git / "worktrees/tree", repository(git / "modules/sub", "h:sub")
    tree.mkdir(parents=True)
    (tree / "commondir").write_text("../..\n")
    (module / ".git/config").rename(module / "config")
    links = {"tree": f"gitdir: {tree}\n", "main/sub": "gitdir: ../.git/modules/sub\n"}
    for name, text in links.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / ".git").write_text(text)

    found = [project.project_of(tmp_path / name / "nightly/m.yaml") for name in links]

    assert found == ["github.com/acme/pricing//nightly", "h/sub//nightly"]


@pytest.mark.parametrize(
    "config", ["", "[core]\n", '[remote "Origin"]\nurl = x:y\n', "\0", '[remote "origin"]\nurl =\n']
)
def test_repository_without_remote_is_its_folder(
    project: ModuleType, tmp_path: Path, config: str
) -> None:
    """Links are resolved; bytes that are no text do not matter."""
    (tmp_path / "a/.git").mkdir(parents=True)
    (tmp_path / "a/.git/config").write_bytes(config.encode() + b"\xff")
    (tmp_path / "link").symlink_to(tmp_path / "a")
    special = Path(f"{tmp_path}/link/\udcff/m.yaml")

    found = [project.project_of(each) for each in (tmp_path / "link/m.yaml", special)]

    assert found == [f"{tmp_path}/a", rf"{tmp_path}/a/\udcff"]


@pytest.mark.parametrize("pipe", ["/dev/stdin", "/dev/fd/0", "/proc/self/fd/0"])
def test_piped_manifest_belongs_to_the_working_directory(
    project: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pipe: str
) -> None:
    """The folder of a pipe has the number of the process in it."""
    monkeypatch.chdir(repository(tmp_path / "one"))

    found = project.project_of(Path(pipe))

    assert found == "github.com/acme/pricing"
