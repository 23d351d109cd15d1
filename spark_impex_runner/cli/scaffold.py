"""The files of a new plugin's distribution, as few as pip, pytest and a reader need."""

from __future__ import annotations

import importlib.util
import keyword
import re
import tempfile
from pathlib import Path
from string import Template

from spark_impex_runner.errors import UsageError
from spark_impex_runner.hooks.manager import make_plugin_manager

_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_PREFIX = "impex-"

_PYPROJECT = """\
[build-system]
requires = ["setuptools>=77"]
build-backend = "setuptools.build_meta"

[project]
name = "$name"
version = "0.1.0"
description = "The step $step for spark-impex-runner."
readme = "README.md"
requires-python = ">=3.10"
dependencies = ["spark-impex-runner>=$runner"]

[project.optional-dependencies]
test = ["pytest>=8"]

[project.entry-points.impex_runner]
$step = "$module"
"""

_README = """\
# $name

The step `$step` for spark-impex-runner: it writes
a note beside each package, with the package's name, size and SHA-256.

```yaml
version: 1
requires: {plugins: ["$name>=0.1"]}
connections: {demo: {sandbox: tenant}}
targets:
  - name: life
    folders: [life]
    steps: [{uses: $step, with: {suffix: .md}}]
```

`impex plugins` lists the plugin once it is installed. To work on it:

```console
$$ python3 -m venv venv && . venv/bin/activate
$$ pip install -e '.[test]'
$$ pytest
```
"""

_MODULE = '''\
"""The step ``$step``: a note beside each package, with its size and SHA-256."""

from __future__ import annotations

from typing import Any

from spark_impex_runner import Registry, errors, hookimpl, models, tools

NAME = "$step"
OPTIONS: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "suffix": {
            "title": "Suffix",
            "description": "What follows the package's name in that of its note.",
            "type": "string",
            "pattern": r"^\\.[a-z0-9]+$$",
            "default": ".txt",
        },
    },
}


@hookimpl
def impex_register(registry: Registry) -> None:
    """Offer the step."""
    registry.step(
        NAME,
        "writes a note beside each package",
        OPTIONS,
        rehearse=lambda options, _: options,  # it has no destination to replace
    )


@hookimpl
def impex_run_step(
    job: models.Job, step: models.Step, artifact: models.Artifact
) -> list[models.Artifact] | None:
    """Write the note of one package; answer for our own step only."""
    if step.uses != NAME:
        return None
    name = artifact.name + step.options.get("suffix", ".txt")
    path = job.target.output / name
    note = f"{artifact.name} {artifact.size} {artifact.sha256}\\n"
    owned = tools.Ownership.of(job)
    owned.check(path)  # raises if the file exists and no earlier run wrote it
    owned.claim(path)
    try:
        path.write_text(note, encoding="utf-8")
    except OSError as error:
        msg = f"cannot write {path}: {error.strerror}"
        raise errors.StepError(msg) from error
    return [models.Artifact(path, name, path.stat().st_size)]
'''

_CONFTEST = '''\
"""Loads the runner's fixtures for tests of plugins."""

pytest_plugins = ["spark_impex_runner.testing"]
'''

_TEST = '''\
"""The step passes the conformance tests, and writes its note."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spark_impex_runner.testing import StepConformance

if TYPE_CHECKING:
    from spark_impex_runner.testing import Runner

MANIFEST = """
version: 1
connections: {demo: {sandbox: acme}}
targets: [{name: life, folders: [life], steps: [{uses: $step}]}]
"""


class TestStep(StepConformance):
    """The tests that every step inherits."""

    name = "$step"
    good_options = ({}, {"suffix": ".md"})
    bad_options = ({"suffix": "md"}, {"sufix": ".md"})


def test_a_note_lies_beside_the_package(run_manifest: Runner) -> None:
    """It holds the package's own SHA-256."""
    [life] = run_manifest(MANIFEST).result.results

    note = life.target.output / "package.zip.txt"
    assert life.artifacts[0].sha256 in note.read_text(encoding="utf-8")
'''


def write_distribution(name: str, runner: str) -> Path:
    """Write a plugin's distribution into a new folder, and return the folder.

    Raises ``UsageError`` if the name cannot be used or the folder exists. Leaves nothing behind
    if a file cannot be written.
    """
    module, step = name.replace("-", "_"), name.removeprefix(_PREFIX).replace("-", "_")
    _check_name(name, module, step)
    folder = Path(name)
    if folder.exists() or folder.is_symlink():
        raise UsageError(f"{folder} exists already; name another plugin, or move it away")
    values = {"name": name, "module": module, "step": step, "runner": runner}
    files = {
        "pyproject.toml": _PYPROJECT,
        "README.md": _README,
        f"src/{module}/__init__.py": _MODULE,
        "tests/conftest.py": _CONFTEST,
        f"tests/test_{step}.py": _TEST,
    }
    try:
        # In the same folder, so that the rename stays within one file system.
        with tempfile.TemporaryDirectory(prefix=".impex-init-", dir=folder.parent) as temporary:
            for file, text in files.items():
                path = Path(temporary, name, file)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(Template(text).substitute(values), encoding="utf-8")
            Path(temporary, name).rename(folder)
    except OSError as error:
        raise UsageError(f"cannot write {folder}: {error.strerror or error}") from None
    return folder


def _check_name(name: str, module: str, step: str) -> None:
    """Raise ``UsageError`` unless the name works for pip, for Python and for a manifest."""
    if not _NAME.fullmatch(name) or keyword.iskeyword(module) or not step[:1].isalpha():
        raise UsageError(
            f"'{name}' is not a valid name for a plugin; use lower-case letters, digits and single "
            "hyphens, such as impex-note"
        )
    if importlib.util.find_spec(module) is not None:
        raise UsageError(f"a module named {module} exists already; choose another name")
    if offer := make_plugin_manager().registry.steps.get(step):
        raise UsageError(f"{offer.provider} offers a step {step}; choose another name")
