from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jsonschema
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from spark_impex_runner.errors import ManifestError, PluginError
from spark_impex_runner.hooks.manager import make_plugin_manager
from spark_impex_runner.hooks.registry import Registry
from spark_impex_runner.manifest.construct import TargetLinks, connection, target
from spark_impex_runner.manifest.expand import ExpandedTarget
from spark_impex_runner.manifest.schema.check import ErrorView, Schema, _schema_fault
from spark_impex_runner.manifest.schema.compose import compose, published
from spark_impex_runner.models import Connection, Polling, Step, Target
from spark_impex_runner.quantity import seconds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from spark_impex_runner.manifest.build import Settings
    from spark_impex_runner.models import Manifest

    Reader = Callable[..., Manifest]

TARGET = """
version: 1
connections: {sit: {env: sit, tenant: acme}}
targets:
  - name: motor
    folders: [life]
    steps: [{uses: special, with: %s}]
"""


def properties(schema: Any, path: str = "$") -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every property of a schema with its path."""
    if not isinstance(schema, dict):
        return
    for key, value in schema.items():
        if key in {"properties", "patternProperties"}:
            yield from ((f"{path}.{name}", item) for name, item in value.items())
        for part in value if isinstance(value, list) else [value]:
            yield from properties(part, f"{path}.{key}")


def meaning(schema: dict[str, Any], root: dict[str, Any]) -> dict[str, Any]:
    """Return what a schema's ``$ref`` points at, together with its own keys."""
    if "$ref" not in schema:
        return schema
    found: Any = root
    for step in schema["$ref"].split("/")[1:]:
        found = found[step]
    return {**meaning(found, root), **schema}


def mistakes(read: Reader, options: str) -> list[str]:
    """Return the messages about the options of the step ``special``."""
    with pytest.raises(ManifestError) as caught:
        read(TARGET % options)
    return [f"{problem.path}: {problem.message}" for problem in caught.value.problems]


def test_the_published_schema_is_valid() -> None:
    """The file is a JSON Schema of the draft that it names."""
    schema = published()

    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"


def test_every_property_is_described() -> None:
    """An editor has a title and a description to show for every key."""
    root = published()

    for path, schema in properties(root):
        explained = meaning(schema, root)
        assert explained.get("title"), path
        assert explained.get("description", "").endswith("."), path


def test_defaults_have_all_target_keys() -> None:
    """A new key of a target is a new key of the defaults."""
    schema = published()

    keys = set(schema["$defs"]["target"]["properties"])
    assert set(schema["properties"]["defaults"]["properties"]) == keys - {"name"}


@pytest.mark.parametrize(
    ("definition", "model", "ignored"),
    [
        ("target", Target("a", "b", None), {"output", "steps", "matrix"}),  # type: ignore[arg-type]
        ("connection", Connection("a"), {"jobs"}),
        ("polling", Polling(), {"with"}),
        ("step", Step("a"), {"with"}),
    ],
)
def test_schema_defaults_are_the_models(definition: str, model: object, ignored: set[str]) -> None:
    """What an editor shows as the default is what happens."""
    for key, schema in published()["$defs"][definition]["properties"].items():
        if "default" in schema and key not in ignored:
            default = schema["default"]
            actual = getattr(model, key)
            if isinstance(actual, float):
                default = seconds(default)
            assert default == (list(actual) if isinstance(actual, tuple) else actual), key


def test_defaults_are_left_to_the_models(tmp_path: Path) -> None:
    """Building from nothing gives the models' own defaults."""
    expanded = ExpandedTarget("motor", "motor", 0, tmp_path, {"name": "motor"})

    assert connection("sit", {}, tmp_path) == Connection("sit")
    assert target(expanded, TargetLinks("sit", ())) == Target("motor", "sit", tmp_path)


def test_plugin_options_join_by_if_then(registry: Registry) -> None:
    """The composed schema is valid, knows the names, and has no oneOf."""
    schema = compose(registry)

    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["$defs"]["step"]["properties"]["uses"]["enum"] == [
        "checksum",
        "hand_over",
        "import",
        "unzip",
    ]
    assert len(schema["$defs"]["step"]["allOf"]) == 4
    assert "oneOf" not in str(schema)


def test_plugins_local_ref_still_resolves(registry: Registry, read: Reader) -> None:
    """Options may use $defs of their own."""
    options = {
        "type": "object",
        "properties": {"mode": {"$ref": "#/$defs/mode"}},
        "$defs": {"mode": {"enum": ["fast", "safe"]}},
    }
    registry.step("special", "Special.", options)

    assert mistakes(read, "{mode: saef}") == [
        "targets[0].steps[0].with.mode: 'saef' is not one of 'fast', 'safe' (did you mean 'safe'?)"
    ]


