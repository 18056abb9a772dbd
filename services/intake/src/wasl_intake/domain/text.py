# SPDX-License-Identifier: Apache-2.0
"""Unicode normalisation at a bounded cost.

Putting a run of combining marks in order takes quadratic time (seconds for some ten thousand of
them), and no language stacks more than a few (UAX #15 allows 30 in a stream-safe text).
"""

import unicodedata
from typing import Literal

#: Marks in a row that are put in order; with more, the text stays as it was written.
MARKS_MAX = 100


def normalized(form: Literal["NFC", "NFKC", "NFKD"], text: str) -> str:
    """``unicodedata.normalize``, or the text itself where it holds more marks in a row than
    :data:`MARKS_MAX`.
    """
    run = 0
    for c in text:
        run = run + 1 if unicodedata.combining(c) else 0
        if run > MARKS_MAX:
            return text
    return unicodedata.normalize(form, text)
