"""The streams of a command: who writes what, in which pieces, and what comes out."""

from __future__ import annotations

import io
import json
import logging
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spark_impex_runner.cli.masking_stream import MaskingStream
from spark_impex_runner.cli.streams import install
from spark_impex_runner.masking import Masker

SECRET = "s3cr+t/value&=1"
START = "import sys; from spark_impex_runner.cli.main import {0}; {0}()"


def stream_of(*secrets: str) -> tuple[MaskingStream, io.StringIO]:
    """Return a masking stream and what is target it."""
    masker, target = Masker(), io.StringIO()
    for secret in secrets:
        masker.add(secret)
    return MaskingStream(target, masker), target


def test_complete_lines_are_forwarded() -> None:
    """A secret may be written letter by letter."""
    stream, target = stream_of(SECRET)

    for letter in f"<{SECRET}>":
        stream.write(letter)
    assert target.getvalue() == ""
    stream.write("\nnext")

    assert target.getvalue() == "<***>\n"


def test_flush_keeps_partial_secrets() -> None:
    """A prompt is seen before the answer; half a secret is not."""
    stream, target = stream_of(SECRET)

    print("go on? ", end="", file=stream, flush=True)
    assert target.getvalue() == "go on? "
    for letter in SECRET:
        assert target.getvalue() == "go on? "
        print(letter, end="", file=stream, flush=True)
    print("!", file=stream)

    assert target.getvalue() == "go on? ***!\n"


def test_redirect_waits_for_writes() -> None:
    """The target before may be closed at once: no thread writes to it any more."""
    order: list[str] = []
    begun, may_end = threading.Event(), threading.Event()

    class Slow(io.StringIO):
        def write(self, text: str) -> int:
            begun.set()
            may_end.wait()
            order.append("written")
            return super().write(text)

    stream = MaskingStream(Slow(), Masker())

    def redirect() -> None:
        stream.redirect(io.StringIO()).close()
        order.append("redirected")

    threads = [threading.Thread(target=stream.write, args=("line\n",))]
    threads.append(threading.Thread(target=redirect))
    threads[0].start()
    begun.wait()
    threads[1].start()
    threads[1].join(0.05)  # without the lock it ends in this time
    may_end.set()
    for each in threads:
        each.join()

    assert (order, stream.failure) == (["written", "redirected"], "")


@given(st.lists(st.sampled_from(["x", "se", "cr", "ets", "and", "more", "\n", " "])), st.data())
def test_split_secrets_stay_masked(pieces: list[str], data: Any) -> None:
    """Secrets that overlap, of several lines, in any pieces; the rest is as it was written."""
    secrets = ("secrets", "crets\nand", "etsandmore")
    stream, target = stream_of(*secrets)

    for piece in pieces:
        stream.write(piece)
        if data.draw(st.booleans()):
            stream.flush()
    stream.finish()

    shown = target.getvalue()
    assert all(secret not in shown for secret in secrets)
    if "***" not in shown:
        assert shown == "".join(pieces)


def test_long_line_takes_linear_time() -> None:
    """A megabyte of dots, and of one text at once: only its end can be a secret's beginning."""
    stream, target = stream_of(SECRET)

    for _ in range(100_000):
        stream.write("..........")
    stream.flush()

    assert len(target.getvalue()) == 1_000_000


def test_multiline_secret_stays_masked() -> None:
    """``print`` writes the text and the end of the line one after the other."""
    stream, target = stream_of("first line\nab")

    print("first line\nab", file=stream)

    assert target.getvalue() == "***\n"


def test_bytes_are_masked_like_text() -> None:
    """``sys.stdout.buffer`` is no way around."""
    stream, target = stream_of("sécret-ö")

    for byte in "sécret-ö\n".encode():
        stream.buffer.write(bytes([byte]))
    stream.buffer.write(b"\xff\n")

    assert target.getvalue() == "***\n\\xff\n"


def test_a_plugin_cannot_close_the_streams() -> None:
    """What comes after it is still said; and the end of the stream closes nothing target."""
    stream, target = stream_of(SECRET)

    stream.buffer.close()
    stream.close()
    print(SECRET, file=stream)
    stream.buffer.write(b"more\n")
    del stream

    assert target.getvalue() == "***\nmore\n"


def test_documents_are_not_masked_again() -> None:
    """They begin a line of their own, and no short secret spoils their syntax."""
    stream, target = stream_of('"')

    stream.write("half a line")
    stream.flush()
    stream.document('{"a": 1}')

    assert target.getvalue() == 'half a line\n{"a": 1}\n'


def test_stream_has_target_attributes() -> None:
    """Terminal, file descriptor, encoding: whoever asks must not notice the difference."""
    with open(os.devnull, "w", encoding="latin-1", errors="replace") as target:  # noqa: PTH123
        stream = MaskingStream(target, Masker())

        assert stream.isatty() is target.isatty()
        assert stream.fileno() == target.fileno()
        assert (stream.encoding, stream.errors) == ("latin-1", "replace")
        assert stream.name == os.devnull
        assert stream.writable()
        assert stream.buffer.writable()


def test_streams_and_loggers_are_restored(shell: Any) -> None:
    """Whoever calls a command from Python gets back what it had."""
    root = logging.getLogger()
    before = (sys.stdout, sys.stderr, list(root.handlers), root.level)

    shell("impex", "plugins")

    assert (sys.stdout, sys.stderr, list(root.handlers), root.level) == before


