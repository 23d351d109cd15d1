"""Writes the reference pages that say what the code says: manifest, commands, hooks, modules.

It also writes the overlay's schema, which follows from the manifest's. Run ``python
docs/generate.py`` after a change; tests compare the files with what it would write.
"""

from __future__ import annotations

import argparse
import ast
import inspect
import json
import re
from dataclasses import MISSING, is_dataclass
from dataclasses import fields as fields_of
from enum import Enum
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import spark_impex_runner
from spark_impex_runner import models, testing, tools
from spark_impex_runner.cli import main as command_line
from spark_impex_runner.hooks import registry, specs
from spark_impex_runner.hooks.manager import make_plugin_manager
from spark_impex_runner.manifest.schema.compose import compose, overlay, printed, published
from spark_impex_runner.testing import fixtures, options
from spark_impex_runner.tools import http

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from spark_impex_runner.hooks.registry import Notifier, Offer

REFERENCE = Path(__file__).parent / "reference"
OVERLAY = Path(__file__).parent.parent / "schemas" / "overlay.schema.json"
CONFORMANCE = (
    testing.StepConformance,
    testing.StrategyConformance,
    testing.ResolverConformance,
    testing.SourceConformance,
)
# The tools in the order of the page, by its sections.
TOOLS = {
    "Options": "DURATION_SCHEMA SIZE_SCHEMA parse_duration parse_size",
    "Files": "Ownership write_artifact write_atomically file_lock files_below require_space "
    "url_problem",
    "Digests": "file_digests folder_digest digest_of checksum_line parse_checksum_lines "
    "parse_checksums parse_hash Hash signed_digests",
    "ZIP files": "open_zip package_errors package_readers raw_entry_name quoted FileReader "
    "ArchiveReader ReadBudget DamagedFileError OverLimitError",
    "Text, JSON and secrets": "one_line first_of counted did_you_mean parse_json Masker "
    "MaskingFilter is_loopback",
    "Interrupts": "stop_check",
    "Services and status payloads": "Uri version_order parse_status missing_items is_unspecified "
    "requested_versions UnknownVersionsError",
    "Imports": "read_exported exported_now list_destination forecast_import",
    "Errors of a tenant": "is_unknown_job may_have_created_job",
    "Finished runs": "headline run_outcome time_span",
}
# The classes of the tools that a plugin makes itself.
MADE = {"HttpClient", "Masker", "MaskingFilter", "ReadBudget", "Uri"}
NOTE = "<!-- Written by docs/generate.py; edit the code instead. -->\n"


def pages() -> dict[str, str]:
    """Return every generated page by its file name."""
    return {
        "manifest.md": manifest_page(),
        "cli.md": cli_page(),
        "hooks.md": hooks_page(),
        "models.md": models_page(),
        "tools.md": tools_page(),
        "modules.md": modules_page(),
        "testing.md": testing_page(),
    }


def manifest_page() -> str:
    """Return all keys of a manifest, and the options of what the built-in plugins offer."""
    registry = make_plugin_manager().registry
    schema = compose(registry)
    lines = [
        "# The manifest",
        NOTE,
        "A manifest is a YAML file. `impex schema` prints its JSON Schema (draft 2020-12), and",
        "`impex schema --with-plugins` the one with the options of the installed plugins, `impex",
        "schema --overlay` that of overlays and included files.",
        "[An editor](../how-to/editor.md) completes and explains every key.",
        "",
        "Wherever a value may stand, a reference may: `${var:x}`, `${env:X}`, `${file:/path}`,",
        "`${run.id}`, `${run.date}`, `${target.name}`, `${target.output}`, `${matrix.x}`; `$${` is",
        "a literal `${`. Relative paths are relative to the manifest. Durations are `500ms`, `3s`,",
        "`45m`, `2h` or a number of seconds; sizes are `10MB`, `2GiB` or a number of bytes.",
        "",
        "| key | description | default |",
        "|---|---|---|",
        *_rows(schema, schema, ""),
    ]
    kinds: dict[str, Mapping[str, Offer | Notifier]] = {
        "Steps": registry.steps,
        "Polling strategies": registry.strategies,
        "Notifiers": registry.notifiers,
    }
    for title, offers in kinds.items():
        lines += ["", f"## {title}"]
        for offer in offers.values():
            lines += ["", f"### `{offer.name}`", "", _sentence(offer.summary)]
            rows = list(_rows(dict(offer.options), dict(offer.options), "with."))
            if rows:
                lines += ["", "| option | description | default |", "|---|---|---|", *rows]
    return "\n".join(lines) + "\n"


