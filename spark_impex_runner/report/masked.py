"""Mask the secrets in a result.

Texts are masked before rendering, since JSON, XML and HTML each escape some characters of a secret
in their own way, and a short secret could be a part of their syntax.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar, cast

if TYPE_CHECKING:
    from collections.abc import Callable

    from spark_impex_runner.masking import Masker
    from spark_impex_runner.models import RunResult, TargetResult
    from spark_impex_runner.models.comparison import Diff
    from spark_impex_runner.report.problems import CheckedManifest

    Result = TypeVar("Result", RunResult, TargetResult, CheckedManifest, Diff)


def masked(result: Result, masker: Masker) -> Result:
    """Return ``result`` with every known secret in its texts replaced by ``***``."""
    return cast("Result", _Walk(masker).value(result))


class _Walk:
    """Masks texts, also within tuples, lists, mappings and dataclasses.

    The targets of a run are in its manifest and in its results and share most values: each object
    is visited once, and copied only if it contains a secret.
    """

    def __init__(self, masker: Masker) -> None:
        self._mask = cache(masker.mask)
        self._seen: dict[int, Any] = {}

    def value(self, value: Any) -> Any:
        """Return a value with its secrets masked."""
        visit = _visitor(value.__class__)
        return visit(self, value) if visit else value

    def text(self, value: str) -> str:
        """Return a text with its secrets masked."""
        masked = self._mask(value)
        return value if masked == value else masked

    def model(self, value: Any) -> Any:
        """Return an instance of a dataclass with its secrets masked."""
        # The result keeps every object alive, so that ids stay unique.
        if (seen := self._seen.get(id(value))) is not None:
            return seen
        changed = {}
        for name in _names(value.__class__):
            # Most fields of most targets are empty.
            if (before := getattr(value, name)) and (after := self.value(before)) is not before:
                changed[name] = after
        masked = self._seen[id(value)] = replace(value, **changed) if changed else value
        return masked

    def items(self, value: Any) -> Any:
        """Return a tuple or list with its secrets masked."""
        items = [self.value(each) for each in value]
        return value if all(map(operator.is_, items, value)) else value.__class__(items)

    def mapping(self, value: Mapping[Any, Any]) -> Mapping[Any, Any]:
        """Return a mapping with the secrets in its values masked, as a dictionary."""
        texts = {key: self.value(each) for key, each in value.items()}
        same = value.__class__ is dict and all(map(operator.is_, texts.values(), value.values()))
        return value if same else texts


@cache
def _visitor(kind: Any) -> Callable[[_Walk, Any], Any] | None:
    """Return the method for the values of a class; None for those without texts."""
    if kind is str:  # no subclass: an outcome is one
        return _Walk.text
    if is_dataclass(kind):
        return _Walk.model
    if issubclass(kind, (tuple, list)):
        return _Walk.items
    return _Walk.mapping if issubclass(kind, Mapping) else None


@cache
def _names(kind: Any) -> tuple[str, ...]:
    """Return the field names of a dataclass."""
    return tuple(each.name for each in fields(kind))
