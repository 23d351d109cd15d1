"""Approvals: store what a step holds, and find out whether an approval covers exactly that.

An approval covers bytes and what is done with them. A step never decides about it: the runner calls
it without an approval first, and again only if what it then holds is approved.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import TYPE_CHECKING, Any

from spark_impex_runner import digests
from spark_impex_runner.errors import HeldError
from spark_impex_runner.four_eyes import refusal
from spark_impex_runner.models import Approval, Held
from spark_impex_runner.planning.approvals import DIGITS, approve_values, command
from spark_impex_runner.state.holds import Hold
from spark_impex_runner.text import first_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from spark_impex_runner.delivery.context import Context
    from spark_impex_runner.masking import Masker
    from spark_impex_runner.models import Job, Step
    from spark_impex_runner.state.models import Attempt

_SHOWN, _WIDTH = 6, 80
_PBKDF2_ROUNDS = 200_000
_ABSENT = object()


@dataclass(frozen=True, slots=True)
class EarlierSteps:
    """An attempt, and what the steps before a gate report, as far as an approval covers it."""

    attempt: Attempt
    reported: tuple[str, ...]


def approved(
    job: Job,
    step: Step,
    errors: Mapping[str, HeldError],
    earlier_steps: EarlierSteps,
    context: Context,
) -> tuple[Job, Hold]:
    """Return the job with the approval of what a step holds, by package, and its stored hold.

    If no approval of the run covers exactly this, store it as the hold and raise ``HeldError``,
    which names what has changed since an earlier run held it.
    """
    held = {name: _held(job, name, error) for name, error in errors.items()}
    attempt = earlier_steps.attempt
    earlier = context.state.holds.of(attempt)
    salt = earlier.work.get("salt", "") if earlier else ""
    work = _work(job, step, held, _Sealer(salt or secrets.token_hex(16), context.masker))
    if earlier_steps.reported:
        work["earlier steps"] = [
            each.replace(job.run.id, "${run.id}") for each in earlier_steps.reported
        ]
    changes = list(_differences(_remaining(earlier.work, job, held), work)) if earlier else []
    by_option = "" if changes else _approval(work["packages"], earlier, job.run.id, context)
    offered = [] if changes else [*_offered(by_option, held, job, context)]
    offered += [] if changes or not earlier else context.state.holds.recorded(attempt)
    initiators = (attempt.started_by, *(earlier.initiators if earlier else ()))
    refusals = [_refusal(step, initiators, each) for each in offered]
    given = next((each for each, why in zip(offered, refusals, strict=True) if not why), None)
    reasons = list(_reasons(attempt, earlier, changes, context))  # before the next hold is stored
    # The user who holds it is one who started it.
    people = initiators if given else (*initiators, context.actors.initiator.name)
    known = earlier if earlier and not changes else None
    hold = known or _store(job, work, attempt, people, context)
    if given is None:
        packages = first_of(list(map(str, errors.values())), _SHOWN, "; ")
        lines = [*filter(None, refusals), packages, *earlier_steps.reported, *reasons]
        raise HeldError("; ".join(lines), hold.name, digests=hold.digests)
    _record(attempt, hold, given, context)
    how = f"--approve {by_option}" if given.run_id else "impex approve"
    message = f"approved by {how}: {', '.join(held)} to {hold.name}"
    detail = {"uses": step.uses, "digests": list(hold.digests), "by": given.by}
    context.changed(job, "step.approved", message, **detail)
    run = replace(job.run, approved=frozenset(each.to for each in held.values()))
    return replace(job, run=run, approval=held, approved=given), hold


def _refusal(step: Step, initiators: tuple[str, ...], given: Approval) -> str:
    """Return why a step refuses an approval, empty if it does not."""
    return refusal(initiators, given.by) if step.options.get("four_eyes") is True else ""


def _record(attempt: Attempt, hold: Hold, given: Approval, context: Context) -> None:
    """Store the approval that the run goes on by, and sign it; ``impex approve`` stored its own."""
    if given.run_id:
        context.state.holds.approve(attempt, given)
    if context.records:
        context.records.add_approval(attempt, hold, given)


def _offered(
    by_option: str, held: Mapping[str, Held], job: Job, context: Context
) -> Iterator[Approval]:
    """Yield the approval that the run itself was given, if it covers what is held."""
    if by_option:
        covers = tuple(f"{each.to}@{each.sha256}" for each in held.values())
        user, at = context.actors.approver, context.clock.now().isoformat()
        yield Approval(covers, user.name, user.named_by, at, job.run.id)


def check_gate(step: Step, attempt: Attempt, context: Context) -> None:
    """Raise ``HeldError`` if a step lost its gate while its work waits for an approval."""
    hold = context.state.holds.of(attempt)
    if hold and hold.work["step"] == step.uses and _lost_four_eyes(hold, step):
        raise HeldError(
            f"options.four_eyes: true -> false while it waits for --approve {hold.name}; restore "
            "it, or cancel it with impex cancel",
            hold.name,
            digests=hold.digests,
        )
    name, digests, before = _gated(step, attempt, context)
    now = step.options.get("gate", "none")
    if name in step.options.values() and before != "none" and now == "none":
        raise HeldError(
            f"options.gate: {before} -> {now} while it waits for --approve {name}; restore the "
            "gate and approve it, or cancel it with impex cancel",
            name,
            digests=digests,
        )


def _lost_four_eyes(hold: Hold, step: Step) -> bool:
    """Return whether a step no longer asks for a second person, for the same connection."""
    asked = hold.work["options"].get("four_eyes") is True
    return asked and not step.options.get("four_eyes") and hold.name in step.options.values()


def _gated(step: Step, attempt: Attempt, context: Context) -> tuple[str, tuple[str, ...], str]:
    """Return the name that an attempt waits for at a step, its digests and its gate then."""
    holds, offer = context.state.holds, context.hooks.registry.steps.get(step.uses)
    hold = holds.of(attempt)
    if hold is not None and hold.work["step"] == step.uses:
        return hold.name, hold.digests, hold.work["options"].get("gate", "none")
    # An earlier version stored only the name: any step that can have a gate may have held it.
    if holds.is_unrecorded(attempt) and offer and "gate" in offer.options.get("properties", {}):
        return attempt.held, (), "manual"
    return "", (), "none"


def _held(job: Job, name: str, error: HeldError) -> Held:
    """Return what a step holds for a package; hash the package if the step did not."""
    path = next(each.path for each in job.packages if each.name == name)
    sha256 = error.sha256 or digests.sha256(path)
    return Held(error.approve, sha256, error.does)


@dataclass(frozen=True, slots=True)
class _Sealer:
    """Makes stored work comparable without storing the secrets in it."""

    salt: str
    masker: Masker

    def sealed(self, key: str, value: Mapping[str, Any], run_id: str) -> dict[str, Any]:
        """Return a value as masked JSON by its key, with a salted hash if it has secrets."""
        # The run's id differs in every run and is no change of the work.
        text = json.dumps(dict(value), sort_keys=True, default=str).replace(run_id, "${run.id}")
        data = json.loads(text)
        masked = self.masker.mask_within(data, keys=False)
        if masked == data:
            return {key: data}
        salt = bytes.fromhex(self.salt)
        # A slow hash: short secrets must not be guessed from the state file.
        digest = hashlib.pbkdf2_hmac("sha256", text.encode(), salt, _PBKDF2_ROUNDS).hex()
        return {key: masked, f"secrets in {key}": digest}


def _work(job: Job, step: Step, held: Mapping[str, Held], sealer: _Sealer) -> dict[str, Any]:
    """Return everything that a step would do, as JSON without the run's own id."""
    packages = {
        name: {"to": each.to, "tenant": _tenant(job, each.to), "sha256": each.sha256}
        | (sealer.sealed("does", each.does, job.run.id) if each.does else {})
        for name, each in held.items()
    }
    options = sealer.sealed("options", step.options, job.run.id)
    return {"step": step.uses, "salt": sealer.salt, "packages": packages, **options}


