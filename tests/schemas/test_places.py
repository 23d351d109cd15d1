"""Every place of the schema explains itself, is used, can be wrong, and takes a reference."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest

from spark_impex_runner.errors import ManifestError
from spark_impex_runner.hooks.manager import make_plugin_manager
from spark_impex_runner.manifest.build import Settings, read_manifest
from spark_impex_runner.manifest.schema.compose import compose, overlay
from spark_impex_runner.manifest.yaml.load import load
from spark_impex_runner.masking import Masker
from spark_impex_runner.planning.entries import entry_error

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from spark_impex_runner.models import Manifest

    Schema = dict[str, Any]

ROOT = Path(__file__).parent.parent.parent
CASES = ROOT / "tests/manifests"
REGISTRY = make_plugin_manager().registry
MANIFEST = compose(REGISTRY)
OVERLAY = overlay(MANIFEST)
EXPECT = "# expect: "
VALID = sorted(CASES.glob("built-in/valid/*.yaml"))
INVALID = sorted(CASES.glob("built-in/invalid/*.yaml"))
BASE = {"version": 1, "connections": {"sit": {}}, "targets": [{"name": "motor"}]}
REFERENCE = "${env:X}"
WITHOUT_REFERENCES = re.compile("References are not replaced here")


def meaning(part: Schema) -> Schema:
    """Return what a schema's ``$ref`` points at, together with its own keys."""
    if "$ref" not in part:
        return part
    found: Any = MANIFEST
    for step in part["$ref"].split("/")[1:]:
        found = found[step]
    return {**meaning(found), **{key: value for key, value in part.items() if key != "$ref"}}


def inner(part: Schema) -> Iterator[tuple[str, Schema]]:
    """Yield what a mapping or a list holds: its name as in a path, and its schema."""
    for name, held in part.get("properties", {}).items():
        yield f".{name}", held
    if isinstance(part.get("additionalProperties"), dict):
        yield ".*", part["additionalProperties"]
    if "items" in part:
        yield "[]", part["items"]
    for chooser, name, rule in choices(part):
        yield f"({chooser} {name}).with", rule["then"]["properties"]["with"]


def choices(part: Schema) -> Iterator[tuple[str, str, Schema]]:
    """Yield the key and the name that decide about options, with the rule that they apply."""
    for rule in part.get("allOf", ()):
        [(chooser, condition)] = rule["if"]["properties"].items()
        if meaning(rule["then"]["properties"]["with"]).get("properties"):
            yield chooser, condition["const"], rule


def values(part: Schema) -> list[Any]:
    """Return the values that a place lists, wherever its schema has them."""
    listed = [*part.get("enum", ()), *([part["const"]] if "const" in part else ())]
    return listed + [value for each in part.get("anyOf", ()) for value in values(meaning(each))]


def places(part: Schema, path: str = "") -> Iterator[tuple[str, Schema]]:
    """Yield every place below one, ``defaults`` as a whole: its keys are those of a target."""
    for name, held in inner(part):
        yield path + name, meaning(held)
        if path + name != ".defaults":
            yield from places(meaning(held), path + name)


PLACES = dict(places(MANIFEST))
KEYS = sorted(path for path in PLACES if path[-1] not in "*]")


def within(part: Schema, data: Any) -> Iterator[tuple[str, Schema, Any]]:
    """Yield what data holds, with its name as in a path and the schema that speaks about it."""
    if isinstance(data, list):
        yield from (("[]", part["items"], item) for item in data)
    for key, value in data.items() if isinstance(data, dict) else ():
        if key in part.get("properties", {}):
            yield f".{key}", part["properties"][key], value
        elif isinstance(part.get("additionalProperties"), dict):
            yield ".*", part["additionalProperties"], value
    for chooser, name, rule in choices(part):
        if "with" in data and data.get(chooser, part["properties"][chooser].get("default")) == name:
            options = rule["then"]["properties"]["with"]
            yield f"({chooser} {name}).with", options, data["with"]


