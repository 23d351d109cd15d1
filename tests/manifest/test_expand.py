from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from spark_impex_runner.errors import ManifestError
from spark_impex_runner.manifest import expand
from spark_impex_runner.manifest.references import Resolved

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from spark_impex_runner.manifest.build import Settings
    from spark_impex_runner.models import Manifest

    Reader = Callable[..., Manifest]

HEAD = """
version: 1
connections: {sit: {env: sit, tenant: acme}}
"""


def test_matrix_multiplies_a_target(read: Reader) -> None:
    """Keys vary in their order, the last fastest, and values join into the name."""
    manifest = read(
        HEAD
        + """
targets:
  - name: copy
    matrix: {folder: [life, motor cars], major: [1, 2.10]}
    services: ["${matrix.folder}/pricing[${matrix.major}]"]
"""
    )

    assert [(target.name, target.services[0]) for target in manifest.targets] == [
        ("copy@life-1", "life/pricing[1]"),
        ("copy@life-2.10", "life/pricing[2.10]"),
        ("copy@motor-cars-1", "motor cars/pricing[1]"),
        ("copy@motor-cars-2.10", "motor cars/pricing[2.10]"),
    ]


def test_needing_a_matrix_needs_all_of_it(read: Reader) -> None:
    """The written name stands for every expansion, a full name for one, each once."""
    manifest = read(
        HEAD
        + """
targets:
  - {name: a, matrix: {x: [1, 2]}, folders: [life]}
  - {name: b, needs: [a, a@2], folders: [life]}
  - {name: c, needs: [a@2], folders: [life]}
"""
    )

    assert [target.needs for target in manifest.targets[2:]] == [("a@1", "a@2"), ("a@2",)]


def test_unnamed_target_is_still_validated(read: Reader) -> None:
    """Its other mistakes are found, too, and a reference to its name is none."""
    with pytest.raises(ManifestError) as caught:
        read(HEAD + "targets: [{folders: ['${target.name}'], services: ['${var:x}'], colour: 1}]")

    messages = [problem.message.partition(";")[0] for problem in caught.value.problems]
    assert "this key is missing" in messages
    assert "the variable 'x' is not defined" in messages
    assert len({problem.path for problem in caught.value.problems}) == 3


def test_target_replaces_whole_defaults(read: Reader) -> None:
    """Defaults merge key by key, and nothing deeper is mixed."""
    manifest = read(
        HEAD
        + """
defaults: {tags: [nightly], polling: {deadline: 10m, on_deadline: cancel}}
targets:
  - {name: a, folders: [life]}
  - {name: b, folders: [life], tags: [], polling: {deadline: 5m}}
"""
    )
    first, second = manifest.targets

    assert (first.tags, first.polling.deadline) == (("nightly",), 600.0)
    assert (second.tags, second.polling.deadline) == ((), 300.0)
    assert second.polling.on_deadline == "leave"


@pytest.mark.parametrize(
    ("variables", "environ", "expected"),
    [
        ({}, {}, "from-file"),
        ({}, {"IMPEX_VAR_CHANGE_ID": "from-environment"}, "from-environment"),
        ({"change-id": "from-line"}, {"IMPEX_VAR_CHANGE_ID": "from-environment"}, "from-line"),
    ],
)
def test_variables_are_overridden_from_outside(
    read: Reader, variables: dict[str, str], environ: dict[str, str], expected: str
) -> None:
    """The command line wins over the environment, the environment over the manifest."""
    text = "vars: {change-id: from-file}\n" + HEAD + "targets: [{name: a, folders: [life], "
    text += "correlation_id: '${var:change-id}'}]"

    manifest = read(text, variables=variables, environ=environ)

    assert manifest.targets[0].correlation_id == expected


def test_invalid_outside_value_names_its_variable(read: Reader) -> None:
    """The line of the variable says what was replaced."""
    text = "version: 1\nconnections: {s: {}}\nvars:\n  x: 1\ntargets: [{name: a, folders: [f]}]\n"

    with pytest.raises(ManifestError) as caught:
        read(text, environ={"IMPEX_VAR_X": "caf\udce9"})

    assert ":4:" in str(caught.value)


def test_variable_may_be_set_outside_only(read: Reader) -> None:
    """A manifest can ask for a variable that it has no value for."""
    text = HEAD + "targets: [{name: a, folders: ['${var:x}', '${var:y}']}]"

    manifest = read(text, variables={"x": "1"}, environ={"IMPEX_VAR_Y": "2"})

    assert manifest.targets[0].folders == ("1", "2")


def test_overridden_variable_is_not_resolved(read: Reader) -> None:
    """What the manifest's value refers to may be missing once the value is not used."""
    text = "vars: {x: '${env:NONE}'}\n" + HEAD + "targets: [{name: a, folders: ['${var:x}']}]"

    assert read(text, variables={"x": "life"}).targets[0].folders == ("life",)


