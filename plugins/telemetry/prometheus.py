"""Write the figures of a run in the text format of Prometheus."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .figures import figures

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from spark_impex_runner import models

_UNITS = {"s": "_seconds", "By": "_bytes", "": ""}


def lines(report: models.RunResult) -> Iterator[str]:
    """Yield the lines of the exposition format 0.0.4, without timestamps."""
    for each in figures(report):
        name = f"{each.name.replace('.', '_')}{_UNITS[each.unit]}"
        yield f"# HELP {name} {each.summary}\n# TYPE {name} gauge\n"
        for labels, value in each.values:
            yield f"{name}{{{_labels(labels)}}} {value:.15g}\n"


def _labels(labels: Mapping[str, str]) -> str:
    return ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items())


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