def used(part: Schema, data: Any, path: str = "") -> Iterator[str]:
    """Yield the places that data has, and each listed value as ``place = value``."""
    part = meaning(part)
    yield path
    if data in values(part):
        yield f"{path} = {data}"
    start = ".targets[]" if path == ".defaults" else path
    for name, held, value in within(part, data):
        yield from used(held, value, start + name)


def written(path: Path) -> Any:
    """Return the data of a file."""
    return load(path).data


def settings() -> Settings:
    """Return settings with all that the built-in plugins offer."""
    return Settings(REGISTRY, Masker(), environ={"X": "x"})


def read_case(path: Path) -> Manifest:
    """Read a case as a run reads it, its services included."""
    fault = partial(entry_error, REGISTRY, path.parent)
    return read_manifest(load(path), replace(settings(), entry_error=fault))


@pytest.mark.parametrize("schema", [MANIFEST, OVERLAY], ids=["manifest", "overlay"])
def test_every_key_has_a_title_and_a_description(schema: Schema) -> None:
    """Options of plugins, too: the description is one sentence or more."""
    found = dict(places(schema))

    assert found.keys() == PLACES.keys()
    for path in KEYS:
        assert found[path].get("title"), path
        assert re.match(r"[A-Z0-9$'].*[.]$|true", found[path].get("description", "")), path


@pytest.mark.parametrize("path", sorted(PLACES))
def test_every_key_shows_what_to_write(path: str) -> None:
    """A mapping with keys of its own is shown by these; all else has an example or a default.

    A listed value or a boolean is an example of itself, and what is in a list or under a free key
    stands in the example of the whole.
    """
    part = PLACES[path]

    if path[-1] in "*]" or "properties" in part or path.endswith(".with"):
        return
    shown = [*part.get("examples", ()), *([part["default"]] if "default" in part else ())]
    assert shown or values(part) or part.get("type") == "boolean"
    assert part.get("default", [0]) not in ([], {}), "an empty default says nothing"
    assert len(shown) == len({repr(value) for value in shown}), "an example repeats another"
    for value in shown:
        bare = {"$defs": MANIFEST["$defs"], **part}
        jsonschema.Draft202012Validator(bare).validate(value)


def every(part: Any) -> Iterator[Schema]:
    """Yield every schema inside one, and itself."""
    if isinstance(part, dict):
        yield part
    for held in part.values() if isinstance(part, dict) else part:
        if isinstance(held, (dict, list)):
            yield from every(held)


def test_an_editor_says_of_a_pattern_what_the_loader_says() -> None:
    """Nobody has to read a regular expression."""
    formed = [part for part in every(MANIFEST) if "pattern" in part and "x-form" in part]

    assert len(formed) >= 5
    for part in formed:
        assert part["patternErrorMessage"] == f"not {part['x-form']}"


def test_every_key_and_every_listed_value_is_used_somewhere() -> None:
    """A valid case or an example has it, so nothing is there for show."""
    files = [*CASES.glob("valid/*.yaml"), *ROOT.glob("examples/*.yaml"), *VALID]
    seen = {place for path in files for place in used(MANIFEST, written(path))}

    listed = {f"{path} = {value}" for path in PLACES for value in values(PLACES[path])}

    assert sorted((PLACES.keys() | listed) - seen) == []


@pytest.mark.parametrize("path", VALID, ids=lambda path: path.stem)
def test_a_case_of_the_built_in_plugins_is_read(path: Path) -> None:
    """What the files in built-in/valid/ say is right."""
    assert read_case(path).targets


@pytest.mark.parametrize("path", INVALID, ids=lambda path: path.stem)
def test_a_wrong_option_is_named(path: Path) -> None:
    """Every file in built-in/invalid/ has the problems that its first lines announce."""
    lines = path.read_text(encoding="utf-8").splitlines()

    with pytest.raises(ManifestError) as caught:
        read_case(path)

    found = [str(problem).removeprefix(f"{path}:") for problem in caught.value.problems]
    assert found == [line.removeprefix(EXPECT) for line in lines if line.startswith(EXPECT)]


