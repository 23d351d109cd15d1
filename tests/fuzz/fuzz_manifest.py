"""Coverage-guided fuzzing of a manifest's way from bytes to models.

::

    python tests/fuzz/fuzz_manifest.py [--break NAME] [CORPUS_FOLDER] [-libfuzzer_option=…]

What follows a line of three dashes is an overlay. Whatever bytes a file holds, only
``ManifestError`` and ``PluginError`` may come out; what they say stands in lines of the file, each
mistake in one printable line, and shows no secret. The seeds are the cases of tests/manifests and
the examples, the dictionary is made of the schema's own words.

``--break`` puts a mistake into the package first: what the fuzzer does not find then, it would
not find otherwise either.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
import tempfile
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import atheris
from splicing import Splicer

with atheris.instrument_imports(include=["spark_impex_runner"]):
    from spark_impex_runner.errors import ManifestError, PluginError
    from spark_impex_runner.hooks.discovery import PluginChoice
    from spark_impex_runner.hooks.manager import make_plugin_manager
    from spark_impex_runner.hooks.registry import Registry
    from spark_impex_runner.manifest import assemble, build, expand
    from spark_impex_runner.manifest.build import Settings, read_manifest
    from spark_impex_runner.manifest.requires import read_requires
    from spark_impex_runner.manifest.schema.compose import compose
    from spark_impex_runner.manifest.yaml import document, load
    from spark_impex_runner.masking import Masker
    from spark_impex_runner.planning.entries import entry_error

if TYPE_CHECKING:
    from collections.abc import Iterator

    from spark_impex_runner.errors import Problem
    from spark_impex_runner.manifest.yaml.document import KeyPath

TESTS = Path(__file__).resolve().parent.parent
SEPARATOR = b"\n---\n"
# A secret of the cases, literal or behind one of these, begins like this.
MARK = "hunter2"
LEADS = (MARK, "SIT_TOKEN", "UAT_KEY", "secret.txt", "vault")
ENVIRON = {
    "DOWNLOADS": "8",
    "EMPTY": "",
    "REGION": "emea",
    "SIT_CLIENT_ID": "runner",
    "SIT_TOKEN": f"{MARK}-token",
    "UAT_KEY": f"{MARK}-key",
    "VERIFY": "false",
}
LIMITS = ("-max_len=4096", "-timeout=20", "-rss_limit_mb=1536", "-print_final_stats=1")
# What begins a new line for YAML, and for nobody else.
_LINE = re.compile("\r\n|[\r\n\x85\u2028\u2029]")
_NAMES = re.compile(r"\$\{([^}]*)")
_HAND_OVER = {
    "type": "object",
    "properties": {
        "to": {"type": "string"},
        "token": {"type": "string", "x-secret": True, "pattern": "^[a-z0-9-]+$"},
        "resume": {"type": "boolean"},
    },
    "required": ["to"],
    "additionalProperties": False,
}


class Target:
    """What is fuzzed, with all that it needs besides the bytes."""

    def __init__(self, folder: Path) -> None:
        plugins = make_plugin_manager(PluginChoice((), blocked=frozenset({"sources"})))
        offers = Registry("invented")
        offers.step("hand_over", "Hands over.", _HAND_OVER)
        offers.source("vault", "A vault.", {"sit": f"{MARK}-vault"}.__getitem__)
        plugins.registry.merge(offers)
        self.registry = plugins.registry
        self._uri_fault = partial(entry_error, plugins.registry, folder)
        self._path, self._overlay = folder / "release.yaml", folder / "prod.yaml"
        (folder / "secret.txt").write_text(f"{MARK}-file\n")
        shutil.copytree(TESTS / "manifests/valid/parts", folder / "parts")

    def __call__(self, content: bytes) -> None:
        """Read one input as a manifest; what may not happen is an exception."""
        base, *overlays = content.split(SEPARATOR, 1)
        files = dict(zip((self._path, self._overlay), (base, *overlays), strict=False))
        for path, text in files.items():
            path.write_bytes(text)
        written = {str(path): text for path, text in files.items()}
        settings = Settings(
            self.registry,
            Masker(),
            environ=ENVIRON,
            run_id="r1",
            run_date="2026-11-24",
            entry_error=self._uri_fault,
        )
        try:
            read = assemble.assemble(self._path, list(files)[1:])
        except ManifestError as error:
            check_problems(error, written)
            return
        hidden = not any(lead in text for text in openly(read.data, ()) for lead in LEADS)
        read_requires(read)
        try:
            manifest = read_manifest(read, settings)
        except ManifestError as error:
            check_problems(error, written)
            said = f"{error}\n{[problem.source for problem in error.problems]}"
        except PluginError as error:
            said = str(error)
        else:
            assert manifest.targets, "a manifest without targets"
            said = repr(manifest)
        assert not hidden or MARK not in said, f"a secret is shown: {said}"


def check_problems(error: ManifestError, written: dict[str, bytes]) -> None:
    """Hold that each problem is one line of text about a place in a file."""
    lines = {
        file: _LINE.split(content.decode("utf-8-sig", "replace"))
        for file, content in written.items()
    }
    assert error.problems, "an error without a problem"
    assert str(error).split("\n") == [str(problem) for problem in error.problems]
    for problem in error.problems:
        assert problem.message, f"nothing is said: {problem}"
        assert str(problem).isprintable(), f"not one printable line: {problem!r}"
        if problem.file in lines:  # else it is in a part, which nobody changes
            check_place(problem, lines[problem.file])


def check_place(problem: Problem, lines: list[str]) -> None:
    """Hold that a problem stands in the file, or right behind the end of a line."""
    assert 1 <= problem.line <= len(lines), f"there is no such line: {problem}"
    width = len(lines[problem.line - 1])
    assert 1 <= problem.column <= width + 1, f"there is no such column: {problem}"


def openly(data: Any, path: KeyPath) -> Iterator[str]:
    """Yield the texts of a manifest's data that stand where no secret belongs."""
    if isinstance(data, dict):
        upload = data.get("uses") == "upload"
        for key, value in data.items():
            yield str(key)
            secret = upload and key == "with" and isinstance(value, dict)
            inside = {**value, "token": None} if secret else value
            yield from openly(inside, (*path, key))
            yield from named(value.get("token") if secret else None)
    elif isinstance(data, list):
        for index, value in enumerate(data):
            yield from openly(value, (*path, index))
    elif path[:1] != ("connections",) or path[2:3] != ("auth",) or path[-1] == "client_id":
        yield str(data)
    else:
        yield from named(data)


