"""The workflows for CI systems fit the schemas that editors check them with."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import check_jsonschema
import pytest
from click.testing import CliRunner

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parent.parent.parent
WORKFLOW = ROOT / "examples/github/workflow.yml"
SCHEMAS = {"# GitHub Actions": "vendor.github-workflows", "# GitLab CI": "vendor.gitlab-ci"}


def blocks() -> Iterator[tuple[str, str]]:
    """Yield each workflow that a page shows, with the name of its schema."""
    for page in sorted(ROOT.glob("docs/**/*.md")):
        for block in re.findall(r"^```yaml\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE):
            for head, schema in SCHEMAS.items():
                if block.startswith(head):
                    yield schema, block


def problems(schema: str, path: Path) -> str:
    """Return what check-jsonschema finds in a file."""
    done = CliRunner().invoke(check_jsonschema.main, ["--builtin-schema", schema, str(path)])
    return done.output if done.exit_code else ""


@pytest.mark.parametrize(("schema", "block"), list(blocks()))
def test_workflows_of_pages_fit_the_schema(tmp_path: Path, schema: str, block: str) -> None:
    """Each as a whole, as the page shows it."""
    (tmp_path / "workflow.yml").write_text(block)

    assert problems(schema, tmp_path / "workflow.yml") == ""


def test_misspelt_key_is_found(tmp_path: Path) -> None:
    """The check is one."""
    text = WORKFLOW.read_text().replace("timeout-minutes", "timeout-minute")
    (tmp_path / "workflow.yml").write_text(text)

    assert "timeout-minute" in problems(SCHEMAS["# GitHub Actions"], tmp_path / "workflow.yml")


def test_page_shows_the_example() -> None:
    """The workflow of the page on CI is the file that a test runs."""
    assert ("vendor.github-workflows", WORKFLOW.read_text()) in blocks()


def test_no_page_recommends_a_cached_state() -> None:
    """Neither a cache nor an artifact holds the state."""
    pages = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/**/*.y*ml")]

    for page in pages:
        assert not re.search(r"actions/cache|path: \.impex|paths: \[?\.impex", page.read_text())