def _remaining(work: Mapping[str, Any], job: Job, held: Mapping[str, Held]) -> dict[str, Any]:
    """Return the held work without the packages that are done since."""
    done = {each.name for each in job.packages} - held.keys()
    packages = {name: each for name, each in work["packages"].items() if name not in done}
    return {**work, "packages": packages}


def _tenant(job: Job, name: str) -> str:
    """Return the identity of a connection's tenant, empty for any other name."""
    return str(job.run.connect(name).identity) if name in job.run.manifest.connections else ""


def _store(
    job: Job,
    work: dict[str, Any],
    attempt: Attempt,
    initiators: tuple[str, ...],
    context: Context,
) -> Hold:
    name = next(each["to"] for each in work["packages"].values())
    waits = approve_values(name, (each["sha256"] for each in work["packages"].values()))
    line = command(job.run.manifest.path, context.options, [job.target.name], waits)
    people = tuple(dict.fromkeys(initiators))
    hold = Hold(0, attempt.id, job.run.id, context.clock.now(), name, work, line, initiators=people)
    return context.state.holds.put(attempt, replace(hold, command=context.masker.mask(line)))


def _approval(
    packages: Mapping[str, Mapping[str, Any]], earlier: Hold | None, run_id: str, context: Context
) -> str:
    """Return the approvals that cover all held packages, empty if one is not covered.

    A connection's name covers only what an earlier run holds; a digest covers its bytes in any run.
    """
    names = {each["to"] for each in packages.values()}
    given = context.approvals
    if names <= given.names and earlier is not None and earlier.run_id != run_id:
        return ", ".join(sorted(names))
    if given.digests and not given.uncovered(packages):
        return ", ".join(f"{each['to']}@{each['sha256'][:DIGITS]}" for each in packages.values())
    return ""


