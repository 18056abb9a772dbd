# SPDX-License-Identifier: Apache-2.0
"""Second factors: time-based codes (RFC 6238) and recovery codes.

SHA-1, six digits, thirty seconds: the only parameters every authenticator app knows. One step of
clock drift either way; a step once used, and every earlier one, is used up.
"""

import base64
import hashlib
import hmac
import secrets
import unicodedata
from datetime import datetime

from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.twofactor.hotp import HOTP
from cryptography.hazmat.primitives.twofactor.totp import TOTP

STEP_SECONDS = 30
DIGITS = 6
DRIFT = 1
RECOVERY_CODES = 10
#: Without letters that look like digits or spell words (Crockford).
_LETTERS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
#: 16 letters of 5 bits: no search of the hashes finds one.
_RECOVERY_LENGTH, _GROUP = 16, 4
_READ = str.maketrans({"O": "0", "I": "1", "L": "1"})


def new_secret() -> bytes:
    """20 random bytes, the length RFC 4226 recommends."""
    return secrets.token_bytes(20)


def typed(secret: bytes) -> str:
    """The secret as somebody types it into an app that cannot see the picture."""
    text = base64.b32encode(secret).decode()
    return " ".join(text[i : i + 4] for i in range(0, len(text), 4))


def address(secret: bytes, name: str, issuer: str) -> str:
    """The ``otpauth:`` address an authenticator app reads from the picture."""
    return TOTP(secret, DIGITS, SHA1(), STEP_SECONDS).get_provisioning_uri(name, issuer)  # noqa: S303


def step_at(now: datetime) -> int:
    return int(now.timestamp()) // STEP_SECONDS


def code_at(secret: bytes, step: int) -> str:
    return _hotp(secret).generate(step).decode()


def matching_step(secret: bytes, code: str, now: datetime, after: int) -> int | None:
    """The step whose code this is, later than ``after``; every step is compared, whatever fits."""
    given = digits(code).encode(errors="surrogatepass")
    found: int | None = None
    here = step_at(now)
    for step in range(here - DRIFT, here + DRIFT + 1):
        same = hmac.compare_digest(code_at(secret, step).encode(), given)
        if same and step > after:
            found = step
    return found


def digits(code: str) -> str:
    """What was typed, as Latin digits: apps show groups, keyboards other digits."""
    kept = (c for c in code if not c.isspace() and c != "-")
    return "".join(str(d) if (d := unicodedata.decimal(c, -1)) >= 0 else c for c in kept)


def new_recovery_codes() -> list[str]:
    def one() -> str:
        letters = [secrets.choice(_LETTERS) for _ in range(_RECOVERY_LENGTH)]
        return "-".join(
            "".join(letters[i : i + _GROUP]) for i in range(0, _RECOVERY_LENGTH, _GROUP)
        )

    return [one() for _ in range(RECOVERY_CODES)]


def recovery_hash(code: str) -> str:
    """What is stored of a recovery code. 80 random bits need no slow hash."""
    read = digits(code).upper().translate(_READ)
    return hashlib.sha256(f"recovery|{read}".encode(errors="surrogatepass")).hexdigest()


def _hotp(secret: bytes) -> HOTP:
    return HOTP(secret, DIGITS, SHA1())  # noqa: S303  RFC 6238's default, as HMAC unbroken
