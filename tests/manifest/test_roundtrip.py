from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import yaml
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from spark_impex_runner.errors import ManifestError, PluginError
from spark_impex_runner.manifest.build import Settings, read_manifest
from spark_impex_runner.manifest.references import Sources, Table, resolve
from spark_impex_runner.manifest.yaml.load import load
from spark_impex_runner.masking import Masker
from spark_impex_runner.quantity import seconds, size

if TYPE_CHECKING:
    from collections.abc import Iterator

    from spark_impex_runner.manifest.yaml.document import Document


MARK = "zq9secret"
LINE = re.compile("\r\n|[\r\n\x85\u2028\u2029]")
FIXTURES = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]

# What YAML may hold; a surrogate is no character, and a byte order mark is none inside a file.
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\ufeff\ufffe\uffff"))
NUMBERS = st.integers(-(10**15), 10**15) | st.floats(-1e6, 1e6).map(lambda x: round(x, 3))
SCALARS = st.none() | st.booleans() | NUMBERS | TEXT
DATA = st.dictionaries(
    TEXT,
    st.recursive(
        SCALARS,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
        max_leaves=8,
    ),
    max_size=4,
)


def read_text(text: str) -> Document:
    """Load a text as a file."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "release.yaml"
        path.write_bytes(text.encode())
        return load(path)


def leaves(data: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[Any, Any]]:
    """Yield every scalar with its path."""
    if not isinstance(data, (dict, list)):
        yield path, data
        return
    for key, value in data.items() if isinstance(data, dict) else enumerate(data):
        yield from leaves(value, (*path, key))


def stands(text: str, place: tuple[int, int]) -> str:
    """Return what begins at a line and column of a text, on that line."""
    line, column = place
    return LINE.split(text)[line - 1][column - 1 :]


@given(data=DATA, style=st.sampled_from([True, False, None]), broad=st.booleans())
def test_yaml_round_trip(data: dict[str, Any], style: bool | None, broad: bool) -> None:
    """Block or flow style, with escapes or without: nothing is lost or of another type."""
    text = yaml.safe_dump(data, default_flow_style=style, allow_unicode=broad)
    # PyYAML folds these where it writes them as they are, and does not find them again itself.
    assume(not re.search("[\x85\u2028\u2029]", text))

    assert read_text(text).data == data


def as_json(data: Any, indent: int | None) -> str:
    """Return JSON that is YAML, too: escapes for what ends a line of YAML, or is no text there."""
    text = json.dumps(data, ensure_ascii=False, indent=indent)
    return re.sub("[\x7f-\x9f\u2028\u2029]", lambda match: f"\\u{ord(match[0]):04x}", text)


@given(
    data=DATA, indent=st.sampled_from([None, 1]), before=st.sampled_from(["", "# ä\r\n", "\n\r"])
)
def test_json_values_have_positions(data: dict[str, Any], indent: int | None, before: str) -> None:
    """Line and column lead to the very text that, read alone, is the value; keys likewise."""
    text = before + as_json(data, indent)

    document = read_text(text)

    assert document.data == data
    for path, value in leaves(data):
        found = json.JSONDecoder().raw_decode(stands(text, document.line_and_column(path)))[0]
        assert (found, type(found)) == (value, type(value))
        if path and isinstance(path[-1], str):
            key = stands(text, document.line_and_column(path, at_key=True))
            assert json.JSONDecoder().raw_decode(key)[0] == path[-1]


NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,8}", fullmatch=True)
WORDS = st.text("abcdefghij", min_size=1, max_size=8)
DURATIONS = st.tuples(st.integers(1, 999), st.sampled_from(["", "ms", "s", "m", "h"]))

SIZES = st.tuples(st.integers(1, 999), st.sampled_from(["", "B", "kB", "MB", "GiB"]))


@st.composite
def targets(draw: st.DrawFn, names: list[str], connections: list[str]) -> list[dict[str, Any]]:
    """Draw targets, each of which waits for earlier ones only."""
    found = []
    for index, name in enumerate(names):
        target = draw(
            st.fixed_dictionaries(
                {"name": st.just(name), "connection": st.sampled_from(connections)},
                optional={
                    "tags": st.lists(WORDS, max_size=3, unique=True),
                    "version_ids": st.lists(
                        st.uuids().map(str), min_size=1, max_size=2, unique=True
                    ),
                    "file_filter": st.sampled_from(["migrate", "onpremises"]),
                    "version_filter": st.sampled_from(["latest", "all"]),
                    "correlation_id": WORDS,
                    "max_retries": st.integers(1, 500),
                    "retry_interval": DURATIONS.map(lambda pair: f"{pair[0]}{pair[1]}"),
                    "if_exists": st.sampled_from(["replace", "keep", "fail"]),
                    "max_package": SIZES.map(lambda pair: f"{pair[0]}{pair[1]}"),
                    "missing": st.sampled_from(["fail", "warn"]),
                    "on_interrupt": st.sampled_from(["cancel", "leave"]),
                },
            )
        )
        target["folders"] = draw(st.lists(WORDS, min_size=1, max_size=3, unique=True))
        target["output"] = f"out/{index}"
        if index:
            target["needs"] = draw(
                st.lists(st.sampled_from(names[:index]), max_size=2, unique=True)
            )
        found.append(target)
    return found


@st.composite
def manifests(draw: st.DrawFn) -> dict[str, Any]:
    """Draw a manifest in which nothing is wrong."""
    connections = draw(st.lists(WORDS, min_size=1, max_size=3, unique=True))
    names = draw(st.lists(NAMES, min_size=1, max_size=4, unique=True))
    tenant = st.fixed_dictionaries(
        {"env": WORDS, "tenant": WORDS},
        optional={"jobs": st.integers(1, 9), "verify_tls": st.booleans()},
    )
    return {
        "version": 1,
        "name": draw(WORDS),
        "connections": {name: draw(tenant) for name in connections},
        "targets": draw(targets(names, connections)),
    }


def written(data: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Return a target's data in the units and types of the model."""
    found = {key: tuple(item) if isinstance(item, list) else item for key, item in data.items()}
    found["output"] = folder / data["output"]
    if "retry_interval" in data:
        found["retry_interval"] = seconds(data["retry_interval"])
    if "max_package" in data:
        found["max_package"] = size(data["max_package"])
    return found


