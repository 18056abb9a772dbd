# SPDX-License-Identifier: Apache-2.0
import pytest
from hypothesis import given
from hypothesis import strategies as st
from wasl_chassis.failures import KeyDestroyed, Permanent
from wasl_chassis.testing import FakeClock, MemoryStore
from wasl_chassis.vault import KEYS, Vault, derive, key_of
from wasl_chassis.work import UnitOfWork

MASTER = bytes(range(32))


def unit(store: MemoryStore, master: bytes = MASTER) -> UnitOfWork:
    return UnitOfWork(store, FakeClock(), "/wasl/test", Vault({"m1": master}))


async def sealed(store: MemoryStore, text: str = "text") -> str:
    uow = unit(store)
    uow.keys.create("report01")
    value = await uow.keys.seal("report01", "a.field", text)
    await store.commit(uow.changes())
    return value


@given(st.text())
async def test_what_is_sealed_opens(text: str) -> None:
    store = MemoryStore()
    if any(0xD800 <= ord(c) <= 0xDFFF for c in text):
        return
    value = await sealed(store, text)
    assert await unit(store).keys.open(value, "a.field") == text
    assert key_of(value) == "report01"


async def test_another_field_another_key_or_a_changed_byte_does_not_open() -> None:
    store = MemoryStore()
    value = await sealed(store)
    with pytest.raises(Permanent):
        await unit(store).keys.open(value, "other.field")
    flipped = value[:-2] + ("A" if value[-2] != "A" else "B") + value[-1]
    with pytest.raises(Permanent):
        await unit(store).keys.open(flipped, "a.field")
    with pytest.raises(KeyDestroyed):
        await unit(store).keys.open(value.replace("report01", "report02"), "a.field")


async def test_the_store_holds_only_wrapped_keys() -> None:
    store = MemoryStore()
    value = await sealed(store)
    (doc,) = store.docs[KEYS.name].values()
    assert doc["wrapped"].startswith("m1.")
    wrong = unit(store, b"z" * 32)
    with pytest.raises(Permanent, match="not the one that wrapped"):
        await wrong.keys.open(value, "a.field")


async def test_a_missing_master_key_is_named() -> None:
    store = MemoryStore()
    value = await sealed(store)
    uow = UnitOfWork(store, FakeClock(), "/wasl/test", Vault({"m2": MASTER}))
    with pytest.raises(Permanent, match="master key 'm1' is not configured"):
        await uow.keys.open(value, "a.field")


async def test_rotation_keeps_old_keys_readable() -> None:
    store = MemoryStore()
    value = await sealed(store)
    both = UnitOfWork(store, FakeClock(), "/wasl/test", Vault({"m2": b"n" * 32, "m1": MASTER}))
    assert await both.keys.open(value, "a.field") == "text"
    both.keys.create("report02")
    await store.commit(both.changes())
    assert store.docs[KEYS.name]["report02"]["wrapped"].startswith("m2.")


def test_each_purpose_has_its_own_key() -> None:
    assert derive(MASTER, "receipt") != derive(MASTER, "item")
    assert len(derive(MASTER, "receipt")) == 32
