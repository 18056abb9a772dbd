# SPDX-License-Identifier: Apache-2.0
"""Pieces of words, all looked for in one pass over a text (Aho-Corasick).

One look that finds nothing saves the expressions that would have searched the text in vain.
"""

from collections.abc import Iterable

from ahocorasick_rs import BytesAhoCorasick


class Pieces:
    """What is looked for, in lower case."""

    def __init__(self, pieces: Iterable[str]) -> None:
        self._search = BytesAhoCorasick([piece.encode() for piece in pieces])

    def within(self, lowered: str) -> bool:
        """Whether any piece is in a text in lower case."""
        found = self._search.find_matches_as_indexes(lowered.encode("utf-8", "surrogatepass"))
        return bool(found)

    def end_a_word(self, lowered: str) -> bool:
        """Whether any piece is there with no letter, digit or low line after it."""
        text = lowered.encode("utf-8", "surrogatepass")
        for _, _, end in self._search.find_matches_as_indexes(text, overlapping=True):
            after = text[end : end + 4].decode("utf-8", "replace")[:1]
            if not after.isalnum() and after != "_":
                return True
        return False
