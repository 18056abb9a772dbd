# SPDX-License-Identifier: Apache-2.0
"""The receipt: the only key to a report, shown once, kept by nobody but the reporter.

80 random bits and a check, said in three ways that carry the same: 18 letters (the canonical form,
called *code* here), nine words of one language, 27 digits for the telephone. Any of them is read
back. No slow hash: ADR 0008.
"""

from wasl_intake.domain.receipt.code import (
    ALPHABET,
    BITS,
    GROUP,
    LENGTH,
    derived,
    digits,
    fingerprint,
    grouped,
    holder,
    new,
    report_id,
    well_formed,
)
from wasl_intake.domain.receipt.reading import UNREADABLE, find, read
from wasl_intake.domain.receipt.wordlist import LANGUAGES, words

__all__ = [
    "ALPHABET",
    "BITS",
    "GROUP",
    "LANGUAGES",
    "LENGTH",
    "UNREADABLE",
    "derived",
    "digits",
    "find",
    "fingerprint",
    "grouped",
    "holder",
    "new",
    "read",
    "report_id",
    "well_formed",
    "words",
]