def test_reference_becomes_the_schemas_type(read: Reader) -> None:
    """Digits, true and false from outside are numbers and booleans where those are expected."""
    manifest = read(
        """
version: 1
connections:
  sit: {jobs: "${env:N}", verify_tls: "${env:T}", timeout: "${env:N}", tenant: "${env:N}", env: e}
targets:
  - name: a
    folders: ["${env:N}"]
    steps: [{uses: hand_over, with: {to: "${env:N}", resume: "${env:T}"}}]
""",
        environ={"N": "4", "T": "false"},
    )
    sit, step = manifest.connections["sit"], manifest.targets[0].steps[0]

    assert (sit.jobs, sit.verify_tls, sit.timeout, sit.tenant) == (4, False, 4.0, "4")
    assert manifest.targets[0].folders == ("4",)
    assert step.options == {"to": "4", "resume": False}


@pytest.mark.parametrize(
    ("text", "types", "value"),
    [
        ("1.10", {"string"}, "1.10"),
        ("1.10", {"integer"}, "1.10"),
        ("1.10", {"number"}, 1.1),
        ("-0.5", {"number", "string"}, -0.5),
        ("7", {"string"}, "7"),
        ("7", {"integer"}, 7),
        ("7", {"number"}, 7),
        ("07", {"integer"}, "07"),
        ("soon", {"number"}, "soon"),
        ("soon", {"boolean"}, "soon"),
        ("true", {"boolean"}, True),
        ("false", {"boolean", "string"}, False),
        ("true", {"string"}, "true"),
        ("True", {"boolean"}, "True"),
        (7, {"integer"}, 7),
        (0.5, {"number"}, 0.5),
        ([1], {"boolean"}, [1]),
    ],
)
def test_whole_reference_takes_any_allowed_type(
    text: object, types: set[str], value: object
) -> None:
    """What is in no plain form of the type stays text, as does a longer text."""
    typed = expand._typed(Resolved(text, whole=True), frozenset(types))

    assert (typed, type(typed)) == (value, type(value))
    assert expand._typed(Resolved(text, whole=False), frozenset(types)) == text


@pytest.mark.parametrize(
    ("rest", "origin"),
    [
        ((), ("targets", 3)),
        (("own", 0), ("targets", 3, "own", 0)),
        (("inherited", 0), ("defaults", "inherited", 0)),
        (("nowhere",), ("targets", 3, "nowhere")),
    ],
)
def test_origin_leads_to_the_manifest(
    tmp_path: Path, rest: tuple[str | int, ...], origin: tuple[str | int, ...]
) -> None:
    """In the target, or in the defaults that it has not replaced."""
    data = {"own": [1], "inherited": [2]}

    frame = expand.ExpandedTarget("a", "a", 3, tmp_path, data, frozenset({"own"}))

    assert frame.origin(rest) == origin
    assert "inherited" not in repr(frame)  # there may be secrets


def test_text_around_a_reference_stays_text(read: Reader) -> None:
    """Digits that are put together are no number: only a whole reference is converted."""
    text = """
version: 1
connections: {sit: {jobs: "${env:N}${env:N}"}}
targets: [{name: a, folders: [life]}]
"""

    with pytest.raises(ManifestError, match="'44' is not 'auto' or a whole number from 1 up"):
        read(text, environ={"N": "4"})


def test_outside_fraction_is_a_number(read: Reader) -> None:
    """A decimal fraction is converted where a number is expected."""
    text = """
version: 1
connections: {sit: {requests_per_second: "${env:RATE}"}}
targets: [{name: a, folders: [life]}]
"""

    assert read(text, environ={"RATE": "0.5"}).connections["sit"].requests_per_second == 0.5


def test_target_output_may_be_referenced(tmp_path: Path, read: Reader) -> None:
    """``${target.output}`` is the absolute path, ``${target.name}`` the expanded name."""
    manifest = read(
        HEAD
        + """
targets:
  - name: a
    matrix: {x: [1]}
    folders: [life]
    output: "out/${run.date}/${target.name}"
    steps: [{uses: hand_over, with: {to: "${target.output}"}}]
"""
    )

    expected = tmp_path / "out" / "2026-11-24" / "a@1"
    assert manifest.targets[0].output == expected
    assert manifest.targets[0].steps[0].options == {"to": str(expected)}


def test_output_folder_can_be_replaced(tmp_path: Path, read: Reader) -> None:
    """Relative outputs move to it, absolute ones stay."""
    text = (
        HEAD
        + f"""
targets:
  - {{name: a, folders: [life]}}
  - {{name: b, folders: [life], output: {tmp_path}/fixed}}
"""
    )

    manifest = read(text, output=tmp_path / "elsewhere")

    assert [target.output for target in manifest.targets] == [
        tmp_path / "elsewhere" / "exports" / "a",
        tmp_path / "fixed",
    ]


