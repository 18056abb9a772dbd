# SPDX-License-Identifier: Apache-2.0
"""What a report may be when it arrives: the strict model behind the API and the form.

Validators normalise (NFC, line ends) and refuse; their texts are constants, so an error can be
shown and logged without repeating what a person wrote.
"""

import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, model_validator
from pydantic_core import PydanticCustomError
from wasl_schemas.base import LanguageTag, Slug

from wasl_intake.domain import locations
from wasl_intake.domain.text import normalized

NARRATIVE_MAX = 10_000
MESSAGE_MAX = 5_000
LOCATIONS_MAX = 50
#: Letters and digits a narrative needs when it stands alone. "SOS" is a report.
MEANINGFUL = 3

ChannelWord = Literal["web", "api", "email", "chat", "phone", "whatsapp", "social", "partner"]

AffectedWord = Literal["self", "child", "other"]
RiskWord = Literal["meeting_planned", "threatened", "self_harm", "unsafe_place"]

#: How a fingerprint of media is written: its algorithm and lower-case hex.
FINGERPRINT = re.compile(r"^(?:pdq:[0-9a-f]{64}|sha256:[0-9a-f]{64}|md5:[0-9a-f]{32})$")
CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_ADDRESS = re.compile(rf"[A-Za-z0-9.!#$%&'*+/=?^_`{{|}}~-]{{1,64}}@(?:{_LABEL}\.)+[A-Za-z]{{2,63}}")


def _prose(text: str) -> str:
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    if not text.isascii():
        text = normalized("NFC", text)
    if CONTROL.search(text):
        raise PydanticCustomError(
            "control_character", "contains a control character", {"fix": "Remove it."}
        )
    return text.strip()


def _address(text: str) -> str:
    text = text.strip(" ")
    if len(text) > 254 or not _ADDRESS.fullmatch(text):
        raise PydanticCustomError(
            "email_invalid",
            "is not an e-mail address",
            {"fix": "Give one address, for example name@example.org."},
        )
    return text


def meaningful(text: str) -> bool:
    """Whether a text says anything: enough letters or digits, of any script."""
    found = 0
    for c in text:
        found += c.isalnum()
        if found >= MEANINGFUL:
            return True
    return False


Location = Annotated[str, Field(max_length=locations.MAX_LENGTH), AfterValidator(locations.clean)]
Prose = Annotated[str, Field(max_length=NARRATIVE_MAX), AfterValidator(_prose)]

Fingerprint = Annotated[str, Field(pattern=FINGERPRINT.pattern, max_length=71)]


class Request(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class ContactRequest(Request):
    """How the reporter asks to be reached. ``safe``: it is safe to write there."""

    channel: Literal["email"]
    address: Annotated[str, Field(max_length=320), AfterValidator(_address)]
    safe: bool = False


class ReportRequest(Request):
    """A report. At least one location, or a narrative that says something."""

    channel: ChannelWord = "api"
    language: LanguageTag = Field(
        default="und", description="Of the narrative, BCP 47; und: unknown"
    )
    category: Slug | None = Field(
        default=None, description="The reporter's own choice, an id of the country pack's taxonomy"
    )
    danger_now: bool | None = Field(default=None, description="Somebody is in danger now")
    under_18: bool | None = Field(default=None, description="The person affected is under 18")
    under_13: bool | None = Field(default=None, description="The person affected is under 13")
    affected: AffectedWord | None = Field(
        default=None, description="Whom it happens to: the reporter, a child they know, others"
    )
    risk: tuple[RiskWord, ...] = Field(
        default=(),
        max_length=4,
        description="Questions of the risk screen answered with yes. unsafe_place: nobody may write"
        " or call there",
    )
    locations: tuple[Location, ...] = Field(
        default=(),
        max_length=LOCATIONS_MAX,
        description="Web addresses (also defanged), links of known apps, account names, numbers",
    )
    narrative: Prose = Field(default="", description="What happened, in the reporter's words")
    fingerprints: tuple[Fingerprint, ...] = Field(
        default=(),
        max_length=20,
        description="Of media the reporter holds, made on their device: pdq, sha256 or md5 in hex."
        " The media itself is never accepted",
    )
    contact: ContactRequest | None = None
    consent_partner: bool = Field(
        default=True, description="The location and the category may go to the platform"
    )
    consent_authority: bool = Field(
        default=False, description="The report and the contact may go to the competent authority"
    )

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.under_13 and self.under_18 is False:
            raise PydanticCustomError(
                "ages_contradict",
                "under_13 and under_18 contradict each other",
                {"fix": "Who is under 13 is under 18.", "field": "under_13"},
            )
        if len(set(self.risk)) != len(self.risk):
            raise PydanticCustomError(
                "repeated", "holds a word twice", {"fix": "Give each once.", "field": "risk"}
            )
        if not self.locations and not meaningful(self.narrative):
            raise PydanticCustomError(
                "nothing_reported",
                "says neither where nor what",
                {"fix": "Give a location or a narrative of a few words.", "field": "narrative"},
            )
        return self


class ReceiptRequest(Request):
    receipt: str = Field(
        max_length=500, description="As the reporter kept it: letters, words or digits"
    )


class MessageRequest(Request):
    """What the reporter adds in the thread."""

    body: Annotated[str, Field(max_length=MESSAGE_MAX), AfterValidator(_prose)]

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if not any(c.isalnum() for c in self.body):
            raise PydanticCustomError(
                "message_empty", "is empty", {"fix": "Write a few words.", "field": "body"}
            )
        return self


REPORT: TypeAdapter[ReportRequest] = TypeAdapter(ReportRequest)
MESSAGE: TypeAdapter[MessageRequest] = TypeAdapter(MessageRequest)
RECEIPT: TypeAdapter[ReceiptRequest] = TypeAdapter(ReceiptRequest)
