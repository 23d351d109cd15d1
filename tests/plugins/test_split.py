"""Requests that are too large are halved until every version is delivered, or one is named."""

from __future__ import annotations

import hashlib
import json
import re
import tempfile
import zipfile
from collections import Counter
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spark_impex_runner.engine.run import run_manifest
from spark_impex_runner.errors import JobError, SparkSdkError, TooLargeError, TransportError
from spark_impex_runner.models import Outcome, Request, ServiceVersion
from spark_impex_runner.sandbox.server import Sandbox, Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from spark_impex_runner.models import Job

    Ask = Callable[..., Sequence[Request] | None]

split = import_module("spark_impex_runner.plugins.split")
REFUSED = JobError("job 1 ended as 'closed': EXCEEDED_FILE_SIZE: over the limit of 200 MB")
TENANT = {
    ("life", "annuity"): ["1.0.0"],
    ("motor", "claims"): ["2.0.0", "2.1.0", "2.2.0"],
    ("motor", "pricing"): ["1.4.1", "1.4.2"],
    ("version", "pricing"): ["1.0.0"],
}


def id_of(folder: str, service: str, version: str) -> str:
    """Return a version's id, always the same."""
    return str(UUID(bytes=hashlib.shake_128(f"{folder}{service}{version}".encode()).digest(16)))


class Listing:
    """A tenant's client that lists ``TENANT``, or raises ``error``."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error

    def list_services(self) -> list[ServiceVersion]:
        """Return each service with its latest version."""
        if self.error:
            raise self.error
        return [ServiceVersion(*names, version=found[-1]) for names, found in TENANT.items()]

    def list_versions(self, folder: str, service: str) -> list[ServiceVersion]:
        """Return the versions of a service, the newest first."""
        if self.error:
            raise self.error
        return [
            ServiceVersion(folder, service, version=each, version_id=id_of(folder, service, each))
            for each in reversed(TENANT.get((folder, service), []))
        ]


@pytest.fixture
def ask(make_job: Callable[[], Job]) -> Ask:
    """Return a function that asks the plugin to divide a request of these fields."""

    def ask(listing: Any = None, **fields: Any) -> Sequence[Request] | None:
        job = make_job()
        connected = replace(job.run, connect=lambda _: listing or Listing())
        answer: Sequence[Request] | None = split.impex_split_job(
            replace(job, run=connected, request=Request(**fields)), REFUSED
        )
        return answer

    return ask


def test_folders_become_latest_services(ask: Ask) -> None:
    """Which version is the latest is not guessed."""
    first, second = ask(folders=("motor", "life"), file_filter="onpremises") or ()

    assert first == Request(services=("life/annuity",))
    assert second == Request(services=("motor/claims", "motor/pricing"))


def test_versions_are_split_by_id(ask: Ask) -> None:
    """The cut is between two services, as near to the middle as it can be; oldest first."""
    first, second = ask(folders=("motor",), version_filter="all") or ()

    assert first == Request(
        version_ids=tuple(id_of("motor", "claims", each) for each in ("2.0.0", "2.1.0", "2.2.0"))
    )
    assert second == Request(
        version_ids=tuple(id_of("motor", "pricing", each) for each in ("1.4.1", "1.4.2"))
    )


def test_single_service_is_split_by_version(ask: Ask) -> None:
    """In the middle."""
    parts = ask(services=("motor/claims",), version_filter="all") or ()

    assert [len(part.version_ids) for part in parts] == [1, 2]


def test_duplicates_are_requested_once(ask: Ask) -> None:
    """By folder, by name, by version and by id: the versions of a service come once."""
    both = id_of("motor", "claims", "2.0.0").upper(), id_of("life", "annuity", "1.0.0")
    services = ("motor/claims", "motor/claims[2.1.0]", "motor/claims[2]")

    parts = ask(folders=("motor",), services=services, version_ids=both, version_filter="all") or ()

    ids = [each.lower() for part in parts for each in part.version_ids]
    assert sorted(ids) == sorted(
        [id_of("motor", "claims", each) for each in ("2.0.0", "2.1.0", "2.2.0")]
        + [id_of("motor", "pricing", each) for each in ("1.4.1", "1.4.2")]
        + [id_of("life", "annuity", "1.0.0")]
    )
    assert not any(part.services for part in parts)


def test_entries_with_version_are_unchanged(ask: Ask) -> None:
    """Also those of a folder that bears a keyword of the notation."""
    parts = ask(services=("version/pricing[1]", "motor/pricing[1.4.1]")) or ()

    assert parts == [
        Request(services=("motor/pricing[1.4.1]",)),
        Request(services=("version/pricing[1]",)),
    ]


def test_service_id_keeps_filter(ask: Ask) -> None:
    """No listing tells its versions; the other half must not get any from the filter."""
    service = "8a5f0f0e-1111-4222-8333-0123456789ab"

    first, second = ask(services=(service, "life/annuity"), version_filter="all") or ()

    assert first == Request(services=(service,), version_filter="all")
    assert second == Request(version_ids=(id_of("life", "annuity", "1.0.0"),))
    with pytest.raises(TooLargeError, match=f"service/{service} alone .*name it as folder/service"):
        ask(services=(service,), version_filter="all")


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"version_ids": (id_of("motor", "claims", "2.1.0").upper(),)}, "motor/claims[2.1.0]"),
        ({"services": ("motor/claims[2.1]",)}, "motor/claims[2.1]"),
        ({"folders": ("life",)}, "life/annuity"),
        ({"version_ids": ("8a5f0f0e-1111-4222-8333-0123456789ab",)}, "version/8a5f0f0e-1111"),
    ],
)
def test_single_version_fails_with_tenants_message(
    ask: Ask, fields: dict[str, Any], name: str
) -> None:
    """A version that is known by its id is told as a person knows it."""
    with pytest.raises(TooLargeError) as message:
        ask(**fields)

    assert str(message.value).startswith(name)
    assert f"alone is too large: {REFUSED}; nothing smaller can be exported: " in str(message.value)


def test_failed_listing_is_reported(ask: Ask) -> None:
    """It is no last word on the job: the next run tries again."""
    down = Listing(TransportError("connection refused"))

    with pytest.raises(SparkSdkError) as message:
        ask(down, folders=("motor",))

    assert not isinstance(message.value, JobError)
    assert str(message.value) == (
        f"{REFUSED}; cannot list the services to split the request: connection refused"
    )
    with pytest.raises(TooLargeError, match="version/8a5f0f0e"):
        ask(down, version_ids=("8a5f0f0e-1111-4222-8333-0123456789ab",))


SIZES = st.lists(st.sampled_from([0, 9_000, 20_000]), min_size=1, max_size=3)


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    services=st.dictionaries(st.sampled_from(["a/s", "a/t", "b/s"]), SIZES, min_size=1),
    limit=st.sampled_from([12_000, 20_000, 32_000, 60_000]),
    every=st.sampled_from(["all", "latest"]),
    over_limit=st.sampled_from(["errors", "refuse"]),
)
def test_split_delivers_every_version_once(
    clock: Any, services: dict[str, list[int]], limit: int, every: str, over_limit: str
) -> None:
    """For any sizes of any services and any limit, against a tenant that holds to it."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        wanted = make_tree(root / "acme", services, every)
        with Sandbox(root / "acme", Settings(size_limit=limit, over_limit=over_limit)) as sandbox:
            result = export(root, sandbox, clock, f"folders: {folders(services)}", every)
            if result.outcome is Outcome.SUCCEEDED:
                assert Counter(inside(root / "exports/t")) == dict.fromkeys(wanted, 1)
                return
            named = re.match(r"(\S+) alone is too large: .*EXCEEDED_FILE_SIZE", result.error)
            assert named, result.error
            alone = export(root, sandbox, clock, f"services: ['{named[1]}']", "latest")
    assert any(uri.startswith(named[1]) for uri in wanted)
    assert alone.error.startswith(f"{named[1]} alone is too large")