@settings(max_examples=40, suppress_health_check=FIXTURES)
@given(data=manifests(), flow=st.booleans())
def test_models_have_the_written_values(
    tmp_path: Path, case_settings: Settings, data: dict[str, Any], flow: bool
) -> None:
    """Any manifest without a mistake is accepted, and each model holds the values of its text."""
    path = tmp_path / "release.yaml"
    path.write_text(yaml.safe_dump(data, default_flow_style=flow))

    manifest = read_manifest(load(path), case_settings)

    assert manifest.name == data["name"]
    for name, connection in data["connections"].items():
        built = manifest.connections[name]
        assert {key: getattr(built, key) for key in connection} == connection
    for target, built_target in zip(data["targets"], manifest.targets, strict=True):
        expected = written(target, tmp_path)
        assert {key: getattr(built_target, key) for key in expected} == expected


SECRET = {
    "version": 1,
    "connections": {
        "sit": {"env": "sit", "tenant": "acme", "auth": {"token": "${env:MARKED}"}},
        "uat": {
            "env": "uat",
            "tenant": "acme",
            "auth": {"oauth": {"client_id": "me", "client_secret": "a ${env:MARKED}"}},
        },
        "dev": {"sandbox": "tenant", "auth": {"api_key": MARK}},
    },
    "targets": [
        {
            "name": "motor",
            "connection": "sit",
            "folders": ["life"],
            "polling": {"strategy": "adaptive", "deadline": "30m"},
            "steps": [
                {"uses": "hand_over", "with": {"to": "x", "token": "${env:MARKED}"}},
                {"uses": "hand_over", "with": {"to": "x", "token": f"{MARK}\n"}},
            ],
        },
        {"name": "life", "connection": "uat", "needs": ["motor"], "folders": ["life"]},
    ],
    "notify": [
        {"uses": "page", "on": ["always"], "with": {"key": "${env:MARKED}"}},
        {"uses": "page", "timeout": "5s", "with": {"key": MARK, "lines": [MARK, "${env:MARKED}"]}},
    ],
}
# Where a reference or literal stands that must not be shown, to be left in its place.
KEPT = {"token", "api_key", "client_secret", "auth", "with"}
WRONG = st.sampled_from(
    [None, True, 0, -1, 1.5, "", "no such", "${", "${x}", [], {}, [[]], {"a": 1}]
)


