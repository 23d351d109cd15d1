"""What plugins offer by name, and what the registry refuses."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from spark_impex_runner.errors import PluginError
from spark_impex_runner.hooks import registry as registry_module
from spark_impex_runner.hooks.registry import KINDS, Registry, as_data, summary_of
from spark_impex_runner.manifest.schema.compose import compose


def own_form(entry: str, _: Any) -> str:
    """Check nothing."""
    return entry


def nowhere(_: str) -> None:
    """Return no executor."""


def full(provider: str = "impex-full") -> Registry:
    """Return the offers of a plugin that offers one of every kind."""
    registry = Registry(provider)
    registry.step("shout", "Says it loudly.", idempotent=False)
    registry.strategy("nightly", "Waits for the night.")
    registry.source("vault", "Reads a vault.", str.upper)
    registry.resolver("tagged", "Services by tag.", own_form)
    registry.executor("farm", "Runs on a farm.", nowhere)
    registry.report("tally", "counts them", str)
    registry.notifier("horn", "blows a horn", None, print)
    return registry


def test_every_offer_field_is_a_kind() -> None:
    """A new kind of offer is merged and listed, or this test fails."""
    fields = {each.name for each in dataclasses.fields(Registry)} - {"provider"}

    assert fields == set(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_all_kinds_are_merged(kind: str) -> None:
    """The merged registry has what each plugin offers."""
    merged = Registry()
    merged.merge(full())

    assert merged.of_kind(kind) == full().of_kind(kind)
    assert [each.provider for each in merged.of_kind(kind).values()] == ["impex-full"]


@pytest.mark.parametrize("kind", KINDS)
def test_taken_name_merges_nothing(kind: str) -> None:
    """Two plugins may not offer one name: the registry refuses the second as a whole."""
    merged, first, second = Registry(), Registry("impex-one"), full("impex-two")
    first.of_kind(kind).update(full("impex-one").of_kind(kind))
    merged.merge(first)

    with pytest.raises(PluginError, match="which impex-one already offers; block one of the two"):
        merged.merge(second)

    assert sum(len(merged.of_kind(each)) for each in KINDS) == 1


@pytest.mark.parametrize(
    ("offer", "message"),
    [
        (lambda r: r.step("shout", "Again."), "it offers the step 'shout' twice"),
        (lambda r: r.source("vault", "Again.", str), "it offers the source 'vault' twice"),
        (lambda r: r.step(7, "A number."), "it offers a step named 7, which is no name"),
        (lambda r: r.strategy("a b", "Two words."), "named 'a b', which is no name"),
        (
            lambda r: r.step("post", "Posts.", always=True, idempotent=False),
            "the step 'post' cannot be always run and not idempotent",
        ),
        (lambda r: r.step("mute", None), "the step 'mute' has no summary but None"),
    ],
)
def test_unusable_offers_are_refused(offer: Any, message: str) -> None:
    """The registry checks each offer when the plugin registers it."""
    registry = full()

    with pytest.raises(PluginError) as caught:
        offer(registry)

    assert message in str(caught.value)


def test_offer_as_data_has_no_functions() -> None:
    """Only a step has traits."""
    registry = full()

    assert as_data(registry.steps["shout"])["idempotent"] is False
    assert set(as_data(registry.strategies["nightly"])) == {
        *("name", "summary", "provider", "options")
    }
    assert set(as_data(registry.sources["vault"])) == {"name", "summary", "provider", "secret"}


def test_schema_has_summary_and_traits() -> None:
    """An editor shows them beside the name and the options."""
    registry = Registry("impex-full")
    registry.step("mail", "sends it", idempotent=False, credentials=True)
    registry.step("beep", "beeps")
    text = "Sends it. Done once only, needs credentials."

    schema = compose(registry)["$defs"]

    uses = schema["step"]["properties"]["uses"]
    assert dict(zip(uses["enum"], uses["enumDescriptions"], strict=True)) == {
        "beep": "Beeps.",
        "mail": text,
    }
    assert schema["step-mail"]["description"] == text


def test_every_trait_has_a_text() -> None:
    """A default has none."""
    registry = Registry()
    registry.step("a", "Does.", always=True, file_filter="migrate", dry_run=True)
    registry.step("b", "Does.", idempotent=False, credentials=True, covered_by_approval=True)
    registry.step("c", "Does.")

    assert summary_of(registry.steps["a"]) == (
        "Does. Always run again, for packages of file_filter migrate only, described by impex plan."
    )
    assert summary_of(registry.steps["b"]) == (
        "Does. Covered by approvals, done once only, needs credentials."
    )
    assert summary_of(registry.steps["c"]) == "Does."


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("Manner", "SourceOptions"),
        ("Needs", "NotifierTraits"),
        ("Place", "ExecutorFactory"),
        ("Traits", "StepTraits"),
        ("about", "summary_of"),
        ("described", "as_data"),
    ],
)
def test_old_names_warn(old: str, new: str) -> None:
    """A plugin that uses an old name still works for one release."""
    with pytest.warns(DeprecationWarning, match=f"{old} is now called {new}"):
        found = getattr(registry_module, old)

    assert found is getattr(registry_module, new)


def test_unknown_name_is_no_attribute() -> None:
    """A misspelt name fails as in any other module."""
    with pytest.raises(AttributeError, match="has no attribute 'Nothing'"):
        _ = registry_module.Nothing
