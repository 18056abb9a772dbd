# SPDX-License-Identifier: Apache-2.0
"""DKIM signatures (RFC 6376, rsa-sha256) by ``dkimpy``, for a relay that does not sign itself."""

import dkim
import dkim.crypto


def usable(key: bytes) -> bool:
    """Whether a PEM is an RSA private key, PKCS#1 or PKCS#8."""
    try:
        dkim.crypto.parse_pem_private_key(key)
    except Exception:  # noqa: BLE001  whatever the library makes of bytes that are no key
        return False
    return True


def signed(mail: bytes, *, selector: str, domain: str, key: bytes) -> bytes:
    """The mail with a signature over its body and the headers that are there.

    Relaxed on both sides, so that a relay may fold headers anew and trim blanks.
    """
    header = dkim.sign(
        mail,
        selector.encode("ascii"),
        domain.encode("ascii"),
        key,
        canonicalize=(b"relaxed", b"relaxed"),
    )
    return bytes(header) + mail
