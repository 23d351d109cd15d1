"""What plugins offer by name: steps, polling strategies, sources of references, and others."""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, TypedDict

from spark_impex_runner.errors import PluginError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from concurrent.futures import Executor
    from pathlib import Path

    from typing_extensions import Unpack

    from spark_impex_runner.models import RunResult, StandIns

    Rehearse = Callable[[Mapping[str, Any], StandIns], Mapping[str, Any]] | None

# As the names in a manifest are.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_NO_OPTIONS: dict[str, Any] = {"type": "object", "additionalProperties": False, "properties": {}}


class StepTraits(TypedDict, total=False):
    """The arguments of ``Registry.step`` besides its options; see ``StepOffer``."""

    always: bool
    covered_by_approval: bool
    file_filter: str | None
    idempotent: bool
    dry_run: bool
    credentials: bool
    delivers: bool | Callable[[Mapping[str, Any], str], bool]
    writes: Callable[[Mapping[str, Any]], Iterable[str]]
    check: Callable[[Mapping[str, Any]], str]
    lacks: Callable[[Mapping[str, Any]], str]
    rehearse: Rehearse


class NotifierTraits(TypedDict, total=False):
    """The arguments of ``Registry.notifier`` besides its options; see ``Notifier``."""

    lacks: Callable[[Mapping[str, Any]], str]
    rehearse: Rehearse
    http_calls: bool


class SourceOptions(TypedDict, total=False):
    """The arguments of ``Registry.source`` besides its function; see ``Source``."""

    secret: bool
    check: Callable[[str], str]


@dataclass(frozen=True, slots=True)
class Offer:
    """Something to use by name; ``options`` is a JSON Schema of type object."""

    name: str
    summary: str
    provider: str
    options: Mapping[str, Any] = field(default_factory=lambda: _NO_OPTIONS)


@dataclass(frozen=True, slots=True)
class StepOffer(Offer):
    """A step and its traits.

    Attributes:
        always: Repeat the step when a run resumes the work of an earlier one.
        covered_by_approval: An approval that a later step of the target waits for covers what
            this step reports, which is shown with what waits.
        file_filter: The step works only on packages of targets with this ``file_filter``.
        idempotent: False for a step that must not run twice for one package.
        dry_run: The step describes in ``impex plan`` what it would do, by ``impex_plan_step``.
        credentials: The step needs credentials of its own.
        delivers: The step copies the packages elsewhere: they need not stay in the output. A
            function returns, for options and the name of a package, whether other machines can
            reach that package there; a target that a worker ran is a success without its files
            only if they can reach all of its packages.
        writes: Return, for options, the files and folders that the step creates, relative to the
            output. No package gets such a name, and a run does not start where they would
            replace anything else.
        lacks: Return, for options, one line that names a library that is not installed and the
            command that installs it, or an empty text. A run does not start without it.
        check: Return, for options that fit the schema, one line that says why they cannot work,
            or an empty text. It is called before the run sends anything, and must send nothing.
            When a manifest is only validated, the reference to a secret stands in for its value.
        rehearse: Return, for options and ``StandIns``, the options with which the step runs in
            ``impex plan --simulate``: each destination replaced by a stand-in. The options of a
            step without destinations are returned as they are. Secrets stand as references. A
            step without this function is left out of a rehearsal.
    """

    always: bool = False
    covered_by_approval: bool = False
    file_filter: str | None = None
    idempotent: bool = True
    dry_run: bool = False
    credentials: bool = False
    delivers: bool | Callable[[Mapping[str, Any], str], bool] = False
    writes: Callable[[Mapping[str, Any]], Iterable[str]] = lambda _: ()
    lacks: Callable[[Mapping[str, Any]], str] = lambda _: ""
    check: Callable[[Mapping[str, Any]], str] = lambda _: ""
    rehearse: Rehearse = None

    def delivers_elsewhere(self, options: Mapping[str, Any], package: str) -> bool:
        """Return whether the step copies a package to where other machines reach it."""
        return self.delivers(options, package) if callable(self.delivers) else self.delivers

    @property
    def traits(self) -> tuple[str, ...]:
        """Return each trait that differs from the default, in words for people."""
        texts = {
            "always run again": self.always,
            "covered by approvals": self.covered_by_approval,
            "done once only": not self.idempotent,
            f"for packages of file_filter {self.file_filter} only": self.file_filter,
            "described by impex plan": self.dry_run,
            "needs credentials": self.credentials,
            "rehearsed by impex plan --simulate": self.rehearse,
        }
        return tuple(text for text, holds in texts.items() if holds)


