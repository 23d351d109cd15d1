"""Run scenarios on the sandbox, and make what they write comparable between versions."""

from __future__ import annotations

import json
import re
import sqlite3
import xml.etree.ElementTree as ET
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest

from spark_impex_runner.cli import main
from spark_impex_runner.sandbox.faults import parse_fault
from spark_impex_runner.sandbox.server import Sandbox, Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

TIME = r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|\+00:00)?"
STATE = ".impex/state.db"
# What differs from run to run, and a value of the same form, which the schemas allow.
_VARIABLE = (
    (r"http://127\.0\.0\.1:\d+", "http://127.0.0.1:1"),
    (r"\d{8}T\d{6}Z-[0-9a-f]+", "20260101T000000Z-00000000"),
    # The digests of default correlation ids, which 0.1.0 did not have.
    (r"(20260101T000000Z-00000000-[a-z]+)-[0-9a-f]{12}", r"\1"),
    (r"~(part[\d.]+)-[0-9a-f]{12}", r"-\1"),
    (TIME, "2026-01-01T00:00:00.000Z"),
    (r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "00000000-0000-4000-8000-000000000000"),
    (r"\b[0-9a-f]{64}\b", "0" * 64),
    (r"\b[0-9a-f]{32}\b", "0" * 32),
    (r"@[0-9a-f]{12}\b", "@" + "0" * 12),
)
# Written for people, in words that may change.
_WORDS = frozenset({"message", "error", "warnings", "text", "stage"})
_NUMBERS = frozenset({"seconds", "size", "time", "began"})


def normalised(value: Any, folder: Path, key: str = "") -> Any:
    """Return a value of JSON without ids, times, ports, sizes, paths and wording."""
    if isinstance(value, dict):
        return {name: normalised(each, folder, name) for name, each in value.items()}
    if isinstance(value, list):
        return [normalised(each, folder, key) for each in value]
    if isinstance(value, str):
        if key in _WORDS:
            return "text" if value else ""
        if key in _NUMBERS and value.replace(".", "").isdecimal():
            return "0"
        value = value.replace(str(folder), "/folder")
        for pattern, same in _VARIABLE:
            value = re.sub(pattern, same, value)
        return value
    return 0 if key in _NUMBERS and value is not None else value


def differences(golden: Any, actual: Any, path: str = "") -> Iterator[str]:
    """Yield what is removed, renamed or of another value; additional keys are none.

    Of ``log`` and ``children`` each element must be there, in its order, among any others.
    """
    if isinstance(golden, dict) and isinstance(actual, dict):
        for name, value in golden.items():
            if name not in actual:
                yield f"{path}.{name} is gone"
            elif name in {"log", "children"}:
                yield from _lost(value, actual[name], f"{path}.{name}")
            else:
                yield from differences(value, actual[name], f"{path}.{name}")
    elif isinstance(golden, list) and isinstance(actual, list) and len(golden) == len(actual):
        for number, pair in enumerate(zip(golden, actual)):  # noqa: B905 - of one length
            yield from differences(*pair, f"{path}[{number}]")
    elif golden != actual or type(golden) is not type(actual):
        yield f"{path} is {actual!r}, not {golden!r}"


def _lost(golden: list[Any], actual: list[Any], path: str) -> Iterator[str]:
    remaining = iter(actual)
    for number, each in enumerate(golden):
        if all(list(differences(each, other)) for other in remaining):
            yield f"{path}[{number}] is gone: {each}"
            return


def tree_of(element: ET.Element) -> dict[str, Any]:
    """Return XML as JSON."""
    return {
        "tag": element.tag,
        **element.attrib,
        "text": (element.text or "").strip(),
        "children": [tree_of(each) for each in element],
    }