def _rows(schema: dict[str, Any], root: dict[str, Any], prefix: str) -> Iterator[str]:
    """Yield a table row for each property, and below it those of what it holds."""
    for name, raw in schema.get("properties", {}).items():
        part = _resolved(raw, root)
        default = f"`{_plain(part['default'])}`" if "default" in part else ""
        text = _described(part, root) + _required(name, schema)
        yield f"| `{prefix}{name}` | {text.replace('|', chr(92) + '|')} | {default} |"
        if name != "defaults":  # its keys are those of a target
            yield from _below(part, root, f"{prefix}{name}")


def _required(name: str, schema: dict[str, Any]) -> str:
    """Return whether a key must be there: always, or unless another one is."""
    if name in schema.get("required", ()):
        return " Required."
    if name in schema.get("else", {}).get("required", ()):
        return f" Required, here or through `{schema['if']['required'][0]}`."
    return ""


def _described(part: dict[str, Any], root: dict[str, Any]) -> str:
    """Return a key's description, its allowed values, or an example where it has no default."""
    text = str(part.get("description", ""))
    if allowed := ", ".join(f"`{value}`" for value in _choices(part, root)):
        return f"{text} One of {allowed}."
    if "default" not in part and "examples" in part:
        return f"{text} For example `{_plain(part['examples'][0])}`."
    return text


def _below(part: dict[str, Any], root: dict[str, Any], prefix: str) -> Iterator[str]:
    yield from _rows(part, root, f"{prefix}.")
    items = part.get("items")
    if isinstance(items, dict):
        yield from _rows(_resolved(items, root), root, f"{prefix}[].")
    for key in ("additionalProperties", "patternProperties"):
        held = part.get(key)
        held = next(iter(held.values())) if key == "patternProperties" and held else held
        if isinstance(held, dict) and prefix:
            yield from _rows(_resolved(held, root), root, f"{prefix}.*.")


def _resolved(part: dict[str, Any], root: dict[str, Any]) -> dict[str, Any]:
    """Follow a $ref, keeping what stands beside it; defaults of targets are shown once only."""
    while "$ref" in part:
        found: Any = root
        for step in part["$ref"].removeprefix("#/").split("/"):
            found = found[step]
        part = {**found, **{key: value for key, value in part.items() if key != "$ref"}}
    return part


def _choices(part: dict[str, Any], root: dict[str, Any]) -> list[Any]:
    """Return the values of an enumeration, wherever the schema hides it."""
    if "enum" in part:
        return list(part["enum"])
    for each in part.get("anyOf", ()):
        resolved = _resolved(each, root)
        if "enum" in resolved:
            return list(resolved["enum"])
    return []


def _plain(value: Any) -> str:
    """Return a value as YAML has it: what is no text is JSON, which YAML reads."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def cli_page() -> str:
    """Return every command with its arguments and options."""
    lines = [
        "# Commands",
        NOTE,
        "`impex-run` is `impex run`. Results go to stdout, everything else to stderr.",
        "[What the exit codes mean](exit-codes.md). `-h` shows the same in the terminal; `impex`",
        "alone lists the commands and exits with 0. A usage error is one line, exit code 2.",
    ]
    for name, summary in command_line.COMMANDS.items():
        parser = argparse.ArgumentParser()
        import_module(f"spark_impex_runner.cli.{name}").add_arguments(parser)
        title = "impex-run" if name == "run" else f"impex {name}"
        lines += ["", f"## `{title}`", "", _sentence(summary), "", "| argument | meaning |"]
        lines += ["|---|---|", *(_argument(action) for action in parser._actions[1:])]
    return "\n".join(lines) + "\n"


def _argument(action: argparse.Action) -> str:
    """Return the row of one argument; argparse offers its actions under a private name only."""
    names = ", ".join(f"`{option}`" for option in action.option_strings)
    value = "" if action.nargs == 0 else str(action.metavar or action.dest.upper())
    value = "|".join(map(str, action.choices)) if action.choices else value
    value = value.replace("|", "\\|")
    shown = f"{names} {value}".strip() if names else f"`{value}`"
    required = " (required)" if action.required and names else ""
    return f"| {shown} | {action.help}{required} |"


def hooks_page() -> str:
    """Return the manual of the hooks: the module's docstring, then each signature with its own."""
    lines = ["# Hooks", NOTE, _markdown(specs.__doc__), ""]
    for name, spec in vars(specs).items():
        if name.startswith("impex_"):
            kind = "first result" if spec.impex_runner_spec["firstresult"] else "all are called"
            signature = str(inspect.signature(spec)).replace("'", "")
            lines += [f"## `{name}`", "", f"```python\ndef {name}{signature}\n```", ""]
            lines += [f"*{kind}*", "", _markdown(spec.__doc__), ""]
    return "\n".join(lines).rstrip() + "\n"


