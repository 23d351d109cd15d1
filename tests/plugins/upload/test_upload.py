"""The step ``upload`` beyond what holds everywhere: options, faults, secrets, what S3 is told."""

from __future__ import annotations

import hashlib
import importlib
import logging
import random
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from spark_impex_runner.errors import StepError
from spark_impex_runner.models import Step

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import ModuleType

KEYS = {"access_key_id": "AKIDIMPEXTESTS", "secret_access_key": "s3cret/of+impex=tests"}
# What only somebody who means it may see.
PASSWORD = "hunter2-hunter2"


def noise(size: int) -> bytes:
    """Return bytes that no store could guess, the same every time."""
    return random.Random(size).randbytes(size)  # noqa: S311


@pytest.fixture
def at_once(upload: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """Try again without a pause."""
    monkeypatch.setattr(upload.retry, "WAITS", (0, 0, 0))


def refused(motor: Any, options: Mapping[str, Any]) -> str:
    """Return why nothing can be delivered."""
    with pytest.raises(StepError) as caught:
        motor.deliver(options, {"motor.zip": b"package"})
    return str(caught.value)


def test_other_step_is_ignored(upload: ModuleType, motor: Any) -> None:
    """It answers for ``upload`` only."""
    package = motor.artifact("motor.zip", b"")

    assert upload.impex_run_step(motor.job([package]), Step("unzip"), package) is None
    assert upload.impex_plan_step(motor.job(), Step("unzip")) is None


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"to": f"s3://user:{PASSWORD}@bucket/x"}, "to: s3://bucket/…: a URL must not contain"),
        ({"to": f"https://{PASSWORD}@h/x"}, "to: https://h/…: a URL must not contain credentials"),
        ({"to": f"https://h/x?sig={PASSWORD}"}, "to: https://h/…: a query or a fragment is not"),
        ({"to": "s3:///x"}, "to: s3:///…: the name of the bucket is missing"),
        ({"to": "ftp://h/x"}, "to: ftp:// is not known; give a folder or one of file://, s3://"),
        ({"to": "sftp://h/a/../b"}, "to: sftp://h/…: '.' and '..' are not supported in a path"),
        ({"to": "sftp://h:99999/b"}, "to: sftp://h:99999/…: not a valid host and port"),
        ({"to": "file://nas/x"}, "to: file://nas/…: mount that host's folder and give its path"),
        ({"to": "/x", "tags": {}}, "tags: not an option for file:// destinations, which have keep"),
        ({"to": "gs://b", "tags": {}}, "tags: not an option for gs:// destinations"),
        ({"to": "https://h/x", "keep": {"last": 1}}, "keep: not an option for https:// dest"),
        ({"to": "/x", "keep": {"last": 1}}, "keep requires prefix; set both"),
        (
            {"to": "s3://b", "access_key_id": "A"},
            "access_key_id requires secret_access_key; set both",
        ),
        ({"to": "/x", "prefix": "2026/01"}, "prefix: '2026/01' is not a folder name"),
        ({"to": "/x", "prefix": ".."}, "prefix: '..' is not a folder name"),
        ({"to": "http://h.example/x", "token": PASSWORD}, "credentials would be sent unencrypted"),
    ],
)
def test_invalid_options_are_refused(
    upload: ModuleType, motor: Any, options: Mapping[str, Any], problem: str
) -> None:
    """One line, without the secret that a URL or an option holds."""
    message = refused(motor, options)
    with pytest.raises(StepError) as caught:
        upload.impex_plan_step(motor.job(), Step("upload", options))

    assert message.startswith(problem) or problem in message
    assert str(caught.value) == message
    assert PASSWORD not in message
    assert "\n" not in message


def test_invalid_private_key_is_refused(motor: Any) -> None:
    """What it is instead is not shown."""
    message = refused(motor, {"to": "sftp://127.0.0.1/x", "private_key": PASSWORD})

    assert message == "private_key: not a private SSH key, or passphrase is wrong"


def test_plan_describes_upload(upload: ModuleType, motor: Any) -> None:
    """It makes nothing."""
    to, keep = motor.output.parent / "backup", {"last": 14, "days": 30}
    step = Step("upload", {"to": str(to), "prefix": "2026-01-01", "keep": keep})

    message = upload.impex_plan_step(motor.job(), step)

    assert message == (
        f"send all packages and step results to {to}/2026-01-01, "
        "then keep the last 14 and those of the last 30 days"
    )
    assert not to.exists()


