"""Which host keys are accepted, held against OpenSSH's own client and server."""

from __future__ import annotations

import base64
import hmac
import importlib
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from spark_impex_runner.errors import StepError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

OTHER = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJTlPG7VY8C3mDPaBBZGGhXkUuBzWZTGXoHwfMPWyLGb"
AUTHORITY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ/cHrI8FpS85dMgg2n6sWkZQdYfqgyZRxPlDD7oyQDU"
NAMES = {
    "{name} {own}": "the host's own line",
    "": "an empty file",
    "# {name} {own}": "a comment",
    "\n\n  \t{name} \t {own} some words\n": "spaces, tabs, empty lines, a comment",
    "# hosts\r\n{name} {own}\r\n": "lines of Windows",
    "b\xff,{name} {own} \xe9\n": "bytes that are no text",
    "{name} {other}": "another key",
    "{name} {other}\n{name} {own}": "several keys",
    "@cert-authority *.corp.example {ca}\n{name} {own}": "an authority for other hosts",
    "@cert-authority * {ca}\n{name} {own}": "an authority for this host, too",
    "@cert-authority * {own}": "an authority with the host's own key",
    "@revoked {name} {own}\n{name} {own}": "revoked",
    "{name} {own}\n@revoked * {own}": "revoked for all hosts, last",
    "@revoked {name} {other}\n{name} {own}": "another key is revoked",
    "@revoked *.corp.example {own}\n{name} {own}": "revoked for other hosts",
    "@revoked\t{name} {own}\n{name} {own}": "a marker that a tab ends",
    "@revoked @revoked {name} {own}\n{name} {own}": "two markers",
    "@REVOKED {name} {own}\n{name} {own}": "a marker in capitals",
    "@unknown {name} {own}": "an unknown marker",
    "@unknown\n@revoked\n@\n{name} {own}": "markers alone",
    "{hash} {own}": "a hashed name",
    "{hash} {other}": "a hashed name with another key",
    "{otherhash} {own}": "the hash of another name",
    "|1|a|b {own}\n|2|{hash} {own}\n| {own}": "broken hashes",
    "[127.0.0.*]:{port} {own}": "a pattern with a star",
    "[127.0.0.?]:{port} {own}": "a pattern with a question mark",
    "[127.0.0.??]:{port} {own}": "a pattern with too many question marks",
    "* {own}": "every host",
    "*,!{name} {own}": "every host but this one",
    "!{name},* {own}": "not this host, but every other",
    "!other,{name} {own}": "not another host",
    "!{name} {own}": "a negation alone",
    "a,b,{name} {own}": "several names",
    "a b,{name} {own}": "a space among the names",
    "127.0.0.1 {own}": "the name without the port",
    "127.0.0.1 {other}": "the name without the port, another key",
    "{name} {other}\n127.0.0.1 {own}": "another key with the port",
    "127.0.0.1 {own}\n@revoked 127.0.0.1 {own}": "revoked without the port",
    "[127.0.0.1]:1 {own}": "another port",
    "127.0.0.1:{port} {own}": "a port without brackets",
    "{name} ssh-foo AAAAB3NzaC1mb28=\n127.0.0.1 {own}": "an unknown type, then the plain name",
    "{name} ssh-ed25519 !!!\n{name} {own}": "a key that is no base64",
    "{name} ssh-ed25519 AAAA\n127.0.0.1 {own}": "a key that is cut off",
    "{name} {own}AAAA\n": "a key with more behind it",
    "{name}\n{name} \n{name} ssh-ed25519\n{name} {own}": "lines that are cut off",
    "{name} ssh-rsa {blob}": "the wrong type",
    "{name} ed25519 {blob}": "a short type",
    "{name} ED25519 {blob}": "a short type in capitals",
    "{name} {blob}": "no type",
    "{name} 1024 35 1234567": "a key of SSH 1",
    "1024 {own}\n{name} {own}": "a number as a name",
}