def models_page() -> str:
    """Return every model with its fields: type, default and meaning, from the docstrings."""
    lines = ["# Models", NOTE, _markdown(models.__doc__), ""]
    lines += ["They are in `spark_impex_runner.models`; `StepOutput` is in `spark_impex_runner`."]
    classes = [getattr(models, name) for name in models.__all__]
    classes += [specs.StepOutput]
    for kind in sorted(filter(inspect.isclass, classes), key=lambda kind: kind.__name__):
        head, _, fields = _markdown(kind.__doc__).partition("\nAttributes:\n")
        lines += ["", f"## `{kind.__name__}`", "", head.strip()]
        if issubclass(kind, Enum):
            lines += ["", ", ".join(f"`{each.name}` (`{each.value}`)" for each in kind)]
        if is_dataclass(kind):
            lines += ["", "| field | type | default | meaning |", "|---|---|---|---|"]
            lines += _fields(kind, _entries(fields))
        lines += _methods(kind, kind.__name__)
    lines += ["", "## Functions and constants"]
    for name in models.__all__:
        value = getattr(models, name)
        if inspect.isfunction(value):
            lines += _function(name, value)
        elif not inspect.isclass(value):
            lines += ["", f"### `{name}`", "", f"`{value!r}`"]
    return "\n".join(lines) + "\n"


def _fields(kind: Any, meanings: Mapping[str, str]) -> Iterator[str]:
    """Yield the row of each field; fail where one has no meaning, or a meaning has no field."""
    names = [each.name for each in fields_of(kind)]
    if list(meanings) != names:
        raise ValueError(f"{kind.__name__}: Attributes are not its fields, in their order")
    for each in fields_of(kind):
        default = (
            "" if each.default is MISSING else f"`{getattr(each.default, 'value', each.default)!r}`"
        )
        if each.default_factory is not MISSING:
            default = "empty"
        if callable(each.default):
            default = f"`{each.default.__name__}`"
        kind_of = str(each.type).replace("|", "\\|")
        yield f"| `{each.name}` | `{kind_of}` | {default} | {meanings[each.name]} |"


def _entries(text: str) -> dict[str, str]:
    """Return the entries of a docstring's section by their names, each on one line."""
    found = re.findall(r"^    (\w+): (.*(?:\n {8}.*)*)", text, re.MULTILINE)
    return {name: " ".join(meaning.split()) for name, meaning in found}


def tools_page() -> str:
    """Return what plugins may use besides root, errors and models: signatures and docstrings."""
    grouped = {name for names in TOOLS.values() for name in names.split()}
    if odd := grouped ^ set(tools.__all__):
        raise ValueError(f"TOOLS or tools.__all__ lacks {', '.join(sorted(odd))}")
    lines = ["# Tools for plugins", NOTE, _markdown(tools.__doc__), "", "## HTTP", ""]
    lines += [_markdown(http.__doc__)]
    for name in http.__all__:
        lines += _described_class(name, getattr(http, name))
    for title, names in TOOLS.items():
        lines += ["", f"## {title}"]
        for name in names.split():
            value = getattr(tools, name)
            if not name.isupper():
                lines += (_described_class if inspect.isclass(value) else _function)(name, value)
    lines += ["", "## What a plugin registers", "", _markdown(registry.Registry.__doc__)]
    lines += _methods(registry.Registry, "registry")
    for kind in (registry.StepOffer, registry.Source, registry.Resolver, registry.Notifier):
        lines += ["", f"### `{kind.__name__}`", "", _markdown(kind.__doc__)]
    return "\n".join(lines) + "\n"


def _described_class(name: str, kind: Any) -> list[str]:
    """Return the section of a class: how a plugin makes it, its docstring, its methods."""
    shown = [f"```python\n{name}{_signature(kind.__init__)}\n```", ""] if name in MADE else []
    return ["", f"### `{name}`", "", *shown, _markdown(kind.__doc__), *_methods(kind, name)]


def _function(name: str, function: Any) -> list[str]:
    """Return the section of a function."""
    shown = f"```python\n{name}{_signature(function)}\n```"
    return ["", f"### `{name}`", "", shown, "", _markdown(function.__doc__)]


def _methods(kind: Any, owner: str) -> list[str]:
    """Return the sections of a class's own public methods and properties."""
    lines = []
    for name, raw in vars(kind).items():
        function = getattr(raw, "__func__", getattr(raw, "fget", raw))
        if name.startswith("_") or not inspect.isfunction(function):
            continue
        lines += ["", f"#### `{owner}.{name}`", ""]
        if not isinstance(raw, property):
            lines += [f"```python\n{name}{_signature(function)}\n```", ""]
        lines.append(_markdown(function.__doc__))
    return lines