def test_best_alternative_explains_the_error(registry: Registry, read: Reader) -> None:
    """The message has what the closest alternative expects."""
    plain = {"type": "integer", "minimum": 1}
    mapping = {"type": "object", "properties": {"count": plain}, "additionalProperties": False}
    options = {"type": "object", "properties": {"limit": {"anyOf": [plain, mapping]}}}
    registry.step("special", "Special.", options)

    place = "targets[0].steps[0].with.limit"
    assert mistakes(read, "{limit: 0}") == [f"{place}: 0 is less than 1"]
    assert mistakes(read, "{limit: {count: 0}}") == [f"{place}.count: 0 is less than 1"]
    assert mistakes(read, "{limit: {cont: 1}}") == [
        f"{place}.cont: unknown key (did you mean 'count'?)"
    ]


@pytest.mark.parametrize(
    ("rule", "value", "expected"),
    [
        ({"type": "string", "minLength": 3}, "ab", "'ab' is shorter than 3"),
        ({"type": "string", "maxLength": 1}, "ab", "'ab' is longer than 1"),
        ({"type": "string", "pattern": "^s3:"}, "ab", "'ab' does not have the form ^s3:"),
        ({"type": "number", "maximum": 3}, "4", "4 is more than 3"),
        ({"type": "number", "exclusiveMinimum": 3}, "3", "3 is not more than 3"),
        ({"type": "number", "exclusiveMaximum": 3}, "3", "3 is not less than 3"),
        ({"type": "number", "multipleOf": 2}, "3", "3 does not fit the rule 'multipleOf: 2'"),
        ({"type": "array", "maxItems": 1}, "[a, b]", "has 2 entries, at most 1 are allowed"),
        ({"type": "array", "minItems": 2}, "[a]", "has 1 entries, needs at least 2"),
        ({"type": "array", "uniqueItems": True}, "[a, a]", "has the same entry twice"),
        ({"const": "safe"}, "fast", "'fast' is not 'safe'"),
        ({"type": "integer"}, "many", "expected a whole number, found 'many'"),
        ({"enum": [1, 2]}, "3", "3 is not one of 1, 2"),
        ({"type": "object"}, "s", "expected a mapping, found text"),
        ({"not": {"type": "string"}}, "s", "'s' does not fit the rule 'not'"),
        ({}, "2026-08-01", "2026-08-01, which YAML reads as a date: quote it"),
    ],
)
def test_every_keyword_has_a_message(
    registry: Registry, read: Reader, rule: dict[str, Any], value: str, expected: str
) -> None:
    """Whatever rule a plugin's options break, one plain line says so."""
    options = {"type": "object", "properties": {"limit": rule}}
    registry.step("special", "Special.", options)

    assert mistakes(read, f"{{limit: {value}}}") == [f"targets[0].steps[0].with.limit: {expected}"]


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        ({"type": "objekt"}, "at $.type, anyOf is broken"),
        ({"type": "array"}, "the type is not 'object'"),
        (
            {"type": "object", "properties": {"a": {"pattern": "("}}},
            "at $.properties.a.pattern, format is broken",
        ),
        ({"type": "object", "items": {"$ref": "#/$defs/x"}}, "the $ref '#/$defs/x' leads nowhere"),
        ({"type": "object", "items": {"$ref": "https://x"}}, "the $ref 'https://x' leads nowhere"),
    ],
)
def test_broken_option_schema_matters_if_used(
    registry: Registry, read: Reader, options: dict[str, Any], fault: str
) -> None:
    """A manifest that does not use the broken step is read; one that does names the plugin."""
    broken = Registry("impex-special")
    broken.step("special", "Special.", options)
    registry.merge(broken)

    assert read(TARGET.replace("special, with: %s", "checksum"))
    with pytest.raises(PluginError) as caught:
        read(TARGET % "{}")
    assert str(caught.value) == f"plugin impex-special: the options schema of 'special': {fault}"


def test_built_in_options_are_valid_schemas() -> None:
    """A run takes them unchecked, so a broken one has to be found here."""
    built_in = make_plugin_manager().registry
    kinds = (built_in.steps, built_in.strategies, built_in.notifiers)

    faults = [_schema_fault(each.options) for kind in kinds for each in kind.values()]

    assert len(faults) >= 11
    assert set(faults) == {""}


SECRET = {"type": "string", "x-secret": True}
MAPPING = {"type": "object"}