def _reasons(
    attempt: Attempt, earlier: Hold | None, changes: list[str], context: Context
) -> Iterator[str]:
    """Yield why held work is not approved, unless simply no approval was given."""
    if changes:
        run = earlier.run_id if earlier else ""
        yield f"changed since run {run} held it: {first_of(changes, _SHOWN)}"
    elif earlier is None and context.state.holds.is_unrecorded(attempt):
        yield "an earlier version of the runner held it without a record of what would be done"
    elif earlier is None and context.approvals.names:
        yield "no earlier run held it, and --approve CONNECTION approves only what one holds"
    elif context.approvals.digests:
        yield "the given digests do not cover every package that waits"


def _differences(old: Any, new: Any, path: str = "") -> Iterator[str]:
    """Yield the differences between two pieces of work, one line each with its path."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        # Bytes and destination first: a message shows only the first differences.
        for key in sorted({*old, *new}, key=lambda key: (key != "packages", key)):
            below = f"{path}.{key}" if path else str(key)
            yield from _differences(old.get(key, _ABSENT), new.get(key, _ABSENT), below)
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for position, pair in enumerate(zip(old, new, strict=True)):
            yield from _differences(*pair, f"{path}[{position}]")
    elif old != new or type(old) is not type(new):
        texts = _value(old), _value(new)
        start = _difference(*texts)
        yield f"{path}: {' -> '.join(_shortened(text, start) for text in texts)}"


def _value(value: Any) -> str:
    if value is _ABSENT:
        return "absent"
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True)
    return " ".join(text.split())


def _difference(one: str, other: str) -> int:
    """Return where to begin so that the first difference of two long texts is shown."""
    same = takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False))
    common = sum(1 for _ in same)
    return 0 if common < _WIDTH // 2 else one.rfind(" ", 0, common - _WIDTH // 4) + 1


def _shortened(text: str, start: int) -> str:
    end = start + _WIDTH
    return f"{'...' if start else ''}{text[start:end]}{'...' if len(text) > end else ''}"
