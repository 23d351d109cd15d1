"""Retention where objects are locked, and the last signed delivery."""

from __future__ import annotations

import hashlib
import importlib
import json
import re
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError
from hypothesis import given, settings
from hypothesis import strategies as st
from object_stores import ACCESS, AZURE_KEY, SECRET, bucket_name

from spark_impex_runner.errors import StepError
from spark_impex_runner.evidence import statements
from spark_impex_runner.evidence.dsse import Envelope
from spark_impex_runner.models import EVIDENCE, RECEIPT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

LISTING = "impex-upload.json"
retention = importlib.import_module("spark_impex_runner.plugins.upload.retention")
listing = importlib.import_module("spark_impex_runner.plugins.upload.listing")
owner = importlib.import_module("spark_impex_runner.plugins.upload.owner")
stores = importlib.import_module("spark_impex_runner.plugins.upload.store")


@dataclass(frozen=True)
class Vault:
    """A bucket with Object Lock on moto's server, and one target's deliveries to it."""

    client: Any
    name: str
    motor: Any

    def night(self, day: int, content: bytes = b"", **more: Any) -> str:
        """Deliver on a day, keep one delivery, and return what the step tells."""
        today = self.motor.on(day)
        options = {
            "to": f"s3://{self.name}/prod",
            "endpoint": self.client.meta.endpoint_url,
            "access_key_id": ACCESS,
            "secret_access_key": SECRET,
            "prefix": today.date,
            "keep": {"last": 1},
            **more,
        }
        message: str = today.deliver(options, {"motor.zip": content or b"%d" % day})
        return message

    def versions(self, key: str) -> list[tuple[str, bytes]]:
        """Return id and content of each version of an object, newest first."""
        found = self.client.list_object_versions(Bucket=self.name, Prefix=f"prod/{key}")
        return [
            (each["VersionId"], self.read(key, each["VersionId"]))
            for each in found.get("Versions", ())
        ]

    def read(self, key: str, version: str) -> bytes:
        """Return the content of a version."""
        reply = self.client.get_object(Bucket=self.name, Key=f"prod/{key}", VersionId=version)
        content: bytes = reply["Body"].read()
        return content

    def is_complete(self, day: str) -> bool:
        """Return whether a delivery is visible and complete."""
        try:
            reply = self.client.get_object(Bucket=self.name, Key=f"prod/{day}/{LISTING}")
        except ClientError:
            return False
        return bool(json.loads(reply["Body"].read())["complete"])

    def hold(self, key: str, status: str) -> None:
        """Set or remove a legal hold."""
        hold = {"Status": status}
        self.client.put_object_legal_hold(Bucket=self.name, Key=f"prod/{key}", LegalHold=hold)


@pytest.fixture
def vault(client: Any, motor: Any, request: pytest.FixtureRequest) -> Vault:
    """Make a bucket with Object Lock, which has no default retention."""
    name = bucket_name(request)
    client.create_bucket(Bucket=name, ObjectLockEnabledForBucket=True)
    return Vault(client, name, motor)


def lock_new_objects(vault: Vault, mode: str) -> None:
    """Let the bucket lock each new object for a day."""
    rule = {"DefaultRetention": {"Mode": mode, "Days": 1}}
    lock = {"ObjectLockEnabled": "Enabled", "Rule": rule}
    vault.client.put_object_lock_configuration(Bucket=vault.name, ObjectLockConfiguration=lock)


