# SPDX-License-Identifier: Apache-2.0
"""The receipt as numbers, letters and digits, and the keyed hashes made of it.

Eight secret symbols of GF(2^10) and one that makes their weighted sum zero: 90 bits. The weights
are powers of x^11, so a changed symbol, a swap of two symbols and a swap of any two letters never
keep the sum (proved exhaustively in the tests). Digits: ISO/IEC 7064 MOD 97-10.
"""

import hashlib
import hmac
import secrets
from collections.abc import Iterable, Sequence

#: Crockford's base 32: no I, L, O, U.
ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
#: Of the secret part.
BITS = 80
#: Symbols of ten bits, the check symbol included.
SYMBOLS = 9
#: Letters of a code, two to a symbol, and of one group for people.
LENGTH, GROUP = 18, 6
#: Digits of the secret, and with the two check digits.
_SECRET_DIGITS, DIGITS = 25, 27

_ID_LENGTH = 32
#: x^10 + x^3 + 1, primitive: the powers of x are all elements but zero.
_POLYNOMIAL, _ORDER = 0x409, 1023
#: No multiple of 11 is 5 modulo 1023, which is what a swap of a left and a right letter asks for.
_STEP = 11


def _powers() -> Iterable[int]:
    value = 1
    for _ in range(_ORDER):
        yield value
        value <<= 1
        if value > _ORDER:
            value ^= _POLYNOMIAL


_POWER = tuple(_powers())
_LOGARITHM = {value: exponent for exponent, value in enumerate(_POWER)}


def weighed(symbols: Iterable[int]) -> int:
    """The weighted sum, the first symbol at place 0. Zero for the nine symbols of a receipt."""
    total = 0
    for place, value in enumerate(symbols):
        if value:
            total ^= _POWER[(_LOGARITHM[value] + place * _STEP) % _ORDER]
    return total


def missing(total: int, place: int) -> int:
    """The symbol that belongs at ``place`` when all others weigh ``total``."""
    return _POWER[(_LOGARITHM[total] - place * _STEP) % _ORDER] if total else 0


def _of_secret(secret: int) -> str:
    symbols = [secret >> shift & 1023 for shift in range(BITS - 10, -1, -10)]
    return of_symbols([*symbols, missing(weighed(symbols), SYMBOLS - 1)])


def of_symbols(symbols: Iterable[int]) -> str:
    """The code of nine symbols."""
    return "".join(ALPHABET[value >> 5] + ALPHABET[value & 31] for value in symbols)


def symbols_of(code: str) -> Sequence[int]:
    """The symbols of letters of the alphabet, an even number of them."""
    values = [ALPHABET.index(letter) for letter in code]
    return [left << 5 | right for left, right in zip(values[::2], values[1::2], strict=True)]


def new() -> str:
    """A fresh receipt in canonical form, from the operating system's randomness."""
    return _of_secret(secrets.randbits(BITS))


def derived(key: bytes, idempotency_key: str) -> str:
    """The receipt that belongs to an idempotency key: equal for a repeat, nowhere stored.

    ``key`` is derived from the pepper, so without the pepper it is as good as random.
    """
    mac = hmac.digest(key, idempotency_key.encode(), hashlib.sha256)
    return _of_secret(int.from_bytes(mac[: BITS // 8]))


def well_formed(code: str) -> bool:
    """Whether a canonical code can be a receipt at all; says nothing about what is stored."""
    return len(code) == LENGTH and not code.strip(ALPHABET) and not weighed(symbols_of(code))


def grouped(code: str) -> str:
    """For people: three groups of six letters."""
    return "-".join(code[i : i + GROUP] for i in range(0, len(code), GROUP))


def digits(code: str) -> str:
    """For the telephone: nine groups of three digits. ``code``: well-formed."""
    secret = 0
    for value in symbols_of(code)[:-1]:
        secret = secret << 10 | value
    text = f"{secret:0{_SECRET_DIGITS}}{98 - secret * 100 % 97:02}"
    return " ".join(text[i : i + 3] for i in range(0, DIGITS, 3))


def of_digits(text: str) -> str | None:
    """The code of 27 ASCII digits; None: they are no receipt's."""
    secret, check = int(text[:_SECRET_DIGITS]), int(text[_SECRET_DIGITS:])
    # 00, 01 and 99 would say the same as 97, 98 and 02.
    sound = int(text) % 97 == 1 and 2 <= check <= 98
    return _of_secret(secret) if sound and not secret >> BITS else None


def report_id(key: bytes, code: str) -> str:
    """The report a canonical code opens: its keyed hash, 128 bits in hex.

    The hash is the report's id, so finding a report is one read by primary key, and nobody who
    sees an id, in an event or a log, gets any nearer to the code.
    """
    return hmac.digest(key, code.encode(), hashlib.sha256).hex()[:_ID_LENGTH]


def holder(key: bytes, code: str) -> bytes:
    """The 32-byte key only the presenter of a code has: it opens the report's texts for them.

    ``key``: derived for this purpose, so nothing of it follows from the report's id.
    """
    return hmac.digest(key, code.encode(), hashlib.sha256)


def fingerprint(code: str, body: bytes) -> str:
    """Tells a repeat from another report under the same idempotency key.

    Keyed with the receipt, which nobody stores: nobody can test guesses of the text against it.
    """
    return hmac.digest(code.encode(), body, hashlib.sha256).hex()
