"""A real language server completes, explains and checks a manifest by our schema."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from spark_impex_runner.manifest.schema.compose import published

ROOT = Path(__file__).parent.parent
CASES = ROOT / "manifests"
VALID = sorted(
    path
    for pattern in ("tests/manifests/valid/*", "tests/manifests/built-in/valid/*", "examples/*")
    for path in ROOT.parent.glob(f"{pattern}.yaml")
)
OVERLAYS = sorted([*CASES.glob("overlay/valid/*.yaml"), *CASES.glob("valid/parts/*.yaml")])
CORE = published()

HEAD = "version: 1\nconnections: {sit: {base_url: https://x}}\n"
TARGET = f"{HEAD}targets:\n  - name: motor\n    folders: [life]\n"  # what follows is line 6
STEP = f"{TARGET}    steps:\n      - uses: "
SECRET = "not a reference such as ${env:NAME} or ${file:/path}"
POLLING = f"{TARGET}    polling:\n      "


def test_there_are_cases() -> None:
    """A moved folder does not turn the tests below into nothing."""
    assert len(VALID) >= 15
    assert len(OVERLAYS) >= 5


@pytest.mark.parametrize(
    ("before", "keys"),
    [
        ("|", CORE),
        ("version: 1\n|\n", CORE),
        (f"{HEAD}defaults:\n  |", CORE["properties"]["defaults"]),
        (f"{HEAD}targets:\n  - name: motor\n    |", CORE["$defs"]["target"]),
        ("version: 1\nconnections:\n  sit:\n    |", CORE["$defs"]["connection"]),
        (f"{STEP}unzip\n        |", CORE["$defs"]["step"]),
        (f"{POLLING}strategy: fixed\n      |", CORE["$defs"]["polling"]),
    ],
)
def test_every_key_is_offered_where_it_may_stand(
    editor: Any, before: str, keys: dict[str, Any]
) -> None:
    """At the top, in a target, a connection, a step and the rest; what is there already is not."""
    there = set(re.findall(r"(\w+):", before))

    offered = set(editor.completion(before))

    assert offered - {keys["title"]} == set(keys["properties"]) - there


@pytest.mark.parametrize(
    ("before", "values"),
    [
        (f"{TARGET}    file_filter: |", {"migrate", "onpremises"}),
        (f"{TARGET}    if_exists: |", {"replace", "keep", "fail"}),
        (f"{POLLING}on_deadline: |", {"leave", "cancel"}),
        (f"{POLLING}strategy: |", {"adaptive", "exponential", "fixed"}),
        (
            f"{STEP}|",
            {
                *("calculate", "calculate_remote", "checksum", "hand_over", "import"),
                "tenant_inventory",
                *("package_check", "runner_upload", "unzip", "upload"),
            },
        ),
        (f"{STEP}checksum\n        on_failure: |", {"fail", "warn"}),
        (f"{HEAD}requires:\n  local_plugins: |", {"true", "false"}),
        ("connections:\n  sit:\n    jobs: |", {"auto"}),
        ("connections:\n  sit:\n    verify_tls: |", {"true", "false"}),
    ],
)
def test_the_values_of_a_key_are_offered(editor: Any, before: str, values: set[str]) -> None:
    """Choices, booleans, the names of steps and strategies, and nothing else."""
    assert set(editor.completion(before)) == values


@pytest.mark.parametrize(
    ("before", "options"),
    [
        (f"{STEP}unzip\n        with:\n          |", {"to", "max_total", "max_files", "max_ratio"}),
        (f"{STEP}checksum\n        with:\n          |", {"algorithms", "file"}),
        (f"{STEP}hand_over\n        with:\n          |", {"to", "token", "resume"}),
        (f"{POLLING}strategy: exponential\n      with:\n        |", {"factor", "max"}),
        (f"{POLLING}strategy: fixed\n      with:\n        |", set()),
    ],
)
def test_only_the_options_of_the_chosen_step_are_offered(
    editor: Any, before: str, options: set[str]
) -> None:
    """What another step or strategy takes is not."""
    assert set(editor.completion(before)) - {"Options of hand_over"} == options


def test_what_a_step_does_is_shown_beside_its_name(editor: Any) -> None:
    """Its summary and its traits, for each of the names that may stand there."""
    shown = editor.hover(f"{STEP}unz|ip")

    assert "Extracts a package into a folder, safely. Described by impex plan" in shown
    assert "`checksum`: Writes a" in shown


@pytest.mark.parametrize("key", sorted(set(CORE["$defs"]["target"]["properties"]) - {"name"}))
def test_what_is_inserted_for_a_key_can_be_kept(editor: Any, key: str) -> None:
    """Its default or example, with nothing to delete first; a list has its first entry begun."""
    before = f"{HEAD}targets:\n  - name: motor\n    "

    inserted = editor.completion(f"{before}|")[key].replace("\\", "")

    inserted = re.sub(r"\$\{\d(?::(.*))?\}", r"\1", inserted).replace("\n", "\n    ")
    written = yaml.safe_load(f"{before}{inserted}")["targets"][0]
    assert list(written) == ["name", key]
    assert written[key] not in ([], {})


@pytest.mark.parametrize(
    ("text", "title", "description"),
    [
        (f"{TARGET}    file_fi|lter: migrate", "File filter", "What the package is for"),
        (f"{TARGET}    file_fi|lter: ${{env:X}}", "File filter", "What the package is for"),
        (f"{TARGET}    retry_int|erval: 3s", "Retry interval", "Time between status checks"),
        (f"{TARGET}    max_re|tries: ${{env:X}}", "Status checks", "Limit of status"),
        ("connections:\n  sit:\n    time|out: 5", "Timeout", "Timeout of one HTTP request"),
        ("connections:\n  sit:\n    jo|bs: auto", "Jobs", "Export jobs at once"),
        ("connections:\n  sit:\n    verify|_tls: ca.pem", "Verify TLS", "true, false, or the path"),
        (f"{STEP}unzip\n        with:\n          max_f|iles: 3", "Most files", "Refuse a package"),
        (
            f"{STEP}unzip\n        with:\n          max_t|otal: 1GB",
            "Most bytes",
            "Refuse a package",
        ),
        (f"{STEP}hand_over\n        with:\n          t|o: x", "Address", "Where the packages go."),
        (f"{POLLING}dead|line: 2h", "Deadline", "Maximum time to wait for a job."),
    ],
)
def test_a_key_explains_itself(editor: Any, text: str, title: str, description: str) -> None:
    """Its own title and description, not those of a form that its value has."""
    shown = editor.hover(text)

    assert shown.startswith(f"#### {title}\n\n{description}")


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        (f"{TARGET}    fodlers: [life]", 6, "Property fodlers is not allowed."),
        (f"{TARGET}reports: {{}}", 6, "Property reports is not allowed."),
        (f"{TARGET}    file_filter: onprem", 6, 'Valid values: "migrate", "onpremises".'),
        (f"{TARGET}    max_retries: many", 6, 'Expected "integer".'),
        (f"{TARGET}    retry_interval: 3x", 6, "not a duration: 500ms, 3s, 45m, 2h or a number of"),
        (f"{STEP}unzap", 7, 'Valid values: "calculate", "calculate_remote", "checksum", '),
        (f"{STEP}unzip\n        with: {{max_fils: 3}}", 8, "Property max_fils is not allowed."),
        (f"{STEP}unzip\n        with:\n          max_files: x", 9, 'Expected "integer".'),
        (f"{STEP}unzip\n        with: {{max_total: 3XB}}", 8, "not a size: 512, 64kB, 10MB"),
        (f"{STEP}hand_over\n", 7, 'Missing property "with".'),
        (f"{STEP}hand_over\n        with: {{resume: true}}", 8, 'Missing property "to".'),
        (f"{POLLING}strategy: fixed\n      with: {{factor: 2}}", 8, "Property factor is not"),
        (f"{POLLING}with: {{factor: 2}}", 7, "Property factor is not allowed."),
        (f"{HEAD}targets:\n  - name: a name", 4, "not a name: letters, digits"),
        (f"{HEAD}targets:\n  - folders: [life]", 4, 'Missing property "name".'),
        ("connections:\n  a:\n    auth: {token: hunter2}\ninclude: [b]\nversion: 1", 3, SECRET),
        (f"{STEP}hand_over\n        with: {{to: x, token: hunter2}}", 8, SECRET),
        ("version: 2\ninclude: [more.yaml]", 1, "Value must be 1."),
        ("version: 1\nconnections: {sit: {}}", 1, 'Missing property "targets".'),
    ],
)
def test_a_mistake_is_underlined_where_it_stands(
    editor: Any, text: str, line: int, message: str
) -> None:
    """One squiggle for one mistake."""
    [(found, said)] = editor.diagnostics(text)

    assert found == line
    assert message in said


@pytest.mark.parametrize("path", VALID, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_a_valid_manifest_has_no_squiggles(editor: Any, path: Path) -> None:
    """Nothing but the wrong key that shows that it was looked at."""
    text = without_modeline(path)

    assert editor.diagnostics(f"{text}\nwrong: 1") == [
        (text.count("\n") + 2, "Property wrong is not allowed.")
    ]


@pytest.mark.parametrize("path", OVERLAYS, ids=lambda path: path.stem)
def test_a_valid_overlay_has_no_squiggles(editor: Any, path: Path) -> None:
    """By the schema of overlays, in which nothing is required."""
    text = without_modeline(path)

    assert editor.diagnostics(f"{text}\nwrong: 1", "all-overlay") == [
        (text.count("\n") + 2, "Property wrong is not allowed.")
    ]


def without_modeline(path: Path) -> str:
    """Return a file's text with its lines where they are, but without a schema of its own."""
    text = path.read_text(encoding="utf-8")
    return re.sub(r"^# yaml-language-server:.*", "#", text)
