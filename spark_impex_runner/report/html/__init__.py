"""The HTML report: one page for people, self-contained and without scripts."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from spark_impex_runner.models import RunResult


def render(result: RunResult) -> str:
    """Return the report as one page, which loads nothing and escapes all foreign text."""
    from spark_impex_runner.report.html.page import pieces  # noqa: PLC0415 - few runs write a page

    return "".join(pieces(result))