@dataclass
class Place:
    """A folder with a tenant to export from, ``sit``, and one to import to, ``uat``."""

    folder: Path
    capsys: pytest.CaptureFixture[str]
    monkeypatch: pytest.MonkeyPatch
    stack: ExitStack
    tenants: dict[str, Sandbox] = field(default_factory=dict)

    def serve(self, *faults: str, **settings: Any) -> Sandbox:
        """Serve both tenants; the faults and settings are those of ``sit``."""
        for version in (
            "sit/motor/pricing/1.4.2",
            "sit/life/annuity/1.0.0",
            "uat/life/other/1.0.0",
        ):
            (self.folder / version).mkdir(parents=True, exist_ok=True)
        own = Settings(faults=tuple(map(parse_fault, faults)), **settings)
        for name, each in {"sit": own, "uat": Settings()}.items():
            sandbox = self.stack.enter_context(Sandbox(self.folder / name, each))
            self.tenants[name] = sandbox
            self.monkeypatch.setenv(f"TOKEN_{name}", sandbox.token)
        return self.tenants["sit"]

    def write(self, body: str, name: str = "m.yaml") -> None:
        """Write a manifest on these tenants."""
        auth = "auth: {{token: '${{env:TOKEN_{}}}'}}"
        lines = ["version: 1", "connections:"]
        for tenant, sandbox in self.tenants.items():
            lines.append(f"  {tenant}: {{base_url: '{sandbox.base_url}', {auth.format(tenant)}}}")
        lines.append(
            "defaults: {connection: sit, retry_interval: 50ms, polling: {strategy: fixed}}"
        )
        (self.folder / name).write_text("\n".join([*lines, body]))

    def call(self, *args: str) -> tuple[int, str, str]:
        """Run ``impex-run …`` or ``impex COMMAND …``; return exit code, stdout and stderr."""
        entry = main.run if args[0] == "impex-run" else main.main
        with pytest.raises(SystemExit) as exit_:
            entry(list(args[1:]))
        out, err = self.capsys.readouterr()
        return int(exit_.value.code or 0), out, err

    def run(self, *options: str) -> dict[str, Any]:
        """Run the manifest; return its exit code, reports, receipts and log, normalised."""
        reports = ("--report", "json=r.json", "--report", "junit=r.xml")
        code, _, err = self.call("impex-run", "m.yaml", "--log-format", "json", *reports, *options)
        logged = [json.loads(line) for line in err.splitlines()]
        written = {
            "exit": code,
            "report": json.loads((self.folder / "r.json").read_text()),
            "junit": tree_of(ET.fromstring((self.folder / "r.xml").read_text())),  # noqa: S314
            "receipts": {
                path.parent.name: json.loads(path.read_text())
                for path in sorted(self.folder.glob("exports/*/impex-receipt.json"))
            },
            # By target: their order is that of threads.
            "logs": {
                target: {"log": [each for each in logged if each.get("target", "") == target]}
                for target in sorted({each.get("target", "") for each in logged})
            },
        }
        return dict(normalised(written, self.folder))

    def json(self, *args: str) -> Any:
        """Return what a command prints as JSON, normalised."""
        code, out, _ = self.call("impex", *args)
        return normalised({"exit": code, "printed": json.loads(out)}, self.folder)

    def values(self) -> dict[str, str]:
        """Return what stands in a state of this place and in no other."""
        urls = {f"{{{name}}}": sandbox.base_url for name, sandbox in self.tenants.items()}
        return {**urls, "{folder}": str(self.folder)}

    def dump(self) -> str:
        """Return the state as SQL, with ``{…}`` for what another place fills in."""
        with closing(sqlite3.connect(self.folder / STATE)) as link:
            version = link.execute("PRAGMA user_version").fetchone()[0]
            text = "\n".join([*link.iterdump(), f"PRAGMA user_version = {version};\n"])
        for name, value in self.values().items():
            text = text.replace(value, name)
        return re.sub(TIME, "{time}", text)

    def restore(self, sql: str, job: str) -> None:
        """Make the state that a dump describes, an hour old, with a job for the only ``{job}``."""
        hour_ago = datetime.now(timezone.utc) - timedelta(hours=1)
        for name, value in {**self.values(), "{time}": hour_ago.isoformat(), "{job}": job}.items():
            sql = sql.replace(name, value)
        (self.folder / STATE).parent.mkdir()
        with closing(sqlite3.connect(self.folder / STATE)) as link:
            link.executescript(sql)


@pytest.fixture
def place(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Place]:
    """Give an empty folder, in which commands are called."""
    monkeypatch.chdir(tmp_path)
    with ExitStack() as stack:
        yield Place(tmp_path, capsys, monkeypatch, stack)


@pytest.fixture
def compare() -> Callable[[Any, Any], list[str]]:
    """Give the function that lists what is not as a golden file has it."""
    return lambda golden, actual: list(differences(golden, actual))