@pytest.fixture(scope="module")
def host(ssh_server: Any) -> dict[str, str]:
    """Return what the lines of the table are made of."""
    name, kind, blob = ssh_server.known_hosts.read_text().split()[:3]
    return {
        "name": name,
        "own": f"{kind} {blob}",
        "blob": blob,
        "other": OTHER,
        "ca": AUTHORITY,
        "port": ssh_server.address.rpartition(":")[2],
        "hash": _hashed(name),
        "otherhash": _hashed("[127.0.0.1]:1"),
    }


def _hashed(name: str) -> str:
    salt = b"a salt of the tests."
    digest = hmac.digest(salt, name.encode(), "sha1")
    return "|1|" + "|".join(base64.b64encode(each).decode() for each in (salt, digest))


def filled(text: str, host: dict[str, str]) -> str:
    """Return a table's lines for this server."""
    for key, value in host.items():
        text = text.replace(f"{{{key}}}", value)
    return text


@pytest.fixture
def check(host: dict[str, str], tmp_path: Path) -> Callable[[str], str]:
    """Return why the server's key is refused by these lines, nothing where it is accepted."""
    known_hosts = importlib.import_module("spark_impex_runner.plugins.upload.known_hosts")
    file = tmp_path / "known_hosts"

    def ask(text: str) -> str:
        file.write_bytes(filled(text, host).encode("latin-1"))
        kind, blob = host["own"].split()
        known = known_hosts.KnownHosts([tmp_path / "missing", file])
        try:
            known.check("127.0.0.1", int(host["port"]), kind, base64.b64decode(blob), "SHA256:x")
        except StepError as error:
            return str(error).replace(str(file), "F")
        return ""

    return ask


@pytest.mark.parametrize("text", NAMES, ids=NAMES.values())
def test_decision_is_that_of_openssh(
    check: Callable[[str], str], host: dict[str, str], tmp_path: Path, text: str
) -> None:
    """For every notation that a file of known hosts may hold."""
    refused = check(text)

    options = ["StrictHostKeyChecking=yes", "BatchMode=yes", "PreferredAuthentications=none"]
    options += ["KexAlgorithms=curve25519-sha256", "LogLevel=INFO"]
    options += [f"UserKnownHostsFile={tmp_path / 'known_hosts'}", "GlobalKnownHostsFile=none"]
    pattern = [word for option in options for word in ("-o", option)]
    command = ["ssh", "-F", "none", *pattern, "-p", host["port"], "-T", "nobody@127.0.0.1"]
    answer = subprocess.run(command, capture_output=True, check=False).stderr
    assert (b"Permission denied" in answer) != (b"Host key verification failed" in answer), answer
    assert (not refused) == (b"Permission denied" in answer), (refused, answer)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{name} ssh-ed25519 !!!", "; F:1 cannot be read"),
        ("\n@unknown {name} {own}", "; F:2 cannot be read"),
        ("@cert-authority * {ca}", "; F:1 trusts certificates, which are not supported"),
        ("{name} {own}\n@revoked * {own}", ": F:2 revokes its ssh-ed25519 key SHA256:x"),
        ("#\n{name} {other}", ": its ssh-ed25519 key SHA256:x does not match F:2; if the host has"),
    ],
)
def test_refusal_names_the_line(check: Callable[[str], str], text: str, message: str) -> None:
    """And what is wrong with it."""
    assert message in check(text)


def test_known_type_is_asked_for_first(
    sftp: Any, motor: Any, ssh_server: Any, tmp_path: Path
) -> None:
    """A server with several keys shows the one that is known, also if it prefers another."""
    line = ssh_server.known_hosts.read_text().split()[0] + " " + ssh_server.second_key
    (tmp_path / "hosts").write_text(line)

    motor.deliver({**sftp.options, "known_hosts": str(tmp_path / "hosts")}, {"motor.zip": b"1"})

    assert sftp.read("motor.zip") == b"1"
