"""The built-in plugins keep what every plugin has to: they inherit the tests that authors do."""

from __future__ import annotations

from spark_impex_runner.testing import StepConformance


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


class TestPackageCheck(StepConformance):
    """Proofs from the inside."""

    name = "package_check"
    good_options = ({}, {"max_total": "1MB"})
    bad_options = ({"max_total": "much"}, {"max_files": "few"}, {"most_files": 1})
