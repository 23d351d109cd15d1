"""Check the names in cases against those of the module."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from spark_impex_runner import errors, tools

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .cases import Case


@dataclass
class Names:
    """The inputs and outputs of a module; upper and lower case count as one, as to the module."""

    inputs: Sequence[str]
    outputs: Sequence[str]
    _known: dict[str, dict[str, str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for what, names in (("input", self.inputs), ("output", self.outputs)):
            self._known[what] = {name.casefold(): name for name in names}

    def checked(self, case: Case, *, allow_missing: bool) -> Case:
        """Return the case with the module's own names; raise ``UsageError`` for any other."""
        where = f"case {case.name}: "
        inputs = self._renamed("input", case.inputs, where)
        if not allow_missing:
            missing = [name for name in self.inputs if name not in inputs]
            if missing:
                raise errors.UsageError(
                    f"{where}there is no input {missing[0]}; give it, or set missing_inputs: "
                    "default, which calculates with the saved value"
                )
        return replace(case, inputs=inputs, expected=self._renamed("output", case.expected, where))

    def of_outputs(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return values by the module's own names of outputs; raise ``UsageError`` for others."""
        return self._renamed("output", values, "")

    def _renamed(self, what: str, values: Mapping[str, Any], where: str) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, value in values.items():
            known = self._name(what, name, where)
            if known in found:
                raise errors.UsageError(f"{where}{what} {known} is given twice")
            found[known] = value
        return found

    def _name(self, what: str, name: str, where: str) -> str:
        known = self._known[what]
        if name.casefold() not in known:
            hint = tools.did_you_mean(name, known.values())
            hint = hint or f"; it has {tools.first_of(list(known.values()), 8)}"
            raise errors.UsageError(f"{where}the service has no {what} {name}{hint}")
        return known[name.casefold()]
