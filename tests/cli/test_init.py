"""``impex init`` writes a manifest that is valid as it stands, whatever is known of the tenant."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from spark_impex_runner.cli import init
from spark_impex_runner.cli.draft import TenantContents, draft
from spark_impex_runner.clock import Clock
from spark_impex_runner.masking import Masker
from spark_impex_runner.models import RunOptions
from spark_impex_runner.planning.load import load
from spark_impex_runner.sandbox.server import Sandbox

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

SIT = "https://excel.sit.coherent.global/acme"
STRANGE = [
    *("a b", "a#b", "a: b", "- x", 'it\'s "odd"', "yes", "1.10", "null", "käse", "日本", "本日"),
    *("${env:HOME}", "$${x}", "[a]", "{a}", "*a", "&a", "!a", "%a", "@a", "`a`", "a\\b", " lead"),
    *("\u3000wide", "line\u2028break", "nel\u0085", "emoji😀", "Case", "case", "tab\there", "~"),
]


@pytest.fixture
def tenant(shell: Any) -> Iterator[Sandbox]:
    """Return a tenant with the folders ``life`` and ``motor``, which is served elsewhere."""
    with Sandbox(shell.folder / "acme") as sandbox:
        yield sandbox


@contextmanager
def serving(answer: Callable[[], bytes]) -> Iterator[str]:
    """Serve the same reply to every POST; yields the address of a tenant there."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            body = answer()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Stay quiet."""

    class Quiet(ThreadingHTTPServer):
        def handle_error(self, *_: Any) -> None:
            """Say nothing about clients that hang up."""

    server = Quiet(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/acme"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def listed(*names: str) -> bytes:
    """Return a listing's reply."""
    return json.dumps({"data": [{"name": name} for name in names]}).encode()


def check(shell: Any, file: str = "release.yaml") -> str:
    """Return a written manifest, which begins with its modeline and is valid but for its marks."""
    text = (shell.folder / file).read_text(encoding="utf-8")
    first = text.splitlines()[0]
    schema = (shell.folder / file).parent / first.removeprefix("# yaml-language-server: $schema=")
    # That the schema is one is tested with the schemas.
    valid = jsonschema.Draft202012Validator(json.loads(schema.read_text(encoding="utf-8")))
    valid.validate(yaml.safe_load(text))
    validated = shell("impex", "validate", file)
    marks = [
        f"{file}:{number}:" for number, line in enumerate(text.splitlines(), 1) if "FILL IN" in line
    ]
    output = validated.err.splitlines()
    assert validated.code == (2 if marks else 0)
    assert [
        mark for mark, line in zip(marks, output, strict=True) if line.startswith(mark)
    ] == marks
    return text


def test_empty_draft_has_placeholders(
    shell: Any, tenant: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody is asked without a terminal; with the environment it names, a run reaches a tenant."""
    done = shell("impex", "init")

    text = check(shell)
    assert done.code == 0
    assert "set CSPARK_BASE_URL" in done.err
    assert "\n  tenant: {} # FILL IN" in text
    assert text.count("FILL IN") == 3
    monkeypatch.setenv("CSPARK_BASE_URL", tenant.base_url)
    monkeypatch.setenv("CSPARK_BEARER_TOKEN", tenant.token)
    refused = shell("impex-run", "release.yaml")
    assert refused.code == 2
    assert refused.err.count("\n") == 1
    assert "still to fill in: a folder, or services" in refused.err
    filled = text.replace('["FOLDER"] # FILL IN', "[life] #")
    (shell.folder / "release.yaml").write_text(filled)
    assert shell("impex-run", "release.yaml").code == 0


def test_without_credentials_it_names_the_variables(shell: Any) -> None:
    """The address is kept, no folder is looked for, and nobody is spoken to."""
    done = shell("impex", "init", "--base-url", f"{SIT}/page?x=1")

    text = check(shell)
    assert f'  sit:\n    base_url: "{SIT}"\n' in text
    assert "FILL IN the credentials: set CSPARK_BEARER_TOKEN" in text
    assert "FILL IN a folder" in text
    assert "cannot list the folders, fill them in: no credentials" in done.err


@pytest.mark.parametrize("scheme", ["token", "api_key", "oauth", "oauth_file"])
def test_init_lists_tenant_folders(
    shell: Any, tenant: Sandbox, monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    """The manifest names address, folders and variables, holds no secret, and runs as it stands."""
    pair = {"client_id": tenant.client_id, "client_secret": tenant.client_secret}
    (shell.folder / "oauth.json").write_text(json.dumps(pair))
    variables = {
        "token": {"CSPARK_BEARER_TOKEN": tenant.token},
        "api_key": {"CSPARK_API_KEY": tenant.api_key, "CSPARK_BEARER_TOKEN": "loses"},
        "oauth": {f"CSPARK_{name.upper()}": value for name, value in pair.items()},
        "oauth_file": {"CSPARK_OAUTH_PATH": "oauth.json"},
    }[scheme]
    for name, value in {"CSPARK_BASE_URL": tenant.base_url, **variables}.items():
        monkeypatch.setenv(name, value)

    done = shell("impex", "init")

    text = check(shell)
    assert done.code == 0
    assert f'base_url: "{tenant.base_url}"' in text
    assert '      folder:\n        - "life"\n        - "motor"\n' in text
    used = [name for name, value in variables.items() if value != "loses"]
    assert f"# credentials: {' and '.join(used)} in the environment" in text
    assert "FILL IN" not in text + done.out
    assert not [s for s in variables.values() if s in text + done.out + done.err and s != "loses"]
    assert shell("impex-run", "release.yaml").code == 0
    assert shell("impex-run", "release.yaml", "-t", "export@life").code == 0


@pytest.mark.parametrize(
    ("credentials", "message"),
    [({"CSPARK_BEARER_TOKEN": "wrong-token"}, "401"), ({"CSPARK_API_KEY": "wrong-key"}, "401")],
)
def test_refused_listing_leaves_placeholder(
    shell: Any, tenant: Sandbox, monkeypatch: pytest.MonkeyPatch,
    credentials: dict[str, str], message: str,
) -> None:  # fmt: skip
    """The manifest is written nevertheless, without what was refused."""
    monkeypatch.setenv("CSPARK_BASE_URL", tenant.base_url)
    for name, value in credentials.items():
        monkeypatch.setenv(name, value)

    done = shell("impex", "init")

    notes = [line for line in done.err.splitlines() if "fill them in" in line]
    assert done.code == 0
    assert len(notes) == 1
    assert message in notes[0]
    assert "FILL IN a folder" in check(shell)
    assert not [value for value in credentials.values() if value in done.err + check(shell)]


def test_unreachable_tenant_is_one_line(shell: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody listens there; the manifest is as good as without a network."""
    monkeypatch.setenv("CSPARK_BASE_URL", "http://127.0.0.1:9/acme")
    monkeypatch.setenv("CSPARK_BEARER_TOKEN", "hunter2-token")

    done = shell("impex", "init")

    assert done.code == 0
    assert "cannot list the folders, fill them in: connections.tenant: cannot" in done.err
    assert "FILL IN a folder" in check(shell)
    assert shell("impex", "plan", "release.yaml").code == 2


def test_init_times_out_silent_tenant(shell: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A list that is only a convenience holds nobody up, however often a token is asked for."""
    monkeypatch.setattr(init, "LISTING_TIMEOUT", 0.2)
    monkeypatch.setenv("CSPARK_CLIENT_ID", "runner")
    monkeypatch.setenv("CSPARK_CLIENT_SECRET", "hunter2-secret")
    released = threading.Event()

    def slow() -> bytes:
        released.wait(30)
        return listed("late")

    with serving(slow) as address:
        done = shell("impex", "init", "--base-url", address)
        released.set()

    assert done.code == 0
    assert "the tenant did not reply within 0.2 s" in done.err
    assert "FILL IN a folder" in check(shell)


@pytest.mark.parametrize("reply", [listed(), b'{"data": null}', b"<html>", b"[]"])
def test_tenant_without_folders_leaves_placeholder(
    shell: Any, monkeypatch: pytest.MonkeyPatch, reply: bytes
) -> None:
    """An empty list, or a page of a proxy's: said in a line."""
    monkeypatch.setenv("CSPARK_BEARER_TOKEN", "hunter2-token")
    with serving(lambda: reply) as address:
        done = shell("impex", "init", "--base-url", address)

    assert done.code == 0
    assert "fill them in" in done.err
    assert "FILL IN a folder" in check(shell)


def test_unwritable_names_are_skipped(shell: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of a character is no text; the other folders are there."""
    monkeypatch.setenv("CSPARK_BEARER_TOKEN", "hunter2-token")
    with serving(lambda: listed("life", "\ud800")) as address:
        shell("impex", "init", "--base-url", address)

    assert yaml.safe_load(check(shell))["targets"][0]["matrix"] == {"folder": ["life"]}


def test_init_writes_runnable_sandbox(shell: Any) -> None:
    """Its folder is named from where the manifest lies."""
    done = shell("impex", "init", "sub/first.yaml", "--sandbox", "acme")

    text = check(shell, "sub/first.yaml")
    assert done.code == 0
    assert '  sandbox:\n    sandbox: "../acme"' in text
    assert done.out == (
        "sub/first.yaml: written, 2 folders; next steps:\n"
        "  impex validate sub/first.yaml\n"
        "  impex plan sub/first.yaml\n"
        "  impex-run sub/first.yaml\n"
    )
    assert shell("impex-run", "sub/first.yaml").code == 0
    assert len(list((shell.folder / "sub/exports").glob("*/export@*/package.zip"))) == 2


def test_folders_with_strange_names_are_exported(shell: Any) -> None:
    """Quotes, blanks, colons, hashes, other scripts, and what looks like a reference."""
    for name in STRANGE:
        (shell.folder / "odd" / name / "service" / "1.0.0").mkdir(parents=True)

    shell("impex", "init", "--sandbox", "odd")

    check(shell)
    done = shell("impex-run", "release.yaml")
    assert done.code == 0, done.err


_names = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1)


@settings(max_examples=50)
@given(st.lists(_names, min_size=1, max_size=6, unique=True))
def test_every_name_comes_back_as_it_was(tmp_path_factory: Any, names: list[str]) -> None:
    """Each folder is in one target, to the letter, and no two targets share a name."""
    file = tmp_path_factory.getbasetemp() / "every-name.yaml"
    known = TenantContents(SIT, credentials=("CSPARK_API_KEY",), folders=tuple(names))
    file.write_text(draft(known), encoding="utf-8")

    targets = load(file, RunOptions(), Clock(), Masker()).targets

    assert sorted(name for target in targets for name in target.folders) == sorted(names)
    assert len({target.name.casefold() for target in targets}) == len(targets)


def test_colliding_folders_share_target() -> None:
    """Also where only a file system that knows no case would make one of their outputs."""
    text = draft(TenantContents(SIT, folders=("Case", "case", "a b", "a#b", "life")))

    alone, shared = yaml.safe_load(text)["targets"]
    assert alone["matrix"] == {"folder": ["life"]}
    assert shared["folders"] == ["Case", "a b", "a#b", "case"]


@pytest.mark.parametrize(
    ("address", "name"),
    [
        (SIT, "sit"),
        ("https://excel.uat.us.coherent.global/a", "uat-us"),
        ("https://x.eu/a", "tenant"),
    ],
)
def test_connection_is_named_by_environment(address: str, name: str) -> None:
    """There will be others beside it, to promote to."""
    assert list(yaml.safe_load(draft(TenantContents(address)))["connections"]) == [name]


def test_existing_files_are_not_overwritten(shell: Any) -> None:
    """A manifest that exists stays, a file in the schema's place too, and nothing is written."""
    (shell.folder / "release.yaml").write_text("mine")
    (shell.folder / "sub").mkdir()
    (shell.folder / "sub/manifest.schema.json").write_text('{"$id": "mine"}')

    manifest = shell("impex", "init", "--sandbox", "acme")
    schema = shell("impex", "init", "sub/other.yaml", "--sandbox", "acme")

    assert (manifest.code, schema.code) == (2, 2)
    assert "release.yaml exists already; name another file" in manifest.err
    assert "sub/manifest.schema.json exists already and is not" in schema.err
    assert (shell.folder / "release.yaml").read_text() == "mine"
    assert (shell.folder / "sub/manifest.schema.json").read_text() == '{"$id": "mine"}'
    assert not (shell.folder / "manifest.schema.json").exists()
    assert not (shell.folder / "sub/other.yaml").exists()


def test_init_refreshes_plugin_schema(shell: Any) -> None:
    """It is what ``impex schema --with-plugins`` prints, also where an older one of ours lay."""
    schema = shell.folder / "manifest.schema.json"
    schema.write_text(json.dumps({"$id": json.loads(shell("impex", "schema").out)["$id"]}))

    done = shell("impex", "init", "--sandbox", "acme")

    assert "manifest.schema.json: written" in done.err
    assert schema.read_text() == shell("impex", "schema", "--with-plugins").out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--base-url", "http://excel.sit.coherent.global/acme"], "must begin with https://"),
        (["--base-url", "https://excel.sit.coherent.global"], "names no tenant"),
        (["--base-url", "https://me:hunter2@x.eu/acme"], "user name or password"),
        (["--sandbox", "nowhere"], "cannot start the sandbox"),
        (["--sandbox", "acme", "--base-url", SIT], "not allowed with"),
        (["acme/life/x.yaml/m.yaml", "--sandbox", "acme"], "cannot write acme/life/x.yaml"),
    ],
)
def test_unusable_arguments_exit_with_2(shell: Any, arguments: list[str], message: str) -> None:
    """What was said wrongly is not left to be filled in."""
    (shell.folder / "acme/life/x.yaml").write_text("a file where a folder should be")

    done = shell("impex", "init", *arguments)

    assert done.code == 2
    assert message in done.err
    assert "hunter2" not in done.err
    assert sorted(path.name for path in shell.folder.iterdir()) == ["acme"]


@pytest.mark.parametrize(
    ("typed", "code", "expected"),
    [(SIT, 0, f'base_url: "{SIT}"'), ("", 0, "FILL IN {base_url"), ("sit", 2, "")],
)
def test_terminal_prompts_for_address(
    tmp_path: Path, start: Any, typed: str, code: int, expected: str
) -> None:
    """One question, which an empty line leaves open."""
    ours, theirs = os.openpty()
    arguments = ["-c", "from spark_impex_runner.cli.main import main; main()", "init"]
    process = start(*arguments, stdin=theirs, stderr=theirs, cwd=tmp_path)
    os.close(theirs)
    seen = os.read(ours, 10_000).decode()
    os.write(ours, f"{typed}\n".encode())
    process.communicate()
    os.close(ours)

    file = tmp_path / "release.yaml"
    assert seen == "base URL (https://excel.ENV.coherent.global/TENANT): "
    assert process.returncode == code
    assert expected in (file.read_text() if file.exists() else "")


def test_prompt_requires_terminal(tmp_path: Path, start: Any) -> None:
    """Its notes go into a file: it says what to set and comes to an end."""
    ours, theirs = os.openpty()
    arguments = ["-c", "from spark_impex_runner.cli.main import main; main()", "init"]
    process = start(*arguments, stdin=theirs, stdout=theirs, cwd=tmp_path)
    os.write(ours, f"{SIT}\n".encode())
    _, output = process.communicate()
    os.close(theirs)
    os.close(ours)

    assert process.returncode == 0
    assert "set CSPARK_BASE_URL" in output
    assert "FILL IN {base_url" in (tmp_path / "release.yaml").read_text()


@pytest.mark.parametrize("command", ["init", "completion"])
def test_the_help_loads_neither_http_nor_plugins(command: str) -> None:
    """Like that of the other commands."""
    code = (
        "import sys\nfrom spark_impex_runner.cli.main import main\n"
        f"try:\n    main(['{command}', '--help'])\nexcept SystemExit:\n    print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    heavy = {"requests", "pluggy", "yaml", "jsonschema", "argcomplete", "logging", "dataclasses"}
    assert not heavy & set(done.stdout.splitlines()[-1].split())


def test_a_folder_is_no_file_to_write(shell: Any) -> None:
    """It is named, in one line, and nothing is written."""
    done = shell("impex", "init", ".")

    assert (done.code, done.err) == (2, "error: . is a folder; name the file to write in it\n")
    assert not (shell.folder / "manifest.schema.json").exists()
