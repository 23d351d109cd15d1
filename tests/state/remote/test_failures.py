"""An error of a store is one short line that says what happened and what to do."""

from __future__ import annotations

from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import CredentialRetrievalError
from botocore.session import Session
from object_stores import free_port

from spark_impex_runner.errors import StateError, StateUnavailableError
from spark_impex_runner.object_store.address import parse_address
from spark_impex_runner.state.remote import objects
from spark_impex_runner.state.remote.objects import Objects

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CHECK_S3 = "check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"
CHECK_AZURE = "check AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY"
DENIED = "access denied to {}; these credentials need permission to read, write and list objects"
REGION = "the authorization header is malformed; the region 'a' is wrong; expecting 'eu-west-1'"
LONG = "Make sure the value of Authorization header is formed correctly including the signature."


class _Refusing(BaseHTTPRequestHandler):
    """Gives the server's reply to every request."""

    server: Any

    def _reply(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        status, code, message = self.server.reply
        body = (
            f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{message}</Message></Error>"
        )
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    do_GET = do_PUT = _reply  # noqa: N815 - named by http.server

    def log_message(self, *_: object) -> None:
        """Keep silent."""


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Return a function that sets the endpoint of every kind of store, with user and password."""
    monkeypatch.setattr(objects, "_RETRIES", {"max_retries": 0, "retry_timeout": timedelta(0)})

    def set_all(host: str) -> None:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://me:s3cret@{host}")
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "A")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "B")
        monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "acme")
        monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_KEY", "YQ==")
        monkeypatch.setenv("AZURE_STORAGE_ENDPOINT", f"http://{host}/acme")
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", host)

    return set_all


@pytest.fixture
def server(settings: Callable[[str], None]) -> Iterator[Any]:
    """Serve refusals as every kind of store."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Refusing) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        settings(f"127.0.0.1:{server.server_port}")
        yield server
        server.shutdown()


def errors(scheme: str) -> dict[str, StateError]:
    """Return the error of each kind of request."""
    store = Objects(parse_address(f"{scheme}://state/prod"))
    calls: dict[str, Callable[[], object]] = {
        "write": lambda: store.put(
            "leases/nightly/0123456789abcdef0123456789abcdef.json", b"", None
        ),
        "read": lambda: store.get("targets/nightly/motor.json"),
        "list objects": lambda: store.list("targets"),
    }
    found = {}
    for name, call in calls.items():
        with pytest.raises(StateError) as caught:
            call()
        found[name] = caught.value
    return found


@pytest.mark.parametrize(
    ("scheme", "reply", "expected"),
    [
        ("s3", (404, "NoSuchBucket", "no"), "there is no bucket state; create it, or correct --st"),
        ("az", (404, "ContainerNotFound", "no"), "there is no container state; create it, or co"),
        ("gs", (404, "NoSuchBucket", "no"), "there is no bucket state; create it, or correct --st"),
        ("s3", (403, "AccessDenied", "no"), DENIED),
        ("az", (403, "AuthorizationPermissionMismatch", LONG), DENIED),
        ("gs", (403, "AccessDenied", "no"), DENIED),
        ("s3", (403, "InvalidAccessKeyId", LONG), CHECK_S3),
        ("s3", (403, "SignatureDoesNotMatch", LONG), CHECK_S3),
        ("az", (403, "AuthenticationFailed", LONG), CHECK_AZURE),
        ("gs", (401, "AuthenticationRequired", LONG), "check GOOGLE_APPLICATION_CREDENTIALS"),
        ("s3", (400, "ExpiredToken", LONG), "the credentials have expired; renew them"),
        ("s3", (400, "AuthorizationHeaderMalformed", REGION), "set AWS_REGION=eu-west-1"),
        ("s3", (301, "PermanentRedirect", LONG), "the bucket is in another region; set AWS_REGION"),
        ("s3", (503, "SlowDown", LONG * 9), "503 Service Unavailable: SlowDown: Make sure"),
    ],
)
def test_refusals_say_what_to_do(
    server: Any, scheme: str, reply: tuple[int, str, str], expected: str
) -> None:
    """Of every kind of request, in at most 200 characters."""
    server.reply = reply

    for name, error in errors(scheme).items():
        line = str(error)
        assert line.startswith(f"{scheme}://state/prod: ")
        assert expected.format(name) in line
        assert len(line) <= 200
        assert isinstance(error, StateUnavailableError) == (reply[0] == 503)
        assert "run the same command again" in line or reply[0] != 503


@pytest.mark.parametrize(
    ("scheme", "variable"),
    [
        ("s3", "AWS_ENDPOINT_URL_S3"),
        ("az", "AZURE_STORAGE_ENDPOINT"),
        ("gs", "STORAGE_EMULATOR_HOST"),
    ],
)
def test_silent_endpoint_is_named(
    settings: Callable[[str], None], scheme: str, variable: str
) -> None:
    """With the variable that gives it, and without its password."""
    host = f"127.0.0.1:{free_port()}"
    settings(host)

    for error in errors(scheme).values():
        assert str(error) == (
            f"{scheme}://state/prod: {host} does not reply; check the network, and the endpoint "
            f"({variable})"
        )
        assert isinstance(error, StateUnavailableError)


def test_login_that_has_expired(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error of AWS's own tools is quoted."""
    del server

    class Expired:
        def get_frozen_credentials(self) -> None:
            raise CredentialRetrievalError(provider="sso", error_msg="token expired\nlog in")

    monkeypatch.setattr(Session, "get_credentials", lambda _: Expired())

    for error in errors("s3").values():
        assert "Error when retrieving credentials from sso: token expired log in" in str(error)
        assert str(error).endswith("; renew the credentials")
        assert len(str(error)) <= 200