def modules_page() -> str:
    """Return the first sentence of every module, folder by folder."""
    root = Path(spark_impex_runner.__file__).parent
    lines = [
        "# Modules",
        NOTE,
        "Every module in one sentence; [how they work together](../explanation/architecture.md).",
    ]
    # An installed package has these below it, too: the plugins have a page of their own.
    mapped = {root / "plugins", root / "schemas"}
    inits = sorted(each for each in root.rglob("__init__.py") if not mapped & set(each.parents))
    for folder in (each.parent for each in inits):
        title = folder.relative_to(root.parent).as_posix()
        lines += ["", f"## `{title}/`", "", _first_sentence(folder / "__init__.py")]
        files = sorted(path for path in folder.glob("*.py") if path.name != "__init__.py")
        rows = [f"| `{path.stem}` | {_first_sentence(path)} |" for path in files]
        lines += ["", "| module | what it holds |", "|---|---|", *rows] if rows else []
    return "\n".join(lines) + "\n"


def testing_page() -> str:
    """Return the kit for authors: its fixtures, and each test that a class of it hands down."""
    lines = ["# Tests of plugins", NOTE, _markdown(testing.__doc__), "", "## Fixtures", ""]
    lines += ["| fixture | what it gives |", "|---|---|"]
    lines += [f"| `{name}` | {text} |" for name, text in _fixtures()]
    for kind in (testing.Runner, testing.Finished, testing.Server, testing.FakeClock):
        call = vars(kind).get("__call__")
        lines += ["", f"### `{kind.__name__}`", "", _markdown(kind.__doc__)]
        if call:
            lines += ["", f"```python\n{kind.__name__}{_signature(call)}\n```"]
            lines += ["", _markdown(call.__doc__)]
    lines += ["", "## Classes to inherit from", "", _markdown(options.PluginConformance.__doc__)]
    lines += ["", "Those with options:", "", _markdown(options.OptionsConformance.__doc__)]
    for kind in CONFORMANCE:
        lines += ["", f"## `{kind.__name__}`", "", _markdown(kind.__doc__), ""]
        lines += ["| attribute | default |", "|---|---|", *_attributes(kind)]
        lines += ["", "| inherited test | what holds |", "|---|---|"]
        tests = sorted(name for name in dir(kind) if name.startswith("test_"))
        lines += [f"| `{name}` | {_line(getattr(kind, name))} |" for name in tests]
    return "\n".join(lines) + "\n"


def _fixtures() -> Iterator[tuple[str, str]]:
    """Yield name and description of each fixture; pytest hides the functions themselves."""
    for node in ast.parse(inspect.getsource(fixtures)).body:
        if isinstance(node, ast.FunctionDef) and "pytest.fixture" in map(
            ast.unparse, node.decorator_list
        ):
            yield node.name, _markdown(ast.get_docstring(node))


def _attributes(kind: type) -> Iterator[str]:
    """Yield the row of each attribute that an author may set, those of all kinds first."""
    for each in reversed(kind.__mro__):
        for name in vars(each).get("__annotations__", {}):
            yield f"| `{name}` | `{getattr(kind, name)!r}` |"


class _Written:
    """An annotation or a default as the code writes it."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return self.text


def _signature(function: Any) -> str:
    """Return the signature of a function, of a method without ``self`` or ``cls``."""
    signature = inspect.signature(function)
    shown = [
        each.replace(
            annotation=_Written(str(each.annotation)),
            default=_Written("…") if inspect.isfunction(each.default) else each.default,
        )
        for each in signature.parameters.values()
        if each.name not in {"self", "cls"}
    ]
    returned = _Written(str(signature.return_annotation))
    return str(signature.replace(parameters=shown, return_annotation=returned))


def _line(function: Any) -> str:
    """Return a docstring in one line."""
    return " ".join(_markdown(function.__doc__).split())


def _first_sentence(path: Path) -> str:
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return " ".join(_markdown(docstring.split("\n\n")[0]).split())


def _markdown(docstring: str | None) -> str:
    """Return a docstring's reStructuredText, of which ours use little, as Markdown."""
    return inspect.cleandoc(docstring or "").replace("``", "`").replace("::\n", ":\n")


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:].rstrip(".") + "."


if __name__ == "__main__":
    files = {REFERENCE / name: content for name, content in pages().items()}
    files[OVERLAY] = printed(overlay(published())) + "\n"
    for file, content in files.items():
        file.write_text(content, encoding="utf-8")
        print(f"wrote {file}")