@st.composite
def mutated(draw: st.DrawFn, data: Any) -> Any:
    """Draw ``data`` with one key or value dropped, renamed or replaced."""
    inside = isinstance(data, (dict, list)) and bool(data) and draw(st.integers(0, 5)) > 0
    if isinstance(data, dict) and inside:
        key = draw(st.sampled_from(sorted(data)))
        rest = {other: value for other, value in data.items() if other != key}
        change = draw(st.sampled_from(["drop", "rename", "inside", "inside", "inside"]))
        if key in KEPT and change == "rename":
            change = "inside"
        changed = draw(mutated(data[key])) if change == "inside" else data[key]
        new = key if change == "inside" else draw(st.sampled_from([f"{key}s", key[:-1], "name"]))
        return rest if change == "drop" else {**rest, new: changed}
    if isinstance(data, list) and inside:
        index = draw(st.integers(0, len(data) - 1))
        return [*data[:index], draw(mutated(data[index])), *data[index + 1 :]]
    return draw(WRONG)


@settings(max_examples=75, suppress_health_check=FIXTURES)
@given(data=mutated(SECRET), flow=st.booleans(), end=st.sampled_from(["\n", "\r\n", "\r"]))
def test_errors_are_one_line_without_secrets(
    tmp_path: Path, case_settings: Settings, data: Any, flow: bool, end: str
) -> None:
    """Whatever one key or value becomes, the literal and the reference beside it stay secret."""
    text = yaml.safe_dump(data, default_flow_style=flow).replace("\n", end)
    path = tmp_path / "release.yaml"
    path.write_bytes(text.encode())
    environ = {**case_settings.environ, "MARKED": f"{MARK} behind"}
    given = replace(case_settings, environ=environ, masker=Masker())

    try:
        problems = read_manifest(load(path), given) and ()
    except ManifestError as error:
        problems = error.problems
    except PluginError as error:
        problems = ()
        assert MARK not in str(error)  # noqa: PT017 - either way of an end is fine

    lines = LINE.split(text)
    for problem in problems:
        assert MARK not in f"{problem}{problem.source}"
        assert str(problem).isprintable()
        assert 1 <= problem.line <= len(lines)
        assert 1 <= problem.column <= len(lines[problem.line - 1]) + 1


@given(parts=st.lists(st.tuples(TEXT.filter(lambda text: "$" not in text), TEXT)))
def test_escaped_text_round_trip(parts: list[tuple[str, str]]) -> None:
    """Every ``${`` with one more ``$`` before it comes out as it went in."""
    text = "".join(f"{before}${{{body}" for before, body in parts)
    escaped = "".join(
        f"{before}$${{{body}"
        for before, body in ((before, body.replace("${", "$${")) for before, body in parts)
    )
    table = Table(Sources({}, Path(), {}), {}, {})

    resolved = resolve(escaped, table)

    assert (resolved.value, resolved.errors) == (text, ())


@given(st.timedeltas(timedelta(0), timedelta(days=1000)))
def test_durations_in_each_unit_agree(span: timedelta) -> None:
    """Microseconds of a number of seconds survive."""
    total = span.total_seconds()

    assert seconds(f"{total:.6f}") == seconds(f"{total:.6f}s") == total
    assert seconds(f"{span // timedelta(milliseconds=1)}ms") == int(total * 1000 + 1e-6) / 1000


@given(st.integers(0, 10**14), st.sampled_from(["KiB", "MiB", "GiB", "TiB"]))
def test_sizes_in_each_unit_agree(number: int, unit: str) -> None:
    """However large, no byte is rounded away."""
    number_of_bytes = number * 1024 ** (["KiB", "MiB", "GiB", "TiB"].index(unit) + 1)

    assert size(f"{number}{unit}") == number_of_bytes
