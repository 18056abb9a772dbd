# SPDX-License-Identifier: Apache-2.0
"""Telegram, by the Bot API. One bot for each process; private chats only.

Proof is the secret token given to ``setWebhook``, which comes back with each update. Captions are
read; files are counted, their ids are not kept and nothing is fetched. Facts: the Bot API's
reference of ``setWebhook``, ``Update``, ``Message`` and ``sendMessage``, read in 2026.
"""

import hmac
from collections.abc import Mapping, Sequence

import httpx
from pydantic import Field, SecretStr

from wasl_intake.channels import api
from wasl_intake.channels.contract import (
    Answer,
    ChannelConfig,
    Delivery,
    Inbound,
    Rejected,
    Retryable,
    Skipped,
    Unauthentic,
)
from wasl_intake.domain.submission import ChannelWord

#: UTF-16 units of one message, which no text of ours has more of than characters twice.
LIMIT = 2048
_MEDIA = frozenset({
    "animation", "audio", "document", "paid_media", "photo", "sticker", "story", "video",
    "video_note", "voice",
})  # fmt: skip


class Config(ChannelConfig):
    token: SecretStr = Field(min_length=1, description="Of the bot, from @BotFather")
    secret_token: SecretStr = Field(
        min_length=16, description="A word of ours, given to setWebhook as secret_token"
    )
    base_url: str = Field(
        default="https://api.telegram.org", pattern=r"^https?://[a-z0-9.:-]{1,253}$"
    )


class Telegram:
    name = "telegram"
    channel: ChannelWord = "social"
    discreet = False

    def __init__(self, config: Config, http: httpx.AsyncClient) -> None:
        self._config = config
        self._http = http
        self.hosts = frozenset({api.host_of(config.base_url)})

    def challenge(self, query: Mapping[str, str]) -> str:  # noqa: ARG002  it asks nothing
        raise Unauthentic("no_challenge")

    def parse(self, delivery: Delivery) -> Sequence[Inbound | Skipped]:
        wanted = self._config.secret_token.get_secret_value().encode()
        given = delivery.headers.get("x-telegram-bot-api-secret-token", "")
        if not hmac.compare_digest(wanted, given.encode("utf-8", "replace")):
            raise Unauthentic("secret_token")
        message = api.mapping(api.parse_object(delivery.body).get("message"))
        sender, chat = api.mapping(message.get("from")), api.mapping(message.get("chat"))
        chat_id, number = chat.get("id"), message.get("message_id")
        if not isinstance(chat_id, int) or not isinstance(number, int):
            return [Skipped.OTHER]  # edits, buttons, members, channels
        if chat.get("type") != "private":
            return [Skipped.GROUP]
        if sender.get("is_bot") is True:
            return [Skipped.AUTOMATIC]
        media = len(_MEDIA & message.keys())
        if not media and "text" not in message:
            return [Skipped.OTHER]
        return [
            Inbound(
                f"{chat_id}:{number}",
                str(chat_id),
                api.text(message.get("text") or message.get("caption")),
                hint=api.text(sender.get("language_code"))[:35],
                # An animation comes as a document as well.
                media_dropped=min(media, 1),
                reply={"chat": str(chat_id)},
            )
        ]

    async def answer(self, inbound: Inbound, answer: Answer) -> None:
        token = self._config.token.get_secret_value()
        url = f"{self._config.base_url}/bot{token}/sendMessage"
        for part in answer.parts(LIMIT):
            body = {
                "chat_id": int(inbound.reply["chat"]),
                "text": part,
                "link_preview_options": {"is_disabled": True},
            }
            status, held = await api.post(self._http, url, body, {})
            if held.get("ok") is True:
                continue
            if status == 403:
                raise Rejected("person_unreachable")  # blocked the bot, or is gone
            if status in (401, 404):
                raise Retryable("provider_refuses_us")
            api.refused(status)
