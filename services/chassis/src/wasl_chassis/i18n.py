# SPDX-License-Identifier: Apache-2.0
"""Sentences of pages: gettext catalogues, English as the source.

``locale/<language>/*.po`` of a package hold one area each and are read when the process starts, so
there is no build step. Values are filled as ``{name}``. A language is complete when every sentence
the code uses is translated, which each package's test_catalogues.py holds against its code; a slot
that is not complete answers in the language it falls back to.
"""

import gettext
from collections.abc import Mapping
from importlib import resources
from importlib.resources.abc import Traversable
from io import BytesIO

from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po

#: The language the sentences are written in.
SOURCE = "en"
_LOCALE = "locale"


class Locale:
    """The catalogues that come with one package."""

    def __init__(self, package: str) -> None:
        self.package = package
        self._read: dict[str, Catalog] = {}

    @property
    def folder(self) -> Traversable:
        return resources.files(self.package) / _LOCALE

    def languages(self) -> frozenset[str]:
        """Languages with at least one sentence, the source included."""
        found = {f.name for f in self.folder.iterdir() if f.is_dir() and len(self.read(f.name))}
        return frozenset(found | {SOURCE})

    def read(self, lang: str) -> Catalog:
        """The catalogue of one language, its areas put together. Raises ValueError on a doublet."""
        if (held := self._read.get(lang)) is None:
            held = self._read[lang] = self._put_together(lang)
        return held

    def _put_together(self, lang: str) -> Catalog:
        whole = Catalog(locale=lang.replace("-", "_") if lang != "zgh" else None)
        place = self.folder / lang
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
                    raise ValueError(
                        f"locale/{lang}/{file.name}: {message.id!r} is translated twice"
                    )
                whole[message.id] = message
        return whole

    def compiled(self, lang: str) -> gettext.NullTranslations:
        """What gettext reads; a language without a folder says everything in the source's words."""
        if lang == SOURCE or not (self.folder / lang).is_dir():
            return gettext.NullTranslations()
        out = BytesIO()
        write_mo(out, self.read(lang))
        return gettext.GNUTranslations(BytesIO(out.getvalue()))


class Catalogue:
    """Sentences by language. A sentence without a translation is shown in its source."""

    def __init__(self, locale: Locale, fallbacks: Mapping[str, str | None]) -> None:
        """``fallbacks``: language → the one it falls back to, or None."""
        self._by = {lang: locale.compiled(lang) for lang in fallbacks}
        for lang, other in fallbacks.items():
            if other is not None and other in self._by:
                self._by[lang].add_fallback(self._by[other])

    def gettext(self, lang: str, sentence: str, /, **values: str | int) -> str:
        text = self._by[lang].gettext(sentence)
        return text.format_map(values) if values else text

    def ngettext(self, lang: str, one: str, many: str, n: int, /, **values: str | int) -> str:
        text = self._by[lang].ngettext(one, many, n)
        return text.format_map({"n": n, **values})
