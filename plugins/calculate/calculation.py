"""Calculate cases with a module by rules that let no wrong number count as calculated.

The rules, for what was seen of genuine modules: an input that is missing or misspelt is calculated
with its saved default; and an instance may keep something of a case. So all names are checked
first, and the default case is calculated before and after every block of cases: where its answer
changes, all of the block counts as not calculated.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from spark_impex_runner import tools

from .cases import Case
from .features import unknown_form
from .interface import CannotCalculateError
from .names import Names
from .process import FIRST_SEED, ModuleProcess, Request

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from .module import Module
    from .process import Limits, Reply

BLOCK: Final = 1000
# With other random numbers an output that depends on them changes.
_OTHER_SEED: Final = 2
# Milliseconds: eleven years and some weeks, hours, minutes and seconds. An output that depends on
# the clock changes, whichever part of a date it is made of.
_LATER: Final = ((11 * 365 + 47) * 86_400 + 5 * 3600 + 7 * 60 + 11) * 1000.0
_KEPT: Final = (
    "the default case has another answer after these cases than before: the module kept something"
)


@dataclass(frozen=True, slots=True)
class Calculated:
    """A case with its outputs, or with the reason why it was not calculated."""

    case: Case
    outputs: Mapping[str, Any] = field(default_factory=dict)
    reason: str = ""


@dataclass
class Calculation:
    """Calculates the cases of one module.

    ``engine`` and ``volatile``, the outputs that depend on random numbers, are known once the
    first case was calculated; ``dated`` are those that depend on the clock. Inputs in ``saved``
    take their saved defaults in all cases.
    """

    module: Module
    limits: Limits
    check: Callable[[], None]
    allow_missing: bool = False
    saved: frozenset[str] = frozenset()
    engine: str = ""
    volatile: frozenset[str] = frozenset()
    dated: frozenset[str] = frozenset()

    def run(self, cases: Sequence[Case]) -> Iterator[Calculated]:
        """Yield the result of each case, in their order.

        Raises:
            UsageError: the cases name other inputs or outputs than the module has.
            CannotCalculateError: the module cannot be calculated here.
        """
        if not self.module.reason:
            inputs = [each for each in self.module.inputs if each not in self.saved]
            names = Names(inputs, self.module.outputs)
            cases = [names.checked(case, allow_missing=self.allow_missing) for case in cases]
        with ModuleProcess(self.module, self.limits, self.check) as process:
            self.engine = process.engine
            replies = process.calculate(_requests(cases))
            one = next(replies)
            self.volatile = self._differing(cases[0], one, next(replies))
            self.dated = self._differing(cases[0], one, next(replies)) - self.volatile
            first = None
            for start in range(0, len(cases), BLOCK):
                before = self._default(next(replies))
                block = [self._judged(case, next(replies)) for case in cases[start : start + BLOCK]]
                first = first or before
                if not first == before == self._default(next(replies)):
                    block = [_not_calculated(each) for each in block]
                yield from block

    def _differing(self, case: Case, one: Reply, other: Reply) -> frozenset[str]:
        """Return the outputs that differ between two new instances."""
        first, second = self._judged(case, one), self._judged(case, other)
        names = first.outputs.keys() | second.outputs.keys()
        if first.reason or second.reason:
            return frozenset()
        return frozenset(
            name for name in names if first.outputs.get(name) != second.outputs.get(name)
        )

    def _default(self, reply: Reply) -> tuple[str, Mapping[str, Any]]:
        """Return what must be the same whenever the default case is calculated."""
        result = replace(self, allow_missing=True)._judged(Case("", {}), reply)  # noqa: SLF001
        stable = {each: v for each, v in result.outputs.items() if each not in self.volatile}
        return result.reason, stable

    def _judged(self, case: Case, reply: Reply) -> Calculated:
        """Return the outputs in a reply, unless anything in it says that they are wrong."""
        if reply.error:
            return Calculated(case, reason=tools.one_line(reply.error))
        try:
            data = tools.parse_json(reply.text)
        except ValueError:
            data = None
        answer = data.get("response_data") if isinstance(data, dict) else None
        allow_missing = self.allow_missing or bool(self.saved)
        result = judged(case, answer, self.module.outputs, allow_missing=allow_missing)
        if reason := unknown_form(result.outputs):
            raise CannotCalculateError(reason)
        return result


def judged(case: Case, answer: Any, names: Sequence[str], *, allow_missing: bool) -> Calculated:
    """Return the outputs in ``response_data``; it must have those of these names."""
    if not isinstance(answer, Mapping):
        return Calculated(case, reason="the reply has no response_data")
    if reason := _complaint(answer, allow_missing=allow_missing):
        return Calculated(case, reason=tools.one_line(reason))
    outputs = answer.get("outputs")
    if not isinstance(outputs, Mapping) or not outputs:
        return Calculated(case, reason="the reply has no outputs")
    if missing := [name for name in names if name not in outputs]:
        return Calculated(case, reason=f"the reply has no output {missing[0]}")
    return Calculated(case, outputs)


def _complaint(answer: Mapping[str, Any], *, allow_missing: bool) -> str:
    """Return the service's own errors, and its warning that it took a default."""
    for each in answer.get("errors") or ():
        text = each.get("message") if isinstance(each, Mapping) else each
        return f"the service answers: {text or each}"
    warnings = answer.get("warnings")
    for each in warnings if isinstance(warnings, list) else ():
        is_default = isinstance(each, Mapping) and each.get("source_path") == "Default Values"
        if is_default and not allow_missing:
            return f"the service answers: {each.get('message')}"
    return ""


def _not_calculated(result: Calculated) -> Calculated:
    return Calculated(result.case, reason=result.reason or _KEPT)


def _requests(cases: Sequence[Case]) -> Iterator[Request]:
    """Yield the first case in three instances, then each block in a new one between defaults."""
    yield Request(cases[0].inputs, FIRST_SEED)
    yield Request(cases[0].inputs, _OTHER_SEED)
    yield Request(cases[0].inputs, FIRST_SEED, _LATER)
    for start in range(0, len(cases), BLOCK):
        yield Request({}, FIRST_SEED)
        for case in cases[start : start + BLOCK]:
            yield Request(case.inputs)
        yield Request({})
