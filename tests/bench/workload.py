# SPDX-License-Identifier: Apache-2.0
"""Generated reports: about 400 bytes each, Arabic and French, every fifth about an item seen
before.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass

WORDS = {
    "ar": [
        "وصلني",
        "هذا",
        "الرابط",
        "من",
        "شخص",
        "لا",
        "أعرفه",
        "وأظن",
        "أنه",
        "مخالف",
        "للقانون",
        "أرجو",
        "التحقق",
        "منه",
        "بسرعة",
        "شكرا",
        "لكم",
    ],
    "fr": [
        "on",
        "m’a",
        "transmis",
        "ce",
        "lien",
        "hier",
        "soir",
        "et",
        "je",
        "pense",
        "qu’il",
        "est",
        "illégal",
        "merci",
        "de",
        "le",
        "vérifier",
    ],
}


@dataclass(frozen=True, slots=True)
class Report:
    number: int
    language: str
    url: str
    text: str


def reports(count: int, duplicates: float = 0.2, seed: int = 7) -> Iterator[Report]:
    """``count`` reports of which the given share names a URL that came before."""
    rng = random.Random(seed)
    seen: list[str] = []
    for number in range(count):
        language = rng.choice(("ar", "fr"))
        if seen and rng.random() < duplicates:
            url = rng.choice(seen)
        else:
            url = f"https://site{rng.randrange(10_000)}.example.net/item/{number:07d}"
            seen.append(url)
        text = " ".join(rng.choices(WORDS[language], k=24))
        yield Report(number, language, url, text)


def unique(count: int, **options: float) -> int:
    return len({r.url for r in reports(count, **options)})  # type: ignore[arg-type]