@dataclass(frozen=True, slots=True)
class Source:
    """A source of references: ``read(key)`` returns the value of ``${name:key}``.

    ``read`` raises ``LookupError`` with a one-line reason when there is no such value. It is called
    once for each key of a run. The values of a ``secret`` source are masked in all output, and read
    only by a run that uses them, not when a manifest is validated or rendered. ``check`` returns
    in one line what is wrong with a key, or an empty text; it must not contact the source.
    """

    name: str
    summary: str
    provider: str
    read: Callable[[str], str]
    secret: bool = False
    check: Callable[[str], str] = lambda _: ""


@dataclass(frozen=True, slots=True)
class Resolver:
    """A plugin's own form of entries of ``services``, which ``impex_resolve_uri`` resolves.

    ``check(entry, folder)`` returns None for an entry in any other form, an empty string for a
    valid one, and otherwise one line that says what is wrong. ``folder`` is the manifest's. It is
    called when a manifest is validated, so it must send nothing. ``reads(entry)`` returns the file
    that an entry names, relative to the manifest, or an empty text; no report and no step may
    replace that file. ``examples(entry, folder)`` returns service URIs that an entry may stand for:
    a rehearsal serves them where the tenant cannot be asked.
    """

    name: str
    summary: str
    provider: str
    check: Callable[[str, Path], str | None]
    reads: Callable[[str], str] = lambda _: ""
    examples: Callable[[str, Path], Sequence[str]] = lambda _, __: ()


@dataclass(frozen=True, slots=True)
class ExecutorFactory:
    """A way to run targets elsewhere: ``make(address)`` returns a ``concurrent.futures`` executor.

    ``address`` is the text behind the name on the command line, possibly empty; raise
    ``UsageError`` if it cannot be used. The runner uses the executor as a context manager and
    submits functions that can be pickled. Return None to run in this process.

    An executor with a method ``connect_events(receive)`` shows the log and the progress of its
    workers in the run. The method returns a function that can be pickled: called with a text on a
    worker, it has the run call ``receive`` with that text, on any thread, in the order of the calls
    of one worker, and before the unit's future has its result. ``receive`` raises nothing. A
    unit first calls the function on the thread that runs it, later on any.

    One with a method ``call_workers(function, *arguments)`` stops its workers at once, which else
    read from the state that they are to stop, at times some seconds later. The method calls a
    function once in the process of each worker, beside its tasks, and does not wait for it.
    """

    name: str
    summary: str
    provider: str
    make: Callable[[str], Executor | None]


@dataclass(frozen=True, slots=True)
class Report:
    """A report format: ``write(result)`` returns the text of the file for a finished run.

    It may return the text in pieces, such as a generator: a large report then needs no memory.
    """

    name: str
    summary: str
    provider: str
    write: Callable[[RunResult], str | Iterable[str]]


@dataclass(frozen=True, slots=True)
class Notifier(Offer):
    """A channel for notifications of a run's outcome; ``options`` is a JSON Schema of type object.

    ``send(options, report)`` is called on its own thread, with a timeout. Raise ``NotifyError``
    with one line when the notification was not sent; the run logs it as a warning. ``options`` hold
    secrets, ``report`` has none. ``lacks`` and ``rehearse`` are those of ``StepOffer``.
    ``http_calls``: the run records its HTTP calls for ``report``, each target's newest 1,000.
    """

    send: Callable[[Mapping[str, Any], RunResult], None] = field(kw_only=True)
    lacks: Callable[[Mapping[str, Any]], str] = lambda _: ""
    rehearse: Rehearse = None
    http_calls: bool = False


