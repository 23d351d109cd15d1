"""One manifest from several files: parts add up, overlays have the last word."""

from __future__ import annotations

from textwrap import dedent
from typing import TYPE_CHECKING, Any

import pytest

from spark_impex_runner.errors import ManifestError
from spark_impex_runner.manifest import assemble as assembling
from spark_impex_runner.manifest.assemble import assemble
from spark_impex_runner.manifest.build import Settings, read_manifest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from spark_impex_runner.models import Manifest

BASE = """
    version: 1
    connections:
      sit: {base_url: "https://sit/acme", jobs: 2}
    vars: {release: "1", folder: motor}
    defaults: {tags: [nightly], connection: sit}
    targets:
      - name: motor
        folders: ["${var:folder}"]
        steps: [{uses: checksum}, {uses: unzip}]
      - {name: life, folders: [life]}
"""


class Files:
    """A folder of files that refer to one another, and what becomes of them."""

    def __init__(self, folder: Path, settings: Settings) -> None:
        self.folder = folder
        self.settings = settings

    def write(self, name: str, text: str) -> None:
        """Write one of the files."""
        path = self.folder / name
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_text(dedent(text).lstrip("\n"))

    def read(self, *overlays: str) -> Manifest:
        """Read base.yaml, changed by ``overlays``."""
        changes = [self.folder / name for name in overlays]
        return read_manifest(assemble(self.folder / "base.yaml", changes), self.settings)

    def problems(self, *overlays: str) -> list[str]:
        """Return what is wrong with base.yaml and its overlays, without the folder's name."""
        with pytest.raises(ManifestError) as caught:
            self.read(*overlays)
        return [str(p).replace(f"{self.folder}/", "") for p in caught.value.problems]


@pytest.fixture
def files(tmp_path: Path, settings: Settings) -> Files:
    """Return a folder with base.yaml."""
    files = Files(tmp_path, settings)
    files.write("base.yaml", BASE)
    return files


def test_includes_form_one_manifest(files: Files) -> None:
    """Connections, variables and targets may stand anywhere; what is included comes first."""
    files.write("base.yaml", "version: 1\ninclude: [sub/b.yaml, c.yaml]\ntargets: [{name: a}]\n")
    files.write("sub/b.yaml", "include: [deep.yaml]\ntargets: [{name: b, folders: [x]}]\n")
    files.write("sub/deep.yaml", "connections: {sit: {base_url: 'https://sit/acme'}}\n")
    files.write("c.yaml", "defaults: {services: ['f/${var:s}']}\nvars: {s: t}\nx-note: 1\n")

    manifest = files.read()

    assert [target.name for target in manifest.targets] == ["b", "a"]
    assert manifest.targets[1].services == ("f/t",)
    assert manifest.connections["sit"].base_url == "https://sit/acme"


def test_overlay_replaces_notifications_of_parts(files: Files) -> None:
    """Notifications have no names, so an overlay replaces all of them."""
    base = BASE.replace("version: 1", "version: 1\n    include: [a.yaml]")
    files.write("base.yaml", base + "    notify: [{uses: siren, on: [always]}]\n")
    files.write("a.yaml", "notify: [{uses: siren}]\n")
    files.write("more.yaml", "notify: [{uses: siren, on: [succeeded], timeout: 1m}]\n")
    files.write("none.yaml", "notify: []\n")
    files.settings.registry.notifier("siren", "wakes somebody", None, print)

    both, more, none = files.read(), files.read("more.yaml"), files.read("more.yaml", "none.yaml")

    bad = ("failed", "partial", "timed_out")
    assert [(each.on, each.timeout) for each in both.notify] == [(bad, 30.0), (("always",), 30.0)]
    assert [(each.on, each.timeout) for each in more.notify] == [(("succeeded",), 60.0)]
    assert none.notify == ()
    files.write("wrong.yaml", "notify: [{uses: siren, on: [fail]}]\n")
    [problem] = files.problems("wrong.yaml")
    assert problem.startswith("wrong.yaml:1:29: notify[0].on[0]: 'fail' is not one of 'failed', ")


