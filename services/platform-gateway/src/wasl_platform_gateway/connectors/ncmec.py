# SPDX-License-Identifier: Apache-2.0
"""NCMEC's CyberTipline, for hubs that NCMEC registered: a report in two calls, submit and finish.

Only finish makes a report. What was submitted and never finished is deleted by NCMEC, so a crash
between the two costs nothing, and the report id saved between them keeps it at one report.
No file is ever uploaded: the hub holds addresses, never the material.
Facts: CyberTipline Reporting API, https://report.cybertip.org/ispws/documentation.
"""

import base64
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Annotated, ClassVar, Self
from urllib.parse import urlencode
from xml.etree import ElementTree as ET

from pydantic import Field, SecretStr, StringConstraints
from wasl_connector_sdk import (
    AmbiguousOutcome,
    Connector,
    ConnectorConfig,
    ConnectorError,
    CredentialsRejected,
    HubIdentity,
    Idempotency,
    InvalidSubmission,
    Manifest,
    Progress,
    Receipt,
    Runtime,
    Submission,
    SubmissionRefused,
    TransientError,
)
from wasl_connector_sdk.asking import asked
from wasl_connector_sdk.http import exchange, expect
from wasl_connector_sdk.urls import PartnerUrl

PRODUCTION = "https://report.cybertip.org/ispws"
SANDBOX = "https://exttest.cybertip.org/ispws"
#: Categories whose definition says that the victim is a child, with NCMEC's words for them.
INCIDENTS = {
    "csam": "Child Pornography (possession, manufacture, and distribution)",
    "child_grooming": "Online Enticement of Children for Sexual Acts",
}
REPORT = "report_id"
MAX_ANSWER = 64 * 1024
MAX_TEXT = 3000
OK, GONE, RETRACTED, FINISHED = 0, 5001, 5101, 5102
_XML = "text/xml; charset=utf-8"
_FORM = "application/x-www-form-urlencoded"
_NOT_XML = re.compile("[^\t\n\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_PHONE = re.compile(r"\+?[0-9][0-9 ().-]{4,48}")


class NcmecConfig(ConnectorConfig):
    username: str = Field(min_length=1, description="Given by NCMEC; test and production differ")
    password: SecretStr = Field(min_length=1, description="Given by NCMEC with the user name")
    base_url: PartnerUrl | None = Field(
        default=None, description=f"Default: {SANDBOX}, with live {PRODUCTION}"
    )
    reporting_name: str | None = Field(
        default=None, max_length=100, description="Who reports; default: the hub's name"
    )
    reporting_email: str | None = Field(
        default=None, max_length=255, description="Where NCMEC may ask; default: the hub's mailbox"
    )
    reporting_country: Annotated[str, StringConstraints(pattern=r"^[A-Z]{2}$")] | None = Field(
        default=None, description="ISO 3166-1 alpha-2; default: the hub's country"
    )


# -- mapping -----------------------------------------------------------------------------------


def to_xml(submission: Submission, reporter: HubIdentity, now: datetime) -> bytes:
    """The ``<report>``. Everything NCMEC learns is in here, in the order its schema demands."""
    incident = INCIDENTS.get(submission.category)
    if incident is None:
        raise InvalidSubmission("no incident type for the category", reason="category_not_accepted")
    report = ET.Element("report")
    summary = _add(report, "incidentSummary")
    _add(summary, "incidentType", incident)
    _add(summary, "platform", submission.platform, 256)
    _add(summary, "incidentDateTime", _past(submission.requested_at, now))
    _add(
        summary,
        "incidentDateTimeDescription",
        "When the hub asked for removal; the time of the incident is not known.",
    )
    _where(report, submission)
    _reporter(_add(report, "reporter"), reporter)
    if not (_is_url(submission.location) or _PHONE.fullmatch(submission.location)):
        reported = _add(report, "personOrUserReported")
        _add(reported, "espService", submission.platform, 100)
        _add(reported, "screenName", submission.location, 256)
    _add(report, "additionalInfo", _story(submission), MAX_TEXT)
    document: bytes = ET.tostring(report, encoding="utf-8", xml_declaration=True)
    return document


def _where(report: ET.Element, submission: Submission) -> None:
    details = _add(report, "internetDetails")
    if _is_url(submission.location):
        # Somebody else hosts it: a hub has no service of its own.
        page = _add(details, "webPageIncident", thirdPartyHostedContent="true")
        _add(page, "url", submission.location)
    elif _PHONE.fullmatch(submission.location):
        _add(_add(details, "cellPhoneIncident"), "phoneNumber", submission.location)
    else:
        chat = _add(details, "chatImIncident")
        _add(chat, "chatClient", submission.platform, 255)
        _add(chat, "additionalInfo", submission.location)


def _reporter(parent: ET.Element, reporter: HubIdentity) -> None:
    """The hub itself. The person who told the hub is in no field of anything."""
    person = _add(parent, "reportingPerson")
    _add(person, "lastName", reporter.name, 100)
    if reporter.contact:
        _add(person, "email", reporter.contact, 255, type="Business")
    if reporter.country:
        _add(_add(person, "address", type="Business"), "country", reporter.country)
    if reporter.url:
        _add(parent, "legalURL", reporter.url, 2083)


def _story(submission: Submission) -> str:
    """Our key first: it is how a person finds this report again from our side."""
    ground = submission.ground
    lines = (
        "TEST, please disregard." if submission.test else "",
        f"Request {submission.idempotency_key}, case {submission.case}.",
        asked(submission),
        f"Ground: {ground.text or ground.ref} ({ground.kind}).",
        f"Language: {submission.language}.",
        submission.explanation,
    )
    return "\n".join(line for line in lines if line)


def _is_url(location: str) -> bool:
    return location.startswith(("https://", "http://"))


def _past(when: datetime, now: datetime) -> str:
    """NCMEC refuses a time that is ahead of its own clock."""
    return min(when, now - timedelta(seconds=1)).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _add(
    parent: ET.Element,
    tag: str,
    text: str = "",
    limit: int | None = None,
    /,
    **attributes: str,
) -> ET.Element:
    child = ET.SubElement(parent, tag, attributes)
    child.text = _NOT_XML.sub("", text)[:limit] or None
    return child


@dataclass(frozen=True, slots=True)
class Said:
    code: int
    report_id: str | None


def read(body: bytes | None) -> Said | None:
    """What NCMEC says; None where it says nothing readable, or may be a trap.

    Entities need a DTD, and there is none in an honest answer. The text is decoded here, so no
    declared encoding can hide one.
    """
    if not body or len(body) > MAX_ANSWER:
        return None
    try:
        text = body.decode()
        if "<!DOCTYPE" in text or "<!ENTITY" in text:
            return None
        root = ET.fromstring(text)  # noqa: S314  no DTD, bounded size
        code = int(root.findtext("responseCode") or "")
    except (ValueError, ET.ParseError):
        return None
    report_id = (root.findtext("reportId") or "").strip()
    known = report_id.isascii() and report_id.isdigit() and len(report_id) <= 20
    return Said(code, report_id if known else None)


def error_of(code: int) -> ConnectorError:
    """What a code other than 0 means for whoever called."""
    reason = f"ncmec_{code}"
    if code == 2000 or 3000 <= code < 4000:
        return CredentialsRejected(f"code {code}", reason=reason)
    if 1000 <= code < 2000:
        return TransientError(f"code {code}", reason=reason)
    if code == RETRACTED:
        return SubmissionRefused(f"code {code}", code="retracted")
    return InvalidSubmission(f"code {code}", reason=reason)


# -- the connector -----------------------------------------------------------------------------


class _Memory:
    """Progress that does not outlive the process, for ``submit`` alone."""

    def __init__(self) -> None:
        self._saved: dict[str, str] = {}

    def get(self, name: str) -> str | None:
        return self._saved.get(name)

    async def save(self, name: str, value: str) -> None:
        self._saved[name] = value


class NcmecConnector(Connector[NcmecConfig]):
    manifest: ClassVar[Manifest] = Manifest(
        name="ncmec",
        title="NCMEC CyberTipline",
        docs="docs/connectors/ncmec.md",
        owner="Wasl maintainers",
        # NCMEC knows no key of ours, but only `finish` makes a report, and it makes one of an id,
        # however often it is sent. The id is durable before the first `finish`; ids that were lost
        # earlier are deleted unfinished. So our key, repeated, ends in one report.
        idempotency=Idempotency.NATIVE_KEY,
        accepts=frozenset(INCIDENTS),
        production=frozenset({"report.cybertip.org"}),
    )
    Config: ClassVar[type[ConnectorConfig]] = NcmecConfig

    def __init__(self, config: NcmecConfig, rt: Runtime) -> None:
        self._base = _base(config)
        pair = f"{config.username}:{config.password.get_secret_value()}".encode()
        self._headers = {
            "authorization": "Basic " + base64.b64encode(pair).decode(),
            "accept": "text/xml",
        }
        self._live = config.live
        self._rt = rt
        self._reporter = replace(
            rt.hub,
            name=config.reporting_name or rt.hub.name,
            contact=config.reporting_email or rt.hub.contact,
            country=config.reporting_country or rt.hub.country,
        )
        self._memory: dict[str, _Memory] = {}

    @classmethod
    @asynccontextmanager
    async def open(cls, config: NcmecConfig, rt: Runtime) -> AsyncIterator[Self]:
        yield cls(config, rt)

    async def check(self) -> None:
        said = await self._call("GET", "status")
        if said.code != OK:
            raise error_of(said.code)

    async def submit(self, submission: Submission) -> Receipt:
        """For a caller without durable progress; one report of a key while this process lives."""
        while len(self._memory) > 1000:
            del self._memory[next(iter(self._memory))]
        progress = self._memory.setdefault(submission.idempotency_key, _Memory())
        return await self.submit_in_steps(submission, progress)

    async def submit_in_steps(self, submission: Submission, progress: Progress) -> Receipt:
        if submission.test and self._live:
            # Production has no mark for a test: somebody would look for a child.
            raise InvalidSubmission("a test for production", reason="test_mode")
        content = to_xml(submission, self._reporter, self._rt.clock.now())
        report = progress.get(REPORT)
        if report is not None and await self._finish(report):
            return Receipt(reference=report)
        # None was opened, or NCMEC deleted it unfinished (24 h): it never counted, so start over.
        report = await self._submit(content)
        await progress.save(REPORT, report)
        if not await self._finish(report):
            raise TransientError("a new report is gone already", reason=f"ncmec_{GONE}")
        return Receipt(reference=report)

    async def withdraw(self, reference: str, reason: str) -> None:  # no field for the reason
        said = await self._call("POST", "retract", _form({"id": reference}), _FORM)
        if said.code in (OK, RETRACTED):
            return
        if said.code == FINISHED:
            raise SubmissionRefused("finished reports stay", code="already_finished")
        if said.code == GONE:
            raise SubmissionRefused("no such report", code="unknown_reference")
        raise error_of(said.code)

    async def _submit(self, content: bytes) -> str:
        said = await self._call("POST", "submit", content, _XML)
        if said.code != OK:
            raise error_of(said.code)
        if said.report_id is None:
            raise AmbiguousOutcome("opened without a readable id", reason="unreadable_answer")
        return said.report_id

    async def _finish(self, report: str) -> bool:
        """True: it is finished, now or by an attempt whose answer was lost; False: it is gone."""
        said = await self._call("POST", "finish", _form({"id": report}), _FORM)
        if said.code in (OK, FINISHED):
            return True
        if said.code == GONE:
            return False
        raise error_of(said.code)

    async def _call(
        self, method: str, path: str, content: bytes | None = None, kind: str | None = None
    ) -> Said:
        headers = self._headers if kind is None else {**self._headers, "content-type": kind}
        answer = await exchange(
            self._rt.http, method, f"{self._base}/{path}", headers=headers, content=content
        )
        said = read(answer.body)
        if said is None or said.code == OK or answer.status == 429:
            expect(answer, self._rt.clock.now())  # a 401 has no body: then the status decides
        if said is not None:
            return said
        if method == "GET":
            raise TransientError("an answer without a code", reason="unreadable_answer")
        raise AmbiguousOutcome("an answer without a code", reason="unreadable_answer")


def _base(config: NcmecConfig) -> str:
    return str(config.base_url or (PRODUCTION if config.live else SANDBOX)).rstrip("/")


def _form(fields: Mapping[str, str]) -> bytes:
    return urlencode(fields).encode()
