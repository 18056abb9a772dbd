# SPDX-License-Identifier: Apache-2.0
"""What triage needs beside every service's settings. The staff list is a secret, best a file."""

import hashlib
import hmac
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    Field,
    SecretStr,
    StringConstraints,
    TypeAdapter,
    ValidationError,
    model_validator,
)
from wasl_chassis.settings import Key32, Settings
from wasl_schemas.base import Model, Slug

from wasl_triage.domain.case import CLOCK, MACHINE
from wasl_triage.domain.people import EVERY_QUEUE, Person, Role

Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class Member(Model):
    """One person of the staff and the hash of their token; the token itself is never stored."""

    name: Slug
    sha256: Sha256
    roles: frozenset[Role] = Field(min_length=1)
    queues: frozenset[Slug | Literal["*"]] = frozenset({EVERY_QUEUE})
    #: A script, not somebody who reads: its reading is not counted against a budget.
    machine: bool = False


#: Names under which machines act; nobody may be mistaken for one.
_RESERVED = (CLOCK, MACHINE)
_MEMBERS = TypeAdapter(list[Member])
_EXPECTED = (
    'expected JSON: [{"name": "...", "sha256": "<hex of the token>", "roles": ["analyst"]}, ...]'
)


class Staff:
    """The people of the desk."""

    def __init__(self, members: list[Member]) -> None:
        self._members = [
            (
                m.sha256.encode(),
                Person(name=m.name, roles=m.roles, queues=m.queues, machine=m.machine),
            )
            for m in members
        ]

    @classmethod
    def parse(cls, text: str) -> "Staff":
        """Raises ValueError that says what is wrong without quoting it."""
        try:
            members = _MEMBERS.validate_json(text)
        except ValidationError as error:
            where = error.errors(include_input=False, include_url=False)[0]["loc"]
            at = f" at {'.'.join(str(p) for p in where)}" if where else ""
            raise ValueError(f"{_EXPECTED}; not so{at}") from None
        if not members:
            raise ValueError(f"{_EXPECTED}; the list is empty")
        if any(m.name in _RESERVED for m in members):
            raise ValueError(f"{_EXPECTED}; the names {', '.join(_RESERVED)} mean machines")
        for field in ("name", "sha256"):
            if len({getattr(m, field) for m in members}) != len(members):
                raise ValueError(f"{_EXPECTED}; two entries have the same {field}")
        return cls(members)

    def named(self, name: str) -> Person | None:
        """The person of this name, if the list has one."""
        return next((person for _, person in self._members if person.name == name), None)

    def who(self, token: str) -> Person | None:
        """Whose token it is. Every entry is compared, so time tells nothing about the list."""
        given = hashlib.sha256(token.encode(errors="surrogatepass")).hexdigest().encode()
        found: Person | None = None
        for known, person in self._members:
            if hmac.compare_digest(known, given):
                found = person
        return found


def _is_staff(value: SecretStr) -> SecretStr:
    Staff.parse(value.get_secret_value())
    return value


class AuditSettings(Settings):
    """What the seals of the audit trail are signed with; a command needs these alone."""

    triage_audit_key: Key32 | None = Field(
        default=None,
        description="Signs the audit trail's daily seals (Ed25519); 32 bytes in base64, best kept"
        " apart from the database. Default: derived from WASL_MASTER_KEY",
    )
    triage_audit_former_keys: str = Field(
        default="",
        description="Public keys of seals signed with earlier keys, as 'wasl audit key' printed"
        " them, comma separated",
    )


