"""A result without its secrets.

Text is masked before it is rendered: JSON, XML and HTML each write some characters of a secret
in another way, and a short secret could be a part of their own syntax.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar, cast

if TYPE_CHECKING:
    from spark_impex_runner.masking import Masker
    from spark_impex_runner.models import RunResult, TargetResult
    from spark_impex_runner.report.problems import CheckedManifest

    Result = TypeVar("Result", RunResult, TargetResult, CheckedManifest)

_PLAIN = frozenset({type(None), bool, int, float})


def masked(result: Result, masker: Masker) -> Result:
    """Return ``result`` with every known secret in its texts replaced by ``***``."""
    return cast("Result", _Walk(masker).value(result))


class _Walk:
    """Masks texts, also within tuples, lists, mappings and dataclasses; lets everything else be.

    The targets of a run stand in its manifest and in its results, and have most values in common:
    each is looked at once, and copied only where it holds a secret.
    """

    def __init__(self, masker: Masker) -> None:
        self._mask = cache(masker.mask)
        self._seen: dict[int, Any] = {}

    def value(self, value: Any) -> Any:
        """Return a value without secrets."""
        kind = value.__class__
        if kind in _PLAIN:
            return value
        if kind is str:
            masked = self._mask(value)
            return value if masked == value else masked
        if names := _names(kind):
            if id(value) not in self._seen:
                self._seen[id(value)] = self._model(value, names)
            return self._seen[id(value)]
        if isinstance(value, (tuple, list)):
            items = [self.value(each) for each in value]
            return value if all(map(operator.is_, items, value)) else kind(items)
        if isinstance(value, Mapping):
            texts = {key: self.value(each) for key, each in value.items()}
            same = kind is dict and all(map(operator.is_, texts.values(), value.values()))
            return value if same else texts
        return value

    def _model(self, value: Any, names: tuple[str, ...]) -> Any:
        changed = {}
        for name in names:
            before = getattr(value, name)
            after = self.value(before)
            if after is not before:
                changed[name] = after
        return replace(value, **changed) if changed else value


@cache
def _names(kind: Any) -> tuple[str, ...]:
    """Return the fields of a dataclass; nothing of any other class."""
    return tuple(each.name for each in fields(kind)) if is_dataclass(kind) else ()
