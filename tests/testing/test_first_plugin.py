"""The page "Your first plugin" works as it is written, from nothing to a green test."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

PAGE = Path(__file__).parent.parent.parent / "docs/tutorial/first-plugin.md"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.DOTALL | re.MULTILINE)
END = "--- end of"
CHANGE = """python3 -c 'import pathlib, sys
name, old, new = sys.argv[1:]
path = pathlib.Path(name)
before = path.read_text()
assert before.count(old) == 1, old
path.write_text(before.replace(old, new))'"""


def script(blocks: list[tuple[str, str]], wheel: Path) -> str:
    """Return the page as lines of a shell; what a console block says ends with its number."""
    lines = []
    for number, (language, text) in enumerate(blocks):
        if language == "console":
            commands = text.replace("$ ", "").replace("spark-impex-runner", str(wheel))
            lines += [*commands.splitlines(), f"echo; echo '{END} {number}'"]
        elif language in {"python", "yaml"}:
            name = text.partition("\n")[0].removeprefix("# ")
            lines += [f"cat > {name} <<'FILE'", text + "FILE"]
        elif language == "diff":
            first, *change = text.splitlines()
            old, new = (line[1:] for line in change)
            words = (first.removeprefix("--- "), old, new)
            lines.append(f"{CHANGE} {' '.join(map(shlex.quote, words))}")
    return "\n".join(lines)


def plain(text: str) -> list[str]:
    """Return the lines of an output, without what differs from run to run."""
    text = re.sub(r"\d+\.\d+s", "N s", text)
    return [" ".join(line.replace("=", "").split()) for line in text.splitlines()]


def test_the_page_works_as_it_is_written(
    tmp_path: Path, runner_wheel: Path, variables: dict[str, str]
) -> None:
    """Each file is written, each command run, each output shown, in their order."""
    blocks = BLOCK.findall(PAGE.read_text(encoding="utf-8"))

    done = subprocess.run(
        ["bash", "-c", script(blocks, runner_wheel)],
        cwd=tmp_path,
        env=variables,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )

    compared = 0
    for number, (language, text) in enumerate(blocks):
        if language == "text":
            said = done.stdout.split(f"\n{END} {number - 1}\n")[0].split(END)[-1]
            assert set(plain(text)) <= set(plain(said)), done.stdout
            compared += 1
    assert compared == 4


def test_the_page_counts_its_steps() -> None:
    """What it says that it took is what stands there."""
    page = PAGE.read_text(encoding="utf-8")
    blocks = BLOCK.findall(page)
    of = {
        name: [text for language, text in blocks if language in languages]
        for name, languages in (
            ("commands", {"console"}),
            ("files", {"python", "yaml"}),
            ("changes", {"diff"}),
        )
    }
    commands = sum(text.count("$ ") for text in of["commands"])

    said = re.search(r"^(\d+) commands, (\d+) files and (\d+) change", page, re.MULTILINE)
    assert said
    assert [int(number) for number in said.groups()] == [
        commands,
        len(of["files"]),
        len(of["changes"]),
    ]
