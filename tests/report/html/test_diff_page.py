"""What a browser makes of the page of differences."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from spark_impex_runner.models.comparison import (
    Change,
    Diff,
    ServiceDiff,
    Unknown,
    VersionContents,
    VersionDiff,
)
from spark_impex_runner.report.diff import html

if TYPE_CHECKING:
    from pathlib import Path

BARRIERS = "axe.run().then(found => found.violations.map(each => [each.id, each.help]))"


@pytest.mark.parametrize(("width", "scheme"), [(375, "light"), (1280, "dark")])
def test_the_page_has_no_barriers(
    browser: Any, axe: str, tmp_path: Path, width: int, scheme: str
) -> None:
    """Nothing is too faint, unnamed or out of order, and nothing is wider than the window."""
    version = VersionContents("motor", "pricing", "1.4.2")
    changes = (
        Change("inputs", "long" * 30, "", None, '{"type":"number"}'),
        Change("outputs", "premium", "", "{}", None),
        Change("module", "module", "sha256", f'"{"0" * 64}"', f'"{"1" * 64}"'),
        Change("inputs", "note", "description", f'"{"y" * 300}"', '"z"'),
    )
    pair = VersionDiff(version, version, changes, (Unknown("workbook", "none"),), ("a.wasm",))
    service = ServiceDiff("motor/pricing", "motor/pricing", (), (), (pair, pair))
    diff = Diff("old" * 40, "new.zip", (service, ServiceDiff("", "a/b", ("1",))), changes)
    path = tmp_path / "diff.html"
    path.write_text(html.render(diff), encoding="utf-8")

    asked = browser.open(path, width, scheme)
    browser.evaluate(axe)

    assert browser.evaluate(BARRIERS) == []
    assert browser.evaluate("document.documentElement.scrollWidth") == width
    assert asked == [path.as_uri()]