def test_finish_writes_last_line(capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing that was written is lost, even without an end of the line."""
    masker = Masker()
    masker.add(SECRET)
    with install(masker).undo:
        sys.stdout.write(f"no end {SECRET[:5]}")

    assert capsys.readouterr().out == f"no end {SECRET[:5]}"


def test_foreign_characters_are_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    """What moves a cursor, reverses a text or breaks a line is written out; letters are kept."""
    odd = "a\x1b[2J\x9b1m\r\x07\u202e\u2066\u2028\ufeff\ud800b \u3000\u65e5\xe9\tc"
    with install(Masker()).undo:
        sys.stderr.write(f"{odd}\n")

    escaped = "a\\x1b[2J\\x9b1m\\r\\x07\\u202e\\u2066\\u2028\\ufeff\\ud800b \u3000\u65e5\xe9\tc"
    assert capsys.readouterr().err == f"{escaped}\n"


def test_only_our_own_text_has_colours() -> None:
    """A styled line keeps colours and nothing else that begins with an escape."""
    stream, target = stream_of(SECRET)

    stream.styled(f"\x1b[31merror:\x1b[0m {SECRET} \x1b[2J\x1b]0;title\x07")
    stream.write("\x1b[31mred\n")

    assert target.getvalue() == (
        "\x1b[31merror:\x1b[0m *** \\x1b[2J\\x1b]0;title\\x07\n\\x1b[31mred\n"
    )


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8", "utf-16"])
def test_encodings_decide_about_no_result(encoding: str) -> None:
    """Text for people is escaped where it must be; a document is UTF-8 in any case."""
    raw = io.BytesIO()
    target = io.TextIOWrapper(raw, encoding=encoding)
    stream = MaskingStream(target, Masker())

    stream.write("\u65e5\n")
    text = raw.getvalue().decode(encoding)
    stream.document("\u65e5\ud800")

    assert text in {"\u65e5\n", "\\u65e5\n"}
    assert raw.getvalue().endswith("\u65e5\\ud800\n".encode())
    assert not stream.failure


def test_each_line_takes_the_form() -> None:
    """Pieces become lines first; empty ones and half ones have no form, but the last one has."""
    stream, target = stream_of(SECRET)
    stream.line_format = lambda line: f"<{line}>"

    print("one", SECRET, end="\n\n", file=stream)
    print("tw", end="", file=stream, flush=True)
    print("o", file=stream)
    stream.write("three")
    stream.finish()

    assert target.getvalue() == "<one ***>\n<two>\n<three>\n"


def test_github_commands_are_escaped(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A tenant's words cannot set a variable of the workflow; our annotations are as they were."""
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    streams = install(Masker())
    with streams.undo:
        print("  ::error::x\na::b ##[group]x", file=streams.err)
        streams.out.document("::error::ours")

    captured = capsys.readouterr()
    assert captured.err == "  %3A:error::x\na::b #%23[group]x\n"
    assert captured.out == "::error::ours\n"


PRINTS = """
import os, subprocess, sys
print("printed")
os.write(1, b"written\\n")
sys.__stdout__.write("original\\n")
sys.__stdout__.flush()
subprocess.run([sys.executable, "-c", "print('spawned')"])
"""


def test_only_the_command_writes_its_result(shell: Any, start: Any) -> None:
    """Whatever else writes to stdout, by whatever way, comes out on stderr."""
    shell.write("  - {name: pricing, services: ['motor/pricing[1.4.2]']}\n")
    (shell.folder / "noisy.py").write_text(PRINTS)
    args = ["validate", "m.yaml", "--format", "json", "-p", "noisy.py"]

    out, err = start("-c", START.format("main"), *args, cwd=shell.folder).communicate()

    assert json.loads(out)["valid"] is True
    assert {*err.split()} == {"printed", "written", "original", "spawned"}


@pytest.mark.skipif(sys.platform == "win32", reason="the shell closes the stream")
def test_a_command_runs_without_streams(shell: Any) -> None:
    """A daemon may have closed them."""
    command = ["bash", "-c", 'exec "$@" >&- 2>&-', "-", sys.executable, "-c"]

    done = subprocess.run(
        [*command, START.format("main"), "plugins"], cwd=shell.folder, check=False
    )

    assert done.returncode == 0


@pytest.mark.parametrize("gone", ["stdout", "stderr"])
def test_closed_pipe_is_ignored(shell: Any, start: Any, gone: str) -> None:
    """Neither ``| head -0`` nor a log collector that died ends a run or its exit code."""
    shell.write("  - {name: pricing, services: ['motor/pricing[1.4.2]']}\n")
    process = start("-c", START.format("run"), "m.yaml", cwd=shell.folder)
    getattr(process, gone).close()
    out, err = process.communicate()
    output = err if gone == "stdout" else out

    assert process.returncode == 0
    assert output
    assert "Traceback" not in output


def test_full_disk_fails_command(tmp_path: Path, start: Any) -> None:
    """A result that went nowhere ends in one line and exit code 4."""
    (tmp_path / "tenant").mkdir()
    (tmp_path / "m.yaml").write_text(
        "version: 1\nconnections: {s: {sandbox: tenant}}\ntargets: [{name: a, folders: [x]}]\n"
    )
    code = "from spark_impex_runner.cli.main import main; main()"
    with Path("/dev/full").open("w") as full:
        process = start("-c", code, "validate", "m.yaml", cwd=tmp_path, stdout=full)
        _, output = process.communicate()

    assert process.returncode == 4
    assert output == "error: cannot write the result: No space left on device\n"
