# SPDX-License-Identifier: Apache-2.0
"""Whether two texts are nearly one, told from sketches that give nothing of the text away.

A text is folded until only its words are left (digits, links and personal data masked, so that a
campaign with many targets is one text), cut into 5-character shingles and drawn as a MinHash of
128 rows (``rensa``). Each row then becomes 16 bits of AES under the deployment's secret. Who holds
the stored sketches but not the secret sees which reports resemble one another, and can test no
text. Who holds the secret can; so can who may send reports and read the store.
"""

import base64
import hmac
import re
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import rensa
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from wasl_triage.domain.signals.folding import plain
from wasl_triage.domain.signals.personal import Found, links

#: What sketches must share to be compared: this module's folding and the library's algorithm.
SCHEME = f"1.{rensa.RMinHash.ALGORITHM_VERSION}"
ROWS, BAND = 128, 4
SHINGLE = 5
#: Folded characters below which a text is too common to be a copy of anything.
SHORTEST = 40
#: Estimated similarity from which two texts are one. The estimate's standard error is 0.043 there;
#: unrelated reports in one language stay under 0.15, two copies with a few other words over 0.5.
NEAR = 0.4

_TEXT_LIMIT = 5_000
_LETTERS = re.compile(r"[^\W\d_]+")
#: A block of 16 bytes for each row: its number, its value, and nothing.
_VALUES = struct.Struct("<" + "4xI8x" * ROWS)
_BLOCKS = np.zeros(4 * ROWS, np.uint32)
_BLOCKS[::4] = np.arange(ROWS)


