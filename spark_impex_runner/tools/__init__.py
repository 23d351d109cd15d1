"""The public functions for plugins besides the package root, ``errors`` and ``models``.

Built-in plugins use no other names of the package. HTTP is in ``spark_impex_runner.tools.http``,
which alone loads the HTTP library: import it inside the function that sends something.
Clients of object stores are in ``spark_impex_runner.tools.object_store``, which loads obstore.

``DURATION_SCHEMA`` and ``SIZE_SCHEMA`` are the JSON Schemas of options that ``parse_duration`` and
``parse_size`` read; add a title and a description.
"""

from __future__ import annotations

from spark_impex_runner.archive_reader import (
    ArchiveReader,
    DamagedFileError,
    FileReader,
    OverLimitError,
    ReadBudget,
)
from spark_impex_runner.archives import opened as open_zip
from spark_impex_runner.archives import quoted
from spark_impex_runner.archives import raw_name as raw_entry_name
from spark_impex_runner.atomic import exclusive as file_lock
from spark_impex_runner.atomic import write_text as write_atomically
from spark_impex_runner.digests import Hash
from spark_impex_runner.digests import line as checksum_line
from spark_impex_runner.digests import of_bytes as digest_of
from spark_impex_runner.digests import of_file as file_digests
from spark_impex_runner.digests import of_tree as folder_digest
from spark_impex_runner.digests import read_hash as parse_hash
from spark_impex_runner.digests import read_lines as parse_checksum_lines
from spark_impex_runner.digests import read_sums as parse_checksums
from spark_impex_runner.disk import require_space
from spark_impex_runner.fields import parse as parse_json
from spark_impex_runner.masking import Masker, MaskingFilter
from spark_impex_runner.ownership import Ownership
from spark_impex_runner.ownership import files_of as files_below
from spark_impex_runner.paths import url_problem
from spark_impex_runner.quantity import DURATION_SCHEMA, SIZE_SCHEMA
from spark_impex_runner.quantity import seconds as parse_duration
from spark_impex_runner.quantity import size as parse_size
from spark_impex_runner.report.data import time_span
from spark_impex_runner.report.headline import headline
from spark_impex_runner.report.headline import outcome as run_outcome
from spark_impex_runner.spark.completeness import is_unspecified
from spark_impex_runner.spark.completeness import missing as missing_items
from spark_impex_runner.spark.failures import is_unknown_job
from spark_impex_runner.spark.failures import may_have_created as may_have_created_job
from spark_impex_runner.spark.import_forecast import forecast_import
from spark_impex_runner.spark.requested import UnknownVersionsError, requested_versions
from spark_impex_runner.spark.status import parse_status
from spark_impex_runner.spark.tenant import is_loopback
from spark_impex_runner.spark.uri import Uri, version_order
from spark_impex_runner.spelling import did_you_mean
from spark_impex_runner.text import counted, first_of, one_line
from spark_impex_runner.tools.artifacts import write_artifact
from spark_impex_runner.tools.destination import exported_now, list_destination, read_exported
from spark_impex_runner.tools.evidence import signed_digests
from spark_impex_runner.tools.packages import package_errors, package_readers
from spark_impex_runner.tools.stop import stop_check

__all__ = [
    "DURATION_SCHEMA",
    "SIZE_SCHEMA",
    "ArchiveReader",
    "DamagedFileError",
    "FileReader",
    "Hash",
    "Masker",
    "MaskingFilter",
    "OverLimitError",
    "Ownership",
    "ReadBudget",
    "UnknownVersionsError",
    "Uri",
    "checksum_line",
    "counted",
    "did_you_mean",
    "digest_of",
    "exported_now",
    "file_digests",
    "file_lock",
    "files_below",
    "first_of",
    "folder_digest",
    "forecast_import",
    "headline",
    "is_loopback",
    "is_unknown_job",
    "is_unspecified",
    "list_destination",
    "may_have_created_job",
    "missing_items",
    "one_line",
    "open_zip",
    "package_errors",
    "package_readers",
    "parse_checksum_lines",
    "parse_checksums",
    "parse_duration",
    "parse_hash",
    "parse_json",
    "parse_size",
    "parse_status",
    "quoted",
    "raw_entry_name",
    "read_exported",
    "requested_versions",
    "require_space",
    "run_outcome",
    "signed_digests",
    "stop_check",
    "time_span",
    "url_problem",
    "version_order",
    "write_artifact",
    "write_atomically",
]
