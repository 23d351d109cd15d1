from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spark_impex_runner.errors import ErrorReply, ManifestError, PluginError, UnauthorizedError
from spark_impex_runner.hooks.registry import Source
from spark_impex_runner.manifest.references import (
    Sources,
    Table,
    UnresolvedText,
    Value,
    refers_outside,
    resolve,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from spark_impex_runner.models import Manifest

    Reader = Callable[..., Manifest]


@pytest.fixture
def table(tmp_path: Path) -> Table:
    """Return a table with one name of each kind."""
    sources = Sources({"HOME": "/home/me"}, tmp_path, {})
    variables = {"tries": Value(5, "5"), "version": Value(1.1, "1.10")}
    return Table(sources, {"run.id": Value("r1", "r1")}, variables)


@given(text=st.text().filter(lambda text: "${" not in text))
def test_plain_text_is_unchanged(text: str) -> None:
    """Resolving is the identity on everything without ``${``, dollars and braces included."""
    assert resolve(text, Table(None, {}, {})).value == text  # type: ignore[arg-type]


@given(before=st.text(), after=st.text())
def test_escape_is_never_a_reference(before: str, after: str) -> None:
    """``$${`` is ``${`` in the result, wherever it stands."""
    before, after = before.replace("$", ""), after.replace("$", "")
    table = Table(None, {}, {})  # type: ignore[arg-type]

    assert resolve(f"{before}$${{{after}", table).value == f"{before}${{{after}"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("${var:tries}", 5),
        ("${var:tries} times", "5 times"),
        ("pricing[${var:version}]", "pricing[1.10]"),
        ("${run.id}/${env:HOME}", "r1//home/me"),
        ("$$${var:tries}", "$${var:tries}"),
        ("${env:HOME}", "/home/me"),
    ],
)
def test_references_are_replaced(table: Table, text: str, expected: Any) -> None:
    """A whole reference keeps its type; inside text a value has the spelling that it had."""
    resolved = resolve(text, table)

    assert resolved.value == expected
    assert resolved.errors == ()


def test_all_errors_of_a_text_are_found(table: Table) -> None:
    """The first undefined reference does not hide the second."""
    resolved = resolve("${env:A} ${var:trise} ${", table)

    assert resolved.errors == (
        "the environment variable 'A' is not set",
        "the variable 'trise' is not defined (did you mean 'tries'?)",
        "'${' has no end; write $${ for the text itself",
    )


def test_file_loses_its_last_newline(tmp_path: Path, table: Table) -> None:
    """One line ending is the editor's; what stands before it belongs to the value."""
    (tmp_path / "unix").write_bytes(b"secret \n\n")
    (tmp_path / "windows").write_bytes(b"secret\r\n")

    assert resolve("${file:unix}", table).value == "secret \n"
    assert resolve("${file:windows}", table).value == "secret"
    assert resolve(f"${{file:{tmp_path}/windows}}", table).value == "secret"


def test_binary_file_is_named(tmp_path: Path, table: Table) -> None:
    """Folders and bytes are no values."""
    (tmp_path / "bytes").write_bytes(b"\xff")

    assert resolve("${file:bytes}", table).errors == ("the file 'bytes' is not UTF-8 text",)
    assert resolve("${file:.}", table).errors == ("cannot read the file '.': Is a directory",)


@pytest.mark.parametrize(
    ("text", "outside"),
    [
        ("${env:X}", True),
        ("Bearer ${file:/x}", False),
        ("${vault:x}", True),
        ("${var:x}", False),
        ("${matrix.x}", False),
        ("$${env:X}", False),
        ("hunter2", False),
        (5, False),
    ],
)
def test_outside_references_are_recognised(text: Any, outside: bool) -> None:
    """Variables, literals and the names of the run hold nothing that can be kept secret."""
    assert refers_outside(text) is outside