class TriageSettings(AuditSettings):
    country_pack: Path = Field(description="Directory of the country pack")
    triage_staff: Annotated[SecretStr, AfterValidator(_is_staff)] = Field(
        description="Tokens of the API, each of a person or a machine: a JSON list; mount it and"
        " set WASL_TRIAGE_STAFF_FILE. People sign in to the pages with accounts (wasl people)"
    )
    triage_host: str = Field(default="127.0.0.1", description="Where the desk's API listens")
    triage_port: int = Field(default=0, ge=0, le=65535, description="0 takes a free port")
    triage_claim_minutes: float = Field(
        default=20, gt=0, le=480, description="How long a case stays with whoever claimed it"
    )
    triage_resend_seconds: float = Field(
        default=600, ge=1, le=86400, description="After this a request nobody confirmed is repeated"
    )
    triage_watch_seconds: float = Field(
        default=5, ge=0.05, le=300, description="How often clocks and requests are looked at"
    )
    triage_retention: Literal["off", "plan", "on"] = Field(
        default="plan",
        description="Whether what the country pack's clocks say is over is erased: 'on'; 'plan'"
        " only counts what is due ('wasl retention plan' lists it)",
    )
    triage_retention_seconds: float = Field(
        default=300, ge=0.05, le=86_400, description="How often retention and seals are looked at"
    )
    triage_public_url: str = Field(
        default="",
        pattern=r"^(https://[a-z0-9.-]{1,253}(:\d{1,5})?|http://(127\.0\.0\.1|localhost)(:\d{1,5})?)?$",
        description="Where people reach the desk's pages: https://HOST, in lower case; with https,"
        " cookies are for TLS only",
    )
    triage_idle_minutes: float = Field(
        default=20, ge=1, le=120, description="Silence after which a session is over"
    )
    triage_session_hours: float = Field(
        default=10, ge=0.25, le=24, description="After this a session is over, whatever is done"
    )
    triage_argon2_memory_kib: int = Field(
        default=65_536,
        ge=19_456,
        le=1_048_576,
        description="Memory one password takes to hash, in KiB; hashes change at the next sign-in",
    )
    triage_argon2_passes: int = Field(default=3, ge=2, le=20, description="Passes over that memory")
    triage_sign_in_rate: float = Field(
        default=2,
        ge=0.1,
        le=1_000,
        description="Tries to sign in a second that a process looks at in the long run; 20 at once",
    )
    triage_oidc: Path | None = Field(
        default=None,
        description="JSON file of another organisation's sign-in service (OpenID Connect); see"
        " docs/architecture/people.md",
    )

    triage_page_url: str = Field(
        default="",
        pattern=r"^(https?://[^\s]{1,500})?$",
        description="Where somebody is woken for a critical case: a POST of JSON, signed as"
        " Standard Webhooks 1.0. Empty: only the alert on wasl_triage_pages_total",
    )
    triage_page_secret: SecretStr | None = Field(
        default=None, description="whsec_… or whsk_… that signs pages; needed with the address"
    )
    triage_intake_url: str = Field(
        default="",
        pattern=r"^(https?://[^\s]{1,500})?$",
        description="Intake's address, for reports of people who call; empty: none are taken here",
    )
    triage_intake_key: SecretStr | None = Field(
        default=None,
        description="The desk's key at intake, for the channels phone and chat (wasl api-keys new)",
    )
    matching_directory: Path | None = Field(
        default=None,
        description="Index of known hashes, built by wasl-triage-matching; empty: none is known",
    )
    triage_networks: Path | None = Field(
        default=None,
        description="MaxMind DB file (.mmdb) that says who holds a network; looked up offline",
    )
    triage_addresses: Path | None = Field(
        default=None, description="Lines of host,address the operator knows; nothing is resolved"
    )

    @model_validator(mode="after")
    def _pages_are_signed(self) -> Self:
        if self.triage_page_url and self.triage_page_secret is None:
            raise ValueError("WASL_TRIAGE_PAGE_URL needs WASL_TRIAGE_PAGE_SECRET, to sign with")
        if self.triage_intake_url and self.triage_intake_key is None:
            raise ValueError("WASL_TRIAGE_INTAKE_URL needs WASL_TRIAGE_INTAKE_KEY")
        return self

    @model_validator(mode="after")
    def _can_be_sent_back(self) -> Self:
        if self.triage_oidc is not None and not self.triage_public_url:
            raise ValueError("WASL_TRIAGE_OIDC needs WASL_TRIAGE_PUBLIC_URL, to be sent back to")
        return self

    def staff(self) -> Staff:
        return Staff.parse(self.triage_staff.get_secret_value())
