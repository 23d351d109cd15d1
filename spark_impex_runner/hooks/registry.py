"""Named things that plugins offer: steps, strategies, sources of references, and others."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, TypedDict

from spark_impex_runner.errors import PluginError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from concurrent.futures import Executor
    from pathlib import Path

    from typing_extensions import Unpack

    from spark_impex_runner.models import RunResult

# As the names in a manifest are.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_NO_OPTIONS: dict[str, Any] = {"type": "object", "additionalProperties": False, "properties": {}}


class Traits(TypedDict, total=False):
    """What ``StepOffer`` tells of a step besides its options."""

    always: bool
    file_filter: str | None
    idempotent: bool
    dry_run: bool
    credentials: bool
    delivers: bool
    writes: Callable[[Mapping[str, Any]], Iterable[str]]
    check: Callable[[Mapping[str, Any]], str]
    lacks: Callable[[Mapping[str, Any]], str]


class Needs(TypedDict, total=False):
    """What ``Notifier`` tells of a notifier besides its options."""

    lacks: Callable[[Mapping[str, Any]], str]


class Manner(TypedDict, total=False):
    """What ``Source`` tells of a source besides how it is read."""

    secret: bool
    check: Callable[[str], str]


@dataclass(frozen=True, slots=True)
class Offer:
    """One named thing: its options as a JSON Schema (an object), and who provides it."""

    name: str
    summary: str
    provider: str
    options: Mapping[str, Any] = field(default_factory=lambda: _NO_OPTIONS)


@dataclass(frozen=True, slots=True)
class StepOffer(Offer):
    """A step and its traits.

    One that is ``always`` run is repeated when a run goes on with the work of an earlier one.
    ``file_filter`` names the only packages that a step can work on: those of targets with that
    ``file_filter``. A step that is not ``idempotent`` does harm when it is done twice for one
    package. One with ``dry_run`` tells in ``impex plan`` what it would do, through
    ``impex_plan_step``. ``credentials`` tells that it needs some of its own. One that
    ``delivers`` brings the packages elsewhere: they need not stay in the output.
    ``writes(options)`` returns the files and folders, relative to the output, that it makes there:
    no package gets such a name, and a run does not begin where they would replace anything else.
    ``lacks(options)`` returns in one line which library the step needs that is not installed, with
    the command that installs it, or nothing: a run does not begin without it.
    ``check(options)`` returns in one line why options that fit the schema cannot work, or nothing.
    It is asked before anything is sent, and must send nothing. Where a manifest is only validated,
    a reference to a secret stands in place of its value.
    """

    always: bool = False
    file_filter: str | None = None
    idempotent: bool = True
    dry_run: bool = False
    credentials: bool = False
    delivers: bool = False
    writes: Callable[[Mapping[str, Any]], Iterable[str]] = lambda _: ()
    lacks: Callable[[Mapping[str, Any]], str] = lambda _: ""
    check: Callable[[Mapping[str, Any]], str] = lambda _: ""

    @property
    def traits(self) -> tuple[str, ...]:
        """What of it is not as usual, in words for people."""
        words = {
            "always run again": self.always,
            "done once only": not self.idempotent,
            f"for packages of file_filter {self.file_filter} only": self.file_filter,
            "tells impex plan what it would do": self.dry_run,
            "needs credentials": self.credentials,
        }
        return tuple(word for word, holds in words.items() if holds)


@dataclass(frozen=True, slots=True)
class Source:
    """A source of references: ``read(key)`` yields the value of ``${name:key}``.

    ``read`` raises ``LookupError`` with a one-line reason when there is no such value. It is asked
    once for each key of a run. The values of a ``secret`` source are masked wherever they stand,
    and read only where they are used: not when a manifest is validated or rendered. ``check``
    returns in one line what is wrong with a key, or nothing; it must ask nobody.
    """

    name: str
    summary: str
    provider: str
    read: Callable[[str], str]
    secret: bool = False
    check: Callable[[str], str] = lambda _: ""


@dataclass(frozen=True, slots=True)
class Resolver:
    """Entries of ``services`` in a form of a plugin's own, which ``impex_resolve_uri`` resolves.

    ``check(entry, folder)`` returns None for an entry in any other form, an empty string for one
    that is well formed, and otherwise what is wrong with it, in one line. ``folder`` is the
    manifest's. It is asked when a manifest is validated, so it must send nothing.
    ``reads(entry)`` returns the file that an entry names, relative to the manifest, or nothing: no
    report and no step may replace it.
    """

    name: str
    summary: str
    provider: str
    check: Callable[[str, Path], str | None]
    reads: Callable[[str], str] = lambda _: ""


@dataclass(frozen=True, slots=True)
class Place:
    """Where the targets of a run may be worked on: ``make(address)`` gives an executor for it.

    ``address`` is what stands behind the name on the command line, perhaps nothing; raise
    ``UsageError`` where it cannot be used. The executor is entered and left as a context manager.
    What is submitted to it is a function that can be pickled. None stands for this very process.
    """

    name: str
    summary: str
    provider: str
    make: Callable[[str], Executor | None]


@dataclass(frozen=True, slots=True)
class Report:
    """A form of report: ``write(result)`` returns a finished run as the text of a file."""

    name: str
    summary: str
    provider: str
    write: Callable[[RunResult], str]


@dataclass(frozen=True, slots=True)
class Notifier(Offer):
    """A way to tell somebody how a run ended, with its options as a JSON Schema (an object).

    ``send(options, report)`` is called on a thread of its own, which is waited for only so long.
    Raise ``NotifyError`` with one line where nobody could be told; it is a warning, no more.
    ``options`` hold secrets, ``report`` has none. ``lacks`` is that of ``StepOffer``.
    """

    send: Callable[[Mapping[str, Any], RunResult], None] = field(kw_only=True)
    lacks: Callable[[Mapping[str, Any]], str] = lambda _: ""


# The kinds of offers: the field of the registry that holds them, and the words for one of them.
KINDS = {
    "steps": "step",
    "strategies": "polling strategy",
    "sources": "source",
    "resolvers": "resolver",
    "executors": "executor",
    "reports": "report",
    "notifiers": "notifier",
}


@dataclass(slots=True)
class Registry:
    """What one plugin offers, or, merged, what all of them do."""

    provider: str = ""
    steps: dict[str, StepOffer] = field(default_factory=dict)
    strategies: dict[str, Offer] = field(default_factory=dict)
    sources: dict[str, Source] = field(default_factory=dict)
    resolvers: dict[str, Resolver] = field(default_factory=dict)
    executors: dict[str, Place] = field(default_factory=dict)
    reports: dict[str, Report] = field(default_factory=dict)
    notifiers: dict[str, Notifier] = field(default_factory=dict)

    def step(
        self,
        name: str,
        summary: str,
        options: Mapping[str, Any] | None = None,
        **traits: Unpack[Traits],
    ) -> None:
        """Offer a step, ``uses: name`` in a manifest, implemented by ``impex_run_step``.

        ``traits`` are those of ``StepOffer``.
        """
        offer = StepOffer(name, summary, self.provider, options or _NO_OPTIONS, **traits)
        if offer.always and not offer.idempotent:
            raise PluginError(f"the step '{name}' cannot be always run and not idempotent")
        self._add("steps", offer)

    def strategy(self, name: str, summary: str, options: Mapping[str, Any] | None = None) -> None:
        """Offer a polling strategy, implemented by ``impex_poll_delay``."""
        self._add("strategies", Offer(name, summary, self.provider, options or _NO_OPTIONS))

    def source(
        self, name: str, summary: str, read: Callable[[str], str], **traits: Unpack[Manner]
    ) -> None:
        """Offer a source of references, ``${name:key}`` in a manifest.

        ``traits`` are ``secret`` and ``check`` of ``Source``.
        """
        self._add("sources", Source(name, summary, self.provider, read, **traits))

    def resolver(
        self,
        name: str,
        summary: str,
        check: Callable[[str, Path], str | None],
        reads: Callable[[str], str] = lambda _: "",
    ) -> None:
        """Offer a form of entries of ``services``; ``check`` and ``reads`` are ``Resolver``'s."""
        self._add("resolvers", Resolver(name, summary, self.provider, check, reads))

    def of_kind(self, kind: str) -> dict[str, Any]:
        """Return the offers of one of ``KINDS``, by name."""
        offers: dict[str, Any] = getattr(self, kind)
        return offers

    def executor(self, name: str, summary: str, make: Callable[[str], Executor | None]) -> None:
        """Offer a place to run, ``--executor name:address``; ``make`` is that of ``Place``."""
        self._add("executors", Place(name, summary, self.provider, make))

    def report(self, name: str, summary: str, write: Callable[[RunResult], str]) -> None:
        """Offer a form of report, ``report: {name: FILE}`` in a manifest."""
        self._add("reports", Report(name, summary, self.provider, write))

    def notifier(
        self,
        name: str,
        summary: str,
        options: Mapping[str, Any] | None,
        send: Callable[[Mapping[str, Any], RunResult], None],
        **traits: Unpack[Needs],
    ) -> None:
        """Offer a notifier, ``uses: name`` under ``notify``.

        ``send`` and ``traits`` are those of ``Notifier``.
        """
        known = options or _NO_OPTIONS
        offer = Notifier(name, summary, self.provider, known, send=send, **traits)
        self._add("notifiers", offer)

    def merge(self, other: Registry) -> None:
        """Take over all that ``other`` offers, or nothing when a name is taken already."""
        for kind in KINDS:
            mine = self.of_kind(kind)
            for name in mine.keys() & other.of_kind(kind).keys():
                raise PluginError(
                    f"it offers '{name}', which {mine[name].provider} already offers; "
                    "block one of the two with -p no:NAME"
                )
        for kind in KINDS:
            self.of_kind(kind).update(other.of_kind(kind))

    def _add(self, kind: str, offer: Any) -> None:
        """Add an offer of the plugin whose registry this is; refuse what nobody could use."""
        word, offers = KINDS[kind], self.of_kind(kind)
        if not isinstance(offer.name, str) or not _NAME.fullmatch(offer.name):
            raise PluginError(f"it offers a {word} named {offer.name!r}, which is no name")
        if offer.name in offers:
            raise PluginError(f"it offers the {word} '{offer.name}' twice")
        if not isinstance(offer.summary, str):
            raise PluginError(f"the {word} '{offer.name}' has no summary but {offer.summary!r}")
        offers[offer.name] = offer


def about(offer: Any) -> str:
    """Return an offer's summary as a sentence, and behind it the traits of a step."""
    traits = ", ".join(getattr(offer, "traits", ()))
    summary = offer.summary[:1].upper() + offer.summary[1:].rstrip(".") + "."
    return f"{summary} {traits[:1].upper()}{traits[1:]}." if traits else summary


def described(offer: Any) -> dict[str, Any]:
    """Return an offer as data: all that it tells, without the functions that do it."""
    told = {each.name: getattr(offer, each.name) for each in fields(offer)}
    return {name: value for name, value in told.items() if not callable(value)}