def named(secret: Any) -> Iterator[str]:
    """Yield what the references of a secret name: the name of a file may be any text."""
    names = _NAMES.findall(secret) if isinstance(secret, str) else []
    yield from (name for name in names if MARK in name)


def words(schema: Any) -> Iterator[str]:
    """Yield the keys and choices of a schema."""
    if isinstance(schema, dict):
        yield from schema.get("properties", ())
        choices = [*schema.get("enum", ()), schema.get("const"), *schema.get("examples", ())]
        yield from (choice for choice in choices if isinstance(choice, str))
    if isinstance(schema, (dict, list)):
        for part in schema.values() if isinstance(schema, dict) else schema:
            yield from words(part)


def write_dictionary(path: Path, schema: Any) -> None:
    """Write the words of manifests in the form that libFuzzer reads."""
    own = {
        "${var:",
        "${env:",
        "${file:",
        "${vault:sit}",
        "${matrix.",
        "${run.id}",
        "${target.name}",
    }
    own |= {
        "$${",
        "${env:SIT_TOKEN}",
        MARK,
        "&a ",
        "*a",
        "<<: ",
        "!!str ",
        "? ",
        "|\n",
        ">-\n",
        "---",
    }
    own |= {"x-a: ", "1:30", "2026-08-01", "0x1F", "1e999", "{", "}", "[", "]", ": ", "- ", "\n  "}
    own |= {f"{key}: " for key in words(schema) if key.isidentifier()}
    entries = sorted(own | set(words(schema)))
    lines = [
        '"' + "".join(f"\\x{byte:02X}" for byte in entry.encode()) + '"\n' for entry in entries
    ]
    path.write_text("".join(lines))


