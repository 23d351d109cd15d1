"""The conformance tests of a plugin's options and their schema."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import jsonschema
import pytest

from spark_impex_runner.errors import ManifestError
from spark_impex_runner.hooks.discovery import PluginChoice
from spark_impex_runner.hooks.manager import make_plugin_manager
from spark_impex_runner.masking import Masker
from spark_impex_runner.models import RunOptions
from spark_impex_runner.planning.load import load

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from spark_impex_runner.hooks.manager import Plugins
    from spark_impex_runner.hooks.registry import Offer
    from spark_impex_runner.testing.fixtures import Runner

# A name that no schema has.
UNKNOWN = "no-such-option"


class PluginConformance:
    """The tests of all that a plugin offers by a name.

    Each check is a method: override one that does not apply to your plugin, and say why. ``name``
    is the name in a manifest. ``plugin_files`` are the files of a plugin that is not installed.
    """

    name: ClassVar[str] = ""
    plugin_files: ClassVar[Sequence[Path]] = ()

    @pytest.fixture
    def plugins(self) -> Plugins:
        """Return the plugins that a run would load."""
        plugins = make_plugin_manager(PluginChoice(files=tuple(self.plugin_files)))
        broken = [f"{info.name}: {info.error}" for info in plugins.infos if info.error]
        offered = [getattr(plugins.registry, kind) for kind in KINDS]
        require(
            any(self.name in each for each in offered),
            f"no plugin offers '{self.name}'; left out: {'; '.join(broken) or 'none'}",
        )
        return plugins

    def alone(self, plugins: Plugins, kind: str, hook: str) -> Any:
        """Return a function that calls a hook of the tested plugin only."""
        owner = next(n for n, each in plugins.offers.items() if self.name in getattr(each, kind))
        # Others would answer where this plugin returns None, and hide that it does.
        others = plugins.manager.get_plugins() - {plugins.manager.get_plugin(owner)}
        return plugins.manager.subset_hook_caller(hook, others)


KINDS = ("steps", "strategies", "sources", "resolvers")


class OptionsConformance(PluginConformance):
    """The tests of an option schema.

    Every test uses ``good_options``, so give all that matter; ``bad_options`` must be refused. A
    connection ``sit`` exists for options that name one.
    """

    good_options: ClassVar[Sequence[Mapping[str, Any]]] = ({},)
    bad_options: ClassVar[Sequence[Mapping[str, Any]]] = ()

    def offer_of(self, plugins: Plugins) -> Offer:
        """Return what the plugin offers."""
        raise NotImplementedError

    def target_with(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Return the keys of a target that uses it with these options."""
        raise NotImplementedError

    def test_the_schema_is_valid_and_explains_every_option(self, plugins: Plugins) -> None:
        """It follows draft 2020-12, refuses unknown options, and describes each option."""
        schema = self.offer_of(plugins).options
        try:
            jsonschema.Draft202012Validator.check_schema(schema)
        except jsonschema.SchemaError as error:
            raise AssertionError(f"the schema is not valid: {error.message}") from None
        for place, part in objects(schema):
            closed = part.get("additionalProperties", part.get("unevaluatedProperties"))
            require(closed is False, f"{place}: additionalProperties is not false")
            for option, about in part["properties"].items():
                for key in ("title", "description"):
                    require(about.get(key), f"{place}.properties.{option} has no {key}")
                if "default" in about:
                    fault = next(
                        jsonschema.Draft202012Validator(about).iter_errors(about["default"]), None
                    )
                    require(fault is None, f"{place}.properties.{option}: the default does not fit")

    def test_good_options_are_accepted(self, run_manifest: Runner, plugins: Plugins) -> None:
        """A manifest with them is valid; secret options are given by reference."""
        for options in self.good_options:
            problems = self.problems(run_manifest, plugins, options)
            require(not problems, f"{shown(options)} is refused: {'; '.join(problems)}")

    def test_bad_options_are_refused_by_name(self, run_manifest: Runner, plugins: Plugins) -> None:
        """The message for each of them, and for an unknown one, names the option."""
        if self.offer_of(plugins).options.get("properties"):
            require(self.bad_options, "bad_options is empty; say what your schema refuses")
        for options in (*self.bad_options, {UNKNOWN: 1}):
            problems = self.problems(run_manifest, plugins, options)
            require(problems, f"{shown(options)} is accepted")
            named = any(option in problem for option in options for problem in problems)
            missing = self.offer_of(plugins).options.get("required", ())
            named = named or any(option in each for option in missing for each in problems)
            require(named, f"{shown(options)} is refused without its name: {'; '.join(problems)}")

    def problems(self, run: Runner, plugins: Plugins, options: Mapping[str, Any]) -> list[str]:
        """Return the errors of ``impex validate`` for a manifest with these options."""
        with pytest.MonkeyPatch.context() as patch:
            written = referring(self.offer_of(plugins).options, options, patch)
            path = run.write(manifest(self.target_with(written)))
            try:
                load(path, RunOptions(plugin_files=tuple(self.plugin_files)), run.clock, Masker())
            except ManifestError as error:
                return [str(problem) for problem in error.problems]
        return []


def require(holds: object, otherwise: str) -> None:
    """Fail with ``otherwise`` unless ``holds``; the traceback ends at the caller."""
    __tracebackhide__ = True
    if not holds:
        raise AssertionError(otherwise)


def shown(options: Mapping[str, Any]) -> str:
    """Return options as text for a message."""
    return f"with: {dict(options)!r}"


def manifest(*targets: Mapping[str, Any]) -> dict[str, Any]:
    """Return a manifest of targets on the sandbox, with defaults for missing keys."""
    basis = {"services": ["motor/pricing"], "connection": "sit"}
    return {
        "version": 1,
        "connections": {"sit": {"sandbox": "acme"}},
        "targets": [
            {"name": f"target-{number}", **basis, **target} for number, target in enumerate(targets)
        ],
    }


def objects(schema: Mapping[str, Any], place: str = "options") -> Iterator[tuple[str, Any]]:
    """Yield the path and the value of each part of a schema that has properties."""
    if "properties" in schema:
        yield place, schema
        for option, about in schema["properties"].items():
            yield from objects(about, f"{place}.properties.{option}")
    if isinstance(schema.get("items"), dict):
        yield from objects(schema["items"], f"{place}.items")


def secrets(schema: Mapping[str, Any], value: Any) -> Iterator[str]:
    """Yield the values of secret options."""
    if schema.get("x-secret") and isinstance(value, str):
        yield value
    for option, about in schema.get("properties", {}).items():
        if isinstance(value, dict) and option in value:
            yield from secrets(about, value[option])
    for item in value if isinstance(value, list) else ():
        yield from secrets(schema.get("items", {}), item)


def referring(schema: Mapping[str, Any], value: Any, patch: pytest.MonkeyPatch) -> Any:
    """Return options with secrets replaced by references to variables, which this sets."""
    if schema.get("x-secret") and isinstance(value, str):
        name = f"CONFORMANCE_{abs(hash(value))}"
        patch.setenv(name, value)
        return f"${{env:{name}}}"
    if isinstance(value, dict):
        parts = schema.get("properties", {})
        return {key: referring(parts.get(key, {}), each, patch) for key, each in value.items()}
    if isinstance(value, list):
        return [referring(schema.get("items", {}), each, patch) for each in value]
    return value
