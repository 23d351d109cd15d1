from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spark_impex_runner.errors import UsageError
from spark_impex_runner.paths import (
    Identities,
    ProtectedPaths,
    folded,
    local_path,
    url_problem,
)

SCHEMES = ("s3", "gs", "az", "file", "http", "https", "sftp", "abfss", "webdavs")
PURPOSES = ("read", "write", "output", "state", "either")
cased = st.sampled_from(SCHEMES).flatmap(
    lambda name: st.tuples(*(st.sampled_from(c.upper() + c.lower()) for c in name)).map("".join)
)


@pytest.mark.parametrize(
    "text",
    [
        *(
            "s3://b/x",
            "S3://b/x",
            "s3:/b/x",
            "s3:b",
            " s3://b",
            "gs://b",
            "az://c/x",
            "abfss://c@a/x",
        ),
        *("file:///srv/x", "FILE:/srv/x", "file:x", "https://host/x", "http:x", "sftp://u@h/x"),
        *("webdavs://h/x", "dav:x", "smb://h/x", "x-other+scheme.1://h", "vault:\\\\x"),
    ],
)
def test_urls_are_recognized(text: str) -> None:
    """In upper or lower case, and as ``pathlib`` shortens them."""
    assert "is a URL, not a local path" in url_problem(text)
    assert url_problem(str(Path(text)))


@pytest.mark.parametrize(
    "text",
    [
        *("out", "./s3://b", "a/b:c", "C:\\x", "c:/x", "D:x", "12:30", "2026-01-31T12:00/x", "a:b"),
        *("/srv/s3:/x", "//host/share", "\\\\host\\share", "-", "", "~/x", "x://"[:1]),
        *("./a:b", "./s3:/x", "out/s3://b", "\u017f3:x", "ft\u0440:x"),
    ],
)
def test_paths_are_no_urls(text: str) -> None:
    """A drive letter, a colon in a name, an unknown scheme and other scripts are local."""
    assert url_problem(text) == ""


def test_credentials_of_url_are_hidden() -> None:
    """The message leaves out what may be a password or a signature."""
    assert url_problem("https://me:hunter2@host/x").startswith("'https' is a URL, not a local path")
    assert "sig" not in url_problem("https://host/x?sig=abc")
    assert "sig" not in url_problem("https://host/x#sig=abc")


@given(
    cased,
    st.sampled_from([":", ":/", "://", ":\\"]),
    st.text(max_size=8),
    st.sampled_from(PURPOSES),
)
def test_every_form_of_url_is_refused(scheme: str, colon: str, rest: str, purpose: str) -> None:
    """In any case and with any slashes, with what to do instead; ``either`` takes whole URLs."""
    text = f"{scheme}{colon}{rest}"

    problem = url_problem(text, purpose)

    assert bool(problem) == (purpose != "either" or "://" not in text.strip())
    assert not problem or "; " in problem


@given(st.text(st.characters(exclude_characters="\0"), max_size=12), st.sampled_from(PURPOSES))
def test_accepted_path_stays_accepted(text: str, purpose: str) -> None:
    """What one check accepts, no later check of the same path refuses; ``./`` accepts any name."""
    path = local_path(f"./{text}", purpose)
    assert url_problem(str(path), purpose) == ""
    assert path.absolute() == Path(f"./{text}").absolute()

    if url_problem(text, purpose):
        with pytest.raises(UsageError, match="is a URL, not a local path; "):
            local_path(text, purpose)
    else:
        assert not url_problem(str(local_path(text, purpose)), purpose)


def test_links_lead_to_one_identity(tmp_path: Path) -> None:
    """Links and dots lead to the same identity; missing files have one, too."""
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    identities = Identities()

    assert identities.of(tmp_path / "link/new/x") == identities.of(tmp_path / "real/./new/../new/x")
    assert identities.of(tmp_path / "link") == identities.of(tmp_path / "real")
    assert identities.of(tmp_path / "real/a") != identities.of(tmp_path / "real/b")


def test_case_counts_as_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Names that differ only in case are one file on some file systems."""
    names = tmp_path / "Report.json", tmp_path / "report.JSON"
    sensitive = not (tmp_path.parent / tmp_path.name.swapcase()).exists()

    assert len(set(map(Identities().of, names))) == (2 if sensitive else 1)
    monkeypatch.setattr(Identities, "_ignores_case", lambda *_: True)
    assert len(set(map(Identities().of, names))) == 1
    assert folded("Prämie") == folded("PRA\u0308MIE")


def test_mounted_file_system_is_asked_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder where another file system is mounted may ignore case though its parent does not."""
    folder = tmp_path / "mnt"
    folder.mkdir()
    (folder / "m.yaml").touch()
    lstat = os.lstat

    def ignoring(path: str) -> os.stat_result:
        home, name = os.path.split(path)
        return lstat(f"{home}/{name.lower()}" if home == str(folder) else path)

    monkeypatch.setattr(os.path, "lexists", lambda path: bool(ignoring(path)))
    monkeypatch.setattr(os, "lstat", ignoring)

    assert Identities().of(folder / "Out") == Identities().of(folder / "oUT")


def test_folders_above_output_do_not_count(tmp_path: Path) -> None:
    """An output may be inside another one; its files do not belong to that."""
    guarded = ProtectedPaths(
        [(tmp_path, "all"), (tmp_path / "out", "out"), (tmp_path / "out/b", "b")]
    )

    assert guarded.conflict(tmp_path / "out/a", tmp_path / "out") == ""
    assert guarded.conflict(tmp_path / "out/b/c", tmp_path / "out") == "b"
    assert guarded.conflict(tmp_path / "out/b", tmp_path / "out") == "b"
    assert guarded.conflict(tmp_path / "out/bc", tmp_path / "out") == ""
    assert guarded.conflict(tmp_path / "out", tmp_path) == "out"
