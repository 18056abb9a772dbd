# SPDX-License-Identifier: Apache-2.0
"""Words that must not be readable anywhere, and the search for them in whatever the hub leaves.

A word is looked for as typed, in other cases, and as programs spell text: percent, JSON, hex,
numbers, UTF-16, base64 at each of its three alignments; and inside what is compressed or base64 by itself.
"""

import base64
import binascii
import re
import secrets
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import httpx
from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument
from hub import Hub
from pymongo import MongoClient
from pymongo.database import Database
from wasl_local.servers import EmbeddedMongo

#: What every word begins with: a quick look for it spares the long one.
_MARK = "zqcanary"
_ARABIC = "زقكناري"
#: Bytes of one read; neighbours overlap by more than any spelling is long.
_CHUNK, _OVERLAP = 1 << 23, 1_024
_COMPRESSED = re.compile(rb"\x78[\x01\x5e\x9c\xda]|\x1f\x8b\x08")
_BASE64 = re.compile(rb"[A-Za-z0-9+/_-]{24,}")
Place = tuple[str, bytes]


@dataclass(frozen=True)
class Word:
    """``text`` is looked for; ``beginning``: a part of it that other texts do not hold."""

    name: str
    text: str
    beginning: str = _MARK

    @classmethod
    def new(cls, name: str) -> "Word":
        return cls(name, f"{_MARK}{secrets.token_hex(6)}")

    @classmethod
    def arabic(cls, name: str) -> "Word":
        letters = "".join(secrets.choice("ابتثجحخدذرزسشصضطظعغفقكلمنهوي") for _ in range(8))
        return cls(name, _ARABIC + letters, _ARABIC)

    @classmethod
    def hexadecimal(cls, name: str) -> "Word":
        text = secrets.token_hex(32)
        return cls(name, text, text[:16])

    @classmethod
    def known(cls, name: str, text: str) -> "Word":
        return cls(name, text, text)


