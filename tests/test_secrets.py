"""No secret appears in any output, file or error: everything that a run leaves is searched."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, quote_plus, unquote

import pytest

from spark_impex_runner.cli import main
from spark_impex_runner.sandbox.server import Sandbox, Settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TARGETS = """
  - {name: good, folders: [life], steps: [{uses: checksum}, {uses: unzip}]}
  - {name: lost, services: [motor/nothing]}
report: {json: out/r.json, junit: out/r.xml, html: out/r.html}
"""
SCHEMES = {
    "token": "{token: '${env:SECRET}'}",
    "api_key": "{api_key: '${file:secret.txt}'}",
    "oauth": "{oauth: {client_id: '${env:CLIENT}', client_secret: '${env:SECRET}'}}",
}


def forms(secret: str) -> Iterator[bytes]:
    """Yield a secret as it stands and as URLs and Basic headers carry it."""
    for text in {secret, quote(secret, safe=""), quote_plus(secret)}:
        yield text.encode()
    yield base64.b64encode(secret.encode()).rstrip(b"=")


def secrets_of(sandbox: Any, secret: str) -> set[str]:
    """Return what must never be seen: the secret, issued tokens, and download links' tokens."""
    seen = {secret}
    for request in sandbox.requests:
        if "authorization" in request.headers:
            seen.add(request.headers["authorization"].removeprefix("Bearer "))
        if request.origin == "download":
            token = request.path.split("/tokens/")[1].split("/")[0]
            seen |= {token, unquote(token)}
    return seen


@pytest.mark.parametrize("ending", ["closed", "errors", "not_zip"])
@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("right", [True, False], ids=["right", "wrong"])
def test_nothing_that_a_run_leaves_holds_a_secret(
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    scheme: str,
    ending: str,
    right: bool,
) -> None:
    """All schemes, right and wrong credentials, good and bad endings, with everything said."""
    for version in ("motor/pricing/1.4.2", "life/annuity/1.0.0"):
        (tmp_path / "acme" / version).mkdir(parents=True)
    work = tmp_path / "work"
    work.mkdir()
    with Sandbox(tmp_path / "acme", Settings(ending=ending)) as sandbox:
        names = {"token": "token", "api_key": "api_key", "oauth": "client_secret"}
        secret = getattr(sandbox, names[scheme]) if right else "wrong+secret/with=signs&1"
        monkeypatch.setenv("SECRET", secret)
        monkeypatch.setenv("CLIENT", sandbox.client_id)
        (tmp_path / "secret.txt").write_text(secret)
        auth = SCHEMES[scheme].replace("secret.txt", str(tmp_path / "secret.txt"))
        (work / "m.yaml").write_text(
            f"version: 1\nconnections:\n  sit: {{base_url: '{sandbox.base_url}', auth: {auth}}}\n"
            f"targets:{TARGETS}"
        )
        with pytest.raises(SystemExit):
            main.run([str(work / "m.yaml"), "-v", "--log-format", "json"])
        hidden = secrets_of(sandbox, secret)

    said = "".join(capfd.readouterr()).encode()
    left = {"output": said} | {str(p): p.read_bytes() for p in work.rglob("*") if p.is_file()}
    assert len(left) >= 5
    for place, content in left.items():
        for one in hidden:
            assert not any(form in content for form in forms(one)), place