def test_missing_extra_is_named(motor: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The extra, in one line."""
    monkeypatch.setitem(sys.modules, "paramiko", None)
    monkeypatch.delitem(sys.modules, "spark_impex_runner.plugins.upload.sftp", raising=False)

    message = refused(motor, {"to": "sftp://h/x"})

    assert message == (
        "sftp:// destinations need paramiko, which is not installed; "
        "pip install 'spark-impex-runner[sftp]'"
    )


def test_only_matching_files_are_sent(local: Any, motor: Any) -> None:
    """Patterns that fit nothing are a mistake."""
    artifacts = [motor.artifact("motor.zip", b"1"), motor.artifact("SUMS", b"2", "checksum")]

    motor.run({**local.options, "files": ["*.zip"]}, artifacts)
    with pytest.raises(StepError, match=r"^files: no file of the target matches \*\.rar$"):
        motor.run({**local.options, "files": ["*.rar"]}, artifacts)

    assert local.names() == {"motor.zip", "impex-upload.json"}


def test_targets_cannot_share_folder(local: Any, motor: Any) -> None:
    """One would count and remove what belongs to the other."""
    motor.deliver(local.options, {"motor.zip": b"1"})
    motor.name = "life"

    message = refused(motor, local.options)

    assert "the folder belongs to target motor of manifest nightly in project" in message
    assert local.read("motor.zip") == b"1"


def test_missing_permission_is_one_line(s3: Any, motor: Any) -> None:
    """In the store's own words, without its secret."""
    wrong = {**s3.options, "secret_access_key": PASSWORD}

    message = refused(motor, wrong)

    assert "SignatureDoesNotMatch" in message or "403 Forbidden" in message
    assert PASSWORD not in message
    assert "\n" not in message


def test_aws_credentials_are_found(
    s3: Any, motor: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A profile in AWS's own file, chosen as AWS's tools are told."""
    (tmp_path / "credentials").write_text(
        "[backup]\n"
        f"aws_access_key_id={KEYS['access_key_id']}\n"
        f"aws_secret_access_key={KEYS['secret_access_key']}\n"
    )
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_PROFILE", "backup")
    options = {name: each for name, each in s3.options.items() if name not in KEYS}

    motor.deliver(options, {"motor.zip": b"package"})

    assert s3.read("motor.zip") == b"package"


def test_busy_store_is_retried(s3: Any, motor: Any, relay: Callable[..., Any]) -> None:
    """By the library, without the step's own retry."""
    busy = relay(s3.options["endpoint"].removeprefix("http://"), refuse=3)

    motor.deliver({**s3.options, "endpoint": f"http://{busy.address}"}, {"motor.zip": b"package"})

    assert s3.read("motor.zip") == b"package"
    assert busy.connections > 3


@pytest.mark.usefixtures("at_once")
def test_busy_web_server_is_retried(webdav: Any, motor: Any, relay: Callable[..., Any]) -> None:
    """Three times."""
    server = webdav.options["to"].split("/")[2]
    busy = relay(server, refuse=3)
    options = {**webdav.options, "to": webdav.options["to"].replace(server, busy.address)}

    motor.deliver(options, {"motor.zip": b"package"})

    assert webdav.read("motor.zip") == b"package"


@pytest.mark.usefixtures("at_once")
def test_sftp_resumes_upload(sftp: Any, motor: Any, relay: Callable[..., Any]) -> None:
    """What arrived is held against the file, and only the rest is sent."""
    server = sftp.options["to"].split("/")[2]
    bad = relay(server, cut=14 << 20)
    hosts = motor.output / "hosts"
    known = Path(sftp.options["known_hosts"]).read_text()
    hosts.write_text(known.replace(server.split(":")[1], bad.address.split(":")[1]))
    to = sftp.options["to"].replace(server, bad.address)
    content = noise(36 << 20)

    motor.deliver({**sftp.options, "to": to, "known_hosts": str(hosts)}, {"motor.zip": content})

    assert sftp.read("motor.zip") == content
    assert bad.connections > 2
    assert bad.sent < 42 << 20
    assert sftp.names() == {"motor.zip", "impex-upload.json"}


def test_other_part_is_not_resumed(
    sftp: Any, motor: Any, upload: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody else's bytes are found before anything is added to them: no second try is needed."""
    monkeypatch.setattr(upload.retry, "WAITS", ())
    content = noise(3_000_000)
    motor.deliver(sftp.options, {"first.zip": b"1"})
    package = motor.artifact("motor.zip", content)
    digest = hashlib.sha256(content).hexdigest()
    sftp.write(f".motor.zip.{digest[:12]}.part", b"x" * 1_000_000)

    motor.run(sftp.options, [package])

    assert sftp.read("motor.zip") == content


@pytest.mark.parametrize("known", ["", "other"])
def test_unknown_host_is_refused(sftp: Any, motor: Any, tmp_path: Any, known: str) -> None:
    """An unknown key, and another key than the one that is known."""
    server = sftp.options["to"].split("/")[2]
    other = "AAAAC3NzaC1lZDI1NTE5AAAAIJTlPG7VY8C3mDPaBBZGGhXkUuBzWZTGXoHwfMPWyLGb"
    line = f"[{server.replace(':', ']:')} ssh-ed25519 {other}\n" if known else ""
    (tmp_path / "hosts").write_text(line)

    message = refused(motor, {**sftp.options, "known_hosts": str(tmp_path / "hosts")})

    assert ("does not match" in message) if known else ("ask the host's owner whether" in message)
    assert not sftp.folder.exists()


def test_s3_gets_encryption_and_tags(moto: str, client: Any, motor: Any) -> None:
    """For files in one part and in several."""
    client.create_bucket(Bucket="backup")
    options = {"to": "s3://backup", "endpoint": moto, **KEYS}
    output = {"encryption": "aws:kms", "kms_key": "key/of/ours", "tags": {"team": "pricing/team 1"}}

    motor.deliver({**options, **output}, {"small.zip": b"1", "large.zip": noise(20 << 20)})

    for name in ("small.zip", "large.zip"):
        head = client.head_object(Bucket="backup", Key=name)
        assert (head["ServerSideEncryption"], head["SSEKMSKeyId"]) == ("aws:kms", "key/of/ours")
        assert head["ContentType"] == "application/zip"
        tags = client.get_object_tagging(Bucket="backup", Key=name)["TagSet"]
        assert tags == [{"Key": "team", "Value": "pricing/team 1"}]


def test_stopped_upload_leaves_no_parts(moto: str, client: Any, motor: Any) -> None:
    """What nobody sees would be paid for."""
    client.create_bucket(Bucket="stopped")
    package = motor.artifact("motor.zip", noise(30 << 20))
    changed = type(package)(package.path, package.name, 0, "0" * 64)

    with pytest.raises(StepError, match="has changed"):
        motor.run({"to": "s3://stopped", "endpoint": moto, **KEYS}, [changed])

    assert "Uploads" not in client.list_multipart_uploads(Bucket="stopped")
    found = client.list_objects_v2(Bucket="stopped")["Contents"]
    assert [each["Key"] for each in found] == ["impex-upload.json"]


def test_plain_put_needs_no_webdav(web_server: Any, motor: Any) -> None:
    """The folder must be there; what was put is read back."""
    (web_server.folder / "plain").mkdir()
    secret = KEYS["secret_access_key"]
    options = {"to": f"http://{web_server.address}/plain", "user": "backup", "password": secret}

    message = motor.deliver(options, {"motor.zip": noise(2_000_000)})

    assert message.endswith("/plain: 1 file (2000000 bytes) sent")
    assert (web_server.folder / "plain/motor.zip").read_bytes() == noise(2_000_000)


def test_no_secret_reaches_the_log(
    webdav: Any, motor: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """Not even with the libraries' own chatter."""
    caplog.set_level(logging.DEBUG)

    motor.deliver(webdav.options, {"motor.zip": b"package"})

    assert webdav.options["password"] not in caplog.text


def test_abandoned_multipart_uploads_are_aborted(
    moto: str, client: Any, motor: Any, monkeypatch: pytest.MonkeyPatch, upload: ModuleType
) -> None:
    """A day later, those to the owner's own files; what others have begun stays."""
    client.create_bucket(Bucket="killed")
    options = {"to": "s3://killed/prod", "endpoint": moto, **KEYS}
    package = motor.artifact("motor.zip", noise(9 << 20))
    obstore = importlib.import_module(f"{upload.__name__}.objects").obstore
    put = obstore.put

    def killed(store: Any, path: str, *data: Any, **how: Any) -> Any:
        if path.endswith(".zip"):
            client.create_multipart_upload(Bucket="killed", Key=path)
            raise KeyboardInterrupt
        return put(store, path, *data, **how)

    with monkeypatch.context() as patch:
        patch.setattr(obstore, "put", killed)
        with pytest.raises(KeyboardInterrupt):
            motor.run(options, [package])
    others = ["prod/motor.zip.more", "prod/other.zip"]
    for other in others:
        client.create_multipart_upload(Bucket="killed", Key=other)

    left = []
    for day in (0.5, 3):
        motor.on(day).run(options, [package])
        uploads = client.list_multipart_uploads(Bucket="killed")["Uploads"]
        left.append(sorted(each["Key"] for each in uploads))

    assert left == [["prod/motor.zip", *others], others]


def test_folder_without_space_is_refused(
    motor: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the file is copied; the message names the required and the free bytes."""
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=4999))

    with pytest.raises(StepError, match=r"backup: needs 5,000 bytes, 4,999 are free at /"):
        motor.deliver({"to": str(tmp_path / "backup")}, {"motor.zip": noise(5000)})

    assert not (tmp_path / "backup/motor.zip").exists()
