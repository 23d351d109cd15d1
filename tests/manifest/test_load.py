from __future__ import annotations

import gc
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from textwrap import dedent
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from spark_impex_runner.errors import ManifestError
from spark_impex_runner.manifest.yaml import load as loading
from spark_impex_runner.manifest.yaml.document import AmbiguousScalar
from spark_impex_runner.manifest.yaml.load import MAX_BYTES, MAX_DEPTH, load

YAML_LIKE = st.text(
    st.sampled_from(list("abc:- \n\t[]{}#&*!|>'\"%@`,?<.0123456789_~\\\x00\x85\u2028\ufeff$"))
)

CASES = sorted((Path(__file__).parent.parent / "manifests").glob("*/*.yaml"))
both_parsers = pytest.mark.skipif(not yaml.__with_libyaml__, reason="PyYAML has no libyaml here")


@pytest.fixture(params=["CSafeLoader", "SafeLoader"])
def _each_parser(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Read by libyaml, and as on a machine that lacks it."""
    if not hasattr(yaml, request.param):
        pytest.skip("PyYAML has no libyaml here")
    monkeypatch.setattr(loading, "_Loader", getattr(yaml, request.param))


def outcome(path: Path, parser: Any) -> Any:
    """Return what one parser makes of a file: the data and every position, or the refusal."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loading, "_Loader", parser)
        try:
            document = load(path)
        except ManifestError as error:
            return str(error)
    # Where a value that is not there stands, one parser says before a blank, the other behind it.
    there = {path: position for path, position in document.positions.items() if position.text != ""}
    return document.data, there


def refusal(path: Path) -> str:
    """Return the only problem of a file that cannot be loaded, without the file's name."""
    with pytest.raises(ManifestError) as caught:
        load(path)
    [problem] = caught.value.problems
    return str(problem).removeprefix(f"{path}:")


@given(st.one_of(st.binary(max_size=60), st.text(max_size=60), YAML_LIKE))
def test_any_bytes_load_or_raise(content: bytes | str) -> None:
    """Whatever a file holds, no other error comes out."""
    data = content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass")
    with TemporaryDirectory() as folder:
        path = Path(folder) / "release.yaml"
        path.write_bytes(data)

        with suppress(ManifestError):
            assert isinstance(load(path).data, dict)


def test_libyaml_is_used_if_present() -> None:
    """The parser in C takes the place of the one in Python."""
    assert loading._Loader is getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@both_parsers
@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_parsers_report_the_same_errors(path: Path) -> None:
    """An error has the same message and position with libyaml and without it."""
    assert outcome(path, yaml.CSafeLoader) == outcome(path, yaml.SafeLoader)


@both_parsers
@given(st.lists(st.sampled_from(["a: ", "- ", "\n", "  ", "[", "]", "{", "}", ", ", "x", "1.10"])))
def test_parsers_read_the_same_data(pieces: list[str]) -> None:
    """No text means one thing with libyaml and another, or stands elsewhere, without it."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "release.yaml"
        path.write_text("a: 1\nb: " + "".join(pieces))
        one, other = outcome(path, yaml.CSafeLoader), outcome(path, yaml.SafeLoader)

    assert one == other or isinstance(one, str) or isinstance(other, str)


@pytest.mark.parametrize("enabled", [True, False])
@pytest.mark.parametrize("text", ["a: 1\n", "{"])
def test_garbage_collector_is_off_while_reading(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, *, enabled: bool
) -> None:
    """Whether that works out or not, it is as before afterwards."""
    path = tmp_path / "release.yaml"
    path.write_text(text)
    meanwhile: list[bool] = []
    read = loading._read

    def watched(path: Path, label: str) -> str:
        meanwhile.append(gc.isenabled())
        return read(path, label)

    monkeypatch.setattr(loading, "_read", watched)
    (gc.enable if enabled else gc.disable)()
    with suppress(ManifestError):
        load(path)
    after = gc.isenabled()
    gc.enable()

    assert (meanwhile, after) == ([False], enabled)


def test_every_value_has_a_position(tmp_path: Path) -> None:
    """Values and keys have their own positions, and scalars their spelling."""
    path = tmp_path / "release.yaml"
    path.write_text("version: 1\ntargets:\n  - name: motor\n    folders: [life, 1.10]\n")

    document = load(path)

    assert document.line_and_column(("targets", 0, "name")) == (3, 11)
    assert document.line_and_column(("targets", 0, "name"), at_key=True) == (3, 5)
    assert document.line_and_column(("targets", 0, "folders", 1)) == (4, 21)
    assert document.text(("targets", 0, "folders", 1)) == "1.10"


def test_scalars_follow_yaml_1_2(tmp_path: Path) -> None:
    """Decimal numbers and booleans are read; what only YAML 1.1 turns into a number is kept."""
    path = tmp_path / "release.yaml"
    path.write_text(
        dedent("""
        plain: [motor, 12, -3, 1.5, true, no, null, 1e3, "1:30"]
        odd: [1:30, 2026-08-01, 0x1F, 010, 1_000, .inf, 2001-12-14t21:59:43.10-05:00]
        """)
    )

    data = load(path).data

    assert data["plain"] == ["motor", 12, -3, 1.5, True, False, None, "1e3", "1:30"]
    assert all(isinstance(value, AmbiguousScalar) for value in data["odd"])
    assert data["odd"][0].reading == "the number 90, counting in sixties"


def test_alias_is_its_anchors_value(tmp_path: Path) -> None:
    """Anchors work, and a value under an alias is found where it is written."""
    path = tmp_path / "release.yaml"
    path.write_text("x-steps: &steps [{uses: checksum}]\nsteps: *steps\n")

    document = load(path)

    assert document.data["steps"] == [{"uses": "checksum"}]
    assert document.line_and_column(("steps", 0, "uses")) == (1, 25)


def test_alias_bomb_is_refused(tmp_path: Path) -> None:
    """Few bytes that unfold to very many values end the reading early."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    path = tmp_path / "release.yaml"
    path.write_text("\n".join(lines))

    assert refusal(path).endswith("aliases unfold to more than 500000 values")


def test_depth_by_aliases_is_refused(tmp_path: Path) -> None:
    """A chain of aliases cannot nest deeper than the text could."""
    lines = ["a0: &a0 [x]"] + [f"a{n}: &a{n} [*a{n - 1}]" for n in range(1, MAX_DEPTH + 5)]
    path = tmp_path / "release.yaml"
    path.write_text("\n".join(lines))

    assert refusal(path).endswith(f"aliases nest more than {MAX_DEPTH} deep")


@pytest.mark.usefixtures("_each_parser")
@pytest.mark.parametrize("opening", ["[", "{a: ", "- "])
def test_deep_nesting_is_refused_early(tmp_path: Path, opening: str) -> None:
    """Nesting far beyond any manifest is refused, not recursed into."""
    path = tmp_path / "release.yaml"
    path.write_text(opening * 100_000)

    assert f"values are nested more than {MAX_DEPTH} deep" in refusal(path)


def test_huge_file_is_refused(tmp_path: Path) -> None:
    """A file over the limit is not parsed."""
    path = tmp_path / "release.yaml"
    path.write_bytes(b"#" * (MAX_BYTES + 1))

    assert refusal(path) == "1:1: the manifest is larger than 8 MiB"


def test_missing_file_and_folder_are_refused(tmp_path: Path) -> None:
    """What cannot be read is named with the system's reason and the nearest file."""
    (tmp_path / "release.yaml").touch()
    reason = "1:1: cannot read the manifest: No such file or directory"
    assert refusal(tmp_path / "none.yaml") == reason
    assert refusal(tmp_path / "leap.yaml") == reason
    assert refusal(tmp_path / "releas.yml") == f"{reason} (did you mean 'release.yaml'?)"
    assert refusal(tmp_path / "nowhere/m.yaml") == reason
    assert refusal(tmp_path) == "1:1: cannot read the manifest: Is a directory; give a file in it"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"a: 1\nb: \xff", "2:4: the text is not UTF-8; save the file as UTF-8"),
        ("a: 1".encode("utf-16"), "1:1: the text is not UTF-8; save the file as UTF-8"),
        (b"a: 1\nb: \x07", "2:4: a control character is not allowed in YAML; remove it"),
    ],
)
def test_binary_content_is_refused(tmp_path: Path, content: bytes, expected: str) -> None:
    """Wrong encodings, control characters and keys that are not text are pointed at."""
    path = tmp_path / "release.yaml"
    path.write_bytes(content)

    assert refusal(path) == expected


