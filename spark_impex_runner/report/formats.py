"""The report formats by the names that the manifest and the command line use."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from spark_impex_runner.report import html, json, junit

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from spark_impex_runner.models import RunResult

FORMATS: Mapping[str, Callable[[RunResult], str]] = MappingProxyType(
    {"json": json.render, "junit": junit.render, "html": html.render}
)
