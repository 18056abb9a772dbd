# SPDX-License-Identifier: Apache-2.0
"""Banks: lists of known hashes and what it means to be in one.

``banks.toml`` names them; their hashes come from a file beside it or from an exchange. A bank's
``enabled_ratio`` takes the same hashes in every process and on every day, so a new bank can be let
in by degrees. A hash is known outside by its entry: a digest, since a PDQ hash gives away a little
of its picture.
"""

import csv
import hashlib
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, TypeAdapter, ValidationError
from wasl_schemas.base import Model, Slug

from wasl_triage.matching.hashes import KINDS, QUALITY, HashError, Kind, parse

NAME = "banks.toml"
#: Lines of a file that are named when they are wrong.
NAMED = 20


class BankError(Exception):
    """A bank cannot be read. Names file and line, what was expected and the fix."""


def _inside(path: str) -> str:
    if PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts:
        raise ValueError("expected a path below the directory of banks.toml")
    return path


class FileSource(Model):
    """Lines of hashes, or a CSV file whose first line is ``hash,quality,tags``."""

    type: Literal["file"]
    path: Annotated[str, AfterValidator(_inside)]


class NcmecSource(Model):
    type: Literal["ncmec"]
    #: A word of threatexchange's NCMECEnvironment, such as NGO.
    environment: str
    #: Only entries of these members; empty takes all.
    members: frozenset[int] = frozenset()


class StopNciiSource(Model):
    type: Literal["stopncii"]


class ThreatExchangeSource(Model):
    type: Literal["threatexchange"]
    privacy_group: int


class SampleSource(Model):
    """The public examples that threatexchange brings, to try the way from end to end."""

    type: Literal["sample"]


Source = Annotated[
    FileSource | NcmecSource | StopNciiSource | ThreatExchangeSource | SampleSource,
    Field(discriminator="type"),
]


class Bank(Model):
    """``category``: of the country pack; what is named by a hash of this bank."""

    id: Slug
    title: str = Field(min_length=1, max_length=200)
    category: Slug
    confidence: Literal["high", "medium", "low"]
    #: What is taken from the source. In a file, hashes without a prefix are of the only kind.
    kinds: tuple[Kind, ...] = Field(default=KINDS, min_length=1)
    enabled_ratio: float = Field(default=1.0, ge=0, le=1)
    source: Source

    def entry(self, kind: Kind, value: bytes) -> str:
        """The public name of a hash in this bank: 32 hexadecimal digits, the same for ever."""
        return hashlib.sha256(f"{self.id}\0{kind}\0".encode() + value).hexdigest()[:32]

    def takes(self, entry: str) -> bool:
        """Whether the roll-out has reached this entry. What a ratio takes, a greater one takes."""
        return int(entry[:13], 16) / 16**13 < self.enabled_ratio


class _File(Model):
    bank: tuple[Bank, ...] = ()


_FILE = TypeAdapter(_File)


def load(directory: Path) -> tuple[Bank, ...]:
    """The banks of ``banks.toml``; none where there is no such file. Raises :class:`BankError`."""
    path = directory / NAME
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ()
    except (OSError, UnicodeDecodeError) as error:
        raise BankError(f"{path}: cannot be read ({type(error).__name__}); it is UTF-8") from error
    try:
        banks = _FILE.validate_python(tomllib.loads(text)).bank
    except tomllib.TOMLDecodeError as error:
        raise BankError(f"{path}: is no TOML: {error}") from error
    except ValidationError as error:
        lines = [
            f"{path}: {'.'.join(map(str, e['loc'])) or 'it'}: {e['msg']}"
            for e in error.errors(include_input=False, include_url=False, include_context=False)
        ]
        raise BankError("\n".join(lines)) from None
    twice = {b.id for b in banks if sum(b.id == other.id for other in banks) > 1}
    if twice:
        raise BankError(f"{path}: two banks are called {', '.join(sorted(twice))}; rename one")
    return banks


@dataclass(slots=True)
class Reading:
    """A file as it is read: its hashes, once iterated, and what was left out."""

    path: Path
    kinds: tuple[Kind, ...]
    refused: dict[str, int] = field(default_factory=dict)
    #: Where the iteration is.
    line: int = 0

    def __iter__(self) -> Iterator[tuple[Kind, bytes, tuple[str, ...]]]:
        """Raises :class:`BankError` after the whole file, naming its first wrong lines."""
        wrong: list[str] = []
        count = 0
        try:
            with self.path.open(encoding="utf-8-sig", newline="") as file:
                for text, quality, tags in self._lines(file):
                    try:
                        kind, value = self._parsed(text)
                        good = kind != "pdq" or quality is None or self._quality(quality)
                    except HashError as error:
                        count += 1
                        if count <= NAMED:
                            wrong.append(f"{self.path}:{self.line}: {error}")
                        continue
                    if kind not in self.kinds:
                        self._refuse("other_kind")
                    elif not good:
                        self._refuse("low_quality")
                    else:
                        yield kind, value, tags
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise BankError(
                f"{self.path}:{self.line}: cannot be read ({type(error).__name__}); expected a"
                " UTF-8 file of hashes, or CSV with the columns hash,quality,tags"
            ) from error
        if count:
            rest = [f"and {count - NAMED} more"] if count > NAMED else []
            fix = "correct or remove these lines; until then the hashes in place stay"
            raise BankError("\n".join([*wrong, *rest, fix]))

    def _lines(self, file: Iterator[str]) -> Iterator[tuple[str, str | None, tuple[str, ...]]]:
        """Hash, quality and tags of each line that holds one."""
        columns: list[str] | None = None
        for self.line, raw in enumerate(file, 1):
            text = raw.strip()
            if not text or text.startswith("#"):
                continue
            if columns is None:
                columns = []
                if text.lower().replace(" ", "").split(",")[0] == "hash":
                    columns = [c.strip().lower() for c in text.split(",")]
                    unknown = sorted(set(columns) - {"hash", "quality", "tags"})
                    if unknown:
                        raise BankError(
                            f"{self.path}:{self.line}: unknown columns {', '.join(unknown)}; there"
                            " are hash, quality and tags"
                        )
                    continue
            if not columns:
                yield text, None, ()
                continue
            row = dict(zip(columns, next(csv.reader([text])), strict=False))
            tags = tuple(sorted({t.strip() for t in row.get("tags", "").split(";")} - {""}))
            yield row.get("hash", ""), row.get("quality") or None, tags

    def _parsed(self, text: str) -> tuple[Kind, bytes]:
        if ":" in text or len(self.kinds) != 1:
            return parse(text)
        return parse(text, self.kinds[0])

    def _quality(self, text: str) -> bool:
        try:
            quality = int(text)
        except ValueError:
            quality = -1
        if not 0 <= quality <= 100:
            raise HashError("expected a quality from 0 to 100")
        return quality >= QUALITY

    def _refuse(self, why: str) -> None:
        self.refused[why] = self.refused.get(why, 0) + 1
