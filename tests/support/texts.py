# SPDX-License-Identifier: Apache-2.0
"""The sentences of a package's pages, as the code uses them, held against its catalogues.

``make texts`` prints what a language lacks, ready to be pasted into ``locale/<language>/<area>.po``.
"""

import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib import resources
from pathlib import Path

from babel.messages.catalog import Catalog, Message
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import write_po
from wasl_chassis.i18n import Locale

#: Packages with pages.
PACKAGES = ("wasl_intake", "wasl_triage")
_METHODS = [("**/templates/**.html", "jinja2"), ("**.py", "python")]
_OPTIONS = {"**/templates/**.html": {"silent": "false", "trim_blocks": "true"}}
#: ``say`` takes a language first where there is no page, so both places are looked at.
_KEYWORDS: tuple[Mapping[str, tuple[int, ...]], ...] = (
    {"_": (1,), "n_": (1, 2), "say": (1,)},
    {"say": (2,), "gettext": (2,), "ngettext": (2, 3)},
    # Refusals of use cases, which the pages say in the reader's language.
    {"Refused": (1,), "Forbidden": (1,), "Missing": (2,)},
    {"Refused": (2,), "Missing": (3,)},
)
#: A sentence, or its singular and plural.
Id = str | tuple[str, ...]


def folder(package: str) -> Path:
    return Path(str(resources.files(package)))


def used(package: str) -> dict[Id, list[tuple[str, int]]]:
    """Every sentence of the templates and the code, and where it is."""
    found: dict[Id, list[tuple[str, int]]] = {}
    for keywords in _KEYWORDS:
        for file, line, sentence, _, _ in extract_from_dir(
            folder(package), _METHODS, _OPTIONS, keywords=keywords, strip_comment_tags=False
        ):
            key: Id = (sentence[0], sentence[1]) if isinstance(sentence, tuple) else sentence
            found.setdefault(key, []).append((file, line))
    return found


def missing(package: str, lang: str) -> dict[Id, list[tuple[str, int]]]:
    """What a language does not say, or does not say for sure."""
    held = Locale(package).read(lang)
    places = used(package)
    return {key: places[key] for key in places if not _whole(held.get(first(key)))}


def obsolete(package: str, lang: str) -> list[Id]:
    """What a language says and nobody asks for."""
    wanted = {first(key): key for key in used(package)}
    said = [m.id if isinstance(m.id, str) else tuple(m.id) for m in _messages(package, lang)]
    return [key for key in said if wanted.get(first(key)) != key]


def _messages(package: str, lang: str) -> Iterator[Message]:
    yield from (m for m in Locale(package).read(lang) if m.id)


def first(key: Id) -> str:
    return key if isinstance(key, str) else key[0]


def forms(message: Message) -> Sequence[str]:
    """What a message says: one text, or one for each plural form."""
    said = message.string
    return (said or "",) if said is None or isinstance(said, str) else said


def _whole(message: Message | None) -> bool:
    return message is not None and not message.fuzzy and all(forms(message))


def complete(package: str) -> list[str]:
    """The languages with a catalogue that say they are whole."""
    names = sorted(f.name for f in Locale(package).folder.iterdir() if f.is_dir())
    return [n for n in names if any(True for _ in _messages(package, n))]


def main() -> int:
    status = 0
    for package in PACKAGES:
        for lang in complete(package):
            status |= _print_missing(package, lang)
    return status


def _print_missing(package: str, lang: str) -> bool:
    lacks = missing(package, lang)
    left = len(obsolete(package, lang))
    sys.stderr.write(f"{package} {lang}: {len(lacks)} missing, {left} not used any more\n")
    paste = Catalog(locale=lang)
    for key, places in lacks.items():
        paste.add(key, locations=places)
    if lacks:
        write_po(sys.stdout.buffer, paste, omit_header=True, width=100)
    return bool(lacks)


if __name__ == "__main__":
    raise SystemExit(main())