def complained(path: Path) -> Iterator[str]:
    """Yield the place of each problem that a file announces, and those around it."""
    known = {plain(place) for place in PLACES}
    for line in path.read_bytes().decode("utf-8", "replace").splitlines():
        if line.startswith(EXPECT):
            place = ""
            for step in re.findall(r"\[|[^.\[\]]+", re.sub(r"\d+\]", "", line.split(": ")[2])):
                name = "[]" if step == "[" else f".{step}"
                place += name if place + name in known else ".*"
                yield place
                place = ".targets[]" if place == ".defaults" else place


def plain(place: str) -> str:
    """Return a place without what its options were chosen by."""
    return re.sub(r"\([^)]*\)", "", place)


def test_every_key_can_be_wrong() -> None:
    """A case in invalid/ says where, and what is said of it; no key is exempt."""
    files = [*CASES.glob("invalid/*.yaml"), *INVALID]
    wrong = {place for path in files for place in complained(path)}

    assert len(INVALID) >= 1
    assert sorted({plain(place) for place in KEYS} - wrong) == []


def scalars(
    part: Schema, wrap: Callable[[Any], Any], path: str = "", about: str = ""
) -> Iterator[tuple[str, Any, str]]:
    """Yield every place of a scalar, a manifest with a reference there, and what explains it."""
    part = meaning(part)
    about += part.get("description", "")
    held = False
    for name, sub in inner(part):
        held = True
        *_, key = re.split(r"[.]", name)
        around = {each: sample(part, each) for each in part.get("required", ()) if each != key}
        if chosen := re.match(r"\((\w+) (\w+)\)", name):
            around[chosen[1]] = chosen[2]
        for chooser, option, rule in choices(part):
            if around.get(chooser) == option and "required" in rule["then"] and key != "with":
                options = meaning(rule["then"]["properties"]["with"])
                around["with"] = {each: sample(options, each) for each in options["required"]}

        def wrapped(value: Any, key: str = key, around: dict[str, Any] = around) -> Any:
            if key == "[]":
                return wrap([value])
            return wrap({**around, "some" if key == "*" else key: value})

        yield from scalars(sub, wrapped, path + name, about)
    if not held and part.get("type") not in ("object", "array"):
        yield path, wrap(REFERENCE), about


def sample(part: Schema, key: str) -> Any:
    """Return a value for a key that must be there."""
    described = meaning(part["properties"][key])
    return [*described.get("examples", ()), *values(described), REFERENCE][0]


SCALARS = [
    (path, {**BASE, **data}, about)
    for path, data, about in scalars({**MANIFEST, "required": []}, lambda value: value)
]


@pytest.mark.parametrize(
    ("data", "about"), [each[1:] for each in SCALARS], ids=[each[0] for each in SCALARS]
)
def test_a_reference_may_stand_for_a_scalar(data: Any, about: str) -> None:
    """Or the description of the key, or of what holds it, says that it may not."""
    faults = list(jsonschema.Draft202012Validator(MANIFEST).iter_errors(data))

    assert not faults or WITHOUT_REFERENCES.search(about)


def test_these_take_no_references() -> None:
    """What is read before references are, and what others refer to."""
    exempt = {path for path, _, about in SCALARS if WITHOUT_REFERENCES.search(about)}

    assert exempt == {
        ".version",
        ".include[]",
        ".requires.runner",
        ".requires.plugins[]",
        ".requires.local_plugins",
        ".targets[].name",
        ".targets[].polling.strategy",
        ".targets[].steps[].uses",
        ".defaults.polling.strategy",
        ".defaults.steps[].uses",
        ".notify[].uses",
    }
    assert len(SCALARS) > 80