def test_source_is_read_once_per_key(tmp_path: Path) -> None:
    """A vault that counts requests sees one, however often a value is used."""
    asked: list[str] = []

    def read(key: str) -> str:
        asked.append(key)
        return "x"

    table = Table(Sources({}, tmp_path, {"v": Source("v", "", "p", read)}), {}, {})

    assert resolve("${v:a}${v:a}${v:b}", table).value == "xxx"
    assert asked == ["a", "b"]


@pytest.mark.parametrize("answer", [ZeroDivisionError("hunter2"), 5, None])
def test_broken_source_names_its_plugin(tmp_path: Path, answer: Any) -> None:
    """The error names the source's plugin, but never shows the source's own message."""

    def read(_: str) -> Any:
        if isinstance(answer, Exception):
            raise answer
        return answer

    table = Table(Sources({}, tmp_path, {"v": Source("v", "", "impex-v", read)}), {}, {})

    with pytest.raises(PluginError, match=r"^plugin impex-v: the source 'v'") as caught:
        resolve("${v:a}", table)
    assert "hunter2" not in str(caught.value)


@pytest.fixture
def kept() -> list[str]:
    """Return where secret values are gathered."""
    return []


@pytest.fixture
def vault(tmp_path: Path, kept: list[str]) -> Callable[..., Table]:
    """Make tables with a secret source, which knows the keys but ``scalar``."""

    def make(*, asks: bool) -> Table:
        def check(key: str) -> str:
            return "write a#b" if key == "odd" else ""

        def read(key: str) -> str:
            return f"value of {key}"

        source = Source("v", "", "p", read, secret=True, check=check)
        sources = Sources({}, tmp_path, {"v": source}, keep=kept.append, asks=asks)
        return Table(sources, {"run.id": Value("${r1", "${r1")}, {"var": sources.value("v", "x")})

    return make


def test_secret_source_values_are_masked(vault: Callable[..., Table], kept: list[str]) -> None:
    """Wherever the reference stands, in a longer text, too."""
    assert resolve("see ${v:a}", vault(asks=True)).value == "see value of a"
    assert kept == ["value of x", "value of a"]


@pytest.mark.parametrize(
    ("text", "stays"),
    [
        ("${v:a}", "${v:a}"),
        ("${var:var}", "${v:x}"),
        ("by ${v:a} in ${run.id}", "by ${v:a} in $${r1"),
        ("$${ ${var:var} $${", "$${ ${v:x} $${"),
    ],
)
def test_unread_secret_keeps_its_reference(
    vault: Callable[..., Table], kept: list[str], text: str, stays: str
) -> None:
    """Text around it is written so that it would be read as it was."""
    resolved = resolve(text, vault(asks=False))

    assert isinstance(resolved.value, UnresolvedText)
    assert resolved.value == stays
    assert kept == []


@pytest.mark.parametrize("asks", [True, False])
def test_invalid_key_is_found_without_reading(vault: Callable[..., Table], asks: bool) -> None:
    """The source says itself how its keys are written."""
    assert resolve("${v:odd}", vault(asks=asks)).errors == ("${v:odd}: write a#b",)


def test_own_errors_pass_a_source(tmp_path: Path) -> None:
    """A source may say itself what went wrong, with the exit code that belongs to it."""

    def read(_: str) -> str:
        raise UnauthorizedError("the vault refused the token", ErrorReply(401))

    table = Table(Sources({}, tmp_path, {"v": Source("v", "", "impex-v", read)}), {}, {})

    with pytest.raises(UnauthorizedError):
        resolve("${v:a}", table)


def test_line_break_stays_in_one_message_line(read: Reader) -> None:
    """A problem is one line, whatever the value was."""
    with pytest.raises(ManifestError) as caught:
        read('version: 1\nconnections: {a: {}}\ntargets: [{name: a, folders: ["${env:A\\nB}"]}]')

    assert len(str(caught.value).splitlines()) == 1
