# SPDX-License-Identifier: Apache-2.0
"""Who asks: anybody, or an organisation with a key (``X-Api-Key``), and what each may do.

A channel decides which automatic rules of the country pack apply, so a channel is a claim that
needs a key: without one a report is of the channel ``api``. Keys of the settings are compared in
constant time and all of them; a name is a label of metrics, a key never is.
"""

import hmac
from dataclasses import dataclass

from fastapi import Request
from wasl_chassis.metrics import Metrics
from wasl_chassis.web import FieldError, Problem

from wasl_intake import metrics as measure
from wasl_intake.domain import api_key
from wasl_intake.domain.submission import ChannelWord, ReportRequest
from wasl_intake.settings import ApiKey, ApiKeys, Scope

HEADER = "x-api-key"


@dataclass(frozen=True, slots=True)
class Holder:
    """Whoever sends a request. ``name``: None is anybody, without a key."""

    name: str | None
    channels: tuple[ChannelWord, ...]
    scopes: frozenset[Scope]
    #: Its requests are checked and answered, and nothing of them is stored.
    tests: bool = False

    def needs(self, scope: Scope) -> None:
        """Raises the 403 of a key without ``scope``."""
        if scope in self.scopes:
            return
        if self.name is None:
            raise Problem(
                401,
                "An API key is needed",
                "Send the header X-Api-Key; the hub's operator makes keys.",
                headers={"www-authenticate": 'ApiKey realm="partners"'},
            )
        raise Problem(
            403,
            "The API key does not allow this",
            f"Ask the hub's operator to add the scope '{scope}' to this key.",
        )

    def channelled(self, report: ReportRequest) -> ReportRequest:
        """The report with its channel: as it says, else the holder's first. Raises the 403."""
        if "channel" not in report.model_fields_set:
            channel = self.channels[0]
            return (
                report
                if report.channel == channel
                else report.model_copy(update={"channel": channel})
            )
        if report.channel in self.channels:
            return report
        fix = (
            "Leave it out, or send X-Api-Key with a key for this channel."
            if self.name is None
            else f"This key is for: {', '.join(self.channels)}."
        )
        error: FieldError = {
            "field": "channel",
            "message": "needs a key that names this channel",
            "fix": fix,
            "code": "channel_not_allowed",
        }
        raise Problem(403, "The channel is not open to this sender", fix, [error])

    def own(self, kind: str, key: str) -> str:
        """An idempotency key in a space of its own: no two holders meet in one.

        Keys of anybody are printable, so none of theirs looks like this.
        """
        return f"{kind}\0{self.name}\0{key}"


ANYBODY = Holder(None, ("api",), frozenset({"report"}))


class KeyRing:
    """The keys of the settings."""

    def __init__(self, keys: ApiKeys, metrics: Metrics) -> None:
        self._holders = [(k.sha256.encode(), _holder(name, k)) for name, k in keys.items()]
        self._metrics = metrics

    def holder(self, request: Request) -> Holder:
        """Who presents which key; without the header, anybody. Raises the 401."""
        key = request.headers.get(HEADER)
        if key is None:
            return ANYBODY
        found: Holder | None = None
        digest = api_key.digest(key).encode()
        for known, holder in self._holders:
            if hmac.compare_digest(known, digest):
                found = holder
        if found is not None:
            return found
        mistyped = not api_key.well_formed(key)
        measure.record_partner(self._metrics, "unknown", "malformed" if mistyped else "unknown")
        raise Problem(
            401,
            "The API key is not known",
            "It has a typing mistake: compare it with what you kept."
            if mistyped
            else "It was withdrawn, or is of another hub. Ask the hub's operator for a key.",
            headers={"www-authenticate": 'ApiKey realm="partners"'},
        )

    def count(self, holder: Holder, result: str) -> None:
        """What became of a request; anybody's are counted as reports only."""
        if holder.name is not None:
            measure.record_partner(self._metrics, holder.name, result)


def _holder(name: str, key: ApiKey) -> Holder:
    return Holder(name, key.channels, key.scopes, key.tests)