def test_paths_are_relative_to_main_manifest(files: Files, tmp_path: Path) -> None:
    """Only the names under include are relative to the file that they stand in."""
    files.write("base.yaml", "version: 1\ninclude: [sub/b.yaml]\n")
    files.write(
        "sub/b.yaml",
        "connections: {here: {sandbox: tenant}}\ntargets: [{name: b, folders: [x], output: out}]\n",
    )

    manifest = files.read()

    assert manifest.connections["here"].sandbox == tmp_path / "tenant"
    assert manifest.targets[0].output == tmp_path / "out"


def test_error_is_located_in_included_file(files: Files) -> None:
    """File, line and path are those of the part; one error has the findings of all files."""
    files.write("base.yaml", "version: 1\ninclude: [b.yaml]\ntargets: [{nam: a, folders: [x]}]\n")
    files.write("b.yaml", "targets:\n  - name: b\n    folders: [x]\n    file_filter: all\n")

    problems = files.problems()

    assert problems[0] == (
        "b.yaml:4:18: targets[0].file_filter: 'all' is not one of 'migrate', 'onpremises'"
    )
    assert problems[1:] == [
        "base.yaml:1:1: connections: this key is missing",
        "base.yaml:3:11: targets[0].name: this key is missing",
        "base.yaml:3:12: targets[0].nam: unknown key (did you mean 'name'?)",
    ]


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        (
            {"a.yaml": "vars: {x: '1'}\n", "b.yaml": "vars: {y: '1', x: '2'}\n"},
            "b.yaml:1:16: vars.x: 'x' is already given in a.yaml:1",
        ),
        (
            {"a.yaml": "name: one\n", "b.yaml": "x-a: 1\nname: two\n"},
            "b.yaml:2:1: name: 'name' is already given in a.yaml:1",
        ),
        (
            {"a.yaml": "targets: [{name: motor, folders: [x]}]\n", "b.yaml": "x-a: 1\n"},
            "base.yaml:4:11: targets[0].name: the name 'motor' is already taken in a.yaml:1",
        ),
        (
            {"a.yaml": "report: {json: r.json}\n", "b.yaml": "report: out\n"},
            "b.yaml:1:9: report: expected a mapping, found text; write {json: …}",
        ),
        (
            {"a.yaml": "report: out\n", "b.yaml": "report: {json: r.json}\n"},
            "a.yaml:1:9: report: expected a mapping, found text; write {json: …}",
        ),
        (
            {"a.yaml": "a: 1\na: 2\nreport: {}\n", "b.yaml": "x-a: 1\n"},
            "a.yaml:2:1: the key 'a' is already in line 1; remove one of them",
        ),
        (
            {"a.yaml": "include: b.yaml\n", "b.yaml": "x-a: 1\n"},
            "a.yaml:1:10: include: expected a list, found text; put [ ] around it",
        ),
    ],
)
def test_key_in_two_parts_is_an_error(files: Files, parts: dict[str, str], expected: str) -> None:
    """A name belongs to one file, and a value of the wrong shape to its own place."""
    files.write(
        "base.yaml",
        """
        version: 1
        include: [a.yaml, b.yaml]
        targets:
          - name: motor
            folders: [x]
        connections: {sit: {base_url: "https://sit/acme"}}
        """,
    )
    for name, text in parts.items():
        files.write(name, text)

    assert expected in files.problems()


def test_every_file_may_have_version_and_notes(files: Files) -> None:
    """Each file can be opened alone with the schema of overlays, and has anchors of its own."""
    files.write("base.yaml", BASE.replace("version: 1", "version: 1\n    include: [a.yaml]"))
    files.write("a.yaml", "version: 1\nx-note: a\nvars: {more: '1'}\n")
    files.write("base.yaml", (files.folder / "base.yaml").read_text() + "x-note: b\n")

    assert files.read().targets


