# SPDX-License-Identifier: Apache-2.0
"""Passwords: argon2id (RFC 9106), and what a new one must not be.

NIST SP 800-63B §5.1.1: length decides, no rules of composition, no change for its own sake; common
passwords and the person's own name are refused. The list is of words, not of passwords: a word
with digits and signs around it, or said twice, is the word.
"""

import asyncio
import re
import unicodedata
from collections.abc import Sequence
from enum import StrEnum
from importlib import resources

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

SHORTEST, LONGEST = 12, 256
#: Fewer different characters than this are a pattern.
_DIFFERENT = 5
#: Letters that must be left once what anybody would try first is taken out.
_LEAST_LEFT = 8
#: A name of two letters is in every word.
_LEAST_NAME = 3
_LEET = str.maketrans("01345789@$!", "oieastbgasi")
_RUNS = (
    "01234567890123456789",
    "abcdefghijklmnopqrstuvwxyz",
    "qwertyuiopasdfghjklzxcvbnm",
    "azertyuiopqsdfghjklmwxcvbn",
)


class Weakness(StrEnum):
    """Why a password is refused."""

    SHORT = "short"
    LONG = "long"
    NAME = "name"
    COMMON = "common"


def _words() -> tuple[str, ...]:
    text = (resources.files(__package__) / "common.txt").read_text(encoding="utf-8")
    words = {w for line in text.splitlines() if not line.startswith("#") for w in line.split()}
    return tuple(sorted(words, key=len, reverse=True))


_COMMON = _words()


def normal(password: str) -> str:
    """NFKC, so that one keyboard's é is another's."""
    return unicodedata.normalize("NFKC", password)


def weakness(password: str, name: str) -> Weakness | None:
    """What is wrong with a new password; None: nothing is known against it."""
    text = normal(password)
    if len(text) < SHORTEST:
        return Weakness.SHORT
    if len(text) > LONGEST:
        return Weakness.LONG
    plain = text.casefold()
    own = [part for part in (name, *re.split(r"[._-]", name)) if len(part) >= _LEAST_NAME]
    if _left(plain, own) < _LEAST_LEFT:
        return Weakness.NAME
    if len(set(plain)) < _DIFFERENT or _left(plain, _COMMON, _RUNS) < _LEAST_LEFT:
        return Weakness.COMMON
    return None


def _left(plain: str, words: Sequence[str], runs: Sequence[str] = ()) -> int:
    """How many letters are nobody's guess once listed words, runs of the keyboard and the digits
    and signs around them are taken away; the whole length where none is in it.
    """
    shortest = len(plain)
    for text in (plain, plain.translate(_LEET)):
        left = text
        for word in words:
            left = left.replace(word, "\0")
        for way in (*runs, *(run[::-1] for run in runs)):
            for size in range(min(len(way), len(left)), 3, -1):
                for at in range(len(way) - size + 1):
                    left = left.replace(way[at : at + size], "\0")
        if left != text:
            shortest = min(shortest, sum(c.isalpha() for c in left))
    return shortest


class Passwords:
    """Hashing in threads, few at a time: each takes its memory. ``memory_kib``, ``passes``: RFC
    9106's m and t.
    """

    def __init__(self, *, memory_kib: int, passes: int, at_once: int = 2) -> None:
        self._hasher = PasswordHasher(time_cost=passes, memory_cost=memory_kib, parallelism=1)
        self._turns = asyncio.Semaphore(at_once)
        #: Of nobody's password: whoever does not exist takes as long as whoever does.
        self._nobody = self._hasher.hash("")

    async def hash(self, password: str) -> str:
        async with self._turns:
            return await asyncio.to_thread(self._hasher.hash, _bytes(password))

    async def matches(self, stored: str | None, password: str) -> bool:
        """Whether it is the password; for None as slow, and False."""
        async with self._turns:
            same = await asyncio.to_thread(self._verify, stored or self._nobody, _bytes(password))
        return same and stored is not None

    def outdated(self, stored: str) -> bool:
        """It was made with other parameters than those of today."""
        return self._hasher.check_needs_rehash(stored)

    def _verify(self, stored: str, password: bytes) -> bool:
        try:
            return self._hasher.verify(stored, password)
        except (VerificationError, InvalidHashError):
            return False


def _bytes(password: str) -> bytes:
    # Longer than any password can be: hashed all the same, so that its length tells nothing.
    return normal(password)[: LONGEST + 1].encode(errors="surrogatepass")
