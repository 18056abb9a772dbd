# SPDX-License-Identifier: Apache-2.0
"""Merkle trees over rows, as RFC 6962 section 2 makes them: one short root for many rows.

A leaf is hashed behind 0x00 and a node behind 0x01, so that neither can be passed off as the other.
A proof is the hashes beside the way from a leaf to the root, lowest first.
"""

import hashlib
from collections.abc import Sequence


def leaf(text: bytes) -> bytes:
    """The hash of one row's bytes."""
    return hashlib.sha256(b"\x00" + text).digest()


def _node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


class Tree:
    """A tree over leaf hashes, every level of it kept: n leaves take about 2n hashes of memory."""

    def __init__(self, leaves: Sequence[bytes]) -> None:
        # Pairs joined level by level, an odd last one carried up, are RFC 6962's tree.
        self._levels = [list(leaves)]
        while len(self._levels[-1]) > 1:
            below = self._levels[-1]
            above = [_node(below[i], below[i + 1]) for i in range(0, len(below) - 1, 2)]
            self._levels.append(above + below[len(above) * 2 :])

    @property
    def root(self) -> bytes:
        """The hash of the empty string where there is no leaf."""
        return self._levels[-1][0] if self._levels[0] else hashlib.sha256().digest()

    def proof(self, index: int) -> list[bytes]:
        """Raises IndexError where there is no such leaf."""
        if not 0 <= index < len(self._levels[0]):
            raise IndexError(f"no leaf {index} in a tree of {len(self._levels[0])}")
        path = []
        for level in self._levels[:-1]:
            beside = index ^ 1
            if beside < len(level):
                path.append(level[beside])
            index //= 2
        return path


def root(leaves: Sequence[bytes]) -> bytes:
    return Tree(leaves).root


def included(found: bytes, index: int, size: int, path: Sequence[bytes], root: bytes) -> bool:
    """Whether the leaf hash ``found`` is leaf ``index`` of the tree of ``size`` leaves with
    ``root``.
    """
    if not 0 <= index < size:
        return False
    last, rest = size - 1, list(path)
    while last:
        if index % 2 or index < last:
            if not rest:
                return False
            beside = rest.pop(0)
            found = _node(beside, found) if index % 2 else _node(found, beside)
        index, last = index // 2, last // 2
    return not rest and found == root
