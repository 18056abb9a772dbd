# SPDX-License-Identifier: Apache-2.0
"""A request as a XARF v4 report (xarf-spec 4.2.0), for desks that read mail by machine.

Only for categories XARF has a type for, and only where the claim is no larger than the request:
nothing about a victim's age, an assessment or a loss is known here, so none is asserted.
"""

import hashlib
import re
from typing import Any
from urllib.parse import quote, urlsplit
from uuid import UUID

from wasl_connector_sdk import HubIdentity, Submission

VERSION = "4.2.0"
#: type and what the type requires. ``baseline``: XARF has no "not classified".
_TYPES: dict[str, dict[str, Any]] = {
    "csam": {"type": "csam", "classification": "baseline", "detection_method": "manual_review"},
    "child_grooming": {
        "type": "csem", "exploitation_type": "grooming", "detection_method": "manual_review",
    },
    "personal_data": {
        "type": "exposed_data", "data_types": ["personal_information"], "exposure_method": "other",
    },
    "privacy_violation": {
        "type": "exposed_data", "data_types": ["personal_information"], "exposure_method": "other",
    },
    "phishing_malware": {"type": "phishing"},
    "scam_fraud": {"type": "fraud", "fraud_type": "other"},
}  # fmt: skip
_DOMAIN = re.compile(r"([a-z0-9]+(-[a-z0-9]+)*\.)+[a-z]{2,}")
_TAG = re.compile(r"[a-z0-9][a-z0-9_+-]*")
_HASHES = {"md5": 32, "sha1": 40, "sha256": 64}


def report(submission: Submission, hub: HubIdentity, contact: str) -> dict[str, Any] | None:
    """The report, or None where XARF has no type for the category or the item has no URL."""
    kind = _TYPES.get(submission.category)
    place = _uri(submission.location)
    if kind is None or place is None:
        return None
    url, host = place
    who = {
        "org": " ".join(hub.name.split())[:200] or "Wasl",
        "contact": contact,
        "domain": contact.rpartition("@")[2],
    }
    out: dict[str, Any] = {
        "xarf_version": VERSION,
        # Stable over attempts; a version 4 in form, as the specification asks.
        "report_id": str(UUID(bytes=_digest(submission.idempotency_key), version=4)),
        "timestamp": submission.requested_at.isoformat(),
        "reporter": who,
        "sender": who,
        "source_identifier": host,
        "category": "content",
        **kind,
        "url": url,
        "evidence_source": "human_review",
    }
    if _DOMAIN.fullmatch(host):
        out["domain"] = host
    if _TAG.fullmatch(submission.category):
        out["tags"] = [f"wasl:{submission.category}"]
    hashes = {
        name: e.value
        for e in submission.evidence
        if e.kind == "hash"
        and (name := e.algorithm.lower().replace("-", "")) in _HASHES
        and re.fullmatch(rf"[0-9a-fA-F]{{{_HASHES[name]}}}", e.value)
    }
    if hashes and kind["type"] == "csam":
        out["hash_values"] = hashes
    return out


def _digest(key: str) -> bytes:
    return hashlib.sha256(f"xarf\0{key}".encode()).digest()[:16]


def _uri(location: str) -> tuple[str, str] | None:
    """The location as an ASCII URI and its host; None where it is not http(s)."""
    try:
        parts = urlsplit(location.strip())
        host = (parts.hostname or "").encode("idna").decode().lower()
        port = f":{parts.port}" if parts.port else ""
    except ValueError:  # also UnicodeError: no host anybody can resolve
        return None
    if parts.scheme not in ("http", "https") or not host or not _plain(host):
        return None
    query = f"?{parts.query}" if parts.query else ""
    fragment = f"#{parts.fragment}" if parts.fragment else ""
    rest = quote(f"{parts.path}{query}{fragment}", safe="%/?#[]@!$&'()*+,;=:~-._")
    return f"{parts.scheme}://{host}{port}{rest}", host


def _plain(host: str) -> bool:
    return re.fullmatch(r"[a-z0-9.-]{1,253}", host) is not None
