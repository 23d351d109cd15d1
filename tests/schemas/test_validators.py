"""Validators that know nothing of the runner judge by its schemas as it does."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import check_jsonschema
import pytest
import yaml
from click.testing import CliRunner

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parent.parent.parent
CASES = ROOT / "tests/manifests"
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/*.md")])
EXAMPLES = sorted(ROOT.glob("examples/*.yaml"))
VALID = sorted([*CASES.glob("valid/*.yaml"), *CASES.glob("built-in/valid/*.yaml")])
OVERLAYS = sorted([*CASES.glob("overlay/valid/*.yaml"), *CASES.glob("valid/parts/*.yaml")])
# What a schema can see; the rest is found by the loader only.
INVALID = sorted(
    CASES / f"invalid/{name}.yaml"
    for name in [
        "bad-connection-name",
        "bad-variable-name",
        "connections-as-list",
        "duplicate-key",
        "empty-matrix",
        "empty-name",
        "duration-without-known-unit",
        "literal-client-secret",
        "literal-secret-in-step",
        "literal-token",
        "misspelt-step-option",
        "misspelt-target-key",
        "misspelt-top-key",
        "misspelt-value",
        "no-connections",
        "no-targets",
        "no-version",
        "null-value",
        "number-too-small",
        "number-where-text",
        "plain-text-target",
        "step-needs-options",
        "step-option-beside-with",
        "step-option-wrong",
        "strategy-option-of-another",
        "target-without-name",
        "text-where-list",
        "unknown-step",
        "unknown-strategy",
        "version-as-text",
        "wrong-default",
    ]
)
# A block in YAML that is another program's says so in its first line.
FOREIGN = (
    "# GitHub Actions",
    "# GitLab CI",
    "# .pre-commit-config.yaml",
    "# docker compose",
    "# Kubernetes",
)

# One that shows mistakes has this name; what is said of them is compared in test_docs.py.
WRONG = "# typo.yaml"


def refused(schema: Path, files: list[Path]) -> set[str]:
    """Return the names of those files that check-jsonschema refuses."""
    options = ["--schemafile", str(schema), "--output-format", "JSON"]
    done = CliRunner().invoke(check_jsonschema.main, [*options, *map(str, files)])
    assert done.exit_code in {0, 1}, done.output
    if done.exit_code == 0:
        return set()
    found = json.loads(done.stdout)
    return {Path(each["filename"]).name for each in found["errors"] + found["parse_errors"]}


class Modern(yaml.SafeLoader):
    """Reads the key ``on`` as text, as all do but YAML 1.1."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - PyYAML's own attribute
        first: found
        for first, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
        if first not in "oO"
    }


def blocks() -> Iterator[tuple[str, str]]:
    """Yield each block of YAML that a page shows, with a name for it.

    That of the first plugin uses its own step; tests/testing/test_first_plugin.py runs all of it.
    """
    for page in PAGES:
        if page.name == "first-plugin.md":
            continue
        text = page.read_text(encoding="utf-8")
        found = re.findall(r"^( *)```ya?ml\n(.*?)^ *```", text, re.DOTALL | re.MULTILINE)
        for number, (_, block) in enumerate(found):
            if not block.startswith((*FOREIGN, WRONG)):
                yield f"{'-'.join(page.relative_to(ROOT).parts)}-{number}.yaml", block


def part(data: Any) -> Any:
    """Return a fragment as a part of a manifest: a list is one of targets or of steps."""
    if not isinstance(data, list):
        return data
    if all("uses" in item for item in data):
        return {"defaults": {"steps": data}}
    return {"targets": data}


@pytest.mark.parametrize("schema", ["manifest", "all-manifest"])
def test_examples_and_valid_cases_pass(printed: Path, schema: str) -> None:
    """With the published schema, and with that of the installed plugins."""
    assert len(EXAMPLES) >= 8
    assert len(VALID) >= 7

    assert refused(printed / f"{schema}.schema.json", [*EXAMPLES, *VALID]) == set()


@pytest.mark.parametrize("schema", ["overlay", "all-overlay"])
def test_overlays_and_included_files_pass(printed: Path, schema: str) -> None:
    """So does every whole manifest, for it may be included."""
    assert len(OVERLAYS) >= 5

    assert refused(printed / f"{schema}.schema.json", [*OVERLAYS, *EXAMPLES, *VALID]) == set()


def test_what_a_schema_can_see_is_refused(printed: Path) -> None:
    """Every file that breaks a rule of the schema, and every wrong overlay."""
    overlays = sorted(CASES.glob("overlay/invalid/*.yaml"))
    assert len(overlays) >= 7

    manifests = refused(printed / "all-manifest.schema.json", INVALID)

    assert manifests == {path.name for path in INVALID}
    assert refused(printed / "all-overlay.schema.json", overlays) == {p.name for p in overlays}


def test_every_block_that_a_page_shows_passes(printed: Path, tmp_path: Path) -> None:
    """Whole manifests by the manifest's schema, fragments by that of overlays."""
    wholes, parts = [], []
    for name, block in blocks():
        data = yaml.load(block, Modern)  # noqa: S506 - it is a SafeLoader
        whole = isinstance(data, dict) and "version" in data and "targets" in data
        (wholes if whole else parts).append(tmp_path / name)
        (tmp_path / name).write_text(yaml.safe_dump(part(data)), encoding="utf-8")

    assert len(wholes) >= 5
    assert len(parts) >= 1
    assert refused(printed / "all-manifest.schema.json", wholes) == set()
    assert refused(printed / "all-overlay.schema.json", parts) == set()


def test_the_schemas_are_schemas(printed: Path) -> None:
    """Published or composed, they are valid by the draft that they name."""
    files = [str(path) for path in sorted(printed.glob("*.schema.json"))]

    done = CliRunner().invoke(check_jsonschema.main, ["--check-metaschema", *files])

    assert len(files) == 4
    assert done.exit_code == 0, done.output
