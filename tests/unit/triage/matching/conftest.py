# SPDX-License-Identifier: Apache-2.0
"""A directory of banks to build from."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from wasl_triage.matching.publishing import Published, publish

NOW = datetime(2026, 1, 5, 9, tzinfo=UTC)

BANK = """
[[bank]]
id = "{id}"
title = "{id} of the tests"
category = "ncii"
confidence = "high"
kinds = {kinds}
enabled_ratio = {ratio}
source = {{ type = "file", path = "{id}.txt" }}
"""


class Banks:
    """Writes banks.toml and its lists."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._banks: dict[str, str] = {}

    def put(
        self,
        name: str,
        *lines: str,
        kinds: tuple[str, ...] = ("pdq", "md5", "sha256"),
        ratio: float = 1.0,
    ) -> None:
        self._banks[name] = BANK.format(id=name, kinds=list(kinds), ratio=ratio)
        (self.directory / f"{name}.txt").write_text("".join(f"{line}\n" for line in lines))
        self._write()

    def drop(self, name: str) -> None:
        del self._banks[name]
        self._write()

    def add_toml(self, name: str, text: str) -> None:
        self._banks[name] = text
        self._write()

    def _write(self) -> None:
        (self.directory / "banks.toml").write_text("".join(self._banks.values()))

    def publish(self, *, full: bool = False) -> Published:
        return publish(self.directory, NOW, full=full)


@pytest.fixture
def banks(tmp_path: Path) -> Banks:
    return Banks(tmp_path)
