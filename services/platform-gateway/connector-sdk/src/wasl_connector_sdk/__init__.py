# SPDX-License-Identifier: Apache-2.0
"""What a connector is made of: the contract, the models, the errors, an HTTP client.

Depends on pydantic and httpx only, so that a third party's connector needs nothing else of Wasl.
"""

from wasl_connector_sdk.contract import (
    CONTRACT_VERSION,
    Clock,
    Connector,
    ConnectorConfig,
    Idempotency,
    Manifest,
    RateLimit,
    Runtime,
    SupportsCallbacks,
    SupportsLookup,
    SupportsPolling,
    SupportsWithdrawal,
)
from wasl_connector_sdk.errors import (
    AmbiguousOutcome,
    CallbackRejected,
    ConnectorError,
    CredentialsRejected,
    InvalidSubmission,
    RateLimited,
    SubmissionRefused,
    TransientError,
)
from wasl_connector_sdk.models import (
    CallbackRequest,
    Ground,
    Outcome,
    Receipt,
    StatusUpdate,
    Submission,
)

__all__ = [
    "CONTRACT_VERSION",
    "AmbiguousOutcome",
    "CallbackRejected",
    "CallbackRequest",
    "Clock",
    "Connector",
    "ConnectorConfig",
    "ConnectorError",
    "CredentialsRejected",
    "Ground",
    "Idempotency",
    "InvalidSubmission",
    "Manifest",
    "Outcome",
    "RateLimit",
    "RateLimited",
    "Receipt",
    "Runtime",
    "StatusUpdate",
    "Submission",
    "SubmissionRefused",
    "SupportsCallbacks",
    "SupportsLookup",
    "SupportsPolling",
    "SupportsWithdrawal",
    "TransientError",
]
