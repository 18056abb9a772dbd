# SPDX-License-Identifier: Apache-2.0
"""``wasl people``: what the operator does to accounts, and what a terminal is shown of it."""

from datetime import timedelta
from typing import Any

import pytest
from wasl_chassis.operating import Command, Desk, Refused
from wasl_chassis.settings import Settings
from wasl_triage.access.commands import PEOPLE
from wasl_triage.access.door import Denied
from wasl_triage.access.limits import FREE

PASSWORD = "tournesol vif, canard lent"


class Terminal:
    def __init__(self, people: Any) -> None:
        self.people = people

    async def run(self, command: str, name: str = "", **options: str) -> list[dict[str, Any]]:
        (found,) = [c for c in PEOPLE if c.name == command]
        assert isinstance(found, Command)
        assert set(options) <= {o.name for o in found.options}
        hub = self.people.hub
        desk = Desk(hub.store, Settings.model_construct(), hub.clock, "root", options)
        return [dict(row) for row in await found.run(desk, name)]


@pytest.fixture
def terminal(people: Any) -> Terminal:
    return Terminal(people)


async def test_the_first_account_is_made_in_a_terminal(terminal: Terminal) -> None:
    rows = await terminal.run("invite", "amal", roles="administrator, auditor")
    told = {r["what"]: r["value"] for r in rows}
    assert told["roles"] == ["administrator", "auditor"]
    assert told["queues"] == ["*"]
    now = terminal.people.clock.now()
    assert told["valid until"] == now.replace(microsecond=0) + timedelta(hours=72)
    assert told["invitation"] not in terminal.people.stored()
    entered = await terminal.people.access.first("amal", told["invitation"], PASSWORD, "fr")
    assert await terminal.people.is_in(await terminal.people.enrol("amal", entered))
    assert terminal.people.told("people")[0] == (
        "operator:root", "invited", "amal administrator,auditor *",
    )  # fmt: skip


async def test_the_list_says_who_may_do_what_and_no_secret(terminal: Terminal) -> None:
    people = terminal.people
    await people.first("amal", "analyst", "child_safety")
    await people.invite("badr")
    (amal, badr) = await terminal.run("list")
    assert amal["factors"] == "password, code, 10 recovery codes"
    assert (amal["state"], amal["roles"]) == ("active", ["analyst", "child_safety"])
    assert (badr["state"], badr["factors"], badr["waits_until"]) == ("invited", "none", None)
    assert people.account("amal").password not in str(amal)
    for _ in range(FREE + 1):
        with pytest.raises(Denied):
            await people.access.sign_in("amal", "wrong password!", "")
    (amal, _) = await terminal.run("list")
    assert amal["waits_until"] == people.clock.now() + timedelta(minutes=1)
    await terminal.run("enable", "amal")
    (amal, _) = await terminal.run("list")
    assert amal["waits_until"] is None
    assert await people.is_in(await people.sign_in())


async def test_changes_end_sessions_and_are_in_the_trail(terminal: Terminal) -> None:
    people = terminal.people
    for command, options in (
        ("roles", {"roles": "auditor", "queues": "general,legal"}),
        ("sign-out", {}),
        ("reset-totp", {}),
    ):
        name = f"p-{command}"
        entered = await people.first(name)
        assert len(await terminal.run("sessions", name)) == 1
        (row,) = await terminal.run(command, name, **options)
        assert row["name"] == name
        assert not await people.is_in(entered)
        assert await terminal.run("sessions", name) == []
    assert people.account("p-roles").queues == {"general", "legal"}
    assert {who for who, _, why in people.told("people") if why.endswith("legal")} == {
        "operator:root"
    }


async def test_a_disabled_account_and_back(terminal: Terminal) -> None:
    people = terminal.people
    await people.first()
    (row,) = await terminal.run("disable", "amal")
    assert row["state"] == "disabled"
    with pytest.raises(Refused, match="Enable it first"):
        await terminal.run("invite", "amal")
    (row,) = await terminal.run("enable", "amal")
    assert row["state"] == "active"


@pytest.mark.parametrize(
    ("command", "name", "options"),
    [
        ("invite", "amal", {}),
        ("invite", "amal", {"roles": "boss"}),
        ("invite", "A B", {"roles": "analyst"}),
        ("invite", "amal", {"roles": "analyst", "queues": ","}),
        ("roles", "nobody", {"roles": "analyst"}),
        ("disable", "nobody", {}),
        ("enable", "", {}),
        ("reset-totp", "no body", {}),
        ("sessions", "nobody", {}),
        ("sign-out", "nobody", {}),
    ],
)
async def test_what_cannot_be_is_refused_and_changes_nothing(
    terminal: Terminal, command: str, name: str, options: dict[str, str]
) -> None:
    with pytest.raises(Refused):
        await terminal.run(command, name, **options)
    assert not terminal.people.hub.store.docs.get("accounts")