@dataclass(frozen=True)
class Sketch:
    """``rows``: :data:`ROWS` keyed values of 16 bits. Equal texts have equal sketches."""

    rows: bytes

    def __str__(self) -> str:
        """``scheme:base64``, as it is stored."""
        return f"{SCHEME}:{base64.b64encode(self.rows).decode()}"

    @classmethod
    def parse(cls, text: str) -> "Sketch | None":
        """A stored sketch; None where it is of another scheme, and cannot be compared."""
        scheme, _, rows = text.partition(":")
        if scheme != SCHEME:
            return None
        sketch = cls(base64.b64decode(rows, validate=True))
        if len(sketch.rows) != 2 * ROWS:
            raise ValueError(f"a sketch has {2 * ROWS} bytes, this one {len(sketch.rows)}")
        return sketch

    @cached_property
    def bands(self) -> tuple[str, ...]:
        """Index keys of ten characters: texts that share one are candidates (see :data:`NEAR`).

        Of two texts that are 0.4 alike 56 % share a key, of 0.5 87 %, of 0.6 99 %, of 0.1 0.3 %.
        """
        grouped = np.frombuffer(self.rows, np.uint8).reshape(ROWS // BAND, 2 * BAND)
        keys = base64.urlsafe_b64encode(grouped[:, :6].tobytes()).decode()
        return tuple(f"{at:02x}{keys[at * 8 : at * 8 + 8]}" for at in range(ROWS // BAND))

    def similarity(self, other: "Sketch") -> float:
        """Estimated Jaccard similarity of the two texts' shingles, 0 to 1."""
        one, two = np.frombuffer(self.rows, np.uint16), np.frombuffer(other.rows, np.uint16)
        return float(np.count_nonzero(one == two)) / ROWS


def folded(text: str, found: Iterable[Found] = ()) -> str:
    """The words of a text that make it that text: lower case, no digits, links or personal data."""
    spans = sorted([(f.start, f.end) for f in found] + links(text))
    if spans:
        pieces, at = [], 0
        for start, end in spans:
            pieces.append(text[at : max(start, at)])
            at = max(end, at)
        text = " ".join([*pieces, text[at:]])
    return " ".join(_LETTERS.findall(plain(text.lower())))


class Sketcher:
    """Draws the sketches of one deployment.

    ``secret``: at least 16 bytes, not stored beside them; ValueError for less.
    """

    def __init__(self, secret: bytes) -> None:
        if len(secret) < 16:
            raise ValueError(f"the secret of sketches has {len(secret)} bytes; give it 16 or more")
        drawn = hmac.digest(secret, b"wasl text sketch " + SCHEME.encode(), "sha512")
        cipher = Cipher(algorithms.AES(drawn[:16]), modes.ECB())  # noqa: S305  one block, one value
        # Whole blocks leave nothing behind in it, so one serves all texts.
        self._seal = cipher.encryptor().update
        self._seed = int.from_bytes(drawn[16:24], "big")
        # From the last to the first: numpy's correlate then convolves, without its detours.
        self._weights = (np.frombuffer(drawn[24:64], np.uint64) | np.uint64(1))[::-1].copy()

    def sketch(self, text: str, found: Iterable[Found] = ()) -> Sketch | None:
        """None for a text too short to be told from others like it. ``found``: what to mask."""
        words = folded(text[:_TEXT_LIMIT], found)
        if len(words) < SHORTEST:
            return None
        letters = np.frombuffer(words.encode("utf-32-le", "surrogatepass"), np.uint32)
        letters = letters[:-1][letters[1:] != letters[:-1]]  # "heeelp" is "help"
        if len(letters) < SHINGLE:
            return None
        shingles = np.correlate(letters.astype(np.uint64), self._weights, "valid")
        drawn = rensa.RMinHash.digest_matrix_from_flat_token_hashes(
            shingles, [0, len(shingles)], num_perm=ROWS, seed=self._seed
        )
        values = np.frombuffer(_VALUES.pack(*drawn.to_rows()[0]), np.uint32)
        sealed = self._seal((_BLOCKS | values).tobytes())
        return Sketch(memoryview(sealed).cast("H")[::8].tobytes())


@dataclass(frozen=True, slots=True)
class Candidate:
    """A text that shares a band key, and the campaign it is in."""

    campaign: str
    sketch: Sketch


@dataclass(frozen=True, slots=True)
class Join:
    """``campaign`` stays; those in ``absorbed`` are the same one, and become it."""

    campaign: str
    absorbed: tuple[str, ...]
    similarity: float
    because: str


def join(sketch: Sketch, candidates: Iterable[Candidate]) -> Join | None:
    """The campaign a text belongs to, or None. The order of the candidates does not matter.

    A text that is near several campaigns shows that they are one: the smallest name stays.
    """
    near: dict[str, float] = {}
    for candidate in candidates:
        similarity = sketch.similarity(candidate.sketch)
        if similarity >= NEAR:
            near[candidate.campaign] = max(similarity, near.get(candidate.campaign, 0.0))
    if not near:
        return None
    stays, *absorbed = sorted(near)
    best = max(near.values())
    return Join(stays, tuple(absorbed), best, "same_text" if best == 1 else "near_text")


class Campaigns:
    """Texts grouped by likeness, in memory: the reference for a store that keeps the same relation.

    Whatever order they come in, the groups are those of the graph of near pairs that share a band.
    """

    def __init__(self) -> None:
        self._of: dict[str, str] = {}
        self._members: dict[str, list[str]] = {}
        self._sketches: dict[str, Sketch] = {}
        self._index: dict[str, list[str]] = {}

    def add(self, name: str, sketch: Sketch) -> Join | None:
        """A text's place. ``name``: new, and the name of its campaign where it begins one."""
        if name in self._of:
            raise ValueError(f"{name} was added before; names of texts are given once")
        near = {other for band in sketch.bands for other in self._index.get(band, ())}
        found = join(sketch, (Candidate(self._of[o], self._sketches[o]) for o in near))
        campaign = min(name, found.campaign) if found else name
        members = [name]
        for old in (found.campaign, *found.absorbed) if found else ():
            members += self._members.pop(old)
        for member in members:
            self._of[member] = campaign
        self._members[campaign] = members
        self._sketches[name] = sketch
        for band in sketch.bands:
            self._index.setdefault(band, []).append(name)
        return found

    def groups(self) -> Sequence[tuple[str, ...]]:
        """Texts that belong together, those alone left out."""
        return sorted(tuple(sorted(m)) for m in self._members.values() if len(m) > 1)
