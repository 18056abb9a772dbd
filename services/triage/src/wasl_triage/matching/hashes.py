# SPDX-License-Identifier: Apache-2.0
"""The hashes the hub can match, and the one way they are spelt: ``kind:`` and lower-case hex.

PDQ is perceptual: two hashes name the same picture when at most :data:`NEAR` of 256 bits differ,
and a hash of quality below :data:`QUALITY` says nothing (both figures are those of
github.com/facebook/ThreatExchange, pdq). MD5 and SHA-256 name one file, bit by bit.
"""

from typing import Final, Literal, get_args

Kind = Literal["pdq", "md5", "sha256"]
#: Bytes of a hash.
WIDTH: Final[dict[Kind, int]] = {"pdq": 32, "md5": 16, "sha256": 32}
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
#: Bits.
NEAR: Final = 31
#: Of 100; PDQ only.
QUALITY: Final = 50


class HashError(ValueError):
    """This is no hash of a known kind. Says what was expected and never quotes what was given."""


def parse(text: str, kind: Kind | None = None) -> tuple[Kind, bytes]:
    """Kind and bytes of ``pdq:…``, ``md5:…``, ``sha256:…``, in either case, with space around.

    ``kind``: of a text without a prefix; a prefix that says otherwise is an error.
    """
    name, colon, digits = text.strip().lower().partition(":")
    if not colon:
        name, digits = kind or "", name
    if kind is not None and name != kind:
        raise HashError(f"expected a {kind} hash, and this one says it is another kind")
    for known in KINDS:
        if name == known:
            width = WIDTH[known]
            if len(digits) == 2 * width and digits.isascii() and digits.isalnum():
                try:
                    return known, bytes.fromhex(digits)
                except ValueError:
                    pass  # letters beyond f: the same answer as for a wrong length
            raise HashError(f"expected {2 * width} hexadecimal digits for {known}")
    raise HashError(f"expected one of {', '.join(f'{k}:' for k in KINDS)} and hexadecimal digits")


def spelt(kind: Kind, value: bytes) -> str:
    return f"{kind}:{value.hex()}"
