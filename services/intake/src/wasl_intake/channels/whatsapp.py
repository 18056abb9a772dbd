# SPDX-License-Identifier: Apache-2.0
"""WhatsApp, by the Cloud API. One business number for each process.

Texts, captions and pressed buttons are read; pictures, films, voice, documents and stickers are
counted, their ids are not kept and nothing is fetched. People without a visible number are
answered by their business-scoped user id. Facts: Meta's reference of the ``messages`` webhook and
of ``POST /PHONE_NUMBER_ID/messages``, read in 2026.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import httpx
from pydantic import Field, SecretStr

from wasl_intake.channels import api, graph
from wasl_intake.channels.contract import Answer, Delivery, Inbound, Skipped
from wasl_intake.domain.submission import ChannelWord

#: Characters of one message.
LIMIT = 4096
_MEDIA = frozenset({"image", "video", "audio", "voice", "document", "sticker"})


class Config(graph.GraphConfig):
    phone_number_id: str = Field(pattern=r"^[0-9]{1,32}$", description="Of our business number")
    token: SecretStr = Field(min_length=1, description="Of a system user; may send messages")


class WhatsApp:
    name = "whatsapp"
    channel: ChannelWord = "whatsapp"
    discreet = False

    def __init__(self, config: Config, http: httpx.AsyncClient) -> None:
        self._config = config
        self._http = http
        self.hosts = frozenset({api.host_of(config.base_url)})
        self._url = f"{config.base_url}/{config.version}/{config.phone_number_id}/messages"

    def challenge(self, query: Mapping[str, str]) -> str:
        return graph.challenge(self._config, query)

    def parse(self, delivery: Delivery) -> Sequence[Inbound | Skipped]:
        graph.verify(self._config, delivery)
        body = api.parse_object(delivery.body)
        if body.get("object") != "whatsapp_business_account":
            return [Skipped.OTHER]
        return [
            one
            for entry in api.objects(body.get("entry"))
            for change in api.objects(entry.get("changes"))
            for one in self._change(change)
        ]

    def _change(self, change: Mapping[str, Any]) -> Iterator[Inbound | Skipped]:
        value = api.mapping(change.get("value"))
        if change.get("field") == "smb_message_echoes":
            yield Skipped.ECHO
            return
        if change.get("field") != "messages":
            yield Skipped.OTHER
            return
        about = api.mapping(value.get("metadata"))
        if about.get("phone_number_id") != self._config.phone_number_id:
            yield Skipped.NOT_OURS
            return
        for _ in api.objects(value.get("statuses")):
            yield Skipped.STATUS
        ours = api.text(about.get("display_phone_number")).lstrip("+")
        for message in api.objects(value.get("messages")):
            yield self._message(message, ours)

    @staticmethod
    def _message(message: Mapping[str, Any], ours: str) -> Inbound | Skipped:
        number, user = api.text(message.get("from")), api.text(message.get("from_user_id"))
        message_id, kind = api.text(message.get("id")), api.text(message.get("type"))
        if "group_id" in message:
            return Skipped.GROUP
        if number and number == ours:
            return Skipped.ECHO
        held = api.mapping(message.get(kind))
        media = int(kind in _MEDIA)
        if kind == "text":
            text = api.text(held.get("body"))
        elif media:
            text = api.text(held.get("caption"))
        elif kind == "button":
            text = api.text(held.get("text"))
        elif kind == "interactive":
            pressed = api.mapping(held.get(api.text(held.get("type"))))
            text = api.text(pressed.get("title"))
        else:
            return Skipped.OTHER
        if not message_id or not (number or user):
            return Skipped.OTHER
        to = {"to": number} if number else {"recipient": user}
        return Inbound(message_id, number or user, text, media_dropped=media, reply=to)

    async def answer(self, inbound: Inbound, answer: Answer) -> None:
        for part in answer.parts(LIMIT):
            await graph.send(
                self._http,
                self._url,
                self._config.token,
                {
                    "messaging_product": "whatsapp",
                    "recipient_type": "individual",
                    **inbound.reply,
                    "type": "text",
                    "text": {"preview_url": False, "body": part},
                },
            )
