# SPDX-License-Identifier: Apache-2.0
"""Every consumer is run on every golden example ever committed, in order and in reverse.

Whatever an old or a newer release wrote, a consumer handles it or sets it aside with a reason; it never
breaks. Examples are sealed with keys that do not exist here: that is "erased by intent" to a consumer.
"""

import base64
import importlib
import json
from pathlib import Path

import pytest
from wasl_chassis.failures import Permanent
from wasl_chassis.service import Service
from wasl_chassis.settings import Settings
from wasl_chassis.testing import FakeClock, MemoryStore
from wasl_chassis.vault import Vault
from wasl_chassis.work import UnitOfWork
from wasl_local.reference import SERVICES, package, roles_of
from wasl_schemas import catalog

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "schemas" / "examples"
KEY = base64.b64encode(b"k" * 32).decode()
STAFF = json.dumps([{"name": "one", "sha256": "0" * 64, "roles": ["analyst"]}])
ROLES = [(name, number) for name in SERVICES for number in range(len(roles_of(name)))]
SPECIAL = {
    "watch_contact": "mailto:hub@example.org",
    "triage_staff": STAFF,
    "connector": "webhook",
    "connector_config": json.dumps(
        {"endpoints": {"default": {"url": "http://127.0.0.1:9/", "secret": "whsec_" + KEY}}}
    ),
}


def build(name: str, role: int, tmp_path: Path) -> Service:
    cls = roles_of(name)[role]
    values: dict = {
        "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:9",
        "MONGODB_URI": "mongodb://127.0.0.1:9/?serverSelectionTimeoutMS=10",
        "master_key": KEY,
        "pepper": KEY,
        "country_pack": ROOT / "deploy/country-packs/ma",
        "notify_spool": tmp_path,
        **SPECIAL,
    }
    known = set(cls.model_fields) | {"KAFKA_BOOTSTRAP_SERVERS", "MONGODB_URI"}
    settings: Settings = cls(**{k: v for k, v in values.items() if k in known})
    bootstrap = importlib.import_module(f"{package(name)}.bootstrap")
    return (bootstrap.build, getattr(bootstrap, "build_watch", None))[role](settings)


def examples(spec) -> list[bytes]:
    folder = EXAMPLES / spec.type
    return [p.read_bytes() for p in sorted(folder.glob("*.json"))]


@pytest.mark.parametrize(("name", "role"), ROLES)
@pytest.mark.parametrize("reverse", [False, True])
async def test_every_consumer_eats_every_example(name, role, reverse, tmp_path) -> None:
    service = build(name, role, tmp_path)
    store, clock, vault = MemoryStore(), FakeClock(), Vault({"m1": b"k" * 32})
    eaten = 0
    routes = sorted(service.consumer.routes.values(), key=lambda r: r.spec.name, reverse=reverse)
    for route in routes:
        bodies = examples(route.spec)
        assert bodies, f"{route.spec.type} has no example"
        for body in [*bodies, *bodies]:  # and every one twice
            event = catalog.decode(route.spec, body)
            uow = UnitOfWork(store, clock, f"/wasl/{name}", vault)
            uow.cause = event
            try:
                if route.prefetch:
                    await route.prefetch([event], uow)
                await route.handler(event, uow)
            except Permanent as aside:
                assert aside.reason != "permanent", "set aside without a reason"
                continue
            await store.commit(uow.changes())
            eaten += 1
    assert eaten
    await service.store.close()