def make_tree(root: Path, services: dict[str, list[int]], every: str) -> list[str]:
    """Make versions of these sizes; return the URIs of those that are to be delivered."""
    wanted = []
    for service, sizes in services.items():
        for number, size in enumerate(sizes):
            version = root / service / f"1.{number}.0"
            version.mkdir(parents=True)
            noise = hashlib.shake_256(f"{service}{number}".encode()).digest(size)
            (version / "model.data").write_bytes(noise)
        numbers = range(len(sizes)) if every == "all" else [len(sizes) - 1]
        wanted += [f"{service}[1.{number}.0]" for number in numbers]
    return wanted


def folders(services: dict[str, list[int]]) -> str:
    """Return the folders of some services, as YAML has them."""
    return json.dumps(sorted({service.partition("/")[0] for service in services}))


def export(root: Path, sandbox: Sandbox, clock: Any, asked: str, every: str) -> Any:
    """Run a target and return its result."""
    (root / "token").write_text(sandbox.token)
    (root / "m.yaml").write_text(
        f"version: 1\nconnections: {{c: {{base_url: '{sandbox.base_url}', "
        "auth: {token: '${file:token}'}}}\n"
        f"targets: [{{name: t, {asked}, version_filter: {every}, output: exports/t}}]\n"
    )
    return run_manifest(root / "m.yaml", clock=clock).results[0]


def inside(output: Path) -> list[str]:
    """Return every version in every package, as the packages themselves tell."""
    found = []
    for path in output.glob("*.zip"):
        with zipfile.ZipFile(path) as package:
            listed = json.loads(package.read("acme/manifest.json"))["outputs"]["service_versions"]
        found += [each["service_uri_source"] for each in listed]
    return found