# The kinds of offers: the field of the registry that holds them, and a noun for one of them.
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
    """The offers of one plugin or, merged, of all plugins."""

    provider: str = ""
    steps: dict[str, StepOffer] = field(default_factory=dict)
    strategies: dict[str, Offer] = field(default_factory=dict)
    sources: dict[str, Source] = field(default_factory=dict)
    resolvers: dict[str, Resolver] = field(default_factory=dict)
    executors: dict[str, ExecutorFactory] = field(default_factory=dict)
    reports: dict[str, Report] = field(default_factory=dict)
    notifiers: dict[str, Notifier] = field(default_factory=dict)

    def step(
        self,
        name: str,
        summary: str,
        options: Mapping[str, Any] | None = None,
        **traits: Unpack[StepTraits],
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
        self, name: str, summary: str, read: Callable[[str], str], **traits: Unpack[SourceOptions]
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
        examples: Callable[[str, Path], Sequence[str]] = lambda _, __: (),
    ) -> None:
        """Offer a form of entries of ``services``; the functions are those of ``Resolver``."""
        self._add("resolvers", Resolver(name, summary, self.provider, check, reads, examples))

    def of_kind(self, kind: str) -> dict[str, Any]:
        """Return the offers of one of ``KINDS``, by name."""
        offers: dict[str, Any] = getattr(self, kind)
        return offers

    def executor(self, name: str, summary: str, make: Callable[[str], Executor | None]) -> None:
        """Offer an executor, ``--executor name:address``; ``make`` is ``ExecutorFactory.make``."""
        self._add("executors", ExecutorFactory(name, summary, self.provider, make))

    def report(
        self, name: str, summary: str, write: Callable[[RunResult], str | Iterable[str]]
    ) -> None:
        """Offer a report format, ``report: {name: FILE}`` in a manifest.

        ``write`` is that of ``Report``.
        """
        self._add("reports", Report(name, summary, self.provider, write))

    def notifier(
        self,
        name: str,
        summary: str,
        options: Mapping[str, Any] | None,
        send: Callable[[Mapping[str, Any], RunResult], None],
        **traits: Unpack[NotifierTraits],
    ) -> None:
        """Offer a notifier, ``uses: name`` under ``notify``.

        ``send`` and ``traits`` are those of ``Notifier``.
        """
        known = options or _NO_OPTIONS
        offer = Notifier(name, summary, self.provider, known, send=send, **traits)
        self._add("notifiers", offer)

    def merge(self, other: Registry) -> None:
        """Add the offers of ``other``, or none if one of their names is taken."""
        for kind in KINDS:
            known = self.of_kind(kind)
            for name in known.keys() & other.of_kind(kind).keys():
                raise PluginError(
                    f"it offers '{name}', which {known[name].provider} already offers; "
                    "block one of the two with -p no:NAME"
                )
        # Only now: a plugin that is refused must not leave half of its offers behind.
        for kind in KINDS:
            self.of_kind(kind).update(other.of_kind(kind))

    def _add(self, kind: str, offer: Any) -> None:
        """Add an offer. Raises ``PluginError`` if no manifest could use it."""
        noun, offers = KINDS[kind], self.of_kind(kind)
        if not isinstance(offer.name, str) or not _NAME.fullmatch(offer.name):
            raise PluginError(f"it offers a {noun} named {offer.name!r}, which is no name")
        if offer.name in offers:
            raise PluginError(f"it offers the {noun} '{offer.name}' twice")
        if not isinstance(offer.summary, str):
            raise PluginError(f"the {noun} '{offer.name}' has no summary but {offer.summary!r}")
        offers[offer.name] = offer


def summary_of(offer: Any) -> str:
    """Return an offer's summary as a sentence, followed by the traits of a step."""
    traits = ", ".join(getattr(offer, "traits", ()))
    summary = offer.summary[:1].upper() + offer.summary[1:].rstrip(".") + "."
    return f"{summary} {traits[:1].upper()}{traits[1:]}." if traits else summary


def as_data(offer: Any) -> dict[str, Any]:
    """Return the fields of an offer that are no functions."""
    values = {each.name: getattr(offer, each.name) for each in fields(offer)}
    if "rehearse" in values:
        values["rehearse"] = values["rehearse"] is not None
    if "delivers" in values:
        values["delivers"] = bool(values["delivers"])
    return {name: value for name, value in values.items() if not callable(value)}


# Names of an earlier release, kept for one more.
_OLD_NAMES = {
    "Manner": "SourceOptions",
    "Needs": "NotifierTraits",
    "Place": "ExecutorFactory",
    "Traits": "StepTraits",
    "about": "summary_of",
    "described": "as_data",
}


def __getattr__(name: str) -> Any:
    if name not in _OLD_NAMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    new = _OLD_NAMES[name]
    warnings.warn(f"{name} is now called {new}", DeprecationWarning, stacklevel=2)
    return globals()[new]
