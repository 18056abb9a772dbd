# SPDX-License-Identifier: Apache-2.0
"""The Internet Watch Foundation's report service, as its public clients know it.

Written from github.com/techmatters/serverless, functions/reportToIWF.ts (the request, its fields,
types and limits) and github.com/techmatters/flex, reportToIWF (the answer's ``IWFReportService1.0``
with responseCode, responseDescription, responseData). It makes a report of every POST it accepts.
"""

import base64
import json
from typing import Any
from urllib.parse import urlsplit

import httpx

_FIXED = {
    "Reporting_Type": "R",
    "Media_Type_ID": 1,
    "Origin_ID": 5,
    "Submission_Type_ID": 1,
    "Reported_Category_ID": 2,
}
_TEXT = {
    "Reporter_First_Name": 50,
    "Reporter_Last_Name": 50,
    "Reporter_Email_ID": 100,
    "Reporter_Description": 500,
}
_FIELDS = {
    *_FIXED,
    *_TEXT,
    "Live_Report",
    "Report_Channel_ID",
    "Reported_URL",
    "Reporter_Anonymous",
    "Reporter_Country_ID",
}


class FakeIwf:
    base = "https://iwf.test"
    url = f"{base}/reportservice/restv1/"
    username = "hub"
    password = "secret-password"

    def __init__(self) -> None:
        self.reports: list[dict[str, Any]] = []

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        pair = base64.b64encode(f"{self.username}:{self.password}".encode()).decode()
        if request.url.path != "/reportservice/restv1/":
            return httpx.Response(404)
        if request.method != "POST":
            return httpx.Response(405)
        if request.headers.get("authorization") != f"Basic {pair}":
            return httpx.Response(401)
        if request.headers.get("content-type") != "application/json":
            return httpx.Response(415)
        try:
            body = json.loads(request.content)
        except ValueError:
            return self._answer(400, "malformed")
        wrong = _wrong(body)
        if wrong is not None:
            return self._answer(400, wrong)
        self.reports.append(body)
        return self._answer(200, "Success", f"{600_000 + len(self.reports)}")

    def _answer(self, status: int, description: str, data: str | None = None) -> httpx.Response:
        said = {
            "responseCode": str(status),
            "responseDescription": description,
            "responseData": data,
        }
        return httpx.Response(status, json={"IWFReportService1.0": said})


def _same(value: Any, expected: Any) -> bool:
    return type(value) is type(expected) and bool(value == expected)


def _wrong(body: Any) -> str | None:
    """The first field that is not as the service wants it."""
    if not isinstance(body, dict) or set(body) != _FIELDS:
        return "fields"
    for name, value in _FIXED.items():
        if not _same(body[name], value):
            return name
    if body["Live_Report"] not in ("L", "T"):
        return "Live_Report"
    if type(body["Report_Channel_ID"]) is not int:
        return "Report_Channel_ID"
    url = body["Reported_URL"]
    if not isinstance(url, str) or len(url) > 1000 or not urlsplit(url).hostname:
        return "Reported_URL"
    for name, limit in _TEXT.items():
        text = body[name]
        if text is not None and not (isinstance(text, str) and len(text) <= limit):
            return name
    if body["Reporter_Anonymous"] not in ("Y", "N"):
        return "Reporter_Anonymous"
    named = ("Reporter_First_Name", "Reporter_Last_Name", "Reporter_Email_ID")
    if body["Reporter_Anonymous"] == "Y" and any(body[name] is not None for name in named):
        return "Reporter_Anonymous"
    return None
