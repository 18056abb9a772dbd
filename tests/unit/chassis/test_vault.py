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


# -- the second wrapping, for the holder of a receipt --------------------------------------------

HOLDER, STRANGER = b"h" * 32, b"s" * 32


async def held(store: MemoryStore, key_id: str = "report01", holder: bytes | None = HOLDER) -> str:
    uow = unit(store)
    uow.keys.create(key_id, holder)
    value = await uow.keys.seal(key_id, "a.field", "text")
    await store.commit(uow.changes())
    return value


async def test_the_holder_opens_without_the_master_key() -> None:
    store = MemoryStore()
    value = await held(store)
    without = unit(store, b"z" * 32)
    assert await without.keys.open_with(HOLDER, value, "a.field") == "text"
    assert await without.keys.open_with(HOLDER, value, "a.field") == "text"
    with pytest.raises(Permanent):
        await without.keys.open(value, "a.field")
    assert await unit(store).keys.open(value, "a.field") == "text"  # staff go on reading


async def test_a_wrong_holder_opens_nothing_even_next_to_the_right_one() -> None:
    store = MemoryStore()
    value = await held(store)
    other = await held(store, "report02", STRANGER)
    uow = unit(store)
    assert await uow.keys.open(value, "a.field") == "text"  # the master's key is at hand, unused
    assert await uow.keys.open_with(HOLDER, value, "a.field") == "text"
    for holder, text in ((STRANGER, value), (HOLDER, other), (MASTER, value)):
        with pytest.raises(Permanent) as failure:
            await uow.keys.open_with(holder, text, "a.field")
        assert failure.value.reason == "holder_wrong"
    with pytest.raises(Permanent) as failure:
        await uow.keys.open_with(HOLDER, value, "other.field")
    assert failure.value.reason == "seal_broken"
    with pytest.raises(KeyDestroyed):
        await uow.keys.open_with(HOLDER, value.replace("report01", "report03"), "a.field")


async def test_the_wrappings_differ_and_do_not_stand_for_each_other() -> None:
    store = MemoryStore()
    value = await held(store, holder=MASTER)  # even where both keys were the same
    await held(store, "report02", HOLDER)
    one, two = store.docs[KEYS.name].values()
    wrappings = [w.partition(".")[2] for doc in (one, two) for w in (doc["wrapped"], doc["held"])]
    assert len(set(wrappings)) == 4
    swapped = one["wrapped"].partition(".")[2]
    one["wrapped"], one["held"] = "m1." + one["held"].partition(".")[2], "h." + swapped
    with pytest.raises(Permanent):
        await unit(store).keys.open(value, "a.field")
    with pytest.raises(Permanent):
        await unit(store).keys.open_with(MASTER, value, "a.field")


async def test_destroying_takes_both_wrappings() -> None:
    store = MemoryStore()
    value = await held(store)
    uow = unit(store)
    assert await uow.keys.open_with(HOLDER, value, "a.field") == "text"
    await uow.keys.destroy("report01")
    with pytest.raises(KeyDestroyed):
        await uow.keys.open_with(HOLDER, value, "a.field")
    await store.commit(uow.changes())
    (doc,) = store.docs[KEYS.name].values()
    assert (doc["wrapped"], doc["held"]) == (None, None)
    with pytest.raises(KeyDestroyed):
        await unit(store).keys.open_with(HOLDER, value, "a.field")


@pytest.mark.parametrize("old", [False, True])
async def test_a_key_without_a_holder_opens_for_the_hub_alone(old: bool) -> None:
    store = MemoryStore()
    value = await held(store, holder=None)
    (doc,) = store.docs[KEYS.name].values()
    if old:  # written before there were holders
        del doc["held"]
    assert await unit(store).keys.open(value, "a.field") == "text"
    with pytest.raises(Permanent) as failure:
        await unit(store).keys.open_with(HOLDER, value, "a.field")
    assert failure.value.reason == "holder_missing"
    uow = unit(store)
    await uow.keys.destroy("report01")
    await store.commit(uow.changes())
    with pytest.raises(KeyDestroyed):
        await unit(store).keys.open_with(HOLDER, value, "a.field")