@pytest.mark.parametrize("mode", ["GOVERNANCE", "COMPLIANCE"])
def test_locked_deliveries_are_retained(vault: Vault, mode: str) -> None:
    """They stay visible and whole, and the step says until when; the store refuses a deletion."""
    lock_new_objects(vault, mode)

    told = [vault.night(day) for day in (0, 1, 2)]

    until = rf"until \d{{4}}-\d\d-\d\d \d\d:\d\dZ \({mode.lower()} mode\)"
    assert told[0].endswith("0 old deliveries removed")
    assert re.search(rf"removed, 1 locked delivery retained: 2026-01-01 {until}$", told[1])
    assert re.search(
        rf"0 old deliveries removed, 2 locked deliveries retained: 2026-01-01 {until}, "
        rf"2026-01-02 {until}$",
        told[2],
    )
    assert all(vault.is_complete(f"2026-01-0{day}") for day in (1, 2, 3))
    [(version, content)] = vault.versions("2026-01-01/motor.zip")
    assert content == b"0"
    with pytest.raises(ClientError, match="AccessDenied"):
        vault.client.delete_object(
            Bucket=vault.name, Key="prod/2026-01-01/motor.zip", VersionId=version
        )


def test_delivery_is_removed_once_its_lock_ends(vault: Vault) -> None:
    """Removed means hidden by a delete marker: its versions are left to the bucket's lifecycle."""
    lock_new_objects(vault, "GOVERNANCE")
    vault.night(0)
    past = {"Mode": "GOVERNANCE", "RetainUntilDate": datetime(2026, 1, 1, tzinfo=timezone.utc)}
    for name in ("motor.zip", LISTING):
        vault.client.put_object_retention(
            Bucket=vault.name,
            Key=f"prod/2026-01-01/{name}",
            Retention=past,
            BypassGovernanceRetention=True,
        )

    told = vault.night(1)

    assert told.endswith("1 old delivery removed")
    assert not vault.is_complete("2026-01-01")
    assert [content for _, content in vault.versions("2026-01-01/motor.zip")] == [b"0"]


def test_legal_hold_retains_a_delivery(vault: Vault) -> None:
    """It has no end; with the hold on one file the whole delivery stays."""
    vault.night(0)
    vault.hold("2026-01-01/motor.zip", "ON")
    held = vault.night(1)
    vault.hold("2026-01-01/motor.zip", "OFF")
    released = vault.night(2)

    assert held.endswith("1 locked delivery retained: 2026-01-01 by a legal hold")
    assert released.endswith("2 old deliveries removed")


