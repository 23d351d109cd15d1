"""Load the plugins that a manifest requires, and check that they offer what it uses."""

from __future__ import annotations

import re
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from spark_impex_runner.errors import ManifestError, PluginError, UsageError
from spark_impex_runner.hooks.discovery import PluginChoice, unmet
from spark_impex_runner.hooks.manager import Plugins, make_plugin_manager
from spark_impex_runner.manifest.requires import read_requires
from spark_impex_runner.manifest.schema.messages import listed
from spark_impex_runner.manifest.yaml.document import Finding
from spark_impex_runner.spelling import did_you_mean
from spark_impex_runner.version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from spark_impex_runner.errors import Problem
    from spark_impex_runner.hooks.registry import (
        ExecutorFactory,
        Notifier,
        Registry,
        Report,
        StepOffer,
    )
    from spark_impex_runner.manifest.yaml.document import Document, KeyPath
    from spark_impex_runner.models import Manifest, RunOptions, Target

# Keys of a manifest whose values are names that plugins offer.
_OFFERED = re.compile(r"\.(uses|strategy)$|^report\.")
_NO_SOURCE = "there is no source "


def load_plugins(document: Document, options: RunOptions) -> Plugins:
    """Load the plugins that the manifest and the options admit."""
    requires = read_requires(document)
    if requires.runner:
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
    """Load the built-in plugins alone, but those that the options block."""
    return make_plugin_manager(PluginChoice((), options.blocked_plugins))


@contextmanager
def explaining_unknown_names(plugins: Plugins) -> Iterator[None]:
    """Raise ``PluginError`` if a name may be unknown because a broken plugin was left out."""
    try:
        yield
    except ManifestError as error:
        unknown = [problem for problem in error.problems if _may_be_offered(problem)]
        left_out = plugins.left_out() if unknown else []
        if not left_out:
            raise
        reasons = (
            f"{each.name} ({each.distribution or each.origin}): {each.error}" for each in left_out
        )
        message = f"{unknown[0].message}; left out: {'; '.join(reasons)}"
        problem = replace(unknown[0], message=message)
        # Without a plugin that failed to load, the mistake is the manifest's.
        if not any(each.error and each.origin != "unreadable" for each in plugins.infos):
            others = [each for each in error.problems if each is not unknown[0]]
            raise ManifestError([problem, *others]) from error
        raise PluginError(str(problem), (problem,)) from error


def _may_be_offered(problem: Problem) -> bool:
    """Return whether a problem is about a name that a plugin may offer."""
    return bool(_OFFERED.search(problem.path)) or _NO_SOURCE in problem.message


def check_offers(
    document: Document, manifest: Manifest, targets: Sequence[Target], registry: Registry
) -> None:
    """Check the options of the steps, and the libraries of steps and notifications.

    Raises ``ManifestError`` for options that cannot work, ``PluginError`` for missing libraries.
    """
    invalid = [
        document.problem(Finding((*_step_path(document, target, at)[:-1], "with"), error))
        for target in targets
        for at, step in enumerate(target.steps)
        if (offer := registry.steps.get(step.uses))
        and (error := _call_check(offer, offer.check, step.options))
    ]
    if invalid:
        # Targets of one matrix share their steps, and so their mistakes.
        raise ManifestError(list(dict.fromkeys(invalid)))
    wanted: list[tuple[KeyPath, StepOffer | Notifier | None, Mapping[str, Any]]] = [
        (_step_path(document, target, at), registry.steps.get(step.uses), step.options)
        for target in targets
        for at, step in enumerate(target.steps)
    ]
    wanted += [
        (("notify", at, "uses"), registry.notifiers.get(each.uses), each.options)
        for at, each in enumerate(manifest.notify)
    ]
    missing = [
        document.problem(Finding(place, f"{offer.name}: {error}"))
        for place, offer, options in wanted
        if offer and (error := _call_check(offer, offer.lacks, options))
    ]
    if missing:
        problems = tuple(dict.fromkeys(missing))
        raise PluginError("\n".join(map(str, problems)), problems)


def _call_check(
    offer: StepOffer | Notifier,
    check: Callable[[Mapping[str, Any]], str],
    options: Mapping[str, Any],
) -> str:
    try:
        return str(check(options))
    except (Exception, SystemExit) as error:
        reason = f"{type(error).__name__}: {error}"
        raise PluginError(
            f"plugin {offer.provider} failed to check the options of '{offer.name}': {reason}"
        ) from error


def _step_path(document: Document, target: Target, at: int) -> KeyPath:
    """Return the path of a step in the manifest as written."""
    base = target.name.partition("@")[0]  # the name without that of a matrix entry
    written = document.data.get("targets")
    for index, each in enumerate(written if isinstance(written, list) else ()):
        if isinstance(each, dict) and each.get("name") == base:
            parent: KeyPath = ("targets", index) if "steps" in each else ("defaults",)
            return (*parent, "steps", at, "uses")
    return ("targets",)


def _check_runner(document: Document, wanted: str) -> None:
    """Raise ``ManifestError`` unless this version is in the range that the manifest requires."""
    # Imported on use: most manifests require no version.
    from packaging.specifiers import InvalidSpecifier, SpecifierSet  # noqa: PLC0415

    try:
        fits = SpecifierSet(wanted).contains(__version__, prereleases=True)
        error = (
            f"the manifest requires runner {wanted}, this is {__version__}; "
            f"pip install 'spark-impex-runner{wanted}'"
        )
    except InvalidSpecifier:
        fits, error = False, f"{wanted!r} is not a version specifier such as '>=0.1'"
    if not fits:
        raise ManifestError([document.problem(Finding(("requires", "runner"), error))])


def check_reports(names: Iterable[str], offers: Mapping[str, Report]) -> None:
    """Raise ``UsageError`` for a report of the command line that no plugin offers."""
    for name in names:
        if name not in offers:
            hint = did_you_mean(name, offers) or f"; known: {listed(sorted(offers))}"
            raise UsageError(f"--report: there is no report {name!r}{hint}")


def executor_for(registry: Registry, options: RunOptions) -> ExecutorFactory:
    """Return the executor that the options name; raise ``UsageError`` if no plugin offers it."""
    name, executors = options.executor.partition(":")[0] or "local", registry.executors
    if name not in executors:
        known = ", ".join(sorted(executors))
        raise UsageError(
            f"there is no executor '{name}'{did_you_mean(name, executors)}; known: {known}"
        )
    return executors[name]
