# SPDX-License-Identifier: Apache-2.0
"""Partners with a portal and no channel for machines: a person hands the request over.

Nothing is ever sent: each call prepares a packet that says where to go, what to copy into which
field, and what to type back. What a desk wants is the same data the connector ``email`` uses.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import ClassVar, Self

from pydantic import Field
from wasl_connector_sdk import (
    Connector,
    ConnectorConfig,
    Evidence,
    HubIdentity,
    Idempotency,
    InvalidSubmission,
    Manifest,
    Measure,
    PersonNeeded,
    Receipt,
    Reminder,
    Runtime,
    Submission,
)
from wasl_connector_sdk.asking import Language
from wasl_connector_sdk.urls import PartnerUrl

from wasl_platform_gateway.connectors.email import letters
from wasl_platform_gateway.connectors.email.letters import Letter
from wasl_platform_gateway.connectors.email.profiles import (
    TEXTS,
    DeskConfig,
    Prepared,
    language_of,
    prepare,
)


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


def follow_up(
    written: Sequence[Letter],
    portals: Sequence[PartnerUrl],
    reference: str,
    language: Language,
    *,
    test: bool,
) -> str:
    """What a person writes where the request was handed over: the letter in the desk's language."""
    words = TEXTS[language].packet
    where = [words["open"].format(portal=portal) for portal in portals]
    steps = [words["by_hand_portal"].format(token=reference)]
    steps += [words["open_test"]] if test else where
    return "\n\n".join([*steps, words["copy"], *(letter.text.strip() for letter in written)]) + "\n"


class AssistedConnector(Connector[AssistedConfig]):
    manifest: ClassVar[Manifest] = Manifest(
        name="assisted",
        title="A person at a portal",
        docs="docs/connectors/assisted.md",
        measures=frozenset(Measure),
        owner="Wasl maintainers",
        idempotency=Idempotency.NONE,
        evidence=Evidence.HASHES,
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
        desk, test = self._desk(submission)
        raise PersonNeeded(packet(submission, desk, self._rt.hub, self._config.language, test=test))

    async def remind(self, reminder: Reminder) -> None:
        desk, test = self._desk(reminder.submission)
        prepared = self._prepared(reminder.submission, desk, reminder.reference)
        letter = letters.reminder(prepared, reminder, test=test)
        raise self._by_hand([letter], [desk.portal], reminder.reference, test=test)

    async def correct(self, reference: str, submission: Submission) -> None:
        desk, test = self._desk(submission)
        prepared = self._prepared(submission, desk, reference)
        letter = letters.correction(prepared, submission.revision, (), test=test)
        raise self._by_hand([letter], [desk.portal], reference, test=test)

    async def withdraw(self, reference: str, reason: str) -> None:
        """A reference does not tell its partner: all portals, and the words in their languages."""
        desks, test = self._config.partners.values(), not self._config.live
        written = [
            letters.withdrawal(reference, reason, language, test=test)
            for language in dict.fromkeys(map(language_of, desks))
        ]
        portals = list(dict.fromkeys(desk.portal for desk in desks))
        raise self._by_hand(written, portals, reference, test=test)

    def _desk(self, submission: Submission) -> tuple[Portal, bool]:
        """The partner's portal, and whether this is a test."""
        desk = self._config.partners.get(submission.partner)
        if desk is None:
            raise InvalidSubmission("no portal for the partner", reason="no_desk")
        return desk, submission.test or not self._config.live

    def _prepared(self, submission: Submission, desk: Portal, reference: str) -> Prepared:
        return prepare(submission, desk, self._rt.hub, reference, self._rt.hub.contact)

    def _by_hand(
        self,
        written: Sequence[Letter],
        portals: Sequence[PartnerUrl],
        reference: str,
        *,
        test: bool,
    ) -> PersonNeeded:
        return PersonNeeded(
            follow_up(written, portals, reference, self._config.language, test=test)
        )
