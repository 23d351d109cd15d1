"""The plugins that a manifest needs: loaded, and named where one of them is not there."""

from __future__ import annotations

import re
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from packaging.specifiers import InvalidSpecifier, SpecifierSet

from spark_impex_runner.errors import ManifestError, PluginError, UsageError
from spark_impex_runner.hooks.discovery import PluginChoice, unmet
from spark_impex_runner.hooks.manager import Plugins, make_plugin_manager
from spark_impex_runner.manifest.build import read_requires
from spark_impex_runner.manifest.schema.wording import listed
from spark_impex_runner.manifest.yaml.document import Finding
from spark_impex_runner.spelling import did_you_mean
from spark_impex_runner.version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from spark_impex_runner.errors import Problem
    from spark_impex_runner.hooks.registry import Notifier, Place, Registry, Report, StepOffer
    from spark_impex_runner.manifest.yaml.document import Document, KeyPath
    from spark_impex_runner.models import Manifest, RunOptions, Target

# Places of a manifest that name what a plugin offers.
_OFFERED = re.compile(r"\.(uses|strategy)$|^report\.")
_NO_SOURCE = "there is no source "


def load_plugins(document: Document, options: RunOptions) -> Plugins:
    """Load the plugins that the manifest and the options let in."""
    requires = read_requires(document)
    _check_runner(document, requires.runner)
    beside = (document.path.parent / "plugins").glob("*.py") if requires.local_plugins else ()
    choice = PluginChoice(
        requires.plugins, options.blocked_plugins, options.plugin_files, tuple(sorted(beside))
    )
    missing = [Finding(("requires", "plugins", at), fault) for at, fault in unmet(choice)]
    if missing:
        problems = tuple(document.problem(finding) for finding in missing)
        raise PluginError("\n".join(map(str, problems)), problems)
    return make_plugin_manager(choice)


def built_in_plugins(options: RunOptions) -> Plugins:
    """Load the built-in plugins alone, as far as nothing blocks them."""
    return make_plugin_manager(PluginChoice((), options.blocked_plugins))


@contextmanager
def explaining_unknown_names(plugins: Plugins) -> Iterator[None]:
    """Raise ``PluginError`` where a name may be unknown because the plugin with it is broken."""
    try:
        yield
    except ManifestError as error:
        unknown = [problem for problem in error.problems if _names_an_offer(problem)]
        left_out = plugins.left_out() if unknown else []
        if not left_out:
            raise
        words = (
            f"{each.name} ({each.distribution or each.origin}): {each.error}" for each in left_out
        )
        told = replace(unknown[0], message=f"{unknown[0].message}; left out: {'; '.join(words)}")
        if not any(each.error and each.origin != "unreadable" for each in plugins.infos):
            others = [problem for problem in error.problems if problem is not unknown[0]]
            raise ManifestError([told, *others]) from error
        raise PluginError(str(told), (told,)) from error


def _names_an_offer(problem: Problem) -> bool:
    """Tell whether a problem is about a name that a plugin may offer."""
    return bool(_OFFERED.search(problem.path)) or _NO_SOURCE in problem.message


def check_offers(
    document: Document, manifest: Manifest, targets: Sequence[Target], registry: Registry
) -> None:
    """Raise for steps whose options cannot work, and for libraries that are not installed.

    Raises ``ManifestError`` for the first and ``PluginError`` for the second, notifications
    included.
    """
    faults = [
        document.problem(Finding((*_place(document, target, at)[:-1], "with"), fault))
        for target in targets
        for at, step in enumerate(target.steps)
        if (offer := registry.steps.get(step.uses))
        and (fault := _asked(offer, offer.check, step.options))
    ]
    if faults:
        raise ManifestError(list(dict.fromkeys(faults)))
    wanted: list[tuple[KeyPath, StepOffer | Notifier | None, Mapping[str, Any]]] = [
        (_place(document, target, at), registry.steps.get(step.uses), step.options)
        for target in targets
        for at, step in enumerate(target.steps)
    ]
    wanted += [
        (("notify", at, "uses"), registry.notifiers.get(each.uses), each.options)
        for at, each in enumerate(manifest.notify)
    ]
    lacking = [
        document.problem(Finding(place, f"{offer.name}: {fault}"))
        for place, offer, options in wanted
        if offer and (fault := _asked(offer, offer.lacks, options))
    ]
    if lacking:
        problems = tuple(dict.fromkeys(lacking))
        raise PluginError("\n".join(map(str, problems)), problems)


def _asked(
    offer: StepOffer | Notifier, ask: Callable[[Mapping[str, Any]], str], options: Mapping[str, Any]
) -> str:
    try:
        return str(ask(options))
    except (Exception, SystemExit) as error:
        reason = f"{type(error).__name__}: {error}"
        raise PluginError(
            f"plugin {offer.provider} failed to check the options of '{offer.name}': {reason}"
        ) from error


def _place(document: Document, target: Target, at: int) -> KeyPath:
    """Return where a step of a target is written."""
    base = target.name.partition("@")[0]
    written = document.data.get("targets")
    for index, each in enumerate(written if isinstance(written, list) else ()):
        if isinstance(each, dict) and each.get("name") == base:
            home: KeyPath = ("targets", index) if "steps" in each else ("defaults",)
            return (*home, "steps", at, "uses")
    return ("targets",)


def _check_runner(document: Document, wanted: str) -> None:
    """Raise ``ManifestError`` unless this is a runner that the manifest wants."""
    try:
        fits = SpecifierSet(wanted).contains(__version__, prereleases=True)
        fault = (
            f"the manifest requires runner {wanted}, this is {__version__}; "
            f"pip install 'spark-impex-runner{wanted}'"
        )
    except InvalidSpecifier:
        fits, fault = False, f"{wanted!r} is not a version specifier such as '>=0.1'"
    if not fits:
        raise ManifestError([document.problem(Finding(("requires", "runner"), fault))])


def check_reports(names: Iterable[str], offers: Mapping[str, Report]) -> None:
    """Raise ``UsageError`` unless every report that the command line asks for is offered."""
    for name in names:
        if name not in offers:
            hint = did_you_mean(name, offers) or f"; known: {listed(sorted(offers))}"
            raise UsageError(f"--report: there is no report {name!r}{hint}")


def executor_for(registry: Registry, options: RunOptions) -> Place:
    """Return the executor that the options name; raise ``UsageError`` if no plugin offers it."""
    name, executors = options.executor.partition(":")[0] or "local", registry.executors
    if name not in executors:
        known = ", ".join(sorted(executors))
        raise UsageError(
            f"there is no executor '{name}'{did_you_mean(name, executors)}; known: {known}"
        )
    return executors[name]
