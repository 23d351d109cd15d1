"""Service URIs: every form, what is refused, and the round trip."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spark_impex_runner.errors import UriError
from spark_impex_runner.models import ServiceVersion
from spark_impex_runner.spark.uri import Uri

ID = "2c1b0a34-0000-4000-8000-00000000000a"
NAMES = st.text(st.characters(codec="utf-8", exclude_characters="/[]?*"), min_size=1).filter(
    lambda name: name == name.strip() and name.isprintable() and name not in {".", ".."}
)
VERSIONS = st.lists(st.integers(0, 99), min_size=1, max_size=4).map(
    lambda parts: ".".join(map(str, parts))
)
BY_NAME = st.builds(Uri, folder=NAMES, service=NAMES, version=st.just("") | VERSIONS)
BY_ID = st.uuids().map(lambda one: Uri(service_id=str(one)))
BY_VERSION = st.uuids().map(lambda one: Uri(version_id=str(one)))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("motor/pricing", Uri("motor", "pricing")),
        (" /motor//pricing/ ", Uri("motor", "pricing")),
        ("motor / / pricing", Uri("motor", "pricing")),
        ("motor/pricing[1.4.2]", Uri("motor", "pricing", "1.4.2")),
        ("motor/pricing[1.4]", Uri("motor", "pricing", "1.4")),
        ("motor/pricing?1.4.2", Uri("motor", "pricing", "1.4.2")),
        ("motor/pricing[ 1.4.2 ]", Uri("motor", "pricing", "1.4.2")),
        (" motor/pricing[1.4.2] ", Uri("motor", "pricing", "1.4.2")),
        ("folders/motor/services/pricing", Uri("motor", "pricing")),
        ("folders/motor/services/pricing[1.4.2]", Uri("motor", "pricing", "1.4.2")),
        ("folders/version/services/pricing", Uri("version", "pricing")),
        ("myfolders/my services", Uri("myfolders", "my services")),
        ("Version/pricing", Uri("Version", "pricing")),
        (f"service/{ID.upper()}", Uri(service_id=ID)),
        (f"version/{ID.upper()}", Uri(version_id=ID)),
        (f" {ID} ", Uri(service_id=ID)),
    ],
)
def test_every_known_form_is_read(text: str, expected: Uri) -> None:
    """Each form of the module's table gives the value that it means."""
    assert Uri.parse(text) == expected


@given(st.one_of(BY_NAME, BY_ID))
def test_wire_form_round_trips(uri: Uri) -> None:
    """Also a folder that bears a keyword of the notation, which no short form may."""
    assert Uri.of_wire(uri.wire) == uri
    assert Uri.of_wire("version/pricing[1.0.0]") == Uri("version", "pricing", "1.0.0")
    assert Uri(version_id=ID).wire == ID


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "names no service"),
        (" // ", "names no service"),
        ("[1.2]", "names no service"),
        ("motor", "given as folders"),
        ("motor/pricing/extra", "no known form"),
        ("motor/pricing[1.2", "no known form"),
        ("motor/pricing[1.2]x", "no known form"),
        ("motor/pricing[]", "empty version"),
        ("motor/pricing?", "empty version"),
        ("motor/pricing[1..2]", "no readable version"),
        ("motor/pricing[1. 2]", "no readable version"),
        ("motor/pricing[1.*]", "no readable version"),
        ("motor/pricing[?1.2]", "no known form"),
        ("acme/motor/uk/pricing", "no known form"),
        ("folders/motor/uk/pricing", "no known form"),
        ("acme/motor/services/pricing", "no known form"),
        ("service/pricing", "ambiguous"),
        ("folders/motor", "ambiguous"),
        (f"service/{ID}[1.2]", "both an id and a version"),
        ("motor/*", "pattern"),
        ("motor/pricing[1\x1b]", "no readable version"),
        ("./pricing", "cannot be a name"),
        ("motor/..", "cannot be a name"),
        ("motor/pri\x1bcing", "cannot be a name"),
    ],
)
def test_unclear_uri_is_refused(text: str, reason: str) -> None:
    """The error names the URI, the reason and the forms that exist."""
    with pytest.raises(UriError) as caught:
        Uri.parse(text)

    message = str(caught.value)
    assert reason in message
    assert "folder/service[1.2.3]" in message
    assert message.isprintable()


@pytest.mark.parametrize(("length", "shown"), [(200, "m" * 200), (201, "m" * 200 + "...")])
def test_long_uri_is_shortened(length: int, shown: str) -> None:
    """The error shows what a person can still read."""
    with pytest.raises(UriError, match=f"service URI '{re.escape(shown)}' has one name only"):
        Uri.parse("m" * length)


@given(BY_NAME | BY_ID | BY_VERSION)
def test_text_form_round_trips(uri: Uri) -> None:
    """``str`` and ``parse`` are inverse for all names."""
    assert Uri.parse(str(uri)) == uri


@given(st.text())
def test_no_text_leads_to_another_error(text: str) -> None:
    """Any text is either read or refused with a ``UriError``."""
    try:
        uri = Uri.parse(text)
    except UriError:
        return

    assert Uri.parse(str(uri)) == uri


@pytest.mark.parametrize("version", ["", "[1.2]"])
@pytest.mark.parametrize("folder", ["service", "version", "services", "folders"])
def test_keyword_folder_uses_long_form(folder: str, version: str) -> None:
    """The short form of it would be refused; what travels is the short form all the same."""
    text = f"folders/{folder}/services/pricing{version}"

    uri = Uri.parse(text)

    assert str(uri) == text
    assert uri.wire == f"{folder}/pricing{version}"


def test_a_shorter_version_matches_by_component() -> None:
    """1.2 asks for 1.2.9, and for neither 1.20.0 nor another service."""
    uri = Uri.parse("motor/pricing[1.2]")

    assert uri.delivers(ServiceVersion("motor", "pricing", version="1.2.9"))
    assert not uri.delivers(ServiceVersion("motor", "pricing", version="1.20.0"))
    assert not uri.delivers(ServiceVersion("motor", "claims", version="1.2.9"))
    assert not uri.delivers(ServiceVersion("motor", "pricing"))


def test_ids_match_in_any_case() -> None:
    """A service id and a version id are compared without regard to case."""
    found = ServiceVersion("f", "s", service_id=ID.upper(), version_id="other")

    assert Uri.parse(f"service/{ID}").delivers(found)
    assert Uri(service_id=ID.upper()).delivers(ServiceVersion("f", "s", service_id=ID))
    assert not Uri.parse(f"version/{ID}").delivers(found)
    assert Uri("f", "s").delivers(found)
    assert Uri(version_id=ID.upper()).delivers(ServiceVersion("f", "s", version_id=ID))
    assert Uri(version_id=ID).delivers(ServiceVersion("f", "s", version_id=ID.upper()))
