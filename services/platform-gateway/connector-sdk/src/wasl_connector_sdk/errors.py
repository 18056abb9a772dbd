# SPDX-License-Identifier: Apache-2.0
"""Errors named by what the caller must do about them. A connector raises these and nothing else.

The gateway does the rest: it retries, waits, opens the circuit or asks a person. A message is for a
developer's eyes and never carries what a partner sent or what was sent to it; only ``reason``, a
constant word, is stored and counted.
"""

import re

_WORD = re.compile(r"[^a-z0-9_.-]+")


def word(text: str, fallback: str) -> str:
    """A partner's code as a machine word: ``[a-z0-9][a-z0-9_.-]{0,79}``, else the fallback."""
    clean = _WORD.sub("_", text.strip().lower()).strip("_.-")[:80]
    return clean or fallback


class ConnectorError(Exception):
    """Base of the taxonomy."""

    reason = "error"

    def __init__(self, detail: str = "", *, reason: str | None = None) -> None:
        self.reason = word(reason or self.reason, self.reason)
        super().__init__(detail or self.reason)


class TransientError(ConnectorError):
    """Nothing was accepted; it may succeed later. ``retry_after``: seconds, if told."""

    reason = "transient"

    def __init__(
        self, detail: str = "", *, retry_after: float | None = None, reason: str | None = None
    ) -> None:
        super().__init__(detail, reason=reason)
        self.retry_after = retry_after


class RateLimited(ConnectorError):  # noqa: N818
    """The partner asks everybody to slow down: the whole channel waits ``retry_after`` seconds."""

    reason = "rate_limited"

    def __init__(self, detail: str = "", *, retry_after: float | None = None) -> None:
        super().__init__(detail)
        self.retry_after = retry_after


class AmbiguousOutcome(ConnectorError):  # noqa: N818
    """The request left and no usable answer came: it may have been accepted."""

    reason = "ambiguous"


class CredentialsRejected(ConnectorError):  # noqa: N818
    """The partner does not know us (any more). Everything stops until a person has looked."""

    reason = "auth"


class SubmissionRefused(ConnectorError):  # noqa: N818
    """The partner understood and says no: final. ``code`` is its reason as a machine word."""

    reason = "refused"

    def __init__(self, detail: str = "", *, code: str = "refused") -> None:
        super().__init__(detail, reason=code)

    @property
    def code(self) -> str:
        return self.reason


class InvalidSubmission(ConnectorError):  # noqa: N818
    """The partner cannot read what we sent: our mapping is wrong. Final; a developer must look."""

    reason = "invalid"


class PersonNeeded(ConnectorError):  # noqa: N818
    """Only a person can hand this over: ``packet`` is what to copy where. Nothing was sent.

    Without a packet the gateway writes one: the request as a letter. It keeps the packet encrypted
    and waits until somebody types the partner's reference.
    """

    reason = "person_needed"

    def __init__(self, packet: str = "") -> None:
        super().__init__("a person must hand this over")
        self.packet = packet


class CallbackRejected(ConnectorError):  # noqa: N818
    """A callback that proves nothing: unsigned, wrongly signed, too old, or not in the agreed form.

    ``reason`` is ``signature``, ``stale`` or ``malformed``.
    """

    reason = "signature"
