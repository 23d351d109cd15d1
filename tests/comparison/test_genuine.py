"""A genuine package reads as the packages of the sandbox do.

The package is not part of this project: ``IMPEX_GENUINE_PACKAGE`` names a copy of it.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from spark_impex_runner.comparison.places import read

if TYPE_CHECKING:
    from collections.abc import Callable


# Read here: no test sees such variables.
COPY = os.environ.get("IMPEX_GENUINE_PACKAGE")


@pytest.fixture
def genuine() -> Path:
    """Return the genuine package volume-cylinder.zip of the official SDK's repository."""
    if not COPY:
        pytest.skip("IMPEX_GENUINE_PACKAGE names no copy of volume-cylinder.zip")
    return Path(COPY)


def test_genuine_package_is_read_whole(genuine: Path) -> None:
    """Inputs, defaults, outputs, module and workbook's hash; only types of outputs are unknown."""
    [version] = read(genuine).versions

    assert version.uri == "my-folder/volume-cylinder[0.1.0]"
    assert dict(version.unknown) == {"types of outputs": "the package does not state them"}
    assert version.sections["inputs"]["radius"]["cell"] == '"B2"'
    assert version.sections["defaults"]["radius"]["default"] == "7"
    assert version.sections["defaults"]["radius"]["type"] == '"number"'
    assert list(version.sections["outputs"]) == ["volume"]
    assert version.sections["module"]["module"]["sha256"].startswith('"ab310b8c')
    assert version.sections["workbook"]["workbook"]["sha256"].startswith('"df524263')
    assert version.sections["files"] == {}
    assert "_volume_cylinder.wasm" in version.parts


def test_genuine_package_equals_itself(genuine: Path, differences: Callable[..., Any]) -> None:
    """Nothing differs, and nothing was left out."""
    diff = differences(genuine, genuine)

    assert (diff.services, diff.files, diff.unknown) == ((), (), ())