@pytest.mark.parametrize(
    "schema",
    [
        {"additionalProperties": SECRET},
        {"patternProperties": {"^t": SECRET}},
        {"properties": {"token": {"$ref": "#/$defs/s"}}, "$defs": {"s": SECRET}},
        {"properties": {"token": {"anyOf": [{"type": "integer"}, SECRET]}}},
        {"oneOf": [{"required": ["x"]}, {"properties": {"token": SECRET}}]},
        {"if": {"required": ["token"]}, "then": {"properties": {"token": SECRET}}},
        {"dependentSchemas": {"token": {"properties": {"token": SECRET}}}},
        {"properties": {"token": {"x-secret": True}}},
    ],
)
def test_secret_is_found_at_any_depth(
    registry: Registry, read: Reader, schema: dict[str, Any]
) -> None:
    """A literal is refused and a reference masked, however the options reach the mark."""
    registry.step("special", "Special.", {**MAPPING, **schema})

    [mistake] = mistakes(read, "{token: hunter2}")
    assert mistake.startswith("targets[0].steps[0].with.token: a secret must be a single reference")
    assert read(TARGET % "{token: '${vault:sit}'}").targets[0].steps[0].options == {
        "token": "vault-secret"
    }


def test_secret_in_a_list_is_located(registry: Registry, read: Reader) -> None:
    """The first items of a list may have schemas of their own; all later ones share one."""
    pair = [{"type": "string"}, {"type": "string", "x-secret": True}]
    options = {"login": {"type": "array", "prefixItems": pair, "items": {"type": "string"}}}
    registry.step("special", "Special.", {"type": "object", "properties": options})

    [found] = mistakes(read, "{login: [me, plain, one, two]}")

    assert found.startswith(
        "targets[0].steps[0].with.login[1]: a secret must be a single reference"
    )


def test_everything_inside_a_secret_is_secret(
    registry: Registry, read: Reader, settings: Settings
) -> None:
    """The mark on a list or a mapping covers all that it holds."""
    headers = {"type": "object", "x-secret": True}
    registry.step("special", "Special.", {**MAPPING, "properties": {"headers": headers}})

    read(TARGET % "{headers: {a: ['${vault:sit}']}}")

    assert settings.masker.mask("vault-secret") == "***"
    assert len(mistakes(read, "{headers: {a: [hunter2, 5]}}")) == 2


def test_long_secret_is_never_cut(registry: Registry, read: Reader) -> None:
    """What a secret reference yields is never shown, though the masker knows it only whole."""
    token = {"type": "string", "x-secret": True, "pattern": "^token "}
    registry.step("special", "Special.", {**MAPPING, "properties": {"token": token}})

    with pytest.raises(ManifestError) as caught:
        read(TARGET % "{token: '${env:TOKEN}'}", environ={"TOKEN": "hunter2" * 20})

    assert str(caught.value).endswith("token: text does not have the form ^token ")


def test_reference_matches_one_of_several_forms(registry: Registry, read: Reader) -> None:
    """Even oneOf takes a reference, and judges what it stands for."""
    forms = {"oneOf": [{"type": "integer"}, {"enum": ["all"]}]}
    registry.step("special", "Special.", {**MAPPING, "properties": {"count": forms}})

    manifest = read(TARGET % "{count: '${env:N}'}", environ={"N": "3"})

    assert manifest.targets[0].steps[0].options == {"count": 3}
    with pytest.raises(ManifestError, match="'many'"):
        read(TARGET % "{count: '${env:N}'}", environ={"N": "many"})


CHOOSY = {
    "type": "object",
    "properties": {"n": {"type": "integer", "minimum": 1}, "kind": {"enum": ["a", "b"]}},
    "if": {"properties": {"kind": {"const": "a"}}, "required": ["kind"]},
    "then": {"required": ["n"]},
    "else": {"properties": {"n": {"maximum": 5}}},
}
OPTIONS = st.fixed_dictionaries(
    {},
    optional={
        "n": st.sampled_from([0, 1, 1.0, True, "1", "${var:n}", 7, [1], None]),
        "kind": st.sampled_from(["a", "b", "c", "${var:kind}"]),
    },
)


@given(st.lists(OPTIONS, max_size=5))
@example([{"n": 1}, {"n": True}, {"n": 1.0}, {"n": "1"}])
def test_validation_cache_changes_no_result(steps: list[dict[str, Any]]) -> None:
    """Values that come again, or almost, have the mistakes that the library alone finds there."""
    registry = Registry("invented")
    registry.step("choosy", "Chooses.", CHOOSY)
    used = [{"uses": "choosy", "with": options} for options in steps]
    targets = [{"name": name, "folders": ["life"], "steps": used} for name in ("a", "b", "a b")]
    data = {"version": 1, "connections": {"sit": {}}, "targets": targets}
    view = ErrorView(lambda path: path, lambda _: None, set())

    alone = jsonschema.Draft202012Validator(compose(registry)).iter_errors(data)

    assert Schema(registry).check(data, view) == view.findings(alone)
