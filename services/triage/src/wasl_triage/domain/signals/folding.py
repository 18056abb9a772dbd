# SPDX-License-Identifier: Apache-2.0
"""One spelling for the ways people write the same word."""

import re
from unicodedata import normalize

#: Accents, Arabic vowels and hamza signs, tatweel, and what cannot be seen.
_MARKS = re.compile(
    "[\u0300-\u036f\u0640\u064b-\u065f\u0670\u00ad\ufeff\u200b-\u200f\u202a-\u202e\u2060-\u206f]+"
)


def plain(text: str) -> str:
    """Without accents, vowels, hamza, tatweel and direction marks; look-alike forms made one."""
    if text.isascii():
        return text
    return _MARKS.sub("", normalize("NFKD", text)).replace("ة", "ه").replace("ى", "ي")
