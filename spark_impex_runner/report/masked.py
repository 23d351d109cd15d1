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
    from spark_impex_runner.masking import Masker
    from spark_impex_runner.models import RunResult, TargetResult
    from spark_impex_runner.models.comparison import Diff
    from spark_impex_runner.report.problems import CheckedManifest

    Result = TypeVar("Result", RunResult, TargetResult, CheckedManifest, Diff)

_PLAIN = frozenset({type(None), bool, int, float})


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
        kind = value.__class__
        if kind in _PLAIN:
            return value
        if kind is str:
            masked = self._mask(value)
            return value if masked == value else masked
        if names := _names(kind):
            # The result keeps every object alive, so that ids stay unique.
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
    """Return the field names of a dataclass, none of any other class."""
    return tuple(each.name for each in fields(kind)) if is_dataclass(kind) else ()
