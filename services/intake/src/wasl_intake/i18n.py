# SPDX-License-Identifier: Apache-2.0
"""The portal's own sentences: gettext catalogues, English as the source.

``locale/<language>/*.po`` hold one area each and are read when the process starts, so there is no
build step. Values are filled as ``{name}``. A language is complete when every sentence the code
uses is translated, which tests/unit/intake/test_catalogues.py holds against the code; a slot that
is not complete answers in the language it falls back to.
"""

import gettext
from collections.abc import Mapping
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from io import BytesIO

from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po

#: The language the sentences are written in.
SOURCE = "en"
_LOCALE = "locale"


def folder() -> Traversable:
    return resources.files("wasl_intake") / _LOCALE


@cache
def languages() -> frozenset[str]:
    """Languages with at least one sentence, the source included."""
    found = {f.name for f in folder().iterdir() if f.is_dir() and read(f.name)}
    return frozenset(found | {SOURCE})


def read(lang: str) -> Catalog:
    """The catalogue of one language, its areas put together. Raises ValueError on a doublet."""
    whole = Catalog(locale=lang.replace("-", "_") if lang != "zgh" else None)
    place = folder() / lang
    files = sorted((f for f in place.iterdir() if f.name.endswith(".po")), key=lambda f: f.name)
    for file in files:
        with file.open("rb") as stream:
            area = read_po(stream, locale=lang, abort_invalid=True)
        # The order of the forms is the file's (CLDR's); Babel's own for Arabic is another.
        whole.mime_headers = [("Plural-Forms", area.plural_forms)]
        for message in area:
            if not message.id:
                continue
            held = whole.get(message.id, message.context)
            if held is not None and held.string != message.string:
                raise ValueError(f"locale/{lang}/{file.name}: {message.id!r} is translated twice")
            whole[message.id] = message
    return whole


@cache
def _machine_object(lang: str) -> bytes:
    out = BytesIO()
    write_mo(out, read(lang))
    return out.getvalue()


class Catalogue:
    """Sentences by language. A sentence without a translation is shown in its source."""

    def __init__(self, fallbacks: Mapping[str, str | None]) -> None:
        """``fallbacks``: language → the one it falls back to, or None."""
        self._by = {lang: self._compiled(lang) for lang in fallbacks}
        for lang, other in fallbacks.items():
            if other is not None and other in self._by:
                self._by[lang].add_fallback(self._by[other])

    @staticmethod
    def _compiled(lang: str) -> gettext.NullTranslations:
        if lang == SOURCE or not (folder() / lang).is_dir():
            return gettext.NullTranslations()
        return gettext.GNUTranslations(BytesIO(_machine_object(lang)))

    def gettext(self, lang: str, sentence: str, /, **values: str | int) -> str:
        text = self._by[lang].gettext(sentence)
        return text.format_map(values) if values else text

    def ngettext(self, lang: str, one: str, many: str, n: int, /, **values: str | int) -> str:
        text = self._by[lang].ngettext(one, many, n)
        return text.format_map({"n": n, **values})