def test_secrets_are_masked_whole_and_in_pieces(read: Reader, settings: Settings) -> None:
    """Every secret place, a plugin's included, adds what it yields to the masker."""
    text = """
version: 1
connections: {sit: {auth: {token: "${vault:sit}"}}}
targets:
  - name: a
    folders: [life]
    steps: [{uses: hand_over, with: {to: "${env:OPEN}", token: "${env:KEY}"}}]
"""

    manifest = read(text, environ={"KEY": "k-1", "OPEN": "open"})

    assert manifest.targets[0].steps[0].options["token"] == "k-1"
    assert settings.masker.mask("vault-secret k-1 open") == "*** *** open"


def test_secret_that_two_connections_share(read: Reader) -> None:
    """It is read for the one that the run uses, although the other one comes first."""
    text = """
version: 1
connections:
  other: {auth: {token: "${vault:sit}"}}
  sit: {auth: {token: "${vault:sit}"}}
targets: [{name: a, folders: [life], connection: sit}]
"""
    selected = expand.SelectedTargets(frozenset({"a"}), frozenset({"sit"}))

    manifest = read(text, selected=selected)

    assert manifest.connections["sit"].auth.token == "vault-secret"
    assert manifest.connections["other"].auth.token != "vault-secret"


def test_secret_in_other_errors_is_masked(read: Reader) -> None:
    """A value that is a secret in one place is not shown by a mistake in another."""
    text = """
version: 1
connections: {sit: {auth: {token: "${env:KEY}"}}}
targets: [{name: a, folders: [life], file_filter: "${env:KEY}"}]
"""

    with pytest.raises(ManifestError) as caught:
        read(text, environ={"KEY": "hunter2"})

    assert "'***' is not one of 'migrate', 'onpremises'" in str(caught.value)


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        (
            "{name: a, folders: ['${var:none}'], matrix: {x: [1, 2, 3], y: [1, 2]}}, {name: b}",
            "targets[0].matrix: the matrix makes 6 ",
        ),
        ("{name: a, matrix: {x: [1, 2, 3]}}, {name: b, matrix: {x: [1, 2, 3]}}", "makes 3 "),
        ("{name: a}, {name: b}, {name: c}, {name: d}, {name: e}, {name: f}", ": a manifest has "),
    ],
)
def test_number_of_targets_is_limited(
    read: Reader, monkeypatch: pytest.MonkeyPatch, targets: str, message: str
) -> None:
    """Very many targets are refused before they are made, by one matrix, by several, by hand."""
    monkeypatch.setattr(expand, "MAX_TARGETS", 5)

    with pytest.raises(ManifestError) as caught:
        read(f"{HEAD}defaults: {{folders: [f]}}\ntargets: [{targets}]")

    [problem] = caught.value.problems
    assert message in str(problem)
    assert problem.message.endswith("a manifest has at most 5 targets")


def test_limit_of_targets_is_twenty_thousand(read: Reader) -> None:
    """One more, as the product of 3, 59 and 113, is refused."""
    values = {key: list(range(number)) for key, number in {"x": 3, "y": 59, "z": 113}.items()}

    with pytest.raises(ManifestError, match=r"the matrix makes 20001 targets; .* at most 20000"):
        read(f"{HEAD}targets: [{{name: a, folders: [f], matrix: {values}}}]")


@pytest.mark.parametrize(
    ("keys", "path"),
    [
        ("output: '${var:none}'", "targets[0].output"),
        ("output: '${target.output}'", "targets[0].output"),
        (f"output: {'x' * 256}", "targets[0].output"),
        ("colour: '${var:none}'", "targets[0].colour"),
        ("matrix: {x: [{y: 1}]}", "targets[0].matrix.x[0]"),
    ],
)
def test_problems_of_a_target_have_their_place(read: Reader, keys: str, path: str) -> None:
    """An output cannot refer to itself, and a value of a matrix is a text or a number."""
    with pytest.raises(ManifestError) as caught:
        read(f"{HEAD}targets: [{{name: a, folders: [f], {keys}}}]")

    assert [problem.path for problem in caught.value.problems] == [path]


def test_many_unknown_variables_end_soon(read: Reader) -> None:
    """The first have their hints; to compare all with all would take minutes."""
    known = ", ".join(f"name{number}: x" for number in range(1000))
    texts = ", ".join(f'"${{var:nam{number}}}"' for number in range(1000))
    began = time.process_time()

    with pytest.raises(ManifestError) as caught:
        read(f"{HEAD}vars: {{{known}}}\ntargets: [{{name: a, folders: [{texts}]}}]")

    assert time.process_time() - began < 10
    assert "did you mean 'name0'?" in str(caught.value.problems[0])
    assert len(caught.value.problems) == 1000
