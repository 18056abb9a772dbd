# SPDX-License-Identifier: Apache-2.0
"""The Internet Watch Foundation's report service: one JSON POST of an address, one report id back.

Its test and live reports go to the same address and differ in one letter, ``T`` or ``L``; it is
``L`` only where the deployment and the request both mean it. There is no lookup and no key, so an
answer that was lost is a person's to find. The service is described to its members; the form here
is the one two public clients use: github.com/techmatters/serverless, functions/reportToIWF.ts.
"""

import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, ClassVar, Self

from pydantic import Field, SecretStr, ValidationError
from wasl_connector_sdk import (
    AmbiguousOutcome,
    Connector,
    ConnectorConfig,
    Idempotency,
    InvalidSubmission,
    Manifest,
    Receipt,
    Runtime,
    Submission,
)
from wasl_connector_sdk.asking import asked
from wasl_connector_sdk.http import exchange, expect, json_bytes
from wasl_connector_sdk.urls import PartnerUrl

ENVELOPE = "IWFReportService1.0"
MAX_URL = 1000
MAX_DESCRIPTION = 500


class IwfConfig(ConnectorConfig):
    url: PartnerUrl = Field(description="Address of the report service, given by the IWF")
    username: str = Field(min_length=1, description="Given by the IWF")
    password: SecretStr = Field(min_length=1, description="Given by the IWF with the user name")
    channel: int = Field(default=51, ge=1, description="Report_Channel_ID; 51: online report")


def to_json(submission: Submission, *, live: bool, channel: int) -> dict[str, Any]:
    """The request body. Everything the IWF learns is in here.

    Raises InvalidSubmission for what the service has no place for: it takes addresses only.
    """
    if submission.category != "csam":
        raise InvalidSubmission("outside the remit", reason="category_not_accepted")
    if not submission.location.startswith(("https://", "http://")):
        raise InvalidSubmission("the service takes URLs only", reason="not_a_url")
    if len(submission.location) > MAX_URL:
        # A shortened address leads elsewhere.
        raise InvalidSubmission("the address is too long", reason="url_too_long")
    return {
        "Reporting_Type": "R",
        "Live_Report": "L" if live and not submission.test else "T",
        "Media_Type_ID": 1,
        "Report_Channel_ID": channel,
        "Origin_ID": 5,
        "Submission_Type_ID": 1,
        "Reported_Category_ID": 2,
        "Reported_URL": submission.location,
        # The form wants these, and this is all it gets: whoever told the hub stays with the hub.
        "Reporter_Anonymous": "Y",
        "Reporter_First_Name": None,
        "Reporter_Last_Name": None,
        "Reporter_Email_ID": None,
        "Reporter_Country_ID": None,
        "Reporter_Description": _description(submission),
    }


def _description(submission: Submission) -> str:
    """Our key first, so that a person can find the report again from our side."""
    ground = submission.ground.text or submission.ground.ref
    first = f"Request {submission.idempotency_key}"
    lines = (first, asked(submission), ground, submission.explanation)
    return "\n".join(line for line in lines if line)[:MAX_DESCRIPTION]


def receipt_of(body: Any) -> Receipt | None:
    """The report's id; None where the answer names none."""
    said = body.get(ENVELOPE) if isinstance(body, dict) else None
    number = said.get("responseData") if isinstance(said, dict) else None
    if isinstance(number, bool) or not isinstance(number, str | int):
        return None
    try:
        return Receipt(reference=str(number))
    except ValidationError:
        return None


class IwfConnector(Connector[IwfConfig]):
    manifest: ClassVar[Manifest] = Manifest(
        name="iwf",
        title="Internet Watch Foundation",
        docs="docs/connectors/iwf.md",
        owner="Wasl maintainers",
        # Whether a repeated address makes a second report is not published, and nothing can be read
        # back: nothing is sent twice unless a person decides so.
        idempotency=Idempotency.NONE,
        # In remit by the country pack. Grooming and sextortion are only where there is imagery of a
        # child, and an analyst then classes the item as csam.
        accepts=frozenset({"csam"}),
        # No host in `production`: a test report is sent to the address of live ones.
    )
    Config: ClassVar[type[ConnectorConfig]] = IwfConfig

    def __init__(self, config: IwfConfig, rt: Runtime) -> None:
        pair = f"{config.username}:{config.password.get_secret_value()}".encode()
        self._headers = {
            "authorization": "Basic " + base64.b64encode(pair).decode(),
            "content-type": "application/json",
        }
        self._config = config
        self._rt = rt

    @classmethod
    @asynccontextmanager
    async def open(cls, config: IwfConfig, rt: Runtime) -> AsyncIterator[Self]:
        yield cls(config, rt)

    async def check(self) -> None:
        """Reachability only: the service has no request without an effect."""
        await exchange(self._rt.http, "HEAD", str(self._config.url))

    async def submit(self, submission: Submission) -> Receipt:
        body = to_json(submission, live=self._config.live, channel=self._config.channel)
        answer = await exchange(
            self._rt.http,
            "POST",
            str(self._config.url),
            headers=self._headers,
            content=json_bytes(body),
        )
        receipt = receipt_of(expect(answer, self._rt.clock.now()).json())
        if receipt is None:
            raise AmbiguousOutcome("accepted without a readable id", reason="unreadable_answer")
        return receipt
