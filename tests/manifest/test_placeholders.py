"""Comments that say FILL IN: found where they stand, and nothing that only looks like one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from spark_impex_runner.errors import ManifestError

if TYPE_CHECKING:
    from collections.abc import Callable

TEXT = """\
version: 1
name: "a # FILL IN b"
x-note: |
  # FILL IN nothing
connections:
  c: {} # FILL IN the address, or set CSPARK_BASE_URL
  # FILL IN the credentials: set CSPARK_API_KEY or
  # CSPARK_BEARER_TOKEN
targets:
  - {name: a, folders: [x]} # FILL IN a folder
"""


@pytest.mark.parametrize(
    ("environ", "lines"),
    [
        ({}, [6, 7, 10]),
        ({"CSPARK_BASE_URL": "x"}, [7, 10]),
        ({"CSPARK_BEARER_TOKEN": "x", "CSPARK_BASE_URL": ""}, [6, 10]),
    ],
)
def test_placeholders_are_errors(read: Callable[..., Any], environ: Any, lines: list[int]) -> None:
    """Each is an error with its line, unless the environment has what it names."""
    with pytest.raises(ManifestError) as caught:
        read(TEXT, environ=environ)

    assert [problem.line for problem in caught.value.problems] == lines
    assert all("still to fill in: " in problem.message for problem in caught.value.problems)