@pytest.mark.parametrize(
    ("include", "parts", "expected"),
    [
        ("[b.yaml]", {}, "base.yaml:2:11: include[0]: there is no file 'b.yaml'"),
        (
            "[/etc/b.yaml]",
            {},
            "base.yaml:2:11: include[0]: '/etc/b.yaml' is not relative to this file",
        ),
        (
            "[b.yaml]",
            {"b.yaml": "include: [c.yaml]\n", "c.yaml": "include: [b.yaml]\n"},
            "c.yaml:1:11: include[0]: the files include one another: b.yaml -> c.yaml -> b.yaml",
        ),
        (
            "[base.yaml]",
            {},
            "base.yaml:2:11: include[0]: the files include one another: base.yaml -> base.yaml",
        ),
        (
            "[b.yaml, ./b.yaml]",
            {"b.yaml": "x-a: 1\n"},
            "base.yaml:2:19: include[1]: './b.yaml' is already included; name each file once",
        ),
        ("[b.yaml]", {"b.yaml": "a: [\n"}, "b.yaml:2:1: a value is missing before this "),
        (
            "[b.yaml]",
            {"b.yaml": ""},
            "b.yaml:1:1: this is no mapping; a manifest begins with 'version: 1', a part or an ",
        ),
    ],
)
def test_unreadable_include_is_located(
    files: Files, include: str, parts: dict[str, str], expected: str
) -> None:
    """No file, circles, repetitions: one line for each, and nothing of what would follow."""
    files.write("base.yaml", f"version: 1\ninclude: {include}\n")
    for name, text in parts.items():
        files.write(name, text)

    [problem] = files.problems()

    assert problem.startswith(expected)


def test_all_unreadable_files_are_reported(files: Files) -> None:
    """Nobody has to run again to learn of the second."""
    files.write("base.yaml", "version: 1\ninclude: [b.yaml, c.yaml, d.yaml]\nversion: 2\n")
    files.write("b.yaml", "a: [\n")
    files.write("d.yaml", "a:\n\tb: 1\n")

    assert [problem.split(": ")[0] for problem in files.problems()] == [
        "b.yaml:2:1",
        "base.yaml:2:19",
        "base.yaml:3:1",
        "d.yaml:2:1",
    ]