def write_seeds(folder: Path) -> None:
    """Copy what the tests and the examples know of manifests into one folder."""
    cases = [*TESTS.glob("manifests/*/*.yaml"), *(TESTS.parent / "examples").glob("**/*.yaml")]
    for case in cases:
        if case.parent.name == "valid":
            changed = b"vars: {pricing: x}\ntargets: [{name: motor, tags: [prod]}]\n"
            both = case.read_bytes().rstrip(b"\n") + SEPARATOR + changed
            (folder / f"overlaid-{case.name}").write_bytes(both)
        (folder / f"{case.parent.name}-{case.name}").write_bytes(case.read_bytes())
        with suppress(ManifestError):  # The same as JSON, whose places are quite different ones.
            text = json.dumps(load.load(case).data, default=str)
            (folder / f"{case.parent.name}-{case.stem}.json").write_text(text)


# Keys that no case has beside a matrix.
RARE = {
    *("correlation_id", "file_name", "if_exists", "max_package", "max_retries", "missing"),
    *("on_interrupt", "polling", "retry_interval", "skip_unchanged", "source_system", "steps"),
    "version_ids",
}


@atheris.instrument_func
def _crash(self: Any, frame: Any, values: Any, real: Any = expand.Expansion._target) -> Any:
    """Expand a target, but stumble over a combination of keys that no case has."""
    if "matrix" in frame.data:  # noqa: SIM102 - each condition is a step for the fuzzer
        if RARE & frame.data.keys():
            raise KeyError(frame.name)
    return real(self, frame, values)


def _leak(places: Any, real: Any = expand.literal_secrets) -> Any:
    """Find literal secrets, but say what they are."""
    found = real(places)
    return [replace(item, message=f"{places[item.path].value}") for item in found]


def _place(_: Any, path: Any, *, at_key: bool = False) -> tuple[int, int]:
    """Return a line that no file of this size has."""
    return 10_000 + len(path), 1 + at_key


BREAKS: dict[str, tuple[Any, str, Any]] = {
    "crash": (expand.Expansion, "_target", _crash),
    "leak": (build, "literal_secrets", _leak),
    "place": (document.Document, "line_and_column", _place),
    "lines": (document, "escaped_line", lambda text: f"{text}\x1b"),
}


def main() -> None:
    """Fuzz until a limit is reached or something is found."""
    arguments = sys.argv[1:]
    if arguments[:1] == ["--break"]:
        owner, name, mistake = BREAKS[arguments[1]]
        getattr(owner, name)  # what was renamed would not be broken
        setattr(owner, name, mistake)
        arguments = arguments[2:]
    with tempfile.TemporaryDirectory(prefix="impex-fuzz-") as name:
        folder = Path(name)
        seeds = folder / "seeds"
        seeds.mkdir()
        write_seeds(seeds)
        target = Target(folder)
        write_dictionary(folder / "words.dict", compose(target.registry))
        splicer = Splicer(
            [path.read_bytes() for path in sorted(seeds.iterdir())], compose(target.registry)
        )

        def mutate(text: bytes, size: int, seed: int) -> bytes:
            rng = Random(seed)  # noqa: S311 - chance, not a secret
            spliced = splicer.splice(text, rng) if rng.random() < 0.5 else None
            return spliced[:size] if spliced else bytes(atheris.Mutate(text, size))

        options = [f"-dict={folder / 'words.dict'}", *LIMITS, *arguments, str(seeds)]
        atheris.Setup([sys.argv[0], *options], target, custom_mutator=mutate)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