def spellings(text: str) -> Iterator[tuple[str, bytes, bool]]:
    """(what, bytes, whether their case matters)."""
    raw = text.encode()
    yield "plain", raw.lower(), False
    yield "percent", "".join(f"%{b:02x}" for b in raw).encode(), False
    yield "hex", raw.hex().encode(), False
    yield "numbers", ",".join(map(str, raw)).encode(), False
    for what in ("utf-16-le", "utf-16-be"):
        yield what, text.lower().encode(what).lower(), False
    if not text.isascii():
        yield "json", "".join(f"\\u{ord(c):04x}" for c in text).encode(), False
    for shift, cut in enumerate((0, 2, 3)):
        whole = len(raw) + shift
        # Letters that hold bits of neighbours are left out.
        coded = base64.b64encode(b"\0" * shift + raw)[cut : whole * 8 // 6]
        yield f"base64+{shift}", coded, True
        safe = coded.translate(bytes.maketrans(b"+/", b"-_"))
        if safe != coded:
            yield f"base64url+{shift}", safe, True
    if re.fullmatch("[0-9a-f]+", text) and len(text) % 2 == 0:
        yield "bytes", bytes.fromhex(text), True


@dataclass(frozen=True)
class Hit:
    """``spelling`` says how the word was written, and inside what."""

    place: str
    word: str
    spelling: str


@dataclass
class Search:
    words: Iterable[Word]
    hits: set[Hit] = field(default_factory=set)
    #: Bytes looked through, by place, without what lay inside others.
    looked: dict[str, int] = field(default_factory=dict)

    @cached_property
    def _beginnings(self) -> list[tuple[bytes, bool]]:
        found = {(b, exact) for w in self.words for _, b, exact in spellings(w.beginning)}
        return sorted(found)

    def through(self, places: Iterable[Place]) -> "Search":
        for place, data in places:
            self.looked[place] = self.looked.get(place, 0) + len(data)
            for inside, layer in _layers(data):
                self._look(place, inside, layer)
        return self

    def _look(self, place: str, inside: str, data: bytes) -> None:
        small = data.lower()
        if not any(b in (data if exact else small) for b, exact in self._beginnings):
            return
        for word in self.words:
            for what, coded, exact in spellings(word.text):
                if coded in (data if exact else small):
                    self.hits.add(Hit(place, word.name, inside + what))

    def words_in(self, *beginnings: str) -> set[str]:
        """The names of the words found in places whose names begin so."""
        return {h.word for h in self.hits if h.place.startswith(beginnings)}

    def outside(self, *beginnings: str) -> list[Hit]:
        found = [h for h in self.hits if not h.place.startswith(beginnings)]
        return sorted(found, key=lambda h: (h.place, h.word, h.spelling))


def _layers(data: bytes, inside: str = "", depth: int = 2) -> Iterator[tuple[str, bytes]]:
    """The data, and what is compressed or in base64 in it, and in that."""
    yield inside, data
    if not depth:
        return
    for found in _COMPRESSED.finditer(data):
        head = data[found.start() : found.start() + 65_536]
        try:
            text = zlib.decompressobj(wbits=47).decompress(head, 1 << 20)
        except zlib.error:
            continue
        if len(text) > 4:
            yield from _layers(text, f"{inside}compressed ", depth - 1)
    for found in _BASE64.finditer(data):
        run = found[0].translate(bytes.maketrans(b"-_", b"+/"))
        try:
            text = binascii.a2b_base64(run + b"=" * (-len(run) % 4))
        except binascii.Error:
            continue
        # Its words are found by their spelling; what must be decoded first is compressed.
        if _COMPRESSED.match(text):
            yield from _layers(text, f"{inside}base64 ", depth - 1)


# -- what the hub leaves ---------------------------------------------------------------------------


class PlainMongo(EmbeddedMongo):
    """Writes what it is given: no compression of documents, journal or indexes on the disk."""

    def _command(self) -> list[str]:
        return [
            *super()._command(),
            "--wiredTigerCollectionBlockCompressor", "none",
            "--wiredTigerJournalCompressor", "none",
            "--wiredTigerIndexPrefixCompression", "false",
        ]  # fmt: skip


class PlainHub(Hub):
    """A hub whose database's files can be read."""

    def __init__(self, folder: Path, env: dict[str, str] | None = None) -> None:
        super().__init__(folder, env)
        self._mongo = PlainMongo(folder / "mongo")


async def topics(hub: Hub) -> list[Place]:
    """Every record of every topic, from the start: key, value and headers as they are."""
    found: dict[str, bytearray] = {}
    for r in await hub.records():
        into = found.setdefault(f"topic {r.topic}", bytearray())
        for part in (r.key, r.value, *(p for k, v in r.headers for p in (k.encode(), v))):
            into += (part or b"") + b"\n"
    return [(name, bytes(data)) for name, data in found.items()]


def databases(hub: Hub) -> list[Place]:
    """Every document of every collection of every database, as BSON; the oplog is one of them."""
    found: list[Place] = []
    raw: CodecOptions[RawBSONDocument] = CodecOptions(document_class=RawBSONDocument)
    client: MongoClient[dict[str, Any]]
    with MongoClient(hub.mongo.uri) as client:
        for name in client.list_database_names():
            database: Database[RawBSONDocument] = client.get_database(name, codec_options=raw)
            for collection in database.list_collection_names(filter={"type": "collection"}):
                docs = database[collection].find()
                found.append((f"database {name}.{collection}", b"\n".join(d.raw for d in docs)))
    return found


def written(hub: Hub) -> None:
    """Make mongod write all it holds in memory to its files."""
    client: MongoClient[dict[str, Any]]
    with MongoClient(hub.mongo.uri) as client:
        client.admin.command({"fsync": 1})


async def metrics(hub: Hub) -> list[Place]:
    async with httpx.AsyncClient(trust_env=False) as http:
        return [
            (f"metrics {name}", (await http.get(f"{hub.admin(name)}/metrics")).content)
            for name in hub.processes
            if not name.startswith("partner-")
        ]


async def partners(hub: Hub) -> list[Place]:
    """What the partners were sent."""
    async with httpx.AsyncClient(trust_env=False) as http:
        return [
            (f"partner {name}", (await http.get(f"{hub.url(name)}/bodies")).content)
            for name in ("hotline", "platforms")
        ]


def files(folder: Path, name: str = "file ") -> Iterator[Place]:
    """Every file below, in overlapping pieces, without stretches of nothing but zeros."""
    for path in sorted(p for p in folder.rglob("*") if p.is_file() and not p.is_symlink()):
        place = name + str(path.relative_to(folder))
        try:
            with path.open("rb") as file:
                rest = b""
                while piece := file.read(_CHUNK):
                    if piece.count(0) < len(piece):
                        yield place, rest + piece
                    rest = piece[-_OVERLAP:]
        except FileNotFoundError:
            continue  # a server's: it was there a moment ago
