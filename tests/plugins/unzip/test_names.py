from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

if TYPE_CHECKING:
    from types import ModuleType

HOSTILE = st.text(st.sampled_from("./\\:~ aNuUlcC\x00\n\u202e\u0301é*")) | st.text()


@pytest.mark.parametrize(
    "name",
    [
        "manifest.json",
        "acme/motor/pricing/1.4.2/",
        "acme/..data/x",
        "acme/a..b",
        "é/ß.json",
        "console/nullable.txt",
        "com10.json",
        ".hidden",
    ],
)
def test_ordinary_names_are_accepted(unzip: ModuleType, name: str) -> None:
    """A name that only looks like a dangerous one is no problem."""
    assert unzip.names.problem(name) == ""


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("", "has ''"),
        ("/", "absolute"),
        ("/etc/passwd", "absolute"),
        ("//server/share", "absolute"),
        ("../up", "'..'"),
        ("a/../../up", "'..'"),
        ("a/..", "'..'"),
        ("./a", "'.'"),
        ("a//b", "''"),
        ("C:/windows", "drive letter"),
        ("C:up", "drive letter"),
        ("file.txt:stream", "colon"),
        ("a\\..\\b", "backslash"),
        ("\\\\server\\share", "backslash"),
        ("a/CON", "device"),
        ("nul.json", "device"),
        ("aux .txt", "device"),
        ("COM1.tar.gz", "device"),
        ("lpt³", "device"),
        ("conin$", "device"),
        ("a/name.", "dot or a space"),
        ("a /b", "dot or a space"),
        ("a\x00b", "control"),
        ("a\nb", "control"),
        ("a\x1b[2Jb", "control"),
        ("a\x85b", "control"),
        ("a\u2028b", "control"),
    ],
)
def test_dangerous_names_are_refused(unzip: ModuleType, name: str, reason: str) -> None:
    """A name that means something special on any system is refused, and the reason is given."""
    assert reason in unzip.names.problem(name)


@given(name=HOSTILE)
def test_accepted_name_stays_in_folder(unzip: ModuleType, name: str) -> None:
    """Whatever is accepted lies below the folder that it is joined to, and is not the folder."""
    if unzip.names.problem(name):
        return

    joined = os.path.normpath(os.path.join("/base/of", name))  # noqa: PTH118 - Path hides ".."

    assert joined.startswith("/base/of/")
    assert "\\" not in name


@pytest.mark.parametrize(("one", "other"), [("A/b", "a/B"), ("\u00e9", "e\u0301"), ("ß", "SS")])
def test_equivalent_names_have_one_key(unzip: ModuleType, one: str, other: str) -> None:
    """Letter case and Unicode form make no difference on Windows and macOS."""
    assert unzip.names.key(one) == unzip.names.key(other)
