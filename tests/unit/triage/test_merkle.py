# SPDX-License-Identifier: Apache-2.0
"""Trees are those of RFC 6962, and a proof fits one leaf in one place of one tree."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wasl_triage.domain import merkle

#: The inputs of the tests of Certificate Transparency's reference implementation.
CT = [bytes.fromhex(h) for h in (
    "", "00", "10", "2021", "3031", "40414243", "5051525354555657",
    "606162636465666768696a6b6c6d6e6f",
)]  # fmt: skip


def _by_the_book(texts: list[bytes]) -> bytes:
    """Section 2.1, word for word."""
    n = len(texts)
    if n == 0:
        return hashlib.sha256(b"").digest()
    if n == 1:
        return hashlib.sha256(b"\x00" + texts[0]).digest()
    k = 1
    while k * 2 < n:
        k *= 2
    left, right = _by_the_book(texts[:k]), _by_the_book(texts[k:])
    return hashlib.sha256(b"\x01" + left + right).digest()


def _root(texts: list[bytes]) -> bytes:
    return merkle.root([merkle.leaf(t) for t in texts])


def test_known_roots() -> None:
    assert _root(CT[:1]).hex() == "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
    assert _root(CT).hex() == "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"


@given(st.lists(st.binary(max_size=8), max_size=40))
def test_the_root_is_the_books(texts: list[bytes]) -> None:
    assert _root(texts) == _by_the_book(texts)


@given(st.data(), st.integers(1, 40))
def test_a_proof_fits_one_leaf_in_one_place(data: st.DataObject, size: int) -> None:
    leaves = [merkle.leaf(bytes([n])) for n in range(size)]
    tree = merkle.Tree(leaves)
    index, other = (data.draw(st.integers(0, size - 1)) for _ in range(2))
    path = tree.proof(index)
    assert merkle.included(leaves[index], index, size, path, tree.root)
    if other != index:
        assert not merkle.included(leaves[other], index, size, path, tree.root)
        assert not merkle.included(leaves[index], other, size, path, tree.root)
    assert not merkle.included(leaves[index], index, size, [*path, leaves[0]], tree.root)
    if path:
        assert not merkle.included(leaves[index], index, size, path[:-1], tree.root)
        at = data.draw(st.integers(0, len(path) - 1))
        path[at] = bytes([path[at][0] ^ 1]) + path[at][1:]
        assert not merkle.included(leaves[index], index, size, path, tree.root)


def test_what_is_not_in_the_tree() -> None:
    tree = merkle.Tree([merkle.leaf(b"x")])
    for index in (-1, 1):
        with pytest.raises(IndexError, match="no leaf"):
            tree.proof(index)
        assert not merkle.included(merkle.leaf(b"x"), index, 1, [], tree.root)
