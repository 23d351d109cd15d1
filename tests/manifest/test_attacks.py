"""Hostile files: each is refused with its own message, or read soon."""

from __future__ import annotations

import os
import threading
import time
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from spark_impex_runner.errors import ManifestError
from spark_impex_runner.manifest.build import read_manifest
from spark_impex_runner.manifest.references import MAX_FILE
from spark_impex_runner.manifest.yaml import load as loading
from spark_impex_runner.manifest.yaml.load import MAX_BYTES, NO_MAPPING, load

if TYPE_CHECKING:
    from collections.abc import Callable

    from spark_impex_runner.manifest.build import Settings
    from spark_impex_runner.models import Manifest

    Reader = Callable[..., Manifest]

HEAD = "version: 1\nconnections: {sit: {env: sit, tenant: acme}}\n"
PARSERS = [name for name in ("CSafeLoader", "SafeLoader") if hasattr(yaml, name)]
needs_pipes = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has no such pipes")


def problems(path: Path, settings: Settings) -> list[str]:
    """Return what is wrong with a manifest, without the file's name."""
    with pytest.raises(ManifestError) as caught:
        read_manifest(load(path), settings)
    return [str(problem).removeprefix(f"{path}:") for problem in caught.value.problems]


@pytest.fixture
def refusal(tmp_path: Path, settings: Settings) -> Callable[[str | bytes], str]:
    """Return the only problem of a text, without the file's name."""

    def refusal(text: str | bytes) -> str:
        path = tmp_path / "release.yaml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        [problem] = problems(path, settings)
        return problem

    return refusal


Refusal = "Callable[[str | bytes], str]"


@pytest.fixture(params=PARSERS)
def _each_parser(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Read by libyaml, and as on a machine that lacks it."""
    monkeypatch.setattr(loading, "_Loader", getattr(yaml, request.param))


@pytest.mark.usefixtures("_each_parser")
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{a: 1", "1:6: this is not YAML: a ',' or the closing '}' is missing before this"),
        ("a: 1\rb: [1", "2:6: this is not YAML: a ',' or the closing ']' is missing before this"),
        ("a: 1\rb: \x07", "2:4: a control character is not allowed in YAML; remove it"),
        ("ä: 1\u2028b: \0", "2:4: a control character is not allowed in YAML; remove it"),
        (b"a: 1\r\nb: \xff", "2:4: the text is not UTF-8; save the file as UTF-8"),
    ],
)
def test_error_has_position_in_file(refusal: Refusal, text: str | bytes, expected: str) -> None:
    """Whatever ends the lines, and whether or not the last one has an end."""
    assert refusal(text) == expected


@needs_pipes
def test_pipe_without_writer_is_empty(tmp_path: Path, settings: Settings) -> None:
    """It is refused, not waited for."""
    path = tmp_path / "release.yaml"
    os.mkfifo(path)

    assert problems(path, settings) == [f"1:1: {NO_MAPPING}"]


@needs_pipes
def test_pipe_is_read_to_its_end() -> None:
    """A manifest may be what another program writes, as a shell's <(program) has it."""
    reader, writer = os.pipe()

    def write() -> None:
        with os.fdopen(writer, "wb", buffering=0) as stream:
            stream.write(b"version: ")
            stream.write(b"1\n")

    thread = threading.Thread(target=write)
    thread.start()
    document = load(Path(f"/dev/fd/{reader}"))
    thread.join()
    os.close(reader)

    assert document.data == {"version": 1}


@needs_pipes
@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("pipe", "the secret behind this reference is empty"),
        ("/dev/zero", "the file '/dev/zero' is larger than 1 MiB"),
        ("large", "the file 'large' is larger than 1 MiB"),
        ("circle", f"cannot read the file 'circle': {os.strerror(40)}"),
    ],
)
def test_endless_file_is_no_value(tmp_path: Path, read: Reader, key: str, expected: str) -> None:
    """What a reference names is read up to a limit, and is not waited for."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "large").write_bytes(b"\xc3\xa4" * (MAX_FILE // 2 + 1))
    (tmp_path / "circle").symlink_to("circle")
    token = f"connections: {{sit: {{env: sit, tenant: a, auth: {{token: '${{file:{key}}}'}}}}}}"
    targets = "targets: [{name: a, folders: [life]}]"

    with pytest.raises(ManifestError) as caught:
        read(f"version: 1\n{token}\n{targets}\n")

    [problem] = caught.value.problems
    assert problem.message == expected


@pytest.mark.parametrize("number", ["1e999999", "9" * 5000, "1." + "9" * 5000, "-" + "9" * 301])
def test_huge_number_is_ambiguous(refusal: Refusal, number: str) -> None:
    """No digits become infinity, or take minutes."""
    target = f"targets: [{{name: a, folders: [life], max_retries: {number}}}]\n"

    assert "targets[0].max_retries: " in (found := refusal(HEAD + target))
    assert "a whole number" in found


@pytest.mark.parametrize("escape", ["\\ud800", "\\udfff\\ud800", "\\0", "\\x1b[31m", "\\u202e"])
def test_escapes_cannot_smuggle_characters(refusal: Refusal, escape: str) -> None:
    """What no file and no terminal should get is a mistake, or shown written out."""
    found = refusal(HEAD + f'targets: [{{name: "a{escape}", folders: [life]}}]\n')

    assert found.isprintable()
    found.encode()


@pytest.mark.usefixtures("_each_parser")
@pytest.mark.parametrize("text", ['a: "{}"', '"{}": 1', '? "{}"', '[["{}"]]'])
@pytest.mark.parametrize("escape", ["\\ud800", "\\ud83d\\ude00", "\\U00110000", "\\UFFFFFFFF"])
def test_escape_stands_for_a_character(refusal: Refusal, text: str, escape: str) -> None:
    """Halves of characters, and numbers of none, are refused with libyaml and without it."""
    found = refusal(
        "version: 1\nx: " + text.format(escape) if text[0] == "[" else text.format(escape)
    )

    assert found.endswith(
        "this is not YAML: an escape stands for no character; write the character itself"
    )


@cache
def shapes() -> dict[str, str]:
    """Return texts of nearly the largest size, each of one kind of very much."""
    half = MAX_BYTES // 2
    return {
        "one long line": f"a: {'x' * half}",
        "one long key": f"{'k' * 1000}: 1\n{'k' * 1023}",
        "very many keys": "".join(f"k{number}: 1\n" for number in range(10_000)),
        "very many values": f"a: [{'1,' * 30_000}1]",
        "very many brackets": f"a: {'[' * 30}{'],[' * 150_000}",
        "very many quotes": f"a: [{chr(34) * half}",
        "very many anchors": "a: [" + "".join(f"&a{n} 1," for n in range(30_000)) + "]",
        "very many aliases": "a: &a 1\nb: [" + "*a," * 30_000 + "]",
        "very many dollars": f"name: '{'${' * 50_000}'",
        "very many digits": f"a: {'9' * half}",
        "very many colons": f"a: {'1:' * 100_000}1",
        "very many blanks": f"a: 1{' ' * half}b: 2",
        "very many unknown keys": HEAD + "".join(f"target{n}: 1\n" for n in range(4_000)),
    }


@pytest.mark.parametrize("name", shapes())
def test_huge_input_ends_soon(tmp_path: Path, settings: Settings, name: str) -> None:
    """No pattern, hint or place costs more than a multiple of the text's length."""
    path = tmp_path / "release.yaml"
    path.write_text(shapes()[name])
    began = time.process_time()

    found = problems(path, settings)

    assert time.process_time() - began < 30
    assert all(len(problem) < 10_000 for problem in found)
