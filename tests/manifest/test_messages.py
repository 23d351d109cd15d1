from __future__ import annotations

import pytest

from spark_impex_runner.manifest.schema.messages import Suggestions, listed


def test_only_few_names_are_listed() -> None:
    """A message about one name stays one that a person can read."""
    names = [f"tenant-{number}" for number in range(25)]

    assert listed(names[:3]) == "tenant-0, tenant-1, tenant-2"
    assert listed(names[:20]).endswith(", tenant-19")
    assert listed(names).endswith(", tenant-19 and 5 more")


def test_suggestions_are_cached() -> None:
    """Only the first names are compared; a repeated one has its earlier suggestion."""
    hints = Suggestions(["motor", "life"])

    assert [hints.of("moter"), hints.of("nothing"), hints.of("moter")] == [
        " (did you mean 'motor'?)",
        "",
        " (did you mean 'motor'?)",
    ]


@pytest.mark.parametrize(("count", "hinted"), [(100, 500), (10_000, 5)])
def test_suggestions_are_limited(count: int, hinted: int) -> None:
    """The work stays bounded where every target of a large manifest calls a wrong name."""
    names = [f"{number:06}" for number in range(count - 1)]
    hints = Suggestions([*names, "product"])

    found = [hints.of(f"product{number}") for number in range(hinted + 2)]

    assert all(found[:hinted])
    assert found[hinted:] == ["", ""]