def test_the_key_on_needs_no_quotes(tmp_path: Path) -> None:
    """It is one of ours, and text for every YAML but 1.1; as a value it is the boolean."""
    path = tmp_path / "release.yaml"
    path.write_text("a: {on: [on]}\n")

    document = load(path)

    assert (document.data, document.problems) == ({"a": {"on": [True]}}, ())


def test_invalid_keys_leave_the_rest_readable(tmp_path: Path) -> None:
    """All of them are noted, in file order, and every other value is there."""
    path = tmp_path / "release.yaml"
    path.write_text("yes: 1\na: 2\na: 3\n<<: {b: 4}\n? [c, d]\n: 5\ne: 6\n")

    document = load(path)

    assert document.data == {"yes": 1, "a": 2, "e": 6}
    assert [str(problem).removeprefix(f"{path}:") for problem in document.problems] == [
        "1:1: a key must be text, but YAML reads 'yes' as something else: quote it",
        "3:1: the key 'a' is already in line 2; remove one of them",
        "4:1: merge keys (<<) are not supported; use 'defaults' or repeat the keys",
        "5:3: a key must be text, not a list or a mapping",
    ]


def test_byte_order_mark_is_accepted(tmp_path: Path) -> None:
    """Files from Windows editors load."""
    path = tmp_path / "release.yaml"
    path.write_bytes(b"\xef\xbb\xbfversion: 1\r\n")

    assert load(path).data == {"version": 1}


def test_value_of_invalid_key_is_hidden(tmp_path: Path) -> None:
    """It is no part of the data, so that nobody can tell whether it is a secret."""
    path = tmp_path / "release.yaml"
    path.write_text("a: 1\na: hunter2\nyes: hunter2\n? [b]\n: hunter2\n")

    problems = load(path).problems

    assert [problem.source for problem in problems] == ["a: ***", "yes: ***", "? [b]"]
