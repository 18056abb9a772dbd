# SPDX-License-Identifier: Apache-2.0
"""What triage needs beside every service's settings. The staff list is a secret, best a file."""

import hashlib
import hmac
from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    Field,
    SecretStr,
    StringConstraints,
    TypeAdapter,
    ValidationError,
)
from wasl_chassis.settings import Settings
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
            (m.sha256.encode(), Person(name=m.name, roles=m.roles, queues=m.queues))
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


class TriageSettings(Settings):
    country_pack: Path = Field(description="Directory of the country pack")
    triage_staff: Annotated[SecretStr, AfterValidator(_is_staff)] = Field(
        description="The staff: a JSON list; mount it and set WASL_TRIAGE_STAFF_FILE"
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

    def staff(self) -> Staff:
        return Staff.parse(self.triage_staff.get_secret_value())
