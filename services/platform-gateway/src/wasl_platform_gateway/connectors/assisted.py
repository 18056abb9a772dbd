# SPDX-License-Identifier: Apache-2.0
"""Partners with a portal and no channel for machines: a person hands the request over.

``submit`` never sends anything: it prepares a packet that says where to go, what to copy into which
field, and what to type back. What a desk wants is the same data the connector ``email`` uses.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import ClassVar, Self

from pydantic import Field
from wasl_connector_sdk import (
    Connector,
    ConnectorConfig,
    HubIdentity,
    Idempotency,
    InvalidSubmission,
    Manifest,
    PersonNeeded,
    Receipt,
    Runtime,
    Submission,
)
from wasl_connector_sdk.urls import PartnerUrl

from wasl_platform_gateway.connectors.email.profiles import TEXTS, DeskConfig, Language, prepare


class Portal(DeskConfig):
    portal: PartnerUrl = Field(description="Where a person hands it over")


class AssistedConfig(ConnectorConfig):
    partners: dict[str, Portal] = Field(min_length=1, description="Portals by partner")
    language: Language = Field(default="en", description="Of the instructions to our own person")


def packet(
    submission: Submission, desk: Portal, hub: HubIdentity, language: Language, *, test: bool
) -> str:
    """What a person needs, as plain text. Raises InvalidSubmission where the desk is the wrong one.

    In test mode it names no portal.
    """
    key = submission.idempotency_key
    prepared = prepare(submission, desk, hub, key, hub.contact)
    words = TEXTS[language].packet
    where = words["open_test"] if test else words["open"].format(portal=desk.portal)
    subject = f"{prepared.texts.test_subject} {prepared.subject}" if test else prepared.subject
    fields = [f"[{label}]\n{value}" for label, value in prepared.fields]
    steps = [words["title"], where, words["paste"], subject, prepared.opening, *fields]
    return "\n\n".join([*steps, words["back"].format(token=key)]) + "\n"


class AssistedConnector(Connector[AssistedConfig]):
    manifest: ClassVar[Manifest] = Manifest(
        name="assisted",
        title="A person at a portal",
        docs="docs/connectors/assisted.md",
        owner="Wasl maintainers",
        idempotency=Idempotency.NONE,
    )
    Config: ClassVar[type[ConnectorConfig]] = AssistedConfig

    def __init__(self, config: AssistedConfig, rt: Runtime) -> None:
        self._config = config
        self._rt = rt

    @classmethod
    @asynccontextmanager
    async def open(cls, config: AssistedConfig, rt: Runtime) -> AsyncIterator[Self]:
        yield cls(config, rt)

    async def check(self) -> None:
        """Nothing to reach."""

    async def submit(self, submission: Submission) -> Receipt:
        desk = self._config.partners.get(submission.partner)
        if desk is None:
            raise InvalidSubmission("no portal for the partner", reason="no_desk")
        test = submission.test or not self._config.live
        raise PersonNeeded(packet(submission, desk, self._rt.hub, self._config.language, test=test))
