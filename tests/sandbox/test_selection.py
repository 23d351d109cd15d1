"""Which versions a request means."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spark_impex_runner.sandbox.tenant.selection import Selection, select, split_uri
from spark_impex_runner.sandbox.tenant.tree import Tenant

if TYPE_CHECKING:
    from pathlib import Path

names = st.text("abz-_. 09é", min_size=1)


@pytest.fixture
def tenant(root: Path) -> Tenant:
    """Return the tree of the shared fixture."""
    return Tenant("acme", root)


@pytest.mark.parametrize(
    ("uri", "number"),
    [
        ("motor/pricing", "1.20.0"),
        ("motor/pricing[]", "1.20.0"),
        ("motor/pricing[1]", "1.20.0"),
        ("motor/pricing[1.2]", "1.2.0"),
        ("motor/pricing[1.4]", "1.4.2"),
        ("motor/pricing[1.4.1]", "1.4.1"),
    ],
)
def test_short_version_selects_latest(tenant: Tenant, uri: str, number: str) -> None:
    """Versions match by dotted component: 1.2 is not the beginning of 1.20."""
    (version,) = select(tenant, Selection(services=(uri,)))

    assert version.number == number


def test_uri_version_overrides_filter(tenant: Tenant) -> None:
    """``all`` applies to entries without a version of their own."""
    asked = Selection(services=("motor/pricing[1.4]", "life/annuity-rates"), every=True)

    found = [version.uri for version in select(tenant, asked)]

    assert found == ["motor/pricing[1.4.2]", "life/annuity-rates[0.1.0]"]


def test_ids_select_services_and_versions(tenant: Tenant) -> None:
    """A bare service id means the service, a version id that version."""
    old, *_ = tenant.versions("motor", "pricing")

    service = select(tenant, Selection(services=(old.service_id,)))
    version = select(tenant, Selection(version_ids=(old.id,)))

    assert [found.number for found in service] == ["1.20.0"]
    assert version == [old]


@given(folder=names, service=names, number=names)
def test_uris_are_taken_apart(folder: str, service: str, number: str) -> None:
    """Any plain names come back from a URI made of them."""
    assert split_uri(f"{folder}/{service}") == (folder, service, "")
    assert split_uri(f"{folder}/{service}[{number}]") == (folder, service, number.strip())


@pytest.mark.parametrize("uri", ["", "motor", "a/b/c", "a/", "/b", "a/b[1", "a/b]1["])
def test_other_forms_are_not_found(uri: str) -> None:
    """What is no URI names nothing."""
    with pytest.raises(LookupError, match="could not be found"):
        split_uri(uri)
