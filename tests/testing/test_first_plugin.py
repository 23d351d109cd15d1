"""The page "Your first plugin" works as it is written, from nothing to a green test."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

PAGE = Path(__file__).parent.parent.parent / "docs/tutorial/first-plugin.md"
COUNTS = r"^(\d+) commands, (\d+) files and (\d+) change"


def plain(text: str) -> list[str]:
    """Return the lines of an output, without what differs from run to run."""
    text = re.sub(r"\d+\.\d+s", "N s", text)
    return [" ".join(line.replace("=", "").split()) for line in text.splitlines()]


def test_the_page_works_as_it_is_written(page: Any) -> None:
    """Each file is written, each command run, each output shown, in their order."""
    compared = 0
    for number, (language, text) in enumerate(page.blocks):
        if language == "text":
            assert set(plain(text)) <= set(plain(page.printed(number - 1))), page.output
            compared += 1
    assert compared == 4


def test_the_page_counts_its_steps(page: Any) -> None:
    """What it says that it took is what stands there."""
    of = {
        name: [text for language, text in page.blocks if language in languages]
        for name, languages in (
            ("commands", {"console"}),
            ("files", {"python", "yaml"}),
            ("changes", {"diff"}),
        )
    }
    commands = sum(text.count("$ ") for text in of["commands"])

    said = re.search(COUNTS, PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert said
    assert [int(number) for number in said.groups()] == [
        commands,
        len(of["files"]),
        len(of["changes"]),
    ]
