"""The tests that a source of references inherits."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, ClassVar

import pytest

from spark_impex_runner.masking import Masker
from spark_impex_runner.testing.options import PluginConformance, manifest, require
from spark_impex_runner.testing.workspace import isolated_folders, outputs

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from spark_impex_runner.hooks.manager import Plugins
    from spark_impex_runner.testing.fixtures import Runner

_THREADS = 8


class SourceConformance(PluginConformance):
    """The tests of a source of references.

    ``values`` are what it reads, by their keys; they must be possible tokens: printable, without
    blanks. Override ``provide`` to store them first. ``missing_key`` is a key without a value.
    """

    values: ClassVar[Mapping[str, str]] = {}
    missing_key: ClassVar[str] = "no-such-key"

    def provide(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Store the values where the source reads them; ``folder`` is the test's own."""

    @pytest.fixture(autouse=True)
    def _provided(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Provide the values for every test."""
        self.provide(tmp_path, monkeypatch)

    def test_values_are_given(self) -> None:
        """Without them the other tests would check nothing."""
        require(self.values, "values is empty; say what the source is to read")

    def test_each_key_yields_its_value(self, plugins: Plugins) -> None:
        """Each value is text, and the same at every read."""
        for key, value in [*self.values.items()] * 2:
            found = plugins.registry.sources[self.name].read(key)
            require(isinstance(found, str), f"'{key}' yields {type(found).__name__}, not text")
            require(found == value, f"'{key}' yields another value than it should")

    def test_a_missing_key_is_told_in_one_line(self, plugins: Plugins) -> None:
        """``LookupError`` names the key and no secret."""
        masker = Masker()
        for value in self.values.values():
            masker.add(value)
        try:
            plugins.registry.sources[self.name].read(self.missing_key)
        except LookupError as error:
            message = str(error.args[0]) if error.args else ""
            without = f"it says {message!r}, without '{self.missing_key}'"
            require(self.missing_key in message, without)
            require("\n" not in message, f"it says {message!r}, which is more than one line")
            require(masker.mask(message) == message, "a secret is in what it says of a missing key")
        except Exception as error:
            raise AssertionError(f"it raises {type(error).__name__}, not LookupError") from error
        else:
            raise AssertionError(f"'{self.missing_key}' yields a value")

    def test_it_is_thread_safe(self, plugins: Plugins) -> None:
        """Many reads at once yield the same values as single ones."""
        read, keys = plugins.registry.sources[self.name].read, list(self.values) * _THREADS
        with ThreadPoolExecutor(_THREADS) as pool:
            found = list(pool.map(read, keys))
        wrong = [key for key, each in zip(keys, found, strict=True) if each != self.values[key]]
        require(not wrong, f"among threads, another value is read for {', '.join(wrong)}")

    def test_it_writes_nothing(self, plugins: Plugins, tmp_path: Path) -> None:
        """Reading a secret does not write it to a file."""
        with isolated_folders(tmp_path / "elsewhere", home=False) as folders:
            for key in self.values:
                plugins.registry.sources[self.name].read(key)
            require(not folders.written(), f"it leaves {folders.written()}")

    def test_no_secret_is_in_any_output(
        self, run_manifest: Runner, capfd: pytest.CaptureFixture[str]
    ) -> None:
        """Each value is sent to the tenant as a token, and appears in no output."""
        known = {path for path, _ in outputs("", capfd, run_manifest.folder)}
        for key, value in self.values.items():
            masker = Masker()
            masker.add(value)
            place = {"sandbox": "acme", "auth": {"token": f"${{{self.name}:{key}}}"}}
            written = {**manifest({}), "connections": {"sit": place}}
            ran = run_manifest(written, self.plugin_files, fresh=True)
            require(ran.result.exit_code == 6, f"'{key}' was not sent: {ran.log}")
            for name, text in outputs(ran.log, capfd, run_manifest.folder):
                clean = name in known - {"the log", "stdout", "stderr"} or masker.mask(text) == text
                require(clean, masker.mask(f"the value of '{key}' is in {name}"))
