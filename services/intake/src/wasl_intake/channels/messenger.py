# SPDX-License-Identifier: Apache-2.0
"""The hub's own pages and accounts: Messenger and Instagram, in one adapter.

Both deliver ``entry[].messaging[]`` and take answers at ``/me/messages``. Attachments are counted;
their addresses are not kept and nothing is fetched, a shared post included: the address people copy
themselves is in the text. Facts: Meta's pages on Messenger Platform webhooks and the Send API, and
on Instagram messaging, read in 2026.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import httpx
from pydantic import Field, SecretStr

from wasl_intake.channels import api, graph
from wasl_intake.channels.contract import (
    Answer,
    ChannelConfig,
    Delivery,
    Inbound,
    Rejected,
    Skipped,
)
from wasl_intake.domain.submission import ChannelWord

#: Characters of one message on Messenger; bytes of one on Instagram.
PAGE_LIMIT, INSTAGRAM_LIMIT = 2000, 1000
_OBJECTS = frozenset({"page", "instagram"})
#: What tells that an event is about a message rather than one.
_STATUS = frozenset({"delivery", "read", "reaction", "message_edit", "seen"})


class Account(ChannelConfig):
    token: SecretStr = Field(min_length=1, description="Of the page or the account")
    base_url: str | None = Field(
        default=None,
        pattern=r"^https?://[a-z0-9.:-]{1,253}$",
        description="https://graph.instagram.com for an account that logs in with Instagram",
    )


class Config(graph.GraphConfig):
    accounts: dict[str, Account] = Field(
        min_length=1, description="Our pages and accounts, by id as in entry[].id"
    )


class Messenger:
    name = "messenger"
    channel: ChannelWord = "social"
    discreet = False

    def __init__(self, config: Config, http: httpx.AsyncClient) -> None:
        self._config = config
        self._http = http
        self.hosts = frozenset(api.host_of(self._base(a)) for a in config.accounts.values())

    def _base(self, account: Account) -> str:
        return account.base_url or self._config.base_url

    def challenge(self, query: Mapping[str, str]) -> str:
        return graph.challenge(self._config, query)

    def parse(self, delivery: Delivery) -> Sequence[Inbound | Skipped]:
        graph.verify(self._config, delivery)
        body = api.parse_object(delivery.body)
        kind = api.text(body.get("object"))
        if kind not in _OBJECTS:
            return [Skipped.OTHER]
        out: list[Inbound | Skipped] = []
        for entry in api.objects(body.get("entry")):
            account = api.text(entry.get("id"))
            events = api.objects(entry.get("messaging"))
            if account not in self._config.accounts:
                out.append(Skipped.NOT_OURS)
            elif not events:
                out.append(Skipped.OTHER)  # standby, comments, changes of the page
            else:
                out += [self._event(event, account, kind) for event in events]
        return out

    def _event(self, event: Mapping[str, Any], account: str, kind: str) -> Inbound | Skipped:
        if _STATUS & event.keys():
            return Skipped.STATUS
        sender = api.text(api.mapping(event.get("sender")).get("id"))
        message = api.mapping(event.get("message") or event.get("postback"))
        if message.get("is_echo") is True or sender in self._config.accounts:
            return Skipped.ECHO
        if "thread" in event or "group_id" in message:
            return Skipped.GROUP
        message_id = api.text(message.get("mid"))
        if not message_id or not sender or message.get("is_deleted") is True:
            return Skipped.OTHER
        # A pressed button has no text of the person's: "" is answered with how to report.
        return Inbound(
            message_id,
            f"{account}:{sender}",
            api.text(message.get("text")),
            media_dropped=len(api.objects(message.get("attachments"))),
            reply={"account": account, "to": sender, "object": kind},
        )

    async def answer(self, inbound: Inbound, answer: Answer) -> None:
        to = inbound.reply
        account = self._config.accounts.get(to.get("account", ""))
        if account is None:
            raise Rejected("not_ours")
        url = f"{self._base(account)}/{self._config.version}/me/messages"
        on_page = to["object"] == "page"
        limit = PAGE_LIMIT if on_page else INSTAGRAM_LIMIT
        for part in answer.parts(limit, count_bytes=not on_page):
            body: dict[str, Any] = {"recipient": {"id": to["to"]}, "message": {"text": part}}
            if on_page:
                body["messaging_type"] = "RESPONSE"
            await graph.send(self._http, url, account.token, body)
