# SPDX-License-Identifier: Apache-2.0
"""NCMEC's CyberTipline Reporting API, as strict as its schema about order, limits and codes.

Written from the CyberTipline Reporting API documentation
(https://report.cybertip.org/ispws/documentation: /status, /submit, /finish, /retract, appendix B,
response codes). ``now`` is its clock; an unfinished report is deleted 24 hours after it was opened.
"""

import base64
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs
from xml.etree import ElementTree as ET

import httpx

_TYPES = {
    "Child Pornography (possession, manufacture, and distribution)",
    "Child Sex Trafficking",
    "Child Sex Tourism",
    "Child Sexual Molestation",
    "Misleading Domain Name",
    "Misleading Words or Digital Images on the Internet",
    "Online Enticement of Children for Sexual Acts",
    "Unsolicited Obscene Material Sent to a Child",
}
_INCIDENTS = (
    "webPageIncident |emailIncident |newsgroupIncident |chatImIncident |onlineGamingIncident |"
    "cellPhoneIncident |nonInternetIncident |peer2peerIncident "
)
_PERSON = "(firstName )?(lastName )?(phone )*(email )*(address )*"
#: Children of each element, in their order. What is not named here has text only.
_ORDER = {
    "report": "(batchedReport )?incidentSummary (internetDetails )+(lawEnforcement )?reporter "
    "(personOrUserReported )?(intendedRecipient )*(victim )*(additionalInfo )?",
    "incidentSummary": "incidentType (platform )?(escalateToHighPriority )?(reportAnnotations )?"
    "incidentDateTime (incidentDateTimeDescription )?",
    "internetDetails": f"({_INCIDENTS})",
    "webPageIncident": "(url )+(additionalInfo )?",
    "chatImIncident": "(chatClient )?(chatRoomName )?(content )?(additionalInfo )?",
    "cellPhoneIncident": "(phoneNumber )?(latitude )?(longitude )?(additionalInfo )?",
    "reporter": "reportingPerson (contactPerson )?(companyTemplate )?(termsOfService )?(legalURL )?",
    "reportingPerson": _PERSON,
    "contactPerson": _PERSON,
    "address": "(address )?(city )?(zipCode )?(state )?(nonUsaState )?(country )?",
    "personOrUserReported": "(vehicleDescription )?(espIdentifier )?(espService )?"
    "(compromisedAccount )?(screenName )?(displayName )*(profileUrl )*(additionalInfo )?",
}
_LIMITS = {
    "platform": 256,
    "incidentDateTimeDescription": 3000,
    "chatClient": 255,
    "phoneNumber": 50,
    "firstName": 100,
    "lastName": 100,
    "email": 255,
    "legalURL": 2083,
    "espService": 100,
    "screenName": 256,
}


@dataclass
class _Report:
    xml: bytes
    opened: datetime
    state: str = "open"


class FakeNcmec:
    base = "https://ncmec.test/ispws"
    username = "hub"
    password = "secret-password"

    def __init__(self) -> None:
        self.now = datetime(2026, 1, 5, 9, 30, tzinfo=UTC)
        self.held: dict[str, _Report] = {}
        self.calls: list[str] = []
        #: HTTP status of answers with a code other than 0.
        self.error_status = 200

    @property
    def reports(self) -> list[bytes]:
        """What counts: finished reports."""
        return [r.xml for r in self.held.values() if r.state == "finished"]

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        pair = base64.b64encode(f"{self.username}:{self.password}".encode()).decode()
        if request.headers.get("authorization") != f"Basic {pair}":
            return httpx.Response(401)
        path = request.url.path.removeprefix("/ispws")
        self.calls.append(path)
        self._delete_unfinished()
        match request.method, path:
            case "GET", "/status":
                return self._answer(0)
            case "POST", "/submit":
                return self._submit(request)
            case "POST", "/finish":
                return self._end(request, "finished", "reportDoneResponse")
            case "POST", "/retract":
                return self._end(request, "retracted", "reportResponse")
        return httpx.Response(404)

    def _delete_unfinished(self) -> None:
        for report in self.held.values():
            if report.state == "open" and self.now - report.opened >= timedelta(hours=24):
                report.state = "deleted"

    def _submit(self, request: httpx.Request) -> httpx.Response:
        if request.headers.get("content-type") != "text/xml; charset=utf-8":
            return httpx.Response(415)
        try:
            root = ET.fromstring(request.content)
        except ET.ParseError:
            return self._answer(4110)
        if root.tag != "report" or not self._valid(root):
            return self._answer(4100)
        number = str(7_000_001 + len(self.held))
        self.held[number] = _Report(request.content, self.now)
        return self._answer(0, number)

    def _end(self, request: httpx.Request, state: str, root: str) -> httpx.Response:
        if request.headers.get("content-type") != "application/x-www-form-urlencoded":
            return httpx.Response(415)
        fields = parse_qs(request.content.decode())
        if list(fields) != ["id"] or not fields["id"][0].isdigit():
            return self._answer(4000)
        number = fields["id"][0]
        report = self.held.get(number)
        if report is None or report.state == "deleted":
            return self._answer(5001, number)
        if report.state == "retracted":
            return self._answer(5101, number)
        if report.state == "finished":
            return self._answer(5102, number)
        report.state = state
        return self._answer(0, number, root)

    def _valid(self, element: ET.Element) -> bool:
        names = "".join(f"{child.tag} " for child in element)
        nested = len(element) > 0 or element.tag in {"report", "reportingPerson"}
        if nested and not re.fullmatch(_ORDER.get(element.tag, ""), names):
            return False
        text = (element.text or "").strip()
        if nested:
            return not text and all(self._valid(child) for child in element)
        if len(text) > _LIMITS.get(element.tag, 1_000_000) or not text:
            return False
        if element.tag == "incidentType":
            return text in _TYPES
        if element.tag == "country":
            return re.fullmatch("[A-Z]{2}", text) is not None
        if element.tag == "incidentDateTime":
            return datetime.fromisoformat(text) < self.now
        return True

    def _answer(
        self, code: int, number: str | None = None, root: str = "reportResponse"
    ) -> httpx.Response:
        report = f"<reportId>{number}</reportId>" if number else ""
        files = "<files/>" if root == "reportDoneResponse" else ""
        body = (
            f'<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n<{root}>'
            f"<responseCode>{code}</responseCode>"
            f"<responseDescription>code {code}</responseDescription>{report}{files}</{root}>"
        )
        status = 200 if code == 0 else self.error_status
        headers = {"content-type": "text/xml; charset=utf-8", "request-id": "r-1"}
        return httpx.Response(status, headers=headers, content=body.encode())
