"""The built-in plugins keep what every plugin has to: they inherit the tests that authors do."""

from __future__ import annotations

from spark_impex_runner.testing import (
    ResolverConformance,
    StepConformance,
    StrategyConformance,
)


class TestCalculate(StepConformance):
    """Numbers; the kit's packages hold no module."""

    name = "calculate"
    good_options = ({"uncalculable": "skip"}, {"uncalculable": "skip", "results": "all.jsonl"})
    bad_options = ({"cases": 7}, {"at": "soon"}, {"tolerance": {}}, {"results": "../all.jsonl"})


class TestChecksum(StepConformance):
    """Sums files."""

    name = "checksum"
    good_options = ({}, {"algorithms": ["sha256", "md5"]}, {"file": "sums.txt"})
    bad_options = ({"algorithms": ["crc32"]}, {"file": "../sums"}, {"algorithm": "sha256"})


class TestUnzip(StepConformance):
    """Extracted folders."""

    name = "unzip"
    good_options = ({}, {"to": "unpacked/here", "max_files": 100})
    bad_options = ({"max_total": "much"}, {"max_files": 0}, {"into": "files"})


class TestImport(StepConformance):
    """Packages on their way to a tenant, here back to the one that they come from."""

    name = "import"
    good_options = (
        {"to": "sit", "if_present": "add_version", "interval": "10ms"},
        {"to": "sit", "if_present": "replace", "interval": "10ms", "max_size": "1MB"},
    )
    bad_options = ({"to": "nowhere"}, {"to": "sit", "if_present": "update"}, {"from": "x"})


class TestUpload(StepConformance):
    """Packages in another folder."""

    name = "upload"
    good_options = ({"to": "kept"}, {"to": "kept", "prefix": "nightly", "keep": {"last": 3}})
    bad_options = ({"to": 7}, {"to": "kept", "keep": {"last": 0}}, {"too": "kept"})
    # It is there to write elsewhere.
    test_it_writes_only_below_the_output = None
    # Two targets may not share a folder, and these options name one without the target's name.
    test_no_state_is_kept_between_packages = None
    test_it_is_thread_safe = None


class TestPackageCheck(StepConformance):
    """Proofs from the inside."""

    name = "package_check"
    good_options = ({}, {"max_total": "1MB"})
    bad_options = ({"max_total": "much"}, {"max_files": "few"}, {"most_files": 1})


class TestAdaptive(StrategyConformance):
    """Waits that learn."""

    name = "adaptive"


class TestFixed(StrategyConformance):
    """Waits that are all alike."""

    name = "fixed"
    # It is what answers where nobody else does.
    test_it_answers_for_its_own_name_only = None


class TestExponential(StrategyConformance):
    """Waits that grow."""

    name = "exponential"
    # It is what answers where nobody else does.
    test_it_answers_for_its_own_name_only = None
    good_options = ({}, {"factor": 1.5, "max": "2m"})
    bad_options = ({"factor": 1}, {"max": "soon"}, {"most": "2m"})


class TestGlob(ResolverConformance):
    """Patterns."""

    name = "glob"
    good_entries = ("motor/*", "*", "*/pr?cing[1.*]")
    bad_entries = ("motor/pricing[1.*", "a/b/c/*")


class TestFile(ResolverConformance):
    """Lists in files."""

    name = "file"
    files = {"services.txt": "motor/pricing\nlife/annuity # all\n", "s.csv": "uri\nmotor/claims\n"}  # noqa: RUF012
    good_entries = ("@services.txt", "@s.csv#uri")
    bad_entries = ("@nothing.txt", "@s.csv", "@s.csv#name")