def test_retry_does_not_send_a_locked_object_again(
    vault: Vault, upload: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a crash the object has one version; other content becomes a version above it."""
    lock_new_objects(vault, "COMPLIANCE")
    with monkeypatch.context() as patch:
        patch.setattr(upload.delivery.Claim, "finish", lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            vault.night(0)

    again = vault.night(0)
    first = vault.versions("2026-01-01/motor.zip")
    vault.night(0, b"other")

    assert "0 files (0 bytes) sent, 1 file (1 bytes) there already" in again
    assert [content for _, content in first] == [b"0"]
    assert [content for _, content in vault.versions("2026-01-01/motor.zip")] == [b"other", b"0"]
    with pytest.raises(ClientError, match="AccessDenied"):
        vault.client.delete_object(
            Bucket=vault.name, Key="prod/2026-01-01/motor.zip", VersionId=first[0][0]
        )


AZURE = "BlobImmutableDueToPolicy", "This operation is not permitted as the blob is immutable."
GOOGLE = "RetentionPolicyNotMet", "Object 'b/x' is subject to bucket's retention policy until 2027."
HOLD = "ObjectUnderActiveHold", "Object 'b/x' is under active Temporary hold."
PLAIN = "AccessDenied", "Access Denied because object protected by object lock."
DENIED = "AccessDenied", "Access Denied."


@contextmanager
def refusing(status: int, code: str, message: str) -> Iterator[str]:
    """Serve a store that refuses every deletion with this error; yield its endpoint."""
    body = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>".encode()
    failed = f"<Error><Key>prod/x</Key><Code>{code}</Code><Message>{message}</Message></Error>"
    bulk = f"<DeleteResult>{failed}</DeleteResult>".encode()
    # Azure's reply to a batch, with the reply to each request in it (documented).
    head = "Content-Type: application/http\r\nContent-ID: 0"
    inner = f"HTTP/1.1 {status} {message}\r\nx-ms-error-code: {code}\r\nContent-Length: 0\r\n\r\n"
    batch = f"--b\r\n{head}\r\n\r\n{inner}\r\n--b--\r\n".encode()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            """Print nothing."""

        def do_POST(self) -> None:
            """Answer a deletion of several objects, which succeeds as a request."""
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if "comp=batch" in self.path:
                self.reply(202, batch, "multipart/mixed; boundary=b")
            else:
                self.reply(200, bulk)

        def do_DELETE(self) -> None:
            """Answer a deletion of one object."""
            self.reply(status, body)

        def reply(self, number: int, data: bytes, kind: str = "application/xml") -> None:
            """Send a reply."""
            self.send_response(number)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, args=[0.02], daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize(
    ("scheme", "status", "error", "is_locked"),
    [
        ("az", 409, AZURE, True),
        ("gs", 403, GOOGLE, True),
        ("gs", 403, HOLD, True),
        ("s3", 403, PLAIN, True),
        ("s3", 403, DENIED, False),
        ("gs", 403, DENIED, False),
    ],
)
def test_refusal_because_of_a_lock_is_told_apart(
    upload: ModuleType, scheme: str, status: int, error: tuple[str, str], is_locked: bool
) -> None:
    """Any other refusal is an error of the step; the words are those of the stores' references."""
    key = {"disable_oauth": True, "client_email": "", "private_key": "", "private_key_id": ""}
    settings = {
        "s3": {"access_key_id": ACCESS, "secret_access_key": SECRET},
        "az": {"account": "acme", "account_key": AZURE_KEY},
        "gs": {"service_account": json.dumps(key)},
    }[scheme]
    with refusing(status, *error) as endpoint:
        options = {"to": f"{scheme}://b/prod", "endpoint": endpoint, **settings}
        store = upload.connect(upload.destination(options, None), options, None)
        with pytest.raises(StepError) as raised:
            store.remove("x")

    assert isinstance(raised.value, stores.LockedError) is is_locked
    assert error[1] in str(raised.value)


def test_refused_delivery_stays_complete(
    local: Any, motor: Any, upload: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the store refuses the first deletion, the run is good and the delivery whole."""
    local_store = importlib.import_module(f"{upload.__name__}.local").LocalStore

    def refuse(_: Any, path: str) -> None:
        raise stores.LockedError(f"{path}: immutable")

    for day in (0, 1):
        today = motor.on(day)
        options = {**local.options, "prefix": today.date, "keep": {"last": 1}}
        monkeypatch.setattr(local_store, "remove", refuse)
        told = today.deliver(options, {"motor.zip": b"%d" % day})

    expected = "1 locked delivery retained: 2026-01-01 (2026-01-01/motor.zip: immutable)"
    assert told.endswith(expected)
    assert json.loads(local.read(f"2026-01-01/{LISTING}"))["complete"] is True


# The property: what stays of any deliveries is what ``keep``, locks and signatures say.


@dataclass
class MemoryStore(stores.Store):  # type: ignore[name-defined, misc]
    """A store in memory that hides a locked file if it is removed, as S3 does."""

    files: dict[str, bytes] = field(default_factory=dict)
    locks: set[str] = field(default_factory=set)

    def find(self, path: str) -> Any:
        """Return size and mark of a file."""
        data = self.files.get(path)
        return None if data is None else stores.RemoteFile(len(data), sha256(data))

    def send(self, path: str, source: Any) -> None:
        """Store a file."""
        self.files[path] = b"".join(source.pieces())

    def read(self, path: str) -> Iterator[bytes]:
        """Yield the bytes of a file."""
        yield self.files[path]

    def folders(self) -> list[str]:
        """Return the names of the folders."""
        return sorted({path.partition("/")[0] for path in self.files})

    def remove(self, path: str) -> None:
        """Remove a file."""
        self.files.pop(path, None)

    def lock_of(self, path: str) -> str:
        """Return the lock of a file."""
        return "until later" if path in self.locks else ""


def sha256(data: bytes) -> str:
    """Return a digest."""
    return hashlib.sha256(data).hexdigest()


def records(package: bytes, receipt: bytes) -> bytes:
    """Return the record of a delivery; nobody checks its signature here."""
    subjects = [(RECEIPT, receipt), ("motor.zip", package)]
    statement = {
        "_type": statements.TYPE,
        "subject": [{"name": name, "digest": {"sha256": sha256(data)}} for name, data in subjects],
        "predicateType": statements.DELIVERY,
        "predicate": {"previous": None},
    }
    payload = json.dumps(statement, separators=(",", ":")).encode()
    return f"{Envelope(payload, 'key', b'signature').text}\n".encode()


@dataclass(frozen=True)
class Delivered:
    """A delivery: ``signed`` is ``no``, ``yes``, or what is wrong with its signed records."""

    signed: str
    complete: bool = True
    locked: bool = False

    def put(self, store: MemoryStore, name: str, present: Any, age: int) -> None:
        """Put the delivery of some days ago into the store."""
        package, receipt = name.encode(), b"receipt of " + name.encode()
        files = {"motor.zip": package}
        if self.signed != "no":
            signed = b"other" if self.signed == "other bytes" else package
            text = records(signed, receipt)
            files |= {RECEIPT: receipt, EVIDENCE: text[:-9] if self.signed == "cut" else text}
        sent = {each: listing.SentFile(len(d), sha256(d), sha256(d)) for each, d in files.items()}
        if self.signed == "file lost":
            del files[RECEIPT]
        store.files |= {f"{name}/{each}": data for each, data in files.items()}
        at = present.at - timedelta(days=age)
        replace(present, at=at, complete=self.complete, files=sent).write(store, f"{name}/")
        if self.locked:
            store.locks |= {f"{name}/{each}" for each in (*files, LISTING)}


DELIVERED = st.builds(
    Delivered,
    st.sampled_from(["no", "yes", "other bytes", "cut", "file lost"]),
    st.sampled_from([True, True, True, False]),
    st.sampled_from([False, False, True]),
)


@settings(max_examples=80)
@given(st.lists(DELIVERED, max_size=7), st.sampled_from(["no", "yes", "cut"]), st.integers(1, 3))
def test_last_signed_and_locked_deliveries_stay(
    earlier: list[Delivered], signed: str, last: int
) -> None:
    """Nothing else but what ``keep`` selects does, and each of them stays as it was."""
    who = owner.Owner("tenant", "manifest", "motor", "project")
    now = datetime(2026, 6, 1, tzinfo=timezone.utc)
    present = listing.Listing(who, "r", now, complete=True, writer="now")
    store = MemoryStore()
    Delivered(signed).put(store, "today", present, 0)
    for age, each in enumerate(earlier, 2):
        each.put(store, f"d{age}", present, age)
    before = dict(store.files)
    complete = [f"d{age}" for age, each in enumerate(earlier, 2) if each.complete]
    good = [f"d{age}" for age, each in enumerate(earlier, 2) if each == replace(each, signed="yes")]
    good = [name for name in good if name in complete]
    stay = {"today", *complete[: last - 1]}
    stay |= {f"d{age}" for age, each in enumerate(earlier, 2) if each.locked}
    stay |= set(good[:1]) if signed != "yes" else set()

    own = listing.read(store, "today/", who)
    done = retention.prune(store, {"prefix": "today", "keep": {"last": last}}, own, lambda: None)

    assert set(store.folders()) == stay
    assert store.files == {
        path: data for path, data in before.items() if path.partition("/")[0] in stay
    }
    assert done.removed == len(earlier) + 1 - len(stay)
