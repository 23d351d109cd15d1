"""A result without its secrets.

Text is masked before it is rendered: JSON, XML and HTML each write some characters of a secret
in another way, and a short secret could be a part of their own syntax.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar, cast

if TYPE_CHECKING:
    from spark_impex_runner.masking import Masker
    from spark_impex_runner.models import RunResult, TargetResult
    from spark_impex_runner.report.problems import Checked

    Result = TypeVar("Result", RunResult, TargetResult, Checked)


def masked(result: Result, masker: Masker) -> Result:
    """Return ``result`` with every known secret in its texts replaced by ``***``."""
    return cast("Result", _walk(result, masker))


def _walk(value: Any, masker: Masker) -> Any:
    """Mask texts, also within tuples, lists, mappings and dataclasses; let everything else be."""
    if type(value) is str:
        return masker.mask(value)
    if isinstance(value, tuple):
        return tuple(_walk(each, masker) for each in value)
    if isinstance(value, list):
        return [_walk(each, masker) for each in value]
    if isinstance(value, Mapping):
        return {key: _walk(each, masker) for key, each in value.items()}
    if is_dataclass(value) and not isinstance(value, type):
        names = [each.name for each in fields(value)]
        return replace(value, **{name: _walk(getattr(value, name), masker) for name in names})
    return value