def test_files_and_values_are_limited(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each with its own message."""
    files.write("base.yaml", "version: 1\ninclude: [b.yaml, c.yaml]\n")
    files.write("b.yaml", "x-a: [1, 2, 3]\n")
    files.write("c.yaml", "x-b: [1, 2, 3]\n")
    monkeypatch.setattr(assembling, "MAX_FILES", 2)
    many_files = files.problems()
    monkeypatch.setattr(assembling, "MAX_FILES", 3)
    monkeypatch.setattr(assembling, "MAX_VALUES", 7)

    assert many_files == ["base.yaml:2:19: include[1]: a manifest has at most 2 files"]
    assert files.problems() == ["c.yaml:1:10: x-b[1]: the files together hold more than 7 values"]


def test_overlay_changes_targets_by_name(files: Files) -> None:
    """What it does not name stays; a value that it names is replaced as a whole."""
    files.write(
        "prod.yaml",
        """
        vars: {folder: health}
        targets:
          - name: motor
            steps: [{uses: checksum}]
          - {name: extra, folders: [claims], needs: [life]}
        """,
    )

    manifest = files.read("prod.yaml")

    motor, life, extra = manifest.targets
    assert (motor.name, motor.folders, motor.tags) == ("motor", ("health",), ("nightly",))
    assert [step.uses for step in motor.steps] == ["checksum"]
    assert life.folders == ("life",)
    assert (extra.name, extra.needs) == ("extra", ("life",))


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ("{jobs: 1}", {"base_url": "https://sit/acme", "jobs": 1}),
        ("{env: uat.us, tenant: acme}", {"env": "uat.us", "tenant": "acme", "jobs": 2}),
        ("{base_url: 'https://prod/acme'}", {"base_url": "https://prod/acme", "jobs": 2}),
        ("{sandbox: tenant, timeout: 1}", {"base_url": None, "timeout": 1.0, "jobs": 2}),
    ],
)
def test_overlay_moves_a_connection(files: Files, change: str, expected: dict[str, Any]) -> None:
    """The address is one value: a new one of another kind does not stand beside the old."""
    files.write("prod.yaml", f"connections: {{sit: {change}}}\n")

    sit = files.read("prod.yaml").connections["sit"]

    assert {key: getattr(sit, key) for key in expected} == expected


def test_later_overlays_win(files: Files) -> None:
    """They are laid one over the other, in the order of the command line."""
    files.write("one.yaml", "vars: {folder: one}\n")
    files.write("two.yaml", "vars: {folder: two}\n")

    manifest = files.read("one.yaml", "two.yaml")

    assert manifest.targets[0].folders == ("two",)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ({}, "base+one+two"),
        ({"base": "release"}, "release+one+two"),
        ({"base": "release", "one": "uat"}, "uat+two"),
        ({"one": "uat", "two": "prod"}, "prod"),
    ],
)
def test_overlays_extend_the_name(files: Files, names: dict[str, str], expected: str) -> None:
    """What was left unfinished is remembered by it, and one place does not end another's jobs."""
    files.write("one.yaml", "x-a: 1\n")
    files.write("two.yaml", "x-a: 1\n")
    for stem, name in names.items():
        path = files.folder / f"{stem}.yaml"
        path.write_text(f"{path.read_text()}\nname: {name}\n")

    assert files.read("one.yaml", "two.yaml").name == expected


def test_overlay_may_include_parts(files: Files) -> None:
    """It is read like any file."""
    files.write("prod.yaml", "include: [parts/auth.yaml]\n")
    files.write("parts/auth.yaml", "connections: {sit: {auth: {token: '${env:T}'}}}\n")
    files.settings = Settings(files.settings.registry, files.settings.masker, environ={"T": "t"})

    auth = files.read("prod.yaml").connections["sit"].auth

    assert auth is not None
    assert auth.token == "t"


@pytest.mark.parametrize(
    ("overlay", "expected"),
    [
        (
            "targets:\n  - name: motr\n    tags: [x]\n",
            "prod.yaml:2:5: targets[0]: the target exports nothing; give it services, folders or",
        ),
        (
            "targets: [{name: life, file_filter: all}]\n",
            "prod.yaml:1:37: targets[0].file_filter: 'all' is not one of 'migrate', 'onpremises'",
        ),
        (
            "targets: [{name: motor, steps: [{with: {}}]}]\n",
            "prod.yaml:1:33: targets[0].steps[0].uses: this key is missing",
        ),
        (
            "targets: [{name: life}, {name: life, tags: [x]}]\n",
            "prod.yaml:1:32: targets[1].name: the name 'life' is already taken in base.yaml:10",
        ),
        ("targets: {life: {}}\n", "prod.yaml:1:10: targets: expected a list, found a mapping"),
        ("connections: {sit: }\n", "prod.yaml:1:20: connections.sit: expected a mapping, "),
        ("conections: {}\n", "prod.yaml:1:1: conections: unknown key "),
        ("connections: {sit: {jobs: many}}\n", "prod.yaml:1:27: connections.sit.jobs: 'many' is "),
    ],
)
def test_error_is_located_in_overlay(files: Files, overlay: str, expected: str) -> None:
    """Line and path are the overlay's own, whatever it is laid over."""
    files.write("prod.yaml", overlay)

    assert any(problem.startswith(expected) for problem in files.problems("prod.yaml"))


def test_new_overlay_target_may_be_misspelt(files: Files) -> None:
    """If it exports nothing, the error suggests the similar name."""
    files.write("prod.yaml", "targets: [{name: motr, tags: [x]}, {name: claims}]\n")

    first, second = files.problems("prod.yaml")

    assert first.endswith("folders or version_ids (did you mean 'motor'?)")
    assert second.endswith("folders or version_ids")


def test_replaced_value_loses_its_position(files: Files) -> None:
    """An error in the new value is not located at the line of the old one."""
    files.write("prod.yaml", "targets: [{name: motor, folders: [1.10], steps: [{uses: unzip}]}]\n")

    document = assemble(files.folder / "base.yaml", [files.folder / "prod.yaml"])

    assert ("targets", 0, "steps", 1) not in document.positions
    assert document.position(("targets", 0, "steps", 0, "with")).file.label.endswith("prod.yaml")
    assert all(_holds(document.data, path) for path in document.positions)


def _holds(data: Any, path: tuple[str | int, ...]) -> bool:
    """Tell whether there is something at ``path``."""
    try:
        for key in path:
            data = data[key]
    except LookupError:
        return False
    return True


def test_single_file_is_unchanged(files: Files, read: Callable[..., Manifest]) -> None:
    """Without include and overlays the result is that of reading the file."""
    alone = read(BASE)

    assert [target.name for target in files.read().targets] == [t.name for t in alone.targets]
